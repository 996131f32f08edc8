"""Folders that sentence-transformers writes and opens: pooling, further layers and unit length, beside a transformer and its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from unlabeled.encoders.text import POOLS, HuggingFaceText, transformer_of_texts
from unlabeled.errors import InputError

ACTIVATIONS = {"Identity": nn.Identity, "Tanh": nn.Tanh, "ReLU": nn.ReLU, "GELU": nn.GELU, "Sigmoid": nn.Sigmoid, "SiLU": nn.SiLU}
OLD_POOLS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def options_of(net: HuggingFaceText) -> dict[str, Any]:
    """What `with_options` needs to build the encoder again, without weights."""
    dense = [
        [layer.in_features, layer.out_features, layer.bias is not None, type(after).__name__]
        for layer, after in zip(net.dense[::2], net.dense[1::2], strict=True)
    ]
    return {"length": net.length, "unit": net.unit, "pool": list(net.pool), "dense": dense, "lower": net.lower, "prompt": net.prompt}


def with_options(transformer: nn.Module, tokenizer: Any, options: dict[str, Any]) -> HuggingFaceText:
    """The encoder of these parts. Weights of `dense` are taken from the files that options["files"] names."""
    layers: list[nn.Module] = []
    for number, (n_in, n_out, bias, activation) in enumerate(options.get("dense", [])):
        linear = nn.Linear(n_in, n_out, bias=bias)
        if files := options.get("files"):
            linear.load_state_dict(_weights(files[number]))
        layers += [linear, ACTIVATIONS[activation]()]
    rest = {key: value for key, value in options.items() if key not in ("dense", "files")}
    return HuggingFaceText(transformer, tokenizer, dense=layers, **rest)


def options_in(name: str) -> dict[str, Any]:
    """What a folder (or a model's id on the hub, where its files can be had) says of what comes after the transformer.

    A plain Hugging Face model: the mean of the last hidden states. InputError: modules that aren't known here.
    """
    found = _file(name, "modules.json")
    if found is None:
        return {}
    modules = [(one["type"].rsplit(".", 1)[-1], one["path"]) for one in json.loads(found.read_text(encoding="utf-8"))]
    options: dict[str, Any] = {"pool": ["mean"], "unit": False, "dense": [], "files": []}
    if not modules or modules[0] != ("Transformer", ""):
        raise InputError(f"{name} begins with {modules[0] if modules else 'nothing'}: wanted a Transformer in the folder itself")
    options |= _reading(name)
    for kind, path in modules[1:]:
        if kind == "Normalize":
            options["unit"] = True
            continue
        if kind == "Dropout":  # does nothing when it embeds
            continue
        if kind not in ("Pooling", "Dense") or options["unit"]:
            raise InputError(f"{name} has a module {kind} at {path!r}{' after Normalize' * options['unit']}: it can't be opened here")
        file = _file(name, f"{path}/config.json")
        said = json.loads(file.read_text(encoding="utf-8")) if file else {}
        if kind == "Pooling":
            options["pool"] = _pools(name, said)
            if options.get("prompt") and not said.get("include_prompt", True):
                raise InputError(f"{name} leaves its prompt out of the pooling: that isn't done here")
        else:
            activation = str(said.get("activation_function", "Identity")).rsplit(".", 1)[-1]
            if activation not in ACTIVATIONS:
                raise InputError(f"{name} has a layer with {activation}: known are {', '.join(ACTIVATIONS)}")
            options["dense"].append([said["in_features"], said["out_features"], said.get("bias", True), activation])
            options["files"].append(_file(name, f"{path}/model.safetensors") or _file(name, f"{path}/pytorch_model.bin"))
    return options


def write_folder(net: Any, folder: str | Path) -> Path:
    """Write an encoder as a folder that `SentenceTransformer(folder)` opens and gives the same vectors with.

    InputError: the encoder isn't a transformer for texts.
    """
    from safetensors.torch import save_file

    net = transformer_of_texts(net)
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} isn't empty: name a new folder")
    net.transformer.save_pretrained(folder)
    net.tokenizer.save_pretrained(folder)
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")]
    _write(folder / "sentence_bert_config.json", {"max_seq_length": net.length, "do_lower_case": net.lower})
    width = int(net.transformer.config.hidden_size)
    switches = {old: new in net.pool for old, new in OLD_POOLS.items()}
    if [new for new in OLD_POOLS.values() if new in net.pool] == list(net.pool):
        said: dict[str, Any] = {"word_embedding_dimension": width} | switches  # any version opens these
    else:  # in another order: the newer versions only
        said = {"embedding_dimension": width, "pooling_mode": list(net.pool), "include_prompt": True}
    _write(folder / "1_Pooling" / "config.json", said)
    for layer, after in zip(net.dense[::2], net.dense[1::2], strict=True):
        path = f"{len(modules)}_Dense"
        kind = f"{type(after).__module__}.{type(after).__name__}"
        shape = {"in_features": layer.in_features, "out_features": layer.out_features, "bias": layer.bias is not None}
        _write(folder / path / "config.json", shape | {"activation_function": kind})
        save_file({f"linear.{name}": value.contiguous() for name, value in layer.state_dict().items()}, folder / path / "model.safetensors")
        modules.append(("Dense", path))
    if net.unit:
        modules.append(("Normalize", f"{len(modules)}_Normalize"))
        (folder / modules[-1][1]).mkdir()
    rows = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (kind, path) in enumerate(modules)
    ]
    if net.prompt:
        _write(folder / "config_sentence_transformers.json", {"prompts": {"all": net.prompt}, "default_prompt_name": "all"})
    _write(folder / "modules.json", rows)
    return folder


# Within -----------------------------------------------------------------------------------------------------------


def _pools(name: str, said: dict[str, Any]) -> list[str]:
    """New folders name them, old ones have a switch for each."""
    if "pooling_mode" in said:
        pools = [said["pooling_mode"]] if isinstance(said["pooling_mode"], str) else list(said["pooling_mode"])
    else:
        pools = [new for old, new in OLD_POOLS.items() if said.get(old)]
    if not pools or any(pool not in POOLS for pool in pools):
        raise InputError(f"{name} pools by {', '.join(map(str, pools)) or 'nothing'}: known are {', '.join(POOLS)}")
    return pools


def _reading(name: str) -> dict[str, Any]:
    """Where texts are cut, whether they are lower-cased, and what is put before them."""
    found: dict[str, Any] = {}
    for file, key, to in (
        ("tokenizer_config.json", "model_max_length", "length"),
        ("sentence_bert_config.json", "max_seq_length", "length"),
        ("sentence_bert_config.json", "do_lower_case", "lower"),
    ):
        path = _file(name, file)
        value = json.loads(path.read_text(encoding="utf-8")).get(key) if path else None
        if value is not None and (to == "lower" or value < 1e6):
            found[to] = bool(value) if to == "lower" else int(value)
    path = _file(name, "config_sentence_transformers.json")
    said = json.loads(path.read_text(encoding="utf-8")) if path else {}
    if said.get("default_prompt_name"):
        found["prompt"] = said.get("prompts", {}).get(said["default_prompt_name"]) or ""
    return found


def _file(name: str, file: str) -> Path | None:
    folder = Path(name)
    if folder.is_dir():
        return folder / file if (folder / file).is_file() else None
    from transformers.utils import cached_file

    found = cached_file(name, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False)
    return Path(found) if found else None


def _weights(file: Path | None) -> dict[str, Any]:
    if file is None:
        raise InputError("a Dense module has no model.safetensors")
    if file.suffix == ".bin":
        import torch

        tensors = torch.load(file, weights_only=True)
    else:
        from safetensors.torch import load_file

        tensors = load_file(file)
    return {name.removeprefix("linear."): value for name, value in tensors.items()}


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


__all__: Sequence[str] = ["options_in", "options_of", "with_options", "write_folder"]
