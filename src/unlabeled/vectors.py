"""What every estimator on vectors shares: how vectors and labels come in, what "no label" is, and how it is kept on disk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

import unlabeled
from unlabeled.errors import InputError
from unlabeled.parts.labels import NO_LABEL, classes_of
from unlabeled.saving import plain, read_config, write_json, write_tensors

LARGEST = 1e18


@dataclass(kw_only=True, eq=False)
class VectorEstimator(BaseEstimator):
    """A keyword-only dataclass: its fields are the parameters, what `fit` learned ends in `_`. Bad input raises ValueError."""

    def _vectors(self, Z: Any, *, reset: bool, least: int = 1) -> np.ndarray:
        """Z as contiguous float32 [n, d] without NaN, infinity or what squares to it. reset: this is `fit`, which fixes d."""
        if not reset:
            check_is_fitted(self)
        if hasattr(Z, "detach"):
            Z = Z.detach().cpu().float().numpy()
        if issparse(Z):
            raise InputError("the vectors are sparse: give a dense array, Z.toarray(), or sklearn.decomposition.TruncatedSVD's")
        Z = validate_data(self, Z, dtype=np.float32, order="C", reset=reset, ensure_min_samples=least)
        if max(float(Z.max()), -float(Z.min())) > LARGEST:
            raise InputError(f"the vectors hold values beyond {LARGEST:.0e}, whose squares are no float32: scale them")
        return Z

    def save(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors: parameters, and what was learned (arrays, numbers, names and dicts of those)."""
        check_is_fitted(self)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {}
        learned = {name: value for name, value in vars(self).items() if name.endswith("_") and not name.startswith("_")}
        state = {name: _packed(value, name, arrays) for name, value in learned.items()}
        write_tensors(folder / "model.safetensors", arrays)
        config = {"class": f"{type(self).__module__}.{type(self).__qualname__}", "version": unlabeled.__version__}
        write_json(folder / "config.json", config | {"parameters": plain(asdict(self)), "learned": state})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """What `save` wrote."""
        from safetensors.numpy import load_file

        config = read_config(folder)
        if config.get("class") != f"{cls.__module__}.{cls.__qualname__}":
            raise InputError(f"{folder} holds a {config.get('class')}: load it with unlabeled.load_model, or with that class")
        model = cls(**config["parameters"])
        arrays = load_file(Path(folder) / "model.safetensors")
        for name, value in config["learned"].items():
            setattr(model, name, _unpacked(value, arrays))
        return model


@dataclass(kw_only=True, eq=False)
class VectorTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, VectorEstimator):
    """Vectors in, vectors out: `fit(Z)` and `transform(Z) -> float32 [n, dim]`. `fit` sets `_n_features_out`."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


@dataclass(kw_only=True, eq=False)
class VectorClassifier(ClassifierMixin, VectorEstimator):
    """Vectors and labels in, probabilities out: `fit(Z, y)`, `predict_proba(Z) -> [n, classes]`, `predict(Z) -> [n]`.

    y = -1 (of texts: "") is "no label". Only where y holds nothing but -1 and 1 are these two classes, as everywhere in
    scikit-learn: with one class there would be nothing to learn.
    """

    def _labelled(self, Z: Any, y: Any, *, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Z float32 [n, d], and int64 [n]: the place of each label in `classes_`, -1 where there is none."""
        if hasattr(Z, "detach"):
            Z = Z.detach().cpu().float().numpy()
        may = isinstance(y, list) or (isinstance(y, np.ndarray) and y.dtype.kind == "O")
        if may and any(one is None for one in y):  # scikit-learn takes no None
            none = "" if any(isinstance(one, str) for one in y) else NO_LABEL
            y = [none if one is None else one for one in y]
        Z, y = validate_data(self, Z, y, dtype=np.float32, order="C", ensure_min_samples=least)
        check_classification_targets(y)
        self.classes_, codes = classes_of(y)
        return Z, codes

    def predict_proba(self, Z: Any) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} has no predict_proba")

    def predict(self, Z: Any) -> np.ndarray:
        """The likeliest class of each row, [n]."""
        probabilities = self.predict_proba(Z)  # which says so when nothing was fitted
        return self.classes_[probabilities.argmax(axis=1)]


def _packed(value: Any, name: str, arrays: dict[str, Any]) -> Any:
    """A learned value as JSON; arrays of numbers go to `arrays`."""
    import torch

    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind in "OUS":
        return {"names": value.tolist(), "object": value.dtype == object}
    if isinstance(value, np.ndarray):
        arrays[name] = torch.from_numpy(np.ascontiguousarray(value))
        return {"array": name}
    if isinstance(value, dict):
        return {"dict": {key: _packed(one, f"{name}.{key}", arrays) for key, one in value.items()}}
    if isinstance(value, list | tuple):
        return {"list": [_packed(one, f"{name}.{i}", arrays) for i, one in enumerate(value)]}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{name} is a {type(value).__name__}, which can't be kept: keep arrays, numbers, names, and lists and dicts of those")


def _unpacked(said: Any, arrays: dict[str, np.ndarray]) -> Any:
    if not isinstance(said, dict):
        return said
    if "array" in said:
        return arrays[said["array"]]
    if "names" in said:
        return np.array(said["names"], dtype=object if said["object"] else None)
    if "dict" in said:
        return {key: _unpacked(one, arrays) for key, one in said["dict"].items()}
    return [_unpacked(one, arrays) for one in said["list"]]
