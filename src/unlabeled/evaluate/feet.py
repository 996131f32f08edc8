"""FEET: one table of how good each embedding is as it is, with few labels, and after all of it was trained on them."""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.evaluate.probes import check_labels
from unlabeled.parts.checks import one_of, whole

REGIMES = ("frozen", "few", "few tuned", "tuned")
RESAMPLES = 200  # of the test items, for the interval
FEW, DRAWS = 64, 5  # up to so many shots as many draws are averaged in each seed; one beyond


@dataclass(frozen=True)
class Cell:
    """One model on one task in one column. score: mean over seeds; sd: over seeds; low, high: 95 % interval over test items."""

    model: str
    task: str
    column: str  # "frozen", "k=2", ..., "k=2 tuned", ..., "tuned"
    score: float
    sd: float
    low: float
    high: float
    seconds: float  # mean of one run
    trained: int  # numbers that were learned


@dataclass(frozen=True)
class FEETResult:
    metric: str
    seeds: int
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]  # what is blank, and why

    def scores(self, task: str) -> dict[str, dict[str, Cell]]:
        """{model: {column: cell}} of one task."""
        found: dict[str, dict[str, Cell]] = {}
        for cell in self.cells:
            if cell.task == task:
                found.setdefault(cell.model, {})[cell.column] = cell
        return found

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(cell.task for cell in self.cells))

    def columns(self, task: str) -> list[str]:
        return list(dict.fromkeys(cell.column for cell in self.cells if cell.task == task))

    def changes(self) -> dict[tuple[str, str, str], float]:
        """(task, model, column) -> relative change to the frozen score, (score - frozen) / |frozen|: below 0, adapting hurt."""
        found = {}
        for task in self.tasks:
            for model, row in self.scores(task).items():
                for column, cell in row.items():
                    if column != "frozen" and "frozen" in row and row["frozen"].score:
                        found[task, model, column] = (cell.score - row["frozen"].score) / abs(row["frozen"].score)
        return found

    def table(self) -> str:
        """The FEET table as text, a block a task; * marks the best of each column. +- is the standard deviation over seeds."""
        blocks = []
        for task, head, rows in self._grids():
            lines = [[head[0], *head[1:]]] + [[name, *(f"{text}{'*' if best else ''}" for text, best in row)] for name, row in rows]
            widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
            shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
            blocks.append("\n".join([f"{task}: {self.metric}, {self.seeds} seeds", *shown]))
        return "\n\n".join(blocks + list(self.notes))

    def delta(self) -> str:
        """The Delta-FEET table as text: relative change to frozen."""
        changes, lines = self.changes(), []
        for task in self.tasks:
            columns = [column for column in self.columns(task) if column != "frozen"]
            lines.append(f"{task}: change of {self.metric} against frozen")
            for model in self.scores(task):
                row = [f"{column} {changes[task, model, column]:+.1%}" for column in columns if (task, model, column) in changes]
                lines.append(f"  {model}: " + (", ".join(row) or "frozen only"))
        return "\n".join(lines)

    def to_markdown(self) -> str:
        """The FEET table, best of each column bold."""
        blocks = []
        for task, head, rows in self._grids():
            lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
            lines += ["| " + " | ".join([name, *(f"**{text}**" if best else text for text, best in row)]) + " |" for name, row in rows]
            blocks.append("\n".join([f"**{task}** ({self.metric}, {self.seeds} seeds)", "", *lines]))
        return "\n\n".join(blocks + list(self.notes))

    def to_html(self) -> str:
        """The FEET table, best of each column bold; names are escaped."""
        blocks = []
        for task, head, rows in self._grids():
            lines = ["<tr>" + "".join(f"<th>{html.escape(one)}</th>" for one in head) + "</tr>"]
            for name, row in rows:
                cells = "".join(f"<td><b>{text}</b></td>" if best else f"<td>{text}</td>" for text, best in row)
                lines.append(f"<tr><th>{html.escape(name)}</th>{cells}</tr>")
            caption = html.escape(f"{task} ({self.metric}, {self.seeds} seeds)")
            blocks.append("\n".join([f"<table><caption>{caption}</caption>", *lines, "</table>"]))
        return "\n".join(blocks + [f"<p>{html.escape(note)}</p>" for note in self.notes])

    def _grids(self) -> list[tuple[str, list[str], list[tuple[str, list[tuple[str, bool]]]]]]:
        """For each task its name, the head, and for each model its name and (text, is it the best) of each column."""
        grids = []
        for task in self.tasks:
            scores, columns = self.scores(task), self.columns(task)
            best = {column: max(row[column].score for row in scores.values() if column in row) for column in columns}
            rows = [
                (name, [(f"{row[c].score:.3f} +-{row[c].sd:.3f}", row[c].score == best[c]) if c in row else ("", False) for c in columns])
                for name, row in scores.items()
            ]
            grids.append((task, ["model", *columns], rows))
        return grids


def feet(
    models: dict[str, Any],
    tasks: dict[str, tuple[Any, Any, Any, Any]],
    *,
    shots: tuple[int, ...] = (2, 4, 8, 16, 32),
    regimes: tuple[str, ...] = ("frozen", "few", "tuned"),
    seeds: int | tuple[int, ...] = 3,
    metric: str = "accuracy",
    tune: dict[str, Any] | None = None,
) -> FEETResult:
    """Every model on every task: frozen, with few labels, fine-tuned. Lee et al., 2024, "FEET", arXiv:2411.01322.

    models: name -> anything with `transform(X)` (a fitted Learner, say) or a function X -> vectors [n, d]. tasks: name -> (X, y,
    X_test, y_test); y: one class each, -1, "" and None are no label. The test part is only scored.
    frozen: logistic regression on all training labels, its penalty by cross-validation among them. few: the same on k labels of each
    class, for k in shots; every model gets the same ones, the smaller sets are part of the larger, and five draws are averaged in each
    seed up to k = 64. few tuned: all weights trained on those. tuned: all weights trained (tasks.fine_tune, on a copy; `tune` are
    its settings). The last two are blank for models that aren't Learners with weights. A class with fewer than k gives what it has.
    metric: "accuracy", "macro_f1" or "auroc" (of more classes: the mean of each against the rest). No regression.
    InputError: an unknown metric or regime, fewer than two classes, vectors that don't fit.

        result = feet({"minilm": Frozen(encoder="minilm").fit(texts)}, {"topic": (texts, y, new_texts, y_new)})
        result.table(), result.delta(), result.to_markdown()
    """
    from unlabeled.tasks.classify import CalibratedProbe
    from unlabeled.tasks.fine_tune import fine_tune, tunable

    measure: Callable[..., float] = METRICS[one_of("metric", metric, tuple(METRICS))]
    regimes = tuple(one_of("regimes", regime, REGIMES) for regime in regimes)
    shots = tuple(sorted({whole("shots", k) for k in shots}))
    numbers = tuple(range(whole("seeds", seeds))) if isinstance(seeds, int | np.integer) else tuple(seeds)
    if not models or not tasks or not numbers:
        raise InputError(f"{len(models)} models, {len(tasks)} tasks, {len(numbers)} seeds: wanted at least one of each")
    cells, notes = [], []
    for task, data in tasks.items():
        X, codes, X_test, truth = _checked(task, *data)
        for name, model in models.items():
            started = time.monotonic()
            Z, Z_test = (_vectors(name, model, part) for part in (X, X_test))
            embedding = time.monotonic() - started
            can = tunable(model)
            if not can and {"tuned", "few tuned"} & set(regimes):
                notes.append(f"{name} on {task}: not a Learner with weights, so it is not tuned")

            def probed(rows: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
                probe = CalibratedProbe(calibration=None, seed=seed).fit(Z[rows], codes[rows])  # noqa: B023
                return probe.predict_proba(Z_test), probe.coef_.size + len(probe.intercept_)  # noqa: B023

            def tuned(rows: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
                found = fine_tune(model, _taken(X, rows), codes[rows], seed=seed, **(tune or {}))  # noqa: B023
                return found.predict_proba(X_test), found.trained  # noqa: B023

            everything = np.arange(len(codes))
            for regime in regimes:
                if "tuned" in regime and not can:
                    continue
                way = tuned if "tuned" in regime else probed
                for k in shots if "few" in regime else (0,):
                    draws = DRAWS if 0 < k <= FEW else 1
                    started, found, trained = time.monotonic(), [], 0
                    for seed in numbers:
                        for draw in range(draws):
                            p, trained = way(few_shots(codes, k, (seed, draw)) if k else everything, seed)
                            found.append(p)
                    seconds = (time.monotonic() - started) / len(found) + embedding * ("tuned" not in regime)
                    column = f"k={k}{' tuned' * ('tuned' in regime)}" if k else regime
                    cells.append(Cell(name, task, column, *_summary(measure, truth, found, draws), seconds, trained))
    return FEETResult(metric, len(numbers), tuple(cells), tuple(notes))


def few_shots(codes: np.ndarray, k: int, seed: Any) -> np.ndarray:
    """Rows of k examples of every class (all, where it has fewer). With one seed smaller sets are part of larger ones."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(np.flatnonzero(codes == c))[:k] for c in np.unique(codes)])


def accuracy(y: np.ndarray, p: np.ndarray) -> float:
    """Share of rows whose likeliest class is right. y: [n], p: [n, classes]."""
    return float((p.argmax(axis=1) == y).mean())


def macro_f1(y: np.ndarray, p: np.ndarray) -> float:
    """F1 of each class that occurs or is said, averaged."""
    said, classes = p.argmax(axis=1), p.shape[1]
    right, there, claimed = (np.bincount(one, minlength=classes) for one in (y[said == y], y, said))
    seen = there + claimed > 0
    return float((2 * right[seen] / (there + claimed)[seen]).mean())


def auroc(y: np.ndarray, p: np.ndarray) -> float:
    """How often a row of a class gets more of it than a row of another does, ties half; of more than two classes the mean."""
    from scipy.stats import rankdata

    found = []
    for c in [1] if p.shape[1] == 2 else range(p.shape[1]):
        mine = int((y == c).sum())
        if 0 < mine < len(y):
            found.append((rankdata(p[:, c])[y == c].sum() - mine * (mine + 1) / 2) / (mine * (len(y) - mine)))
    return float(np.mean(found)) if found else float("nan")


METRICS: dict[str, Callable[..., float]] = {"accuracy": accuracy, "macro_f1": macro_f1, "auroc": auroc}


def _summary(measure: Callable[..., float], y: np.ndarray, runs: list[np.ndarray], draws: int) -> tuple[float, float, float, float]:
    """Mean and standard deviation over seeds, and the 95 % interval of the mean over resampled test items."""
    seeds = np.array([measure(y, p) for p in runs]).reshape(-1, draws).mean(axis=1)
    rng = np.random.default_rng(0)
    some = runs[:: max(1, len(runs) // 5)]
    drawn = [rng.integers(len(y), size=len(y)) for _ in range(RESAMPLES)]
    around = np.array([np.mean([measure(y[rows], p[rows]) for p in some]) for rows in drawn])
    low, high = np.nanquantile(around - np.mean([measure(y, p) for p in some]), [0.025, 0.975]) + seeds.mean()
    return float(seeds.mean()), float(seeds.std(ddof=1)) if len(seeds) > 1 else 0.0, float(low), float(high)


def _checked(task: str, X: Any, y: Any, X_test: Any, y_test: Any) -> tuple[Any, np.ndarray, Any, np.ndarray]:
    """The rows with a label and their classes, numbered alike in both parts."""
    parts = []
    for name, items, labels in (("y", X, y), ("y_test", X_test, y_test)):
        if len(items) != len(labels):
            raise InputError(f"{task}: {len(labels)} labels in {name} for {len(items)} items: wanted one each")
        keep, _ = check_labels(labels, len(items))
        parts.append((_taken(items, np.flatnonzero(keep)), np.asarray(labels, dtype=object)[keep].astype(str)))
    classes, codes = np.unique(parts[0][1], return_inverse=True)
    if len(classes) < 2 or not len(parts[1][1]):
        raise InputError(f"{task}: {len(classes)} classes to learn, {len(parts[1][1])} labelled test items: wanted 2 and 1 or more")
    strange = np.setdiff1d(parts[1][1], classes)
    if len(strange):
        raise InputError(f"{task}: the test labels {', '.join(strange[:5])} don't occur in training: leave those items out")
    return parts[0][0], codes, parts[1][0], np.searchsorted(classes, parts[1][1])


def _taken(X: Any, rows: np.ndarray) -> Any:
    return [X[i] for i in rows] if isinstance(X, list | tuple) else X[rows]


def _vectors(name: str, model: Any, X: Any) -> np.ndarray:
    from unlabeled.parts.assign import check_vectors

    if not hasattr(model, "transform") and not callable(model):
        raise InputError(f"the model {name} is a {type(model).__name__}: wanted one with transform(X), or a function")
    Z = check_vectors(model.transform(X) if hasattr(model, "transform") else model(X), name)
    if len(Z) != len(X):
        raise InputError(f"the model {name} gave {len(Z)} vectors for {len(X)} items: wanted one each")
    return Z
