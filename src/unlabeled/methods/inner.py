"""One system as the objective within another: its head and its loss, on vectors that are embedded already."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.base import clone
from torch import nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.methods import NAMED, method


class Embedded(nn.Identity):
    """Stands where a system expects its encoder: what comes is `width` numbers long and embedded already."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width


def inner(objective: Any, host: Learner) -> Learner:
    """An unfitted copy of `objective` (a system, its name, or what config.json holds of one) that knows what `host` is fitted on."""
    if isinstance(objective, dict):
        said = {key: value for key, value in objective.items() if key != "class"} | {"views": None}
        name = next((name for name, path in NAMED.items() if path.endswith(f".{objective['class']}")), objective["class"])
        objective = method(name)(**said)
    elif isinstance(objective, str):
        objective = method(objective)()
    if not isinstance(objective, Learner) or isinstance(objective, type(host)):
        raise InputError(f"objective is a system such as SimCLR() or its name, got {objective!r}")
    learner = clone(objective)
    learner.inputs_, learner.n_items_, learner.steps_ = host.inputs_, host.n_items_, host.steps_
    return learner


def head(objective: Learner, width: int, projector: bool = True) -> Net:
    """The objective's own modules for vectors of this width. InputError for a system that needs more than vectors of two views.

    projector: False leaves it out where it is all that stands between the vectors and the loss.
    """
    kept = any(getattr(type(objective), name) is not getattr(Learner, name) for name in ("after_step", "before_epoch"))
    try:
        net = objective.build(Embedded(width))
        if not projector and [name for name, _ in net.named_children()] == ["encode", "project"]:
            net.project = nn.Identity()
        with torch.no_grad():  # does it read vectors where it is used to see views?
            objective.loss(net, Batch([torch.randn(4, width) for _ in range(2)], torch.arange(4)))
    except (AttributeError, TypeError, ValueError, IndexError, RuntimeError):
        kept = True
    if kept:
        name = type(objective).__name__
        raise InputError(f"{name} needs more than vectors of views and can't be an objective here: take SimCLR or VICReg, say")
    return net
