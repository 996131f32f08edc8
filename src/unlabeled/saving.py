"""Files that appear whole or not at all, and what config.json can hold. Never pickle."""

from __future__ import annotations

import importlib
import json
import os
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

import unlabeled
from unlabeled.errors import InputError


def write_tensors(path: Path, tensors: dict[str, Any], said: dict[str, Any] | None = None) -> None:
    """Tensors by name, and JSON beside them, as one safetensors file."""
    from safetensors.torch import save_file

    partial = path.with_name(f".{path.name}.partial")
    # Copies: safetensors refuses tensors that share memory.
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, partial, {"json": json.dumps(said or {})})
    _commit(partial, path)


def write_json(path: Path, content: Any) -> None:
    """JSON for people: indented, UTF-8."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, content: str) -> None:
    """A text file, UTF-8."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(content, encoding="utf-8", errors="replace")
    _commit(partial, path)


def read_config(folder: str | Path) -> dict[str, Any]:
    """config.json of a saved model or run."""
    try:
        return json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{folder} holds no model (there is no config.json): name a folder that learn or save wrote") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{folder}/config.json is damaged ({error})") from None


def described(model: Any) -> dict[str, Any]:
    """Class, parameters and inputs of an estimator: what its config.json begins with."""
    return {
        "class": f"{type(model).__module__}.{type(model).__qualname__}",
        "version": unlabeled.__version__,
        "parameters": {name: plain(value) for name, value in model.get_params(deep=False).items()},
        "inputs": asdict(model.inputs_),
    }


def load_model(folder: str | Path) -> Any:
    """The estimator that `save` wrote to a folder, whichever class of this package it is."""
    module, _, name = str(read_config(folder).get("class", "")).rpartition(".")
    if not module.startswith("unlabeled."):
        raise InputError(f"{folder} holds a {name or 'model'} that is not of this package: load it with its own class, CLASS.load(folder)")
    return getattr(importlib.import_module(module), name).load(folder)


def plain(value: Any) -> Any:
    """A parameter as JSON can hold it. What it can't hold (a network within an estimator) is named by its class."""
    if is_dataclass(value) and not isinstance(value, type):
        own = {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.init}
        return {"class": type(value).__name__, "module": type(value).__module__} | own
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | dict | None) else type(value).__name__


def restored(said: Any) -> Any:
    """The views, say, that `plain` made of a dataclass of this package, with those within it; None for anything else."""
    if not isinstance(said, dict) or not str(said.get("module", "")).startswith("unlabeled."):
        return None
    cls = getattr(importlib.import_module(said["module"]), said["class"], None)

    def one(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(one(inner) for inner in value)
        return restored(value) if isinstance(value, dict) else value

    return None if cls is None else cls(**{key: one(value) for key, value in said.items() if key not in ("class", "module")})


def _commit(partial: Path, path: Path) -> None:
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)
