"""Swivel: vectors of counts that also learn from what never stands together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unlabeled.errors import InputError
from unlabeled.methods.words.cooccurrence_model import CooccurrenceModel
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.cooccurrence_counts import Counts

NEVER = -1e4  # stands for the logarithm of 0


@dataclass(kw_only=True, eq=False)
class Swivel(CooccurrenceModel):
    """Dot products of rows and columns are their pointwise mutual information where they were seen together; where they never were,
    they stay below what one single time would have given (a soft hinge).

    Shazeer, Doherty, Evans and Waterson, 2016, "Swivel: Improving Embeddings by Noticing What's Missing", arXiv:1602.02215. It goes
    over the matrix shard by shard, each a dense product; shards lie on the disk when there are more pairs than memory should hold. A
    step's sums of squares (AdaGrad) are the rows' own, whichever shard they were in. `shard` is the paper's 4096, but for smaller
    vocabularies less, so that each row is moved often enough; the trainable biases, off in the authors' program, are left out.

    Also for counts of anything with anything: `fit(matrix)` with a SciPy sparse matrix [rows, columns] gives `row_vectors_` and
    `col_vectors_`. A row that was never counted has zeros. For texts and what is learned see `CooccurrenceModel`; cost: rows x
    columns x dim an epoch. InputError: bad values, no word often enough, no counts, a rate at which it runs away.

        model = Swivel().fit(texts); model.most_similar("king"); model.transform(["a text"])
        Swivel(epochs=100).fit(users_by_items).col_vectors_
    """

    dim: int = 100
    window: int = 10
    shard: int = 1024
    conf: tuple[float, float, float] = (0.1, 0.25, 0.5)  # weight of a cell: conf[0] + conf[1] * count ** conf[2]
    unobserved: str | None = "soft_hinge"  # None: cells without a count say nothing
    epochs: int = 40
    lr: float = 0.1
    min_count: int = 5
    max_words: int | None = None
    seed: int = 0

    def _factorise(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        import torch

        dim = whole("dim", self.dim)
        lr = number("lr", self.lr, 0, above=True)
        one_of("unobserved", self.unobserved, ("soft_hinge", None))
        if len(self.conf) != 3 or not all(isinstance(one, int | float) and one >= 0 for one in self.conf):
            raise InputError(f"conf={self.conf!r}: wanted three numbers of at least 0, for conf[0] + conf[1] * count ** conf[2]")
        rng = torch.Generator().manual_seed(self.seed)
        *marginals, total = counts.logs
        seen = [torch.from_numpy(sums > 0) for sums in (counts.row_sums, counts.column_sums)]
        tables, squares = [], []
        for side, (logs, there) in enumerate(zip(marginals, seen, strict=True)):
            # Beside the vectors stand what makes their product the score minus log |D| - log x_i* - log x_*j, PMI of a count of 1.
            logs = torch.where(there, torch.from_numpy(logs).float(), -NEVER) - total / 2
            beside = [logs, torch.ones(len(logs))][:: 1 - 2 * side]
            start = torch.randn(len(logs), dim, generator=rng) / dim**0.5
            tables.append(torch.cat([start, torch.stack(beside, 1)], 1))
            squares.append(torch.zeros(len(logs), dim))
        self.loss_curve_ = []
        for epoch in range(whole("epochs", self.epochs)):
            loss = 0.0
            for shard in torch.randperm(counts.parts[0] * counts.parts[1], generator=rng).tolist():
                i, j = divmod(shard, counts.parts[1])
                mine = [(table[at::n], square[at::n]) for table, square, at, n in zip(tables, squares, (i, j), counts.parts, strict=True)]
                loss += self._step(counts.shard(i, j), counts.parts, mine, dim, lr)
            if not np.isfinite(loss):
                raise InputError(f"training ran away in epoch {epoch + 1} with lr={lr}: lower lr")
            self.loss_curve_.append(loss / (counts.shape[0] * counts.shape[1]))
        found = [torch.where(there[:, None], table[:, :dim], 0).numpy() for table, there in zip(tables, seen, strict=True)]
        return found[0], found[1]

    def _step(self, cells: np.ndarray, parts: tuple[int, int], mine: list, dim: int, lr: float) -> float:
        """One step of AdaGrad on one shard; its loss before."""
        import torch

        (rows, row_squares), (columns, column_squares) = mine
        over = rows @ columns.T  # score - PMI of a count of 1
        row, column = (torch.from_numpy(cells[name] // n).long() for name, n in zip(("row", "column"), parts, strict=True))
        at = row * over.shape[1] + column
        count = torch.from_numpy(np.ascontiguousarray(cells["value"]))
        base, scale, power = self.conf
        weight = base + scale * count**power
        error = over.view(-1)[at] - count.log()
        gradient = over.sigmoid() if self.unobserved else torch.zeros_like(over)
        loss = float((weight * error.square()).sum() / 2)
        if self.unobserved:  # softplus(x) = -log(1 - sigmoid(x)), which isn't precise where x is large: good enough to look at
            loss -= float(torch.log1p(-gradient.clamp(max=1 - 1e-6)).sum() - torch.log1p(-gradient.view(-1)[at].clamp(max=1 - 1e-6)).sum())
        gradient.view(-1)[at] = weight * error
        steps = gradient @ columns[:, :dim], gradient.T @ rows[:, :dim]
        for (table, square), step in zip(mine, steps, strict=True):
            square += step * step
            table[:, :dim] -= lr * step / (square.sqrt() + 1e-8)
        return loss
