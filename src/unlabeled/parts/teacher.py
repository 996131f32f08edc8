"""A network that follows another one slowly."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from unlabeled.parts.schedules import cosine


class Teacher(nn.Module):
    """An exponential moving average of one or more modules, applied in a row. Tarvainen and Valpola, arXiv:1703.01780.

    momentum: m of teacher = m * teacher + (1 - m) * student, applied by `update()` after the optimiser's step. With
    `steps` it rises from `momentum` to 1 along half a cosine, as in BYOL (arXiv:2006.07733). Buffers (batch-norm
    statistics) are the teacher's own unless copy_buffers. Its output never carries a gradient.
    """

    def __init__(self, *students: nn.Module, momentum: float = 0.99, steps: int | None = None, copy_buffers: bool = False):
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must lie in [0, 1], got {momentum!r}")
        self.copies = nn.ModuleList(copy.deepcopy(student) for student in students).requires_grad_(False)
        self.students = [tuple([student]) for student in students]  # in tuples: not registered, so not saved twice
        self.momentum, self.steps, self.copy_buffers = momentum, steps, copy_buffers
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        for module in self.copies:
            x = module(x)
        return x.detach()

    @torch.no_grad()
    def update(self) -> None:
        m = self.momentum if self.steps is None else 1 - cosine(int(self.step), self.steps, start=1 - self.momentum)
        for (student,), teacher in zip(self.students, self.copies, strict=True):
            for new, old in zip(student.parameters(), teacher.parameters(), strict=True):
                old.lerp_(new.detach().to(old.dtype), 1 - m)
            if self.copy_buffers:
                for new, old in zip(student.buffers(), teacher.buffers(), strict=True):
                    old.copy_(new)
        self.step += 1
