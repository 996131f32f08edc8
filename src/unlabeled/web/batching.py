"""Requests that come at the same time are worked off together: one pass of the encoder or of the index for all that wait."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

LINGER = 0.004  # seconds that a batch waits at most for as many as the last one had


class Batcher:
    """Calls `work` with lists of up to `most` things, from one thread. While it is busy, others gather; who is alone never waits.

    work: a list of m things -> m results. What it raises reaches all who asked in that batch; one thing alone is tried again by
    itself then, so that a bad one spoils no other's answer.
    """

    def __init__(self, work: Callable[[list[Any]], Sequence[Any]], most: int = 64):
        self.work, self.most = work, most
        self._waiting: queue.SimpleQueue[tuple[Any, Future[Any]] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"batches of {getattr(work, '__name__', 'work')}")
        self._thread.start()

    def __call__(self, thing: Any) -> Any:
        """The result for one thing; waits for it."""
        return self.submit(thing).result()

    def submit(self, thing: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        if self._closed:
            raise RuntimeError("this batcher was closed")
        self._waiting.put((thing, answer))
        return answer

    def close(self) -> None:
        """No more is taken; what waits is still answered."""
        self._closed = True
        self._waiting.put(None)

    def _run(self) -> None:
        expected = 1  # those who were answered together mostly ask again together: alone, the first of them would delay the rest
        while (first := self._waiting.get()) is not None:
            batch, end = [first], time.monotonic() + LINGER
            while len(batch) < self.most:
                try:
                    left = end - time.monotonic() if len(batch) < expected else 0
                    following = self._waiting.get(timeout=left) if left > 0 else self._waiting.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    self._waiting.put(None)
                    break
                batch.append(following)
            expected = len(batch)
            self._answer(batch)

    def _answer(self, batch: list[tuple[Any, Future[Any]]]) -> None:
        try:
            results = self.work([thing for thing, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            else:
                for one in batch:
                    self._answer([one])
            return
        for (_, answer), result in zip(batch, results, strict=True):
            answer.set_result(result)
