"""MoCo with two-way views, hard negatives and a filter."""

from __future__ import annotations

from dataclasses import dataclass

from unlabeled.methods.contrastive.moco import MoCo


@dataclass(kw_only=True, eq=False)
class MoCoDualHard(MoCo):
    """MoCo for a small memory: both views ask, only the hardest quarter of the queue answers, without what looks of one kind.

    Hoang et al., 2025, "Momentum Contrastive Learning with Enhanced Negative Sampling and Hard Negative Filtering",
    arXiv:2501.16360. Only the abstract could be read: the two-way loss, "hardest quarter" and "above the 99 % quantile of the
    queue" are our reading of it, and options of `MoCo`.
    """

    dual_view: bool | str = True
    hard_ratio: float | None = 0.25
    filter_quantile: float | None = 0.99
