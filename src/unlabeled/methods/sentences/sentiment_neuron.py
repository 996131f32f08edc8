"""The sentiment unit: a language model of bytes whose single units come to stand for what a text says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from unlabeled.errors import InputError
from unlabeled.learner import Net, _device
from unlabeled.methods.sentences.text_model import TextModel
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.mlstm import SymbolMLSTM, side_by_side
from unlabeled.parts.units import find_units


@dataclass(kw_only=True, eq=False)
class ByteLM(TransformerMixin, TextModel):
    """Texts of one kind teach a multiplicative LSTM to say the next byte; what it remembers at a text's end is the text's vector.

    Radford, Jozefowicz and Sutskever, 2017, "Learning to Generate Reviews and Discovering Sentiment", arXiv:1704.01444: 4,096 units,
    sequences of 256 bytes, 128 at a time, Adam with 5e-4 that falls linearly to 0 over one pass through 38 GB of reviews, a month.
    The defaults are for some MB and minutes on a CPU (a megabyte takes about a minute on a core): fewer units, shorter sequences, a
    larger rate. That is enough to predict bytes better than counts do, not for a sentiment unit: of two megabytes of reviews no unit,
    and not all of them together, told sentiment much better than chance (`unlabeled reproduce sentiment-neuron`).

    X: a list of str, Items or a path. A text is read as line break, space, text, space; its own line breaks become spaces, text that
    isn't UTF-8 question marks. `transform`: float32 [n, units], tanh of the cell after the last byte, each text from an empty memory.
    InputError: bad values, no text, no str, a rate at which training runs away.

        model = ByteLM(epochs=2).fit(reviews)
        Z = model.transform(texts)
        unit = model.find_units(Z[labelled], y[labelled])[0]     # which it is, its AUROC, a threshold, the mean of either class
        model.generate(200, clamp={unit.unit: np.arctanh(unit.means[1])}, prompt="The film")
    """

    units: int = 256
    embed: int = 64
    seq: int = 32  # bytes through which the gradient flows back; the state is carried on
    batch: int = 32  # the texts, one after another, are cut into so many stretches that are read side by side
    epochs: int = 1
    lr: float = 1.2e-2  # of 4e-3, 8e-3 and 1.6e-2 the last learned fastest from 0.2 MB
    clip: float = 1.0  # longest gradient: with so large a rate it runs away otherwise

    def fit(self, X: Any, y: Any = None, **ignored: Any) -> Self:
        """Learn from texts; `y` is never looked at. `loss_curve_`: bits a byte, the mean of every hundredth of the way."""
        texts, net, rng = self.untrained(X)._coded(X), self._net, np.random.default_rng(self.seed)
        optimizer, device = torch.optim.Adam(net.parameters(), lr=self.lr), _device(self.device)
        total = sum(map(len, texts))
        batch = min(self.batch, max(1, total // (self.seq + 1)))
        length = total // batch
        starts = [(epoch, start) for epoch in range(self.epochs) for start in range(0, length - 1, self.seq)]
        losses = []
        for step, (_, start) in enumerate(starts):
            if start == 0:  # of an epoch: each column of `shards` is a stretch of the texts, in a new order, and goes on where it stopped
                stream = np.concatenate([texts[i] for i in rng.permutation(len(texts))])[: batch * length]
                shards, state = torch.from_numpy(stream).long().view(batch, length).t(), net.cell.zero(batch)
            x = shards[start : start + self.seq + 1].to(device)
            with self._training():
                H, C = net.cell(x[:-1], state)
                loss = nn.functional.cross_entropy(net.say(H.flatten(0, 1)), x[1:].flatten())
            state = H[-1].detach(), C[-1].detach()
            optimizer.param_groups[0]["lr"] = self.lr * (1 - step / len(starts))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), self.clip)
            optimizer.step()
            losses.append(float(loss.detach()) / np.log(2))
        if not np.isfinite(losses).all():
            raise InputError(f"training ran away with lr={self.lr}: lower lr")
        self.loss_curve_ = [float(part.mean()) for part in np.array_split(losses, min(100, len(losses)))]
        return self

    def untrained(self, X: Any = None) -> Self:
        """The same network with its first weights."""
        for name in ("units", "embed", "seq", "batch", "epochs"):
            whole(name, getattr(self, name))
        for name in ("lr", "clip"):
            number(name, getattr(self, name), 0, above=True)
        self.net_, self.loss_curve_ = self._seeded(), []
        return self

    def _build(self) -> Net:
        return Net(cell=SymbolMLSTM(256, self.embed, self.units), say=nn.Linear(self.units, 256))

    # Vectors ------------------------------------------------------------------------------------------------------
    def transform(self, X: Any, out: np.ndarray | None = None, progress: Any = None, *, state: str = "cell") -> np.ndarray:
        """float32 [n, units], in -1 .. 1. state "hidden": what the output sees, gate times tanh of the cell. out: an array to write to.
        progress: called with (done, n)."""
        one_of("state", state, ("cell", "hidden"))
        texts = self._coded(X)
        out, done = np.empty((len(texts), self.units), np.float32) if out is None else out, 0
        for rows, start, H, C in self._net.cell.read(texts):
            for column, row in enumerate(rows):
                at = len(texts[row]) - 1 - start
                if at < len(H):  # here it ends
                    out[row] = (torch.tanh(C[at, column]) if state == "cell" else H[at, column]).cpu().numpy()
                    done += 1
            if progress:
                progress(done, len(texts))
        return out

    @torch.no_grad()
    def bits_per_byte(self, X: Any) -> float:
        """How many bits a byte of these texts takes, mean over all bytes; each text from an empty memory, its first line break given."""
        texts, bits, n = self._coded(X), 0.0, 0
        for rows, start, H, _ in self._net.cell.read(texts):
            after = [texts[row][start + 1 : start + 1 + len(H)] for row in rows]
            known = torch.arange(len(H))[:, None] < torch.tensor([len(one) for one in after])
            said = self.net_.say(H[known.to(H.device)])
            bits += float(nn.functional.cross_entropy(said, side_by_side(after, len(H))[known].to(H.device), reduction="sum")) / np.log(2)
            n += int(known.sum())
        return bits / n

    @property
    def _net(self) -> Net:
        check_is_fitted(self, "net_")
        return self.net_.to(_device(self.device))

    @property
    def _n_features_out(self) -> int:
        return self.units

    def _coded(self, X: Any) -> list[np.ndarray]:
        return [coded(text) for text in self._texts(X)]

    # Units --------------------------------------------------------------------------------------------------------
    find_units = staticmethod(find_units)

    @torch.no_grad()
    def generate(
        self, n: int, clamp: dict[int, float] | None = None, prompt: str = "", *, count: int = 1, temperature: float = 1.0, seed: int = 0
    ) -> list[str]:
        """`count` texts of n bytes after the prompt, drawn byte by byte.

        clamp: {unit: what its cell holds, at every byte that is drawn}. The cell is what `transform` gives the tanh of: np.arctanh of a
        class's mean, or 1 and -1. InputError: no such unit, other bad values.
        """
        whole("n", n), whole("count", count), number("temperature", temperature, 0, above=True)
        for unit, value in (clamp or {}).items():
            number(f"clamp[{unit}]", value)
            if not isinstance(unit, int | np.integer) or not 0 <= unit < self.units:
                raise InputError(f"clamp names unit {unit!r}: wanted numbers from 0 to {self.units - 1}")
        cell, device, draw, drawn = self._net.cell, _device(self.device), torch.Generator().manual_seed(seed), []
        held, at, weights = list(clamp or {}), torch.tensor([*(clamp or {}).values()], device=device), cell.weights()
        before = torch.from_numpy(coded(prompt, end="").copy()).long().to(device)[:, None].expand(-1, count)
        H, C = cell(before[:-1], cell.zero(count), weights)
        state, x = (H[-1], C[-1]), before[-1]
        for _ in range(n):
            state = cell.step(x, state, weights, held, at)
            x = torch.multinomial(torch.softmax(self.net_.say(state[0]) / temperature, dim=1).cpu(), 1, generator=draw)[:, 0].to(device)
            drawn.append(x.cpu().numpy().astype(np.uint8))
        return [column.tobytes().decode("utf-8", errors="replace") for column in np.stack(drawn, axis=1)]


def coded(text: str, end: str = " ") -> np.ndarray:
    """The bytes of a text, uint8: line break, space, the text with spaces for its own line breaks, space."""
    return np.frombuffer(f"\n {' '.join(text.splitlines()).strip()}{end}".encode("utf-8", "replace"), np.uint8)
