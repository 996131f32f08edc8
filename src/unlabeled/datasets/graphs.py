"""Graphs that come with labels and splits, from the folder $UNLABELED_DATA."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from unlabeled.data.graph_files import features_of
from unlabeled.data.graphs import Graph, Hypergraph, Multiplex, Triples
from unlabeled.datasets.named import HOW, VARIABLE
from unlabeled.errors import InputError

PLANETOID = ("cora", "citeseer", "pubmed")
MULTIPLEX = ("acm", "freebase")
HYPERGRAPHS = ("coauthorship_cora", "cocitation_citeseer", "cocitation_cora", "cocitation_pubmed")


@dataclass(frozen=True, eq=False)
class LabelledGraph:
    """A graph; the class of each node, int64 [n], -1 for none; and which nodes are to learn from, to choose with and to test on."""

    graph: Graph
    y: np.ndarray
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, eq=False)
class LabelledMultiplex:
    """Several relations of the same nodes; the class of each node, int64 [n]."""

    graph: Multiplex
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class LabelledHypergraph:
    """Groups of nodes; the class of each node, int64 [n]."""

    graph: Hypergraph
    y: np.ndarray


def planetoid(name: str) -> LabelledGraph:
    """Citations among papers, with bags of words, their topics and the public split (Yang et al., 2016, arXiv:1603.08861).

    name: cora, citeseer, or pubmed, which comes without features. InputError: another name, no such file.
    """
    if name not in PLANETOID:
        raise InputError(f"no citation graph is called {name!r}: wanted one of {', '.join(PLANETOID)}")
    found = arrays(f"graphs_planetoid/{name}.npz")
    y = found["y"].astype(np.int64)
    graph = Graph.of(found["edge_index"].T, len(y), features=features_of(found))
    return LabelledGraph(graph, y, *(found[f"{part}_idx"].astype(np.int64) for part in ("train", "val", "test")))


def blogcatalog() -> tuple[Graph, np.ndarray]:
    """Friendships among 10,312 bloggers, and their interests, bool [n, 39], of which each has one or more (Tang and Liu, 2009).

    InputError: no such file.
    """
    found = arrays("graph_blogcatalog/blogcatalog.npz")
    interests = np.zeros((int(found["num_nodes"]), int(found["group_label"].max()) + 1), bool)
    interests[found["group_node"], found["group_label"]] = True
    return Graph.of(found["edges"].T, len(interests)), interests


def multiplex(name: str) -> LabelledMultiplex:
    """Relations among papers or films through what they share, of HeCo (Wang et al., 2021, arXiv:2105.09111).

    acm: 4,019 papers of 3 areas, by common authors (pap) and subjects (psp), with 1,902 words. freebase: 3,492 films of 3 genres, by
    common actors (mam), directors (mdm) and writers (mwm), without features. InputError: another name, no such file.
    """
    if name not in MULTIPLEX:
        raise InputError(f"no multiplex graph is called {name!r}: wanted one of {', '.join(MULTIPLEX)}")
    found = arrays(f"multiplex/{name}.npz")
    y = found["y"].astype(np.int64)
    views = {key.removeprefix("edges_"): Graph.of(found[key].T, len(y)) for key in found if key.startswith("edges_")}
    return LabelledMultiplex(Multiplex(views, features_of(found)), y)


def hypergraph(name: str) -> LabelledHypergraph:
    """Papers that one paper cites, or that one author wrote, as groups, with bags of words and topics: sets of HyperGCN.

    Yadati et al., 2019, arXiv:1809.02589. name: one of `HYPERGRAPHS`; cocitation_pubmed comes without features. InputError: another name,
    no such file.
    """
    if name not in HYPERGRAPHS:
        raise InputError(f"no hypergraph is called {name!r}: wanted one of {', '.join(HYPERGRAPHS)}")
    found = arrays(f"hypergraphs/{name}.npz")
    y = found["y"].astype(np.int64)
    groups = np.split(found["edge_nodes"], found["edge_ptr"][1:-1])
    return LabelledHypergraph(Hypergraph.of(groups, len(y), features=features_of(found)), y)


def wordnet(root: str = "entity.n.1") -> tuple[Graph, list[str]]:
    """The nouns below one ("mammal.n.1", "artifact.n.1"), itself included: u -> v where u is directly a v, and their names.

    Open English WordNet, a hierarchy in which a noun may have several parents. InputError: no such noun, no such file.
    """
    import pyarrow.parquet as pq

    names, below = (_at(f"wordnet_nouns/{file}.parquet") for file in ("synsets", "hypernyms"))
    known = pq.read_table(names, columns=["name"])["name"].to_pylist()
    if root not in known:
        raise InputError(f"no noun is called {root!r}: {known[0]!r} is one")
    pairs = np.stack([pq.read_table(below)[column].to_numpy() for column in ("child", "parent")], axis=1)
    # Breadth first against the arrows, from the root down to whatever is one.
    down = sp.csr_matrix((np.ones(len(pairs), bool), (pairs[:, 1], pairs[:, 0])), shape=(len(known), len(known)))
    rows = np.sort(sp.csgraph.breadth_first_order(down, known.index(root), return_predecessors=False))
    return Graph.of(pairs, len(known), directed=True).subgraph(rows), [known[row] for row in rows]


@dataclass(frozen=True, eq=False)
class KnowledgeGraph:
    """Facts to learn from; and to choose with and to test on, int64 [n, 3] of the same numbers."""

    train: Triples
    valid: np.ndarray
    test: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """int64 [n, 3]: all of them, which a ranking leaves out."""
        return np.concatenate([self.train.facts.astype(np.int64), self.valid, self.test])


def knowledge(name: str) -> KnowledgeGraph:
    """Facts with their published split: umls, nations, kinship, wn18rr, fb15k237, countries_s1 to _s3. InputError: no such file."""
    found = arrays(f"kgs/{name}.npz")
    entities, relations = (found[part].tolist() for part in ("entities", "relations"))
    return KnowledgeGraph(Triples.of(found["train"], entities, relations), *(found[part].astype(np.int64) for part in ("valid", "test")))


def arrays(file: str) -> dict[str, Any]:
    """What an .npz of the folder $UNLABELED_DATA holds. InputError: it isn't there."""
    with np.load(_at(file)) as opened:
        return {name: opened[name] for name in opened.files}


def _at(file: str) -> Path:
    path = Path(os.environ.get(VARIABLE, "")) / file
    if not path.is_file():
        raise InputError(f"no file {str(path)!r}: {HOW}")
    return path


__all__ = [
    "KnowledgeGraph",
    "LabelledGraph",
    "LabelledHypergraph",
    "LabelledMultiplex",
    "arrays",
    "blogcatalog",
    "hypergraph",
    "knowledge",
    "multiplex",
    "planetoid",
    "wordnet",
]
