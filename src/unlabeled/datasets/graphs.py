"""Graphs that come with labels and splits, from the folder $UNLABELED_DATA."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from unlabeled.data.graphs import Graph
from unlabeled.datasets.named import HOW, VARIABLE
from unlabeled.errors import InputError

PLANETOID = ("cora", "citeseer", "pubmed")


@dataclass(frozen=True, eq=False)
class LabelledGraph:
    """A graph; the class of each node, int64 [n], -1 for none; and which nodes are to learn from, to choose with and to test on."""

    graph: Graph
    y: np.ndarray
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def planetoid(name: str) -> LabelledGraph:
    """Citations among papers, with bags of words, their topics and the public split (Yang et al., 2016, arXiv:1603.08861).

    name: cora, citeseer, or pubmed, which comes without features. InputError: another name, no such file.
    """
    if name not in PLANETOID:
        raise InputError(f"no citation graph is called {name!r}: wanted one of {', '.join(PLANETOID)}")
    found = arrays(f"graphs_planetoid/{name}.npz")
    y = found["y"].astype(np.int64)
    features = None
    if "x_data" in found:
        features = sp.csr_matrix((found["x_data"], found["x_indices"], found["x_indptr"]), shape=tuple(found["x_shape"]))
    graph = Graph.of(found["edge_index"].T, len(y), features=features)
    return LabelledGraph(graph, y, *(found[f"{part}_idx"].astype(np.int64) for part in ("train", "val", "test")))


def arrays(file: str) -> dict[str, Any]:
    """What an .npz of the folder $UNLABELED_DATA holds. InputError: it isn't there."""
    path = Path(os.environ.get(VARIABLE, "")) / file
    if not path.is_file():
        raise InputError(f"no file {str(path)!r}: {HOW}")
    with np.load(path) as opened:
        return {name: opened[name] for name in opened.files}


__all__ = ["LabelledGraph", "arrays", "planetoid"]
