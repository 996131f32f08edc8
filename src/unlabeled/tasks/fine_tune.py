"""All weights of a fitted encoder trained on labels."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import nn
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.learner import Learner, Source
from unlabeled.parts.checks import number, whole
from unlabeled.parts.labels import NO_LABEL, classes_of
from unlabeled.parts.schedules import warmup_cosine
from unlabeled.tasks.classify import CalibratedProbe, held_out


@dataclass(frozen=True, eq=False)
class FineTuned:
    """A tuned encoder and the linear layer on it. trained: how many numbers were learned; epoch: the one that was kept, from 1."""

    learner: Learner
    head: nn.Linear
    classes: np.ndarray
    trained: int
    epoch: int

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities float64 [n, classes] of pictures, texts or vectors, as the encoder was fitted on."""
        with torch.no_grad():
            scores = self.head(torch.from_numpy(_raw(self.learner, X)))
        return softmax(scores.double().numpy(), axis=1)

    def predict(self, X: Any) -> np.ndarray:
        return self.classes[self.predict_proba(X).argmax(axis=1)]


def tunable(model: Any) -> bool:
    """Whether a model is a fitted `Learner` whose encoder has weights."""
    return isinstance(model, Learner) and hasattr(model, "net_") and any(True for _ in model.net_.encode.parameters())


def fine_tune(learner: Any, X: Any, y: Any, *, epochs: int = 3, lr: float = 5e-5, batch_size: int = 16, seed: int = 0) -> FineTuned:
    """A copy of a fitted `Learner`, all weights of its encoder trained on the labels y of X; the learner stays as it is.

    The linear layer starts as logistic regression on the frozen vectors, so that its first random steps don't spoil the encoder
    (Kumar et al., 2022, arXiv:2202.10054), and learns ten times as fast; rates rise over a tenth of
    the steps, then fall along a cosine. A fifth of each class of five or more is held out, and the epoch
    with the lowest loss on it is kept; it is not added afterwards. y = -1, "" or None: no label. InputError: nothing to tune, one class.
    """
    whole("epochs", epochs), whole("batch_size", batch_size), number("lr", lr, 0, above=True)
    if not tunable(learner):
        raise InputError(f"a {type(learner).__name__} can't be fine-tuned: wanted a fitted Learner whose encoder has weights")
    classes, codes = classes_of(y)
    model = copy.deepcopy(learner)
    model.whitening_ = None  # measured on the frozen vectors: it would not fit the tuned ones
    net, labelled = model.net_, np.flatnonzero(codes != NO_LABEL)
    out = np.zeros(len(codes), bool)
    out[labelled[held_out(codes[labelled], 5, seed)]] = True
    rows, target = np.flatnonzero((codes != NO_LABEL) & ~out), torch.from_numpy(codes)
    source = Source(model._items(X, reset=False), net.encode, model.inputs_)
    probe = CalibratedProbe(calibration=None, seed=seed).fit(_raw(model, X)[rows], classes[codes[rows]])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(probe.coef_.shape[1], len(classes))
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(probe.coef_))
            head.bias.copy_(torch.from_numpy(probe.intercept_))
        weights = [p for p in net.encode.parameters() if p.requires_grad]
        adam = torch.optim.AdamW([{"params": weights, "lr": lr}, {"params": head.parameters(), "lr": 10 * lr}])
        best, kept, states = np.inf, 0, {}
        each = max(1, len(rows) // batch_size)
        fall = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: warmup_cosine(step, each * epochs, max(1, each * epochs // 10)))
        for epoch in range(1, epochs + 1):
            net.train()
            for batch in np.array_split(np.random.default_rng([seed, epoch]).permutation(rows), each):
                adam.zero_grad()
                F.cross_entropy(head(model.embed(net, source.batch(batch))), target[batch]).backward()
                adam.step()
                fall.step()
            net.eval()
            with torch.no_grad():
                parts = np.array_split(np.flatnonzero(out), max(1, int(out.sum()) // 64))
                losses = [F.cross_entropy(head(model.embed(net, source.batch(b))), target[b], reduction="sum") for b in parts if len(b)]
            loss = float(sum(losses)) if losses else -float(epoch)  # nothing held out: the last epoch
            if loss < best:
                best, kept, states = loss, epoch, copy.deepcopy({"net": net.state_dict(), "head": head.state_dict()})
        net.load_state_dict(states["net"])
        head.load_state_dict(states["head"])
    trained = sum(p.numel() for p in [*weights, *head.parameters()])
    return FineTuned(model, head.eval(), classes, trained, kept)


def _raw(learner: Learner, X: Any) -> np.ndarray:
    return learner._embed(learner._items(X, reset=False))
