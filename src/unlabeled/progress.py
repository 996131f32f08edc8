"""What a person sees while a run is made: lines, a bar, and a warning when the representation collapses."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self


class Screen:
    """Lines on stdout; progress on stderr, as a bar on a terminal and as a line now and then elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)
        self.bar: Any = None
        self.task: Any = None
        self.told = self.looked = 0.0
        self.started = time.monotonic()
        self.warned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def say(self, line: str) -> None:
        self._stop()
        print(line, flush=True)

    def reading(self, done: int, total: int) -> None:
        self._show("reading", done, total, "")

    def embedding(self, done: int, total: int) -> None:
        self._show("embedding", done, total, "")
        if done == total:
            self._stop()

    def classifying(self, done: int, total: int) -> None:
        self._show("classifying", done, total, "")
        if done == total:
            self._stop()

    def naming(self, done: int, total: int) -> None:
        self._show("naming", done, total, "")
        if done == total:
            self._stop()

    def training(self, progress: Any) -> None:
        left = f"{progress.seconds_left:.0f} s left" if progress.seconds_left < 120 else f"{progress.seconds_left / 60:.0f} min left"
        about = f"epoch {progress.epoch}/{progress.epochs}  loss {progress.loss:.4f}  {progress.rate:,.0f} items/s  {left}"
        self._show("learning", progress.step, progress.steps, about)
        if progress.end_of_epoch and not self.warned and time.monotonic() - self.looked > 5:
            from unlabeled.evaluate import collapse

            self.looked = time.monotonic()
            found = collapse(progress.embed(512))
            if found.collapsed:
                self.warned = True
                self.say(f"warning, epoch {progress.epoch}: {found.verdict}")
        if progress.step == progress.steps:
            self._stop()

    def _show(self, what: str, done: int, total: int, about: str) -> None:
        if not self.console.is_terminal:
            now = time.monotonic()
            due = now - self.started > 5 or what == "learning"  # reading a small set needs no words
            if due and (now - self.told > 10 or done == total):
                self.told = now
                print(f"{what} {done:,}/{total:,}  {about}".rstrip(), file=sys.stderr, flush=True)
            return
        if self.bar is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[about]}"),
                console=self.console,
            )
            self.bar.start()
            self.task = self.bar.add_task(what, total=total, about=about)
        self.bar.update(self.task, description=what, completed=done, total=total, about=about)

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
