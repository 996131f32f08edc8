"""The multiplicative LSTM over a whole sequence, with its gradient written out: several times as fast as letting torch record each step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.parts.by_length import by_length


class _Sequence(torch.autograd.Function):
    """See `multiplicative_lstm`. What doesn't depend on the step before is done for all steps at once, before or after the loop.

    What goes through the two matrices (h, m and, on the way back, dz and dq) has their type; the rest is kept as exact as it came.
    """

    @staticmethod
    def forward(ctx: Any, zx: Tensor, a: Tensor, wh: Tensor, wm: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor]:
        (T, B, n), kept = a.shape, any(ctx.needs_input_grad)
        z, q, m = zx.new_empty(T, B, 4 * n), wh.new_empty(T, B, n), wh.new_empty(T, B, n)
        tanh_c, H, C = torch.empty_like(a), a.new_empty(T + 1, B, n), a.new_empty(T + 1, B, n)
        H[0], C[0] = h0, c0
        seen = H if wh.dtype == H.dtype else wh.new_empty(T + 1, B, n)  # what the matrices see of H
        seen[0] = h0
        through = wm.new_empty(B, 4 * n)
        sigmoids, (i, f, o, u) = z[..., : 3 * n], z.view(T, B, 4, n).unbind(2)
        for t in range(T):
            torch.mm(seen[t], wh, out=q[t])
            torch.mul(a[t], q[t], out=m[t])
            torch.add(zx[t], torch.mm(m[t], wm, out=through), out=z[t])
            sigmoids[t].sigmoid_()
            u[t].tanh_()
            torch.mul(f[t], C[t], out=C[t + 1]).addcmul_(i[t], u[t])
            torch.mul(o[t], torch.tanh(C[t + 1], out=tanh_c[t]), out=H[t + 1])
            if seen is not H:
                seen[t + 1] = H[t + 1]
        if kept:
            ctx.save_for_backward(a, wh, wm, z, q, m, tanh_c, seen, C)
        ctx.set_materialize_grads(False)
        return H[1:], C[1:]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dH: Tensor | None, dC: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        a, wh, wm, z, q, m, tanh_c, seen, C = ctx.saved_tensors
        T, B, n = a.shape
        i, f, o, u = z.view(T, B, 4, n).unbind(2)
        # What the gradients of h_t and c_t are multiplied by, on their way to z_t and from h_t to c_t.
        by_c = torch.stack([u * i * (1 - i), C[:-1] * f * (1 - f)], 2), i * (1 - u * u)
        by_h, h_to_c = tanh_c * o * (1 - o), o * (1 - tanh_c * tanh_c)
        dz, dm, dq = torch.empty_like(z), torch.empty_like(q), torch.empty_like(q)
        low = dz if wm.dtype == dz.dtype else torch.empty_like(dz, dtype=wm.dtype)
        parts = dz.view(T, B, 4, n)
        whT, wmT = wh.t().contiguous(), wm.t().contiguous()
        dh, dc, back = torch.zeros_like(C[0]), torch.zeros_like(C[0]), torch.empty_like(q[0])
        for t in reversed(range(T)):
            if dH is not None:
                dh += dH[t]
            dc.addcmul_(dh, h_to_c[t])
            if dC is not None:
                dc += dC[t]
            torch.mul(dc.unsqueeze(1), by_c[0][t], out=parts[t, :, :2])
            torch.mul(dh, by_h[t], out=parts[t, :, 2])
            torch.mul(dc, by_c[1][t], out=parts[t, :, 3])
            dc *= f[t]
            if low is not dz:
                low[t] = dz[t]
            torch.mm(low[t], wmT, out=dm[t])
            torch.mul(dm[t], a[t], out=dq[t])
            dh.copy_(torch.mm(dq[t], whT, out=back))
        rows = lambda x: x.reshape(T * B, -1)  # noqa: E731
        return dz, dm.to(a.dtype).mul_(q), rows(seen[:-1]).t() @ rows(dq), rows(m).t() @ rows(low), dh, dc


def multiplicative_lstm(zx: Tensor, a: Tensor, wh: Tensor, wm: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """All hidden and cell states, both [T, B, n], of a multiplicative LSTM (Krause, Lu, Murray and Renals, 2016, arXiv:1609.07959).

    m_t = a_t * (h_{t-1} wh);  i, f, o, u = zx_t + m_t wm;  c_t = sig(f) c_{t-1} + sig(i) tanh(u);  h_t = sig(o) tanh(c_t)

    zx [T, B, 4n] and a [T, B, n]: the input, by its two matrices, with the bias; wh [n, n], wm [n, 4n]; h, c [B, n]: the state before.
    Gradients flow to all six; second derivatives don't. wh and wm may be bfloat16 and all else float32: where a processor multiplies
    such matrices, two to three times as fast.
    """
    return _Sequence.apply(zx, a, wh, wm, h, c)


class NormedWeight(nn.Module):
    """A matrix [n_in, n_out] whose columns have learned lengths, g (Salimans and Kingma, 2016, arXiv:1602.07868); all begin with 1."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.v = nn.Parameter(torch.randn(n_in, n_out) / n_in**0.5)
        self.g = nn.Parameter(torch.ones(n_out))

    def forward(self) -> Tensor:
        return self.v * (self.g / self.v.norm(dim=0).clamp_min(1e-12))


class SymbolMLSTM(nn.Module):
    """Symbols are embedded and read by a multiplicative LSTM with normed weights. forward: symbols [T, B], state -> H, C [T, B, units].

    As there are few symbols, each one's part in the gates is computed once for all steps, and looked up.
    """

    def __init__(self, symbols: int, embed: int, units: int):
        super().__init__()
        self.units = units
        self.embed = nn.Parameter(torch.randn(symbols, embed))
        self.wx, self.wmx = NormedWeight(embed, 4 * units), NormedWeight(embed, units)
        self.wmh, self.wm = NormedWeight(units, units), NormedWeight(units, 4 * units)
        self.b = nn.Parameter(torch.zeros(4 * units))
        with torch.no_grad():
            self.b[units : 2 * units] = 1  # remember at first (Gers, Schmidhuber and Cummins, 2000)

    def zero(self, batch: int) -> tuple[Tensor, Tensor]:
        return self.b.new_zeros(batch, self.units), self.b.new_zeros(batch, self.units)

    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Each symbol's part in z [symbols, 4n] and in m [symbols, n], and the two matrices of the loop."""
        return self.embed @ self.wx() + self.b, self.embed @ self.wmx(), self.wmh(), self.wm()

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor], weights: tuple[Tensor, ...] | None = None) -> tuple[Tensor, Tensor]:
        zx, a, wmh, wm = weights or self.weights()
        look_up = nn.functional.embedding
        if torch.is_autocast_enabled(x.device.type):
            half = torch.get_autocast_dtype(x.device.type)
            with torch.autocast(x.device.type, enabled=False):
                return multiplicative_lstm(look_up(x, zx.float()), look_up(x, a.float()), wmh.to(half), wm.to(half), *state)
        return multiplicative_lstm(look_up(x, zx), look_up(x, a), wmh, wm, *state)

    def step(
        self, x: Tensor, state: tuple[Tensor, Tensor], weights: tuple[Tensor, ...], held: list[int], at: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The state after one symbol, x [B]; the cells `held` are overwritten with the values `at` before the output is made of them."""
        (zx, a, wmh, wm), (h, c) = weights, state
        i, f, o, u = (zx[x] + (a[x] * (h @ wmh)) @ wm).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(u)
        if held:
            c[:, held] = at.to(c.dtype)
        return torch.sigmoid(o) * torch.tanh(c), c

    @torch.no_grad()
    def read(self, texts: list[np.ndarray], rows: int = 256, steps: int = 32) -> Iterator[tuple[np.ndarray, int, Tensor, Tensor]]:
        """Every text from an empty state: some of them, the place of their next symbol, and H, C [steps, texts, units] from there on.

        texts: symbols, not empty. rows: texts that are read side by side; steps: symbols after which those that ended leave.
        """
        weights, lengths = self.weights(), np.array([len(text) for text in texts])
        for group in by_length(lengths, rows):
            state = self.zero(len(group))
            for start in range(0, int(lengths[group[0]]), steps):
                here = group[lengths[group] > start]  # the longest come first
                parts = [texts[row][start : start + steps] for row in here]
                h, c = state
                H, C = self(side_by_side(parts, len(parts[0])).to(self.b.device), (h[: len(here)], c[: len(here)]), weights)
                yield here, start, H, C
                state = H[-1], C[-1]


def side_by_side(parts: list[np.ndarray], longest: int) -> Tensor:
    """Symbols int64 [longest, parts]; zeros behind what is shorter."""
    return torch.from_numpy(np.stack([np.pad(one, (0, longest - len(one))) for one in parts], axis=1)).long()
