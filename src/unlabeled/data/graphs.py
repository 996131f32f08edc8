"""Graphs, hypergraphs, graphs of several relations and triples in memory: sorted, without doubles, as compact arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from unlabeled.errors import InputError


class _Nodes:
    """What all of them say of their nodes."""

    features: sp.csr_matrix | None = None

    def rows(self, nodes: np.ndarray) -> np.ndarray:
        """float32 [m, d]: features of some nodes; where there are none, [m, 1], in how many edges each is."""
        return self.involved()[nodes, None] if self.features is None else self.features[nodes].toarray()

    def involved(self) -> np.ndarray:
        """float32 [n]: in how many edges, groups or facts each node is."""
        raise NotImplementedError

    def describe(self) -> str:
        """One line: how many of what."""
        said = f"{len(self):,} {self.NODES}, {self.n_edges:,} {self.EDGES}"  # type: ignore[attr-defined, arg-type]
        alone = int((self.involved() == 0).sum())
        said += "" if self.features is None else f", {self.features.shape[1]:,} numbers a node"
        return said + (f"; {alone:,} without an edge" if alone else "")


@dataclass(frozen=True, eq=False)
class Graph(_Nodes):
    """Nodes 0 to n - 1 and their neighbours: those of node i are targets[starts[i] : starts[i + 1]], in rising order.

    Each edge once (`of` adds the weights of doubles up and drops self-loops), in an undirected graph in both directions. features:
    float32 [n, d], CSR, or None.
    """

    starts: np.ndarray  # int64 [n + 1]
    targets: np.ndarray  # int32 [arcs]
    weights: np.ndarray | None = None  # float32 [arcs], above 0; None: all 1
    directed: bool = False
    features: sp.csr_matrix | None = None
    NODES, EDGES = "nodes", "edges"

    @classmethod
    def of(
        cls,
        edges: Any,
        n: int | None = None,
        weights: Any = None,
        *,
        directed: bool = False,
        features: Any = None,
    ) -> Self:
        """From pairs of node numbers, int [m, 2].

        n: number of nodes (default: of the features, else the largest number in edges and one). weights: [m], finite and above 0.
        InputError: another shape, numbers out of range, bad weights.
        """
        edges = np.asarray(edges)
        edges = edges.reshape(0, 2) if edges.size == 0 else edges
        if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu" and edges.size:
            raise InputError(f"edges are {edges.dtype} {list(edges.shape)}: wanted whole numbers [m, 2], a pair of nodes each")
        edges = edges.astype(np.int64)
        x = _features(features)
        n = int(n if n is not None else x.shape[0] if x is not None else edges.max(initial=-1) + 1)
        if edges.size and not 0 <= edges.min() <= edges.max() < n:
            raise InputError(f"edges name nodes from {edges.min()} to {edges.max()}: wanted 0 to {n - 1}")
        if n > 2**31 - 1:
            raise InputError(f"{n:,} nodes: at most {2**31 - 1:,} fit")
        if x is not None and x.shape[0] != n:
            raise InputError(f"{x.shape[0]:,} rows of features for {n:,} nodes: wanted one each")
        w = None if weights is None else np.asarray(weights, dtype=np.float64).ravel()
        if w is not None and (len(w) != len(edges) or not np.isfinite(w).all() or (w <= 0).any()):
            raise InputError(f"weights: wanted {len(edges):,} finite numbers above 0, one an edge")
        keep = edges[:, 0] != edges[:, 1]
        edges, w = edges[keep], None if w is None else w[keep]
        if not directed:
            # Once each, whichever way it was written: an edge given in both directions is one edge, not a double one.
            low, high = edges.min(axis=1), edges.max(axis=1)
            both = np.unique(low * n + high)
            if w is None:
                edges = np.stack([both // max(n, 1), both % max(n, 1)], axis=1)
            else:
                arcs = sp.coo_matrix((w, (edges[:, 0], edges[:, 1])), shape=(n, n)).tocsr()
                mirrored = arcs.multiply(arcs.T > 0).sum()
                # A symmetric list says every weight twice; any other is summed up over both ways of writing an edge.
                whole = sp.triu(arcs if mirrored and abs(arcs - arcs.T).sum() < 1e-9 * mirrored else arcs + arcs.T, 1).tocoo()
                edges, w = np.stack([whole.row, whole.col], axis=1).astype(np.int64), whole.data
            edges = np.concatenate([edges, edges[:, ::-1]])
            w = None if w is None else np.concatenate([w, w])
        ones = np.ones(len(edges), np.float32) if w is None else w
        arcs = sp.coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(n, n)).tocsr()
        arcs.sum_duplicates()
        arcs.sort_indices()
        found = None if w is None or len(arcs.data) == 0 or np.ptp(arcs.data) == 0 and arcs.data[0] == 1 else arcs.data.astype(np.float32)
        return cls(arcs.indptr.astype(np.int64), arcs.indices.astype(np.int32), found, directed, x)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def n_edges(self) -> int:
        """An undirected edge counts once."""
        return len(self.targets) if self.directed else len(self.targets) // 2

    @property
    def degrees(self) -> np.ndarray:
        """int64 [n]: neighbours of each node; of a directed graph those it points to."""
        return np.diff(self.starts)

    @property
    def sources(self) -> np.ndarray:
        """int32 [arcs]: where each arc begins."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.degrees)

    def involved(self) -> np.ndarray:
        into = np.bincount(self.targets, minlength=len(self)) if self.directed else 0
        return (self.degrees + into).astype(np.float32)

    def edges(self) -> np.ndarray:
        """int64 [n_edges, 2], each edge once, of an undirected graph the smaller node first."""
        pairs = np.stack([self.sources, self.targets], axis=1).astype(np.int64)
        return pairs if self.directed else pairs[pairs[:, 0] < pairs[:, 1]]

    def neighbours(self, node: int) -> np.ndarray:
        """int32: the nodes it points to, in rising order."""
        return self.targets[self.starts[node] : self.starts[node + 1]]

    def has(self, pairs: Any) -> np.ndarray:
        """bool [m]: which of the pairs int [m, 2] are edges."""
        pairs = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
        known = self.sources.astype(np.int64) * len(self) + self.targets  # sorted, as the arcs are
        asked = pairs[:, 0] * len(self) + pairs[:, 1]
        place = np.searchsorted(known, asked)
        return (
            (place < len(known)) & (known[np.minimum(place, max(len(known) - 1, 0))] == asked) if len(known) else np.zeros(len(asked), bool)
        )

    def without(self, pairs: Any) -> Self:
        """The same nodes without some edges int [m, 2]; of an undirected graph both directions go."""
        pairs = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
        gone = pairs if self.directed else np.concatenate([pairs, pairs[:, ::-1]])
        keep = ~np.isin(self.sources.astype(np.int64) * len(self) + self.targets, gone[:, 0] * len(self) + gone[:, 1])
        starts = np.concatenate([[0], np.cumsum(np.bincount(self.sources[keep], minlength=len(self)))]).astype(np.int64)
        return replace(self, starts=starts, targets=self.targets[keep], weights=None if self.weights is None else self.weights[keep])

    def subgraph(self, rows: Any) -> Self:
        """These nodes, numbered anew in this order, and the edges among them."""
        rows = np.asarray(rows, dtype=np.int64)
        part = self.adjacency()[rows][:, rows].tocsr()
        part.sort_indices()
        x = None if self.features is None else self.features[rows]
        w = None if self.weights is None else part.data.astype(np.float32)
        return type(self)(part.indptr.astype(np.int64), part.indices.astype(np.int32), w, self.directed, x)

    def undirected(self) -> Self:
        """The same edges without their directions; itself where it has none."""
        return type(self).of(self.edges(), len(self), self.weights, features=self.features) if self.directed else self

    def adjacency(self) -> sp.csr_matrix:
        """float32 [n, n], sparse."""
        data = np.ones(len(self.targets), np.float32) if self.weights is None else self.weights
        return sp.csr_matrix((data, self.targets, self.starts), shape=(len(self), len(self)))

    def with_features(self, features: Any) -> Self:
        """The same graph with other features, [n, d] dense or sparse, or None."""
        x = _features(features)
        if x is not None and x.shape[0] != len(self):
            raise InputError(f"{x.shape[0]:,} rows of features for {len(self):,} nodes: wanted one each")
        return replace(self, features=x)


@dataclass(frozen=True, eq=False)
class Hypergraph(_Nodes):
    """Groups of nodes: group e holds nodes[starts[e] : starts[e + 1]], each node once, in rising order."""

    starts: np.ndarray  # int64 [groups + 1]
    nodes: np.ndarray  # int32 [memberships]
    n: int
    features: sp.csr_matrix | None = None
    NODES, EDGES = "nodes", "groups"

    @classmethod
    def of(cls, groups: Sequence[Any], n: int | None = None, *, features: Any = None) -> Self:
        """From lists of node numbers; empty groups are dropped. InputError: numbers out of range."""
        rows = [np.unique(np.asarray(group, dtype=np.int64)) for group in groups]
        rows = [row for row in rows if len(row)]
        x = _features(features)
        flat = np.concatenate([*rows, np.zeros(0, np.int64)])
        n = int(n if n is not None else x.shape[0] if x is not None else flat.max(initial=-1) + 1)
        if flat.size and not 0 <= flat.min() <= flat.max() < n:
            raise InputError(f"groups name nodes from {flat.min()} to {flat.max()}: wanted 0 to {n - 1}")
        if x is not None and x.shape[0] != n:
            raise InputError(f"{x.shape[0]:,} rows of features for {n:,} nodes: wanted one each")
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return cls(starts, flat.astype(np.int32), n, x)

    def __len__(self) -> int:
        return self.n

    @property
    def n_edges(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> np.ndarray:
        """int64 [groups]."""
        return np.diff(self.starts)

    def involved(self) -> np.ndarray:
        return np.bincount(self.nodes, minlength=self.n).astype(np.float32)

    def groups(self) -> list[np.ndarray]:
        return np.split(self.nodes, self.starts[1:-1]) if self.n_edges else []

    def incidence(self) -> sp.csr_matrix:
        """float32 [groups, n], sparse."""
        return sp.csr_matrix((np.ones(len(self.nodes), np.float32), self.nodes, self.starts), shape=(self.n_edges, self.n))

    def take(self, groups: Any) -> Self:
        """The same nodes with these groups only: numbers, or a mask."""
        part = self.incidence()[np.asarray(groups)]
        return type(self)(part.indptr.astype(np.int64), part.indices.astype(np.int32), self.n, self.features)

    def subgraph(self, rows: Any) -> Self:
        """These nodes, numbered anew, and what is left of the groups (two members or more)."""
        part = self.incidence()[:, np.asarray(rows)].tocsr()
        part = part[np.diff(part.indptr) > 1]
        part.sort_indices()
        x = None if self.features is None else self.features[np.asarray(rows)]
        return type(self)(part.indptr.astype(np.int64), part.indices.astype(np.int32), part.shape[1], x)

    def cliques(self) -> Graph:
        """Whoever shares a group is joined: an edge's weight is the number of groups."""
        H = self.incidence()
        both = sp.triu(H.T @ H, 1).tocoo()
        return Graph.of(np.stack([both.row, both.col], 1), self.n, both.data, features=self.features)


@dataclass(frozen=True, eq=False)
class Multiplex(_Nodes):
    """Several graphs of the same nodes, one a relation, by name."""

    views: dict[str, Graph]
    features: sp.csr_matrix | None = None
    NODES, EDGES = "nodes", "edges of several relations"

    def __post_init__(self):
        sizes = {len(graph) for graph in self.views.values()} | ({self.features.shape[0]} if self.features is not None else set())
        if len(sizes) != 1:
            raise InputError(f"graphs of {', '.join(map(str, sorted(sizes))) or 'no'} nodes: wanted one or more of the same nodes")

    def __len__(self) -> int:
        return len(next(iter(self.views.values())))

    @property
    def n_edges(self) -> int:
        return sum(graph.n_edges for graph in self.views.values())

    def involved(self) -> np.ndarray:
        return np.sum([graph.involved() for graph in self.views.values()], axis=0).astype(np.float32)

    def subgraph(self, rows: Any) -> Self:
        x = None if self.features is None else self.features[np.asarray(rows)]
        return type(self)({name: graph.subgraph(rows) for name, graph in self.views.items()}, x)

    def union(self) -> Graph:
        """All edges in one graph; an edge's weight is the number of relations it is in."""
        pairs = np.concatenate([graph.edges() for graph in self.views.values()])
        return Graph.of(pairs, len(self), np.ones(len(pairs)), features=self.features)


@dataclass(frozen=True, eq=False)
class Triples(_Nodes):
    """Facts: (head, relation, tail), as numbers of entities and relations, each fact once."""

    facts: np.ndarray  # int32 [m, 3]
    entities: Sequence[str]
    relations: Sequence[str]
    NODES, EDGES = "entities", "facts"

    @classmethod
    def of(cls, facts: Any, entities: Sequence[str] | None = None, relations: Sequence[str] | None = None) -> Self:
        """From names [m, 3] or numbers int [m, 3]; doubles are dropped, the order stays.

        InputError: another shape, numbers without an entity or relation.
        """
        rows = np.asarray(facts)
        if rows.ndim != 2 or rows.shape[1] != 3 or not len(rows):
            raise InputError(f"triples have the shape {list(rows.shape)}: wanted [m, 3], (head, relation, tail), and at least one")
        if rows.dtype.kind not in "iu":
            names = rows.astype(str)
            known, ends = np.unique(names[:, [0, 2]], return_inverse=True)
            kinds, number = np.unique(names[:, 1], return_inverse=True)
            ends = ends.reshape(-1, 2)
            rows = np.stack([ends[:, 0], number.ravel(), ends[:, 1]], axis=1)
            entities, relations = known.tolist(), kinds.tolist()
        entities = [str(i) for i in range(int(rows[:, [0, 2]].max()) + 1)] if entities is None else entities
        relations = [str(i) for i in range(int(rows[:, 1].max()) + 1)] if relations is None else relations
        for name, part, size in (("entities", rows[:, [0, 2]], len(entities)), ("relations", rows[:, 1], len(relations))):
            if not 0 <= part.min() <= part.max() < size:
                raise InputError(f"triples name {name} from {part.min()} to {part.max()}: there are {size:,}")
        first = np.sort(np.unique(rows.astype(np.int64), axis=0, return_index=True)[1])
        return cls(rows[first].astype(np.int32), entities, relations)

    def __len__(self) -> int:
        return len(self.entities)

    @property
    def n_edges(self) -> int:
        return len(self.facts)

    def involved(self) -> np.ndarray:
        return np.bincount(self.facts[:, [0, 2]].ravel(), minlength=len(self)).astype(np.float32)

    def take(self, rows: Any) -> Self:
        """The same entities and relations with these facts only."""
        return replace(self, facts=self.facts[np.asarray(rows)])

    def subgraph(self, rows: Any) -> Self:
        """These entities, numbered anew, and the facts among them."""
        rows = np.asarray(rows, dtype=np.int64)
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        ends = place[self.facts[:, [0, 2]]]
        keep = (ends >= 0).all(axis=1)
        facts = np.stack([ends[keep, 0], self.facts[keep, 1], ends[keep, 1]], axis=1).astype(np.int32)
        return type(self)(facts, [self.entities[i] for i in rows.tolist()], self.relations)

    def graph(self) -> Graph:
        """Who is joined with whom, whatever the relation: undirected, weights count the facts."""
        pairs = self.facts[:, [0, 2]].astype(np.int64)
        pairs = np.sort(pairs, axis=1)
        return Graph.of(pairs, len(self), np.ones(len(pairs)))


def _features(x: Any) -> sp.csr_matrix | None:
    """float32 CSR of numbers [n, d], dense or sparse; InputError where they aren't finite."""
    if x is None:
        return None
    found = sp.csr_matrix(x.detach().cpu().numpy() if hasattr(x, "detach") else x, dtype=np.float32)
    if not np.isfinite(found.data).all():
        raise InputError("features hold NaN or infinite values: drop those nodes or fill them in")
    return found


__all__ = ["Graph", "Hypergraph", "Multiplex", "Triples"]
