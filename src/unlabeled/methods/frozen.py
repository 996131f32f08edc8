"""An encoder kept as it is: `--method none`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from unlabeled.learner import Learner, Net


@dataclass(kw_only=True, eq=False)
class Frozen(Learner):
    """No training: a pretrained encoder, or none at all for plain vectors, with everything else that a run brings."""

    epochs: int | None = 0
    whiten: float = 0.0

    def build(self, encoder: nn.Module) -> Net:
        return Net(encode=encoder)

    def fit(self, X, y=None, **ignored):
        """Build the encoder; `checkpoint`, `resume` and `watch` have nothing to do."""
        return self.untrained(X)
