"""What stands on vectors or maps of local vectors and decides: weights, a function, or one that is learned from labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.errors import InputError


class Headed:
    """For estimators that explain a head. Weights lie in `head_` and are kept by `save`; a function isn't: see `with_head`."""

    _head: Any = None

    def with_head(self, head: Any) -> Any:
        """Use this head. (W [d, classes] or [d], b), which stands on the mean over places, or a torch function of [n, ..., d] -> logits."""
        if isinstance(head, torch.nn.Module) and head.training:
            raise InputError("head is a network in training mode, in which rows can depend on each other: call head.eval() first")
        if callable(head):
            self._head = head
            return self
        try:
            W, b = (np.asarray(one.detach().cpu() if hasattr(one, "detach") else one, dtype=np.float32) for one in head)
        except (TypeError, ValueError):
            raise InputError(f"head is a {type(head).__name__}: wanted a function or (weights [d, classes], offsets [classes])") from None
        W, b = (W[:, None] if W.ndim == 1 else W), b.reshape(-1)
        if W.ndim != 2 or b.shape != W.shape[1:] or not (np.isfinite(W).all() and np.isfinite(b).all()):
            raise InputError(f"head has weights {W.shape} and offsets {b.shape}: wanted finite [d, classes] and [classes]")
        self.head_ = {"W": W, "b": b}
        self._head = None
        return self

    def learn_head(self, Z: np.ndarray, codes: np.ndarray) -> Any:
        """Logistic regression on Z [n, d] and the classes 0, 1, ... of its rows; -1 is no label."""
        from sklearn.linear_model import LogisticRegression

        there = codes >= 0
        scale = max(float(Z.std()), 1e-12)
        model = LogisticRegression(max_iter=1000).fit(Z[there] / scale, codes[there])
        W, b = model.coef_.T / scale, model.intercept_
        if W.shape[1] == 1:  # two classes have one column in scikit-learn
            W, b = np.concatenate([-W / 2, W / 2], axis=1), np.concatenate([-b / 2, b / 2])
        return self.with_head((W, b))

    def has_head(self) -> bool:
        return self._head is not None or hasattr(self, "head_")

    def logits(self, x: Tensor) -> Tensor:
        """Logits [n, classes] of x [n, ..., d]."""
        if self._head is None:
            if not hasattr(self, "head_"):
                raise InputError("there is no head (a function isn't kept by save): give one with with_head(head)")
            W, b = (torch.from_numpy(self.head_[name]).to(x.dtype) for name in ("W", "b"))
            if x.shape[-1] != len(W):
                raise InputError(f"head has weights for {len(W)} numbers, the vectors have {x.shape[-1]}: wanted the same")
            return (x.flatten(1, -2).mean(dim=1) if x.ndim > 2 else x) @ W + b
        found = self._head(x)
        found = found[:, None] if found.ndim == 1 else found
        if found.ndim != 2 or len(found) != len(x):
            raise InputError(f"head made {tuple(found.shape)} of {tuple(x.shape)}: wanted [{len(x)}, classes], pooled over places")
        return found
