"""Graphs on disk: lists of edges, adjacency matrices, GraphML, triples and RDF, with a table of the nodes beside them."""

from __future__ import annotations

import gzip
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.data.graphs import Graph, Hypergraph, Multiplex, Triples
from unlabeled.data.in_memory_graphs import as_graph_items, from_adjacency
from unlabeled.data.items import GRAPHS, Items, count, listed, short
from unlabeled.errors import InputError, MissingExtra

ALWAYS = (".mtx", ".graphml", ".edges", ".edgelist", ".nt", ".ttl")  # files that are graphs whatever the kind that was asked for
EDGES = (".tsv", ".csv", ".txt", ".edges", ".edgelist", ".parquet")
KNOWN = "a list of edges (.tsv, .csv, .txt, .edgelist, .parquet), .npz, .mtx, .graphml, triples (.tsv, .nt, .ttl)"
HEADS = (("source", "target"), ("src", "dst"), ("from", "to"), ("head", "tail"), ("subject", "object"), ("node1", "node2"), ("h", "t"))
MIDDLE = ("relation", "predicate", "property", "edge", "type", "label", "r")
WEIGHT = ("weight", "weights", "w", "count", "value")
URI = re.compile(r"(<[^>]*>|_:\S+)\s+(<[^>]*>)\s+(.*?)\s*\.\s*(?:#.*)?$")


def read_graph(path: Path, *, kind: str = "graph", column: str | None = None, nodes: str | os.PathLike | None = None) -> Items:
    """Nodes as items, what joins them as their values; the nodes' own names are the ids. Edges that aren't all said in both
    directions keep theirs; methods that know no directions leave them out.

    kind: "graph" or "triples". column: the columns source,target[,weight] or head,relation,tail, where they can't be told.
    nodes: a table with an id column; its numbers become the nodes' features, the rest columns. InputError for what can't be read.
    """
    suffixes = [one for one in path.suffixes if one != ".gz"]
    suffix = suffixes[-1].lower() if suffixes else ""
    if suffix == ".nt" or suffix == ".ttl" or kind == "triples":
        items = _triples(path, suffix, column)
    elif suffix == ".npz":
        items = _npz(path)
    elif suffix == ".mtx":
        items = as_graph_items(from_adjacency(_read(lambda: _scipy_io().mmread(path), path)))
    elif suffix == ".graphml":
        items = as_graph_items(_read(lambda: _networkx().read_graphml(path), path))
    elif suffix in EDGES:
        items = _edges(path, suffix, column)
    else:
        raise InputError(f"{path.name} is of a type that no graph is read from ({path.suffix or 'no extension'}): wanted {KNOWN}")
    return items if nodes is None else with_nodes(items, nodes)


def with_nodes(items: Items, nodes: str | os.PathLike | Items) -> Items:
    """The graph with a table of its nodes: numbers become features, other columns columns; nodes of the table alone are added.

    InputError: no id column, or not one of its ids is a node's.
    """
    from unlabeled.data.reading import read

    table = nodes if isinstance(nodes, Items) else read(nodes, kind="table")
    place = {name: row for row, name in enumerate(items.ids)}
    names = [str(name) for name in table.ids]
    known = sum(name in place for name in names)
    if not known:
        raise InputError(
            f"no node of the graph is in the table of nodes: it has {names[0]!r}, the graph {items.ids[0]!r} (is there a column id?)"
        )
    fresh = [name for name in names if name not in place]
    ids = [*items.ids, *fresh]
    place |= {name: len(items) + row for row, name in enumerate(fresh)}
    rows = np.array([place[name] for name in names])
    columns: dict[str, Any] = {}
    for name, values in table.columns.items():
        column = np.empty(len(ids), dtype=object)
        column[:] = None
        column[rows] = list(values)
        columns[name] = list(column)
    notes = [*items.notes]
    if fresh and items.kind == "triples":
        notes.append(f"{count(len(fresh), 'row')} of the table of nodes without a fact: left out")
        keep = rows < len(items)
        ids, rows = ids[: len(items)], rows[keep]
        columns = {name: values[: len(items)] for name, values in columns.items()}
        return Items(items.kind, items.values, ids, columns, source=items.source, notes=notes)
    if items.kind == "triples":
        return Items(items.kind, items.values, ids, columns, source=items.source, notes=notes)
    if len(names) < len(ids):
        notes.append(f"{count(len(ids) - len(names), 'node')} not in the table of nodes: zeros for features")
    x = np.zeros((len(ids), table.values.shape[1]), np.float32)
    x[rows] = table.values
    graph = items.values
    if not isinstance(graph, Graph):
        raise InputError(f"a table of nodes goes with a graph, this is a {type(graph).__name__}")
    starts = np.concatenate([graph.starts, np.full(len(fresh), graph.starts[-1])])
    whole = Graph(starts, graph.targets, graph.weights, graph.directed).with_features(x)
    return Items("graph", whole, ids, columns, source=items.source, fields=list(table.fields), notes=notes)


def save_graph(values: Graph | Hypergraph | Multiplex | Triples, path: Path) -> None:
    """Write a graph as one .npz that `load_graph` reads; it appears whole or not at all."""
    arrays: dict[str, Any] = {"what": np.array(type(values).__name__)}
    if isinstance(values, Graph):
        arrays |= _of_graph(values)
    elif isinstance(values, Hypergraph):
        arrays |= {"starts": values.starts, "nodes": values.nodes, "n": np.array(values.n)} | _of_features(values.features)
    elif isinstance(values, Multiplex):
        arrays |= {"names": np.array(list(values.views))} | _of_features(values.features)
        for number, graph in enumerate(values.views.values()):
            arrays |= {f"{number}.{name}": array for name, array in _of_graph(graph).items()}
    else:
        arrays |= {"facts": values.facts, "entities": np.array(list(values.entities)), "relations": np.array(list(values.relations))}
    partial = path.with_name(f".{path.name}.partial.npz")
    np.savez_compressed(partial, **arrays)
    os.replace(partial, path)


def load_graph(path: Path) -> Graph | Hypergraph | Multiplex | Triples:
    """What `save_graph` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        held = {name: archive[name] for name in archive.files}
    what = str(held["what"])
    if what == "Graph":
        return _graph_of(held)
    if what == "Hypergraph":
        return Hypergraph(held["starts"], held["nodes"], int(held["n"]), features_of(held))
    if what == "Multiplex":
        views = {}
        for number, name in enumerate(held["names"].tolist()):
            prefix = f"{number}."
            views[name] = _graph_of({key.removeprefix(prefix): value for key, value in held.items() if key.startswith(prefix)})
        return Multiplex(views, features_of(held))
    return Triples(held["facts"], held["entities"].tolist(), held["relations"].tolist())


# Within -------------------------------------------------------------------------------------------------------------------------------


def _of_graph(graph: Graph) -> dict[str, Any]:
    arrays = {"starts": graph.starts, "targets": graph.targets, "directed": np.array(graph.directed)}
    return arrays | ({} if graph.weights is None else {"weights": graph.weights}) | _of_features(graph.features)


def _graph_of(held: dict[str, Any]) -> Graph:
    return Graph(held["starts"], held["targets"], held.get("weights"), bool(held["directed"]), features_of(held))


def _of_features(x: Any) -> dict[str, Any]:
    return {} if x is None else {"x_data": x.data, "x_indices": x.indices, "x_indptr": x.indptr, "x_shape": np.array(x.shape)}


def features_of(held: dict[str, Any]) -> Any:
    """Features that lie in an .npz as x_data, x_indices, x_indptr and x_shape: float32 CSR, or None."""
    import scipy.sparse as sp

    if "x_data" not in held:
        return None
    return sp.csr_matrix((held["x_data"], held["x_indices"], held["x_indptr"]), shape=tuple(held["x_shape"].tolist()), dtype=np.float32)


def _edges(path: Path, suffix: str, column: str | None) -> Items:
    table, names = _table(path, suffix)
    chosen = column.split(",") if column else _ends(names, path, 2)
    _there(chosen, names, path, (2, 3), "source,target or source,target,weight")
    weight = chosen[2] if len(chosen) == 3 else next((name for name in names if name.lower() in WEIGHT and name not in chosen), None)
    if weight is None and column is None and names == ["1", "2", "3"]:
        weight = "3" if _numbers(table["3"]) is not None else None
    ids, ends, kept = _coded([table[chosen[0]], table[chosen[1]]])
    weights = None
    if weight is not None:
        weights = _numbers(table[weight])
        if weights is None:
            raise InputError(
                f"{path.name}: the weights ({weight!r}) aren't all numbers: name the columns with column (--column source,target)"
            )
        weights = weights[kept]
    # An edge said in one direction may mean that direction (x is a y) or none: it is kept, and most methods leave it out.
    graph = Graph.of(np.stack(ends, axis=1), len(ids), weights, directed=True)
    if not abs(graph.adjacency() - graph.adjacency().T).nnz:
        graph = graph.undirected() if weights is None else from_adjacency(graph.adjacency())
    notes = [f"{count(int((~kept).sum()), 'row')} without both ends: left out"] if not kept.all() else []
    doubled = int(kept.sum()) - len(graph.targets)
    if doubled:
        notes.append(f"{count(doubled, 'row')} said an edge again (or joined a node with itself): each edge is kept once")
    notes += _beside(names, [*chosen, weight])
    return Items("graph", graph, ids, source=str(path), notes=notes)


def _triples(path: Path, suffix: str, column: str | None) -> Items:
    notes: list[str] = []
    if suffix in (".nt", ".ttl"):
        facts, literals = _rdf(path, suffix)
        if literals:
            notes.append(f"{count(literals, 'fact')} about values (literals), not about things: left out")
        if not facts:
            raise InputError(f"{path.name} holds no fact between two things: wanted subject predicate object, all of them IRIs")
        heads, relations, tails = (np.array(part, dtype=object) for part in zip(*facts, strict=True))
        columns = [heads, relations, tails]
    elif suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            name = next((one for one in archive.files if archive[one].ndim == 2 and archive[one].shape[1] == 3), None)
            if name is None:
                raise InputError(f"{path.name} has no array [m, 3] of (head, relation, tail): it has {listed(archive.files)}")
            said = {key: archive[key].tolist() for key in ("entities", "relations") if key in archive.files}
            triples = Triples.of(archive[name], said.get("entities"), said.get("relations"))
        return Items("triples", triples, list(triples.entities), source=str(path))
    else:
        table, names = _table(path, suffix)
        if len(names) < 3:
            raise InputError(f"{path.name} has {count(len(names), 'column')}: wanted three of triples, head, relation, tail")
        chosen = column.split(",") if column else _three(names, path)
        _there(chosen, names, path, (3,), "head,relation,tail")
        columns = [table[name] for name in chosen]
        notes += _beside(names, chosen)
    entities, (heads_, tails_), kept = _coded([columns[0], columns[2]])
    kinds, (relation,), there = _coded([columns[1]])
    if len(relation) != len(columns[0]) and not there.all():
        raise InputError(f"{path.name}: {count(int((~there).sum()), 'fact')} without a relation: fill it in or leave the row out")
    facts_ = np.stack([heads_, relation[kept] if len(relation) == len(kept) else relation, tails_], axis=1)
    triples = Triples.of(facts_, entities, kinds)
    if int(kept.sum()) > triples.n_edges:
        notes.append(f"{count(int(kept.sum()) - triples.n_edges, 'fact')} said again: each is kept once")
    return Items("triples", triples, list(entities), source=str(path), notes=notes)


def _table(path: Path, suffix: str) -> tuple[Any, list[str]]:
    """Columns by name; "1", "2", ... where the first line isn't a header. Lines that begin with # or % are comments."""
    import pyarrow as pa
    import pyarrow.csv as pc

    if suffix == ".parquet":
        import pyarrow.parquet as pq

        table = _read(lambda: pq.read_table(path), path)
        return {name: table[name] for name in table.column_names}, list(table.column_names)
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        lines: list[str] = []
        skip = 0
        for line in file:
            if line[:1] in (b"#", b"%") or not line.strip():
                if not lines:
                    skip += 1
                continue
            lines.append(line.decode("utf-8-sig", errors="replace").rstrip("\r\n"))
            if len(lines) == 50:
                break
    if not lines:
        raise InputError(f"{path.name} holds no edge: wanted a line an edge, two nodes each")
    delimiter = next((mark for mark in "\t,;|" if all(mark in line for line in lines)), None)
    spaced = delimiter is None
    first = lines[0].split(delimiter)
    width = len(first)
    if width < 2:
        raise InputError(
            f"{path.name}: the first line, {lines[0][:60]!r}, has one column: wanted two nodes, with a tab or a comma between them"
        )
    lowered = [name.strip().strip('"').lower() for name in first]
    below = [row for row in (line.split(delimiter) for line in lines[1:]) if len(row) == width]
    header = any(a in lowered and b in lowered for a, b in HEADS)
    header |= any(below and not _number(first[j]) and all(_number(row[j]) for row in below) for j in range(width))
    names = [name.strip().strip('"') for name in first] if header else [str(number) for number in range(1, width + 1)]
    if len(set(names)) < len(names):
        raise InputError(f"{path.name}: two columns have the same name ({listed(names)})")
    odd: list[Any] = []

    def skipped(row: Any) -> str:
        odd.append(row)
        return "skip"

    with opened(path, "rb") as file:
        content: Any = file
        if spaced:  # any number of spaces or tabs between the nodes
            content = io.BytesIO(b"\n".join(b"\t".join(line.split()) for line in file if line[:1] not in (b"#", b"%")))
        table = _read(
            lambda: pc.read_csv(
                content,
                pc.ReadOptions(column_names=names, skip_rows=0 if spaced else skip, skip_rows_after_names=int(header)),
                pc.ParseOptions(delimiter="\t" if spaced else delimiter, invalid_row_handler=skipped, quote_char=False if spaced else '"'),
                pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True),
            ),
            path,
        )
    if len(odd) > len(table):
        raise InputError(
            f"{path.name}: {count(len(odd), 'line')} don't have {width} columns, {len(table):,} have: wanted as many in every line"
        )
    return {name: table[name] for name in names}, names


def _coded(columns: list[Any]) -> tuple[list[str], list[np.ndarray], np.ndarray]:
    """Names in the order in which they first come, the columns as numbers int64 (rows with all of them), and which rows those are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = [pa.array(column, pa.string()) if isinstance(column, np.ndarray) else column.cast(pa.string()) for column in columns]
    parts = [part.combine_chunks() if isinstance(part, pa.ChunkedArray) else part for part in parts]
    parts = [pc.utf8_trim_whitespace(part) for part in parts]
    kept = np.ones(len(parts[0]), dtype=bool)
    for part in parts:
        kept &= np.asarray(part.is_valid()) & (np.asarray(pc.utf8_length(part.fill_null(""))) > 0)
    every = pa.concat_arrays([part.filter(pa.array(kept)) for part in parts])
    coded = every.dictionary_encode()
    numbers = np.asarray(coded.indices).astype(np.int64).reshape(len(parts), -1)
    return coded.dictionary.to_pylist(), list(numbers), kept


def _numbers(column: Any) -> np.ndarray | None:
    import pyarrow as pa

    try:
        return np.asarray(column.cast(pa.float64()).to_numpy())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _ends(names: list[str], path: Path, least: int) -> list[str]:
    lowered = {name.lower(): name for name in names}
    for a, b in HEADS:
        if a in lowered and b in lowered:
            return [lowered[a], lowered[b]]
    if names[0] == "1" or len(names) == 2:
        return names[:2]
    raise InputError(f"{path.name} has the columns {listed(names)}: name the two ends with column (--column {names[0]},{names[1]})")


def _three(names: list[str], path: Path) -> list[str]:
    lowered = {name.lower(): name for name in names}
    middle = next((lowered[one] for one in MIDDLE if one in lowered), None)
    for a, b in HEADS:
        if a in lowered and b in lowered and middle is not None:
            return [lowered[a], middle, lowered[b]]
    if len(names) == 3:
        return names
    raise InputError(f"{path.name} has the columns {listed(names)}: name three with column (--column head,relation,tail)")


def _there(chosen: list[str], names: list[str], path: Path, sizes: tuple[int, ...], wanted: str) -> None:
    missing = [name for name in chosen if name not in names]
    if missing:
        raise InputError(f"no column {missing[0]!r} in {path.name}: it has {listed(names)}")
    if len(chosen) not in sizes:
        raise InputError(f"{count(len(chosen), 'column')} named for the edges of {path.name}: wanted {wanted}")


def _beside(names: list[str], used: list[Any]) -> list[str]:
    left = [name for name in names if name not in used]
    return [f"not used: {listed(map(repr, left), 6)}"] if left else []


def _npz(path: Path) -> Items:
    import scipy.sparse as sp

    try:
        return as_graph_items(from_adjacency(sp.load_npz(path)))
    except InputError:
        raise
    except Exception:  # no matrix of SciPy's: arrays, then
        pass
    held: dict[str, np.ndarray] = _read(lambda: dict(np.load(path, allow_pickle=False)), path)
    found = {name: array for name, array in held.items() if name in ("edges", "edge_index") or name.startswith("edges_")}
    pairs = {name: array.T if array.ndim == 2 and array.shape[0] == 2 else array for name, array in found.items()}
    if not pairs:
        raise InputError(f"{path.name} holds neither a sparse matrix nor an array edges or edge_index [2, m]: it has {listed(held)}")
    x = features_of(held) if "x_indptr" in held else held.get("x")
    n = int(held["num_nodes"]) if "num_nodes" in held else len(held["y"]) if "y" in held else None if x is None else x.shape[0]
    columns = {name: array for name, array in held.items() if array.ndim == 1 and n == len(array) and name not in ("x_indptr",)}
    if len(pairs) == 1:
        graph: Any = Graph.of(next(iter(pairs.values())), n, features=x)
    else:
        n = n if n is not None else max(int(part.max()) for part in pairs.values()) + 1
        first = Graph.of(np.zeros((0, 2), np.int64), n, features=x)
        graph = Multiplex({name.removeprefix("edges_"): Graph.of(part, n) for name, part in pairs.items()}, first.features)
    return Items("graph", graph, columns=columns if n == len(graph) else {}, source=str(path))


def _rdf(path: Path, suffix: str) -> tuple[list[tuple[str, str, str]], int]:
    """(facts between things, how many facts were about values)."""
    if suffix == ".ttl":
        try:
            import rdflib
        except ImportError:
            raise MissingExtra("rdflib", "rdf", "Turtle (.ttl)") from None
        graph = _read(lambda: rdflib.Graph().parse(path, format="turtle"), path)
        facts = [(str(s), str(p), str(o)) for s, p, o in graph if not isinstance(o, rdflib.Literal)]
        return facts, len(graph) - len(facts)
    found, literals = [], 0
    for number, line in enumerate(_lines(path), 1):
        match = URI.match(line)
        if match is None:
            raise InputError(f"{path.name}, line {number}: not a fact in N-Triples (<subject> <predicate> <object> .): {line[:80]!r}")
        subject, predicate, other = match.groups()
        if other.startswith('"'):
            literals += 1
        else:
            found.append((subject.strip("<>"), predicate.strip("<>"), other.strip("<>")))
    return found, literals


def _lines(path: Path) -> Iterator[str]:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip()


def _read(function: Any, path: Path) -> Any:
    try:
        return function()
    except (InputError, PermissionError, MemoryError, ImportError):
        raise
    except Exception as error:  # each library has errors of its own for damaged files
        raise InputError(f"{path.name} can't be read ({short(error)}): wanted {KNOWN}") from None


def _networkx() -> Any:
    import networkx

    return networkx


def _scipy_io() -> Any:
    import scipy.io

    return scipy.io


__all__ = ["ALWAYS", "GRAPHS", "features_of", "load_graph", "read_graph", "save_graph", "with_nodes"]
