"""What estimators share that bring a network for texts and a training loop of their own: how texts come in, and their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin
from sklearn.utils.validation import check_is_fitted

from unlabeled.data import as_items
from unlabeled.encoders import Inputs
from unlabeled.errors import InputError
from unlabeled.learner import Net, _device, _precision
from unlabeled.saving import described, load_model, read_config, restored, write_json, write_tensors


@dataclass(kw_only=True, eq=False)
class TextModel(ClassNamePrefixFeaturesOutMixin, BaseEstimator):
    """A keyword-only dataclass whose `fit` learns `net_`, a module, what `kept` names, which JSON can hold, and what `inner` names,
    estimators or None.

    device and precision as in `Learner`: precision is that of training; vectors are made in 32 bits.
    """

    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    kept: ClassVar[tuple[str, ...]] = ("loss_curve_",)
    inner: ClassVar[tuple[str, ...]] = ()

    def _build(self) -> Net:
        """The network with its first weights, when parameters and `kept` are known."""
        raise NotImplementedError

    def _seeded(self) -> Net:
        """`_build`, with this seed, without touching anybody else's random numbers."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self._build()

    def _training(self) -> torch.autocast:
        """Under it a step is computed: in bfloat16 where the hardware has it, or as `precision` says."""
        return torch.autocast(_device(self.device).type, torch.bfloat16, enabled=_precision(self) == "bf16-mixed")  # type: ignore[arg-type]

    def save(self, folder: str | Path, **more: Any) -> Path:
        """Write config.json and model.safetensors to a folder, and estimators within this one to folders in it."""
        check_is_fitted(self, "net_")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / "model.safetensors", self.net_.state_dict())
        for name in self.inner:
            if getattr(self, name) is not None:
                getattr(self, name).save(folder / name.rstrip("_"))
        write_json(folder / "config.json", self.description() | more)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open what `save` wrote."""
        from safetensors.torch import load_file

        config = read_config(folder)
        model = cls(**{name: restored(value) or value for name, value in config["parameters"].items()})
        for name in cls.kept:
            setattr(model, name, config[name.rstrip("_")])
        for name in cls.inner:
            there = Path(folder) / name.rstrip("_")
            setattr(model, name, load_model(there) if there.is_dir() else None)
        model.net_ = model._seeded().eval()
        model.net_.load_state_dict(load_file(Path(folder) / "model.safetensors"))
        return model

    def description(self) -> dict[str, Any]:
        """Class, parameters and inputs: what config.json says of the model."""
        return described(self) | {"encoder": None} | {name.rstrip("_"): getattr(self, name) for name in self.kept}

    @property
    def inputs_(self) -> Inputs:
        return Inputs("text")

    def _texts(self, X: Any) -> list[str]:
        items = as_items(list(X) if isinstance(X, tuple | np.ndarray) else X)
        if items.kind != "text":
            raise InputError(f"{type(self).__name__} reads texts, the data are {items.kind}s: give a list of str")
        return list(items.take(np.arange(len(items))))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags
