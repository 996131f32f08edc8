"""Learn representations from unlabelled data, keep them, use them, and say without labels how good they are.

    import unlabeled as ul
    run = ul.learn("photos/")           # a run folder: vectors, model, index, report
    run.search("photos/cat.jpg", k=5)
    ul.SimSiam(epochs=20).fit(images).transform(images)

Everything is loaded when it is first used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unlabeled.errors import InputError, MissingCompiler, MissingExtra

if TYPE_CHECKING:
    from unlabeled.data import Items, read
    from unlabeled.data.graphs import Graph, Hypergraph, Multiplex, Triples
    from unlabeled.learner import Learner
    from unlabeled.methods.contrastive.simclr import SimCLR
    from unlabeled.methods.frozen import Frozen
    from unlabeled.methods.siamese.lejepa import LeJEPA
    from unlabeled.methods.siamese.simsiam import SimSiam
    from unlabeled.methods.siamese.vicreg import VICReg
    from unlabeled.methods.words.tfidf_svd import TfidfSVD
    from unlabeled.representation import Representation
    from unlabeled.run import Run, import_vectors, learn, open
    from unlabeled.saving import load_model
    from unlabeled.views import ImagePolicy, ImageViews, TextViews, VectorViews

__version__ = "0.1.0"

_WHERE = {
    "Items": "data",
    "Graph": "data.graphs",
    "Hypergraph": "data.graphs",
    "Multiplex": "data.graphs",
    "Triples": "data.graphs",
    "read": "data",
    "Learner": "learner",
    "SimCLR": "methods.contrastive.simclr",
    "Frozen": "methods.frozen",
    "LeJEPA": "methods.siamese.lejepa",
    "SimSiam": "methods.siamese.simsiam",
    "VICReg": "methods.siamese.vicreg",
    "TfidfSVD": "methods.words.tfidf_svd",
    "Otter": "methods.knowledge.otter",
    "TextGraphEncoder": "methods.knowledge.eredat",
    "Ultra": "methods.knowledge.ultra",
    "Representation": "representation",
    "import_vectors": "run",
    "Run": "run",
    "learn": "run",
    "open": "run",
    "load_model": "saving",
    "ImagePolicy": "views",
    "ImageViews": "views",
    "TextViews": "views",
    "VectorViews": "views",
}

__all__ = ["InputError", "MissingCompiler", "MissingExtra", *_WHERE]  # noqa: PLE0604  (names are resolved by __getattr__)


def _methods() -> dict[str, str]:
    """The classes of all methods and tasks, by name."""
    from unlabeled import methods, tasks

    paths = [*methods.NAMED.values(), *tasks.NAMED.values()]
    return {path.rpartition(".")[2]: path.rpartition(".")[0].removeprefix("unlabeled.") for path in paths}


def __getattr__(name: str) -> Any:
    if name[:1].isupper() and name not in _WHERE:
        _WHERE.update(_methods())
    if name in _WHERE:
        value = getattr(import_module(f"unlabeled.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'unlabeled' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE, *_methods()})
