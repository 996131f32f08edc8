"""An open run as the server holds it: what is loaded once and shared by all requests."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled import jobs
from unlabeled.data import Items
from unlabeled.errors import InputError
from unlabeled.labels import Labels
from unlabeled.run import Run, blend
from unlabeled.web.batching import Batcher
from unlabeled.web.columns import Column, density

TEXT = 2_000  # characters of a text that are sent
DEPTH = 100  # candidates of each kind when words are searched
MASKS = 16  # filters whose items are remembered
REMEMBERED = 4_096  # texts whose vectors are kept
PIECE = 32  # texts that are embedded in one go, so that a search needn't wait for a thousand of them
DATA_LABEL = "label (data)"  # a column `label` that came with the data, beside the labels given here


class Opened:
    """One run: its map, columns, labels and predictions, its encoder and its index behind batchers. All methods may run in threads."""

    def __init__(self, name: str, run: Run):
        self.name, self.run = name, run
        self.labels = Labels(run)
        self.has_model = (run.path / "model.safetensors").exists() and run.kind in ("image", "text", "vector", "table")
        self.prediction: jobs.Classified | None = None
        self._predicting, self._predicted = threading.Lock(), (-1, "")
        self._columns: dict[str, Column] = {}
        self._kept: dict[Any, Any] = {}
        self._label: tuple[int, Column] | None = None
        self._seen: tuple[int, list[str]] | None = None
        self._masks: dict[Any, tuple[Column, np.ndarray]] = {}
        self._vectors: OrderedDict[str, Future[np.ndarray]] = OrderedDict()
        self._lock = threading.RLock()
        self.embedder = Batcher(self._embed)
        self.index = Batcher(self._nearest)

    def __len__(self) -> int:
        return len(self.run)

    def draw(self) -> None:
        """Have the map and the columns at hand, so that the page comes at once."""
        self.positions  # noqa: B018
        self.columns()

    def warm(self) -> None:
        """Load what the first search would wait for."""
        self.near(np.asarray(self.run.vectors[0]), 1)
        if self.run.kind == "text":
            self.run.search_text("a", 1)
            if self.has_model:
                self.embed("warm")

    def close(self) -> None:
        self.labels.close()
        self.embedder.close()
        self.index.close()

    # The map

    @cached_property
    def positions(self) -> np.ndarray:
        """float32 [n, 2] in [-1, 1], the same scale on both axes. Where the run has none, they are made now, and kept."""
        with self._lock:
            if not {"x", "y"} <= set(self._names()):
                from unlabeled.evaluate import map2d

                made = map2d(np.asarray(self.run.vectors))
                self.run.set_columns(x=made[:, 0], y=made[:, 1])
            at = np.stack([self.run.column("x"), self.run.column("y")], axis=1).astype(np.float32)
        low, high = at.min(axis=0), at.max(axis=0)
        return ((at - (low + high) / 2) / max(float((high - low).max()) / 2, 1e-9)).astype(np.float32)

    # Columns

    def columns(self) -> list[Column]:
        made = ["density", "label", *(["predicted", "confidence"] if self.prediction is not None else [])]
        there = [DATA_LABEL if name == "label" else name for name in self._names()]
        return [self.column(name) for name in [*made, *(name for name in there if name not in made)]]

    def column(self, name: str) -> Column:
        """One column; those that change with the labels are made anew each time."""
        if name == "label":
            with self._lock:
                if self._label is None or self._label[0] != self.labels.revision:
                    self._label = self.labels.revision, Column.of(name, np.array(self.labels.values(), dtype=object))
                return self._label[1]
        if name == "predicted" and self.prediction is not None:
            return Column.of(name, self.prediction.predicted.astype(object))
        if name == "confidence" and self.prediction is not None:
            return Column.of(name, self.prediction.confidence)
        with self._lock:
            self._names()
            if name not in self._columns:
                raw = density(self.positions) if name == "density" else self.run.column("label" if name == DATA_LABEL else name)
                self._columns[name] = Column.of(name, raw)
            return self._columns[name]

    def _names(self) -> list[str]:
        """The names of the run's columns, read again when somebody has written them: a command in another terminal, say."""
        written = self.run.columns_written
        with self._lock:
            if self._seen is None or self._seen[0] != written:
                self._columns.clear()
                self._seen = written, self.run.columns
            return self._seen[1]

    def mask(self, filters: Sequence[Mapping[str, Any]]) -> np.ndarray | None:
        """bool [n], the items that all filters keep; None without filters. The last ones are remembered."""
        keep: np.ndarray | None = None
        for one in filters:
            column = self.column(one["column"])
            key = (id(column.raw), repr(sorted(one.items())))  # columns that are set anew are other arrays
            if key not in self._masks:
                self._masks[key] = column, column.where(one)
                while len(self._masks) > MASKS:
                    self._masks.pop(next(iter(self._masks)), None)
            found = self._masks[key][1]
            keep = found if keep is None else keep & found
        return keep

    # Items

    def item(self, row: int) -> dict[str, Any]:
        texts = self.run.texts
        picture = f"/v1/runs/{self.name}/thumbnails/{row}.png" if self.run.kind == "image" else None
        return {"row": int(row), "id": self.run.ids[row], "text": None if texts is None else texts[row][:TEXT], "thumbnail": picture}

    def row(self, row: int) -> int:
        if not 0 <= row < len(self):
            raise InputError(f"there is no row {row}: the rows are 0 to {len(self) - 1}")
        return row

    def hits(self, found: Sequence[tuple[int, float]]) -> list[dict[str, Any]]:
        return [self.item(row) | {"rank": rank, "score": round(float(score), 4)} for rank, (row, score) in enumerate(found, 1)]

    # Search

    def embed(self, thing: str | Items) -> np.ndarray:
        """The vector of one item to search by, float32 [d]. Those of texts are remembered."""
        self._needs_model()
        return self.embedder(thing) if not isinstance(thing, str) else self._asked(thing).result()

    def _asked(self, text: str) -> Future[np.ndarray]:
        """The vector of a query, being made or remembered: two who ask the same wait for the same."""
        with self._lock:
            known = self._vectors.get(text)
            if known is not None and not (known.done() and known.exception()):
                self._vectors.move_to_end(text)
            else:
                self._vectors[text] = self.embedder.submit(text)
                while len(self._vectors) > REMEMBERED:
                    self._vectors.popitem(last=False)
            return self._vectors[text]

    def embed_all(self, things: Sequence[str | Items]) -> np.ndarray:
        """The vectors of many, float32 [m, d], a piece at a time, so that others get their turn."""
        self._needs_model()
        answers = [self.embedder.submit(thing) for thing in things]
        return np.stack([answer.result() for answer in answers])

    def _needs_model(self) -> None:
        if not self.has_model:
            raise InputError(f"{self.name} has no model that takes new items: search it by an item or by a vector")

    def _embed(self, things: list[str | Items]) -> list[np.ndarray]:
        found: list[Any] = [None] * len(things)
        texts = [place for place, thing in enumerate(things) if isinstance(thing, str)]
        for start in range(0, len(texts), PIECE):
            places = texts[start : start + PIECE]
            for place, vector in zip(places, self.run.embed([things[place] for place in places]), strict=True):
                found[place] = vector
        for place, thing in enumerate(things):
            if found[place] is None:
                found[place] = self.run.embed(thing)[0]
        return found

    def near(self, vector: np.ndarray, k: int, keep: np.ndarray | None = None) -> list[tuple[int, float]]:
        """(row, cosine) of the k nearest items, of those that `keep` [n] keeps."""
        return self.index((vector, k, keep))  # type: ignore[no-any-return]

    def _nearest(self, asked: list[tuple[np.ndarray, int, np.ndarray | None]]) -> list[list[tuple[int, float]]]:
        k = min(max(k for _, k, _ in asked), len(self))
        found = self.run.neighbours_kept(np.stack([vector for vector, _, _ in asked]), k, [keep for _, _, keep in asked])
        return [list(zip(r[:k].tolist(), s[:k].tolist(), strict=True)) for (s, r), (_, k, _) in zip(found, asked, strict=True)]

    def like(self, row: int, k: int, keep: np.ndarray | None = None) -> list[tuple[int, float]]:
        """The nearest of an item, without itself."""
        found = self.near(np.asarray(self.run.vectors[self.row(row)]), k + 1, keep)
        return [(other, score) for other, score in found if other != row][:k]

    def words(self, query: str, k: int, keep: np.ndarray | None = None) -> list[tuple[int, float]]:
        """Texts by meaning and by their words; of other kinds the items whose names hold all of the words."""
        if not query.strip():
            raise InputError("the query is empty: give some words, a file or an item")
        if self.run.kind != "text":
            return self._named(query, k, keep)
        depth = min(len(self), max(DEPTH, k))
        early = self._asked(query) if self.has_model and not self.run.by_words_alone(k, k) else None  # embedded while words are looked up
        by_words, scores = self.run.search_text(query, depth if keep is None else min(len(self), 20 * depth))
        found = [(int(row), float(score)) for row, score in zip(by_words, scores, strict=True) if keep is None or keep[row]][:depth]
        lists = [found]
        waiting = early or (self._asked(query) if self.has_model and not self.run.by_words_alone(len(found), k) else None)
        if waiting is not None:
            lists.append(self.near(waiting.result(), depth, keep))
        return blend(lists, k)

    def _named(self, query: str, k: int, keep: np.ndarray | None) -> list[tuple[int, float]]:
        parts = query.casefold().split()
        names = self.once("names", lambda: [name.casefold() for name in self.run.ids])
        rows = [row for row, name in enumerate(names) if all(part in name for part in parts) and (keep is None or keep[row])]
        rows.sort(key=lambda row: (len(self.run.ids[row]), row))
        return [(row, 1.0) for row in rows[:k]]

    # Labels

    def predict(self, method: str, keep: bool) -> dict[str, Any]:
        """Classes for all items from the labels given so far."""
        started, revision = time.monotonic(), self.labels.revision
        y = np.array(self.labels.values(), dtype=str)
        if len(self.labels.classes()) < 2:
            raise InputError(f"{len(self.labels.classes())} class so far: label items of at least two, and predictions can be made")
        with self._predicting:  # of two who ask for the same, the second gets what the first has waited for
            if self.prediction is None or self._predicted != (revision, method):
                self.prediction = jobs.classified(self._centred, y, method)
                self._predicted = revision, method
            found = self.prediction
        if keep:
            self.run.set_columns(given_label=y.tolist(), predicted=found.predicted.tolist(), confidence=found.confidence)
        order = np.argsort(found.confidence, kind="stable")
        ask = [row for row in order[: 12 + len(self.labels)].tolist() if not y[row]][:12]
        said = {"predicted": found.predicted, "confidence": np.round(found.confidence, 4)}
        return found.summary() | {
            "confidence": {"mean": round(float(found.confidence.mean()), 4), "low": int((found.confidence < 0.5).sum())},
            "unsure": [self.item(row) | {name: values[row].item() for name, values in said.items()} for row in ask],
            "revision": revision,
            "seconds": round(time.monotonic() - started, 3),
        }

    @cached_property
    def _centred(self) -> np.ndarray:
        return np.asarray(self.run.vectors) - self.run.center

    # What takes long is made once

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """The value of `key`, made by the first who asks; the others wait for it."""
        with self._lock:
            lock = self._kept.setdefault(("lock", key), threading.Lock())
        with lock:
            if key not in self._kept:
                self._kept[key] = make()
            return self._kept[key]


class Runs:
    """The open runs by name, and what two of them have in common."""

    def __init__(self, paths: Sequence[str | Path]):
        from unlabeled.run import open

        self.by_name: dict[str, Opened] = {}
        for path in paths:
            run = open(path)
            base = run.path.resolve().name or "run"
            name = base if base not in self.by_name else next(f"{base}-{i}" for i in range(2, 1000) if f"{base}-{i}" not in self.by_name)
            self.by_name[name] = Opened(name, run)
        self._shared: dict[tuple[str, str], np.ndarray] = {}

    def rows(self, a: Opened, b: Opened) -> np.ndarray:
        """int32 [n_a]: the row in b of each item of a, -1 where b hasn't got it."""
        if (a.name, b.name) not in self._shared:
            place = {name: row for row, name in enumerate(b.run.ids)}
            self._shared[a.name, b.name] = np.array([place.get(name, -1) for name in a.run.ids], np.int32)
        return self._shared[a.name, b.name]

    def close(self) -> None:
        for one in self.by_name.values():
            one.close()
