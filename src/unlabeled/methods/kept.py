"""Models whose learned state is arrays: kept as config.json and model.safetensors, opened again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from unlabeled.encoders import Inputs
from unlabeled.saving import described, read_config, write_json, write_tensors


class ArrayModel:
    """A dataclass estimator. Arrays whose names end in _ are its state; LISTS names what of it are lists of str (ids, say)."""

    LISTS: tuple[str, ...] = ()

    def save(self, folder: str | Path, **more: Any) -> Path:
        """Write config.json, model.safetensors and a .json for each list to a folder. more: further entries of config.json."""
        import torch

        check_is_fitted(self, "inputs_")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {name: value for name, value in vars(self).items() if name.endswith("_") and isinstance(value, np.ndarray)}
        write_tensors(folder / "model.safetensors", {name: torch.from_numpy(value) for name, value in arrays.items()})
        for name in self.LISTS:
            write_json(folder / f"{name.rstrip('_')}.json", [str(one) for one in getattr(self, name)])
        write_json(folder / "config.json", self.description() | more)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open what `save` wrote."""
        from safetensors.numpy import load_file

        config = read_config(folder)
        model = cls(**config["parameters"])
        for name, array in load_file(Path(folder) / "model.safetensors").items():
            setattr(model, name, array)
        for name in cls.LISTS:
            setattr(model, name, json.loads((Path(folder) / f"{name.rstrip('_')}.json").read_text(encoding="utf-8")))
        model.inputs_ = Inputs(**config["inputs"])  # type: ignore[attr-defined]
        model.loss_curve_ = config["loss_curve"]  # type: ignore[attr-defined]
        return model

    def description(self) -> dict[str, Any]:
        """Class, parameters and inputs: what config.json says of the model."""
        return described(self) | {"encoder": None, "loss_curve": list(getattr(self, "loss_curve_", []))}
