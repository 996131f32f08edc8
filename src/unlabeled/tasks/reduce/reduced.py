"""A model with a reduction of its vectors behind it: what a reduced run embeds new items with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

import unlabeled
from unlabeled.saving import load_model, read_config, write_json, write_tensors


class Reduced:
    """`transform(items)` is the model's vectors, reduced: float32 [n, dim]. Both are fitted already."""

    def __init__(self, model: Any, reduction: Any):
        self.model, self.reduction = model, reduction

    @property
    def inputs_(self) -> Any:
        return self.model.inputs_

    @property
    def _n_features_out(self) -> int:
        return int(self.reduction._n_features_out)

    def transform(self, X: Any, out: np.ndarray | None = None, progress: Any = None) -> np.ndarray:
        """float32 [n, dim]. out: an array to write to. progress: called with (done, n)."""
        found = np.asarray(self.reduction.transform(self.model.transform(X, progress=progress)), dtype=np.float32)
        if out is None:
            return found
        out[:] = found
        return out

    def description(self) -> dict[str, Any]:
        """What config.json says of it."""
        kinds = {name: type(part).__name__ for name, part in (("model", self.model), ("reduction", self.reduction))}
        return {"class": f"{type(self).__module__}.{type(self).__qualname__}", "version": unlabeled.__version__, "parameters": kinds}

    def save(self, folder: str | Path, **said: Any) -> None:
        """Write config.json, and both parts in folders of their own."""
        import torch

        folder = Path(folder)
        self.model.save(folder / "model")
        self.reduction.save(folder / "reduction")
        write_tensors(folder / "model.safetensors", {"dim": torch.tensor([self._n_features_out])})  # says that there is a model
        write_json(folder / "config.json", self.description() | said)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """What `save` wrote, also in a run's folder."""
        read_config(folder)
        return cls(load_model(Path(folder) / "model"), load_model(Path(folder) / "reduction"))
