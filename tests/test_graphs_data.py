"""Graphs as data: what is kept of edges, what files and other libraries' graphs become, and what is refused."""

import gzip
import importlib.util

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from unlabeled import InputError
from unlabeled.data import Items, as_items, read
from unlabeled.data.graph_files import load_graph, save_graph
from unlabeled.data.graphs import Graph, Hypergraph, Multiplex, Triples
from unlabeled.data.in_memory_graphs import as_graph_items, from_adjacency


def drawn(n=40, m=150, seed=0, directed=False, weighted=False):
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, n, (m, 2))
    return pairs, (rng.random(m) + 0.5 if weighted else None)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_graph_is_the_matrix_that_scipy_makes_of_its_edges(directed, weighted):
    pairs, weights = drawn(weighted=weighted)
    pairs = np.unique(np.sort(pairs, axis=1) if not directed else pairs, axis=0)
    weights = None if weights is None else weights[: len(pairs)]
    graph = Graph.of(pairs, 40, weights, directed=directed)
    dense = np.zeros((40, 40))
    for row, (a, b) in enumerate(pairs):
        if a != b:
            dense[a, b] = 1 if weights is None else weights[row]
            if not directed:
                dense[b, a] = dense[a, b]
    np.testing.assert_allclose(graph.adjacency().toarray(), dense, rtol=1e-6)
    assert graph.n_edges == (dense > 0).sum() // (1 if directed else 2)
    assert all((np.diff(graph.neighbours(i)) > 0).all() for i in range(40))


def test_self_loops_go_and_an_edge_said_twice_is_one_whichever_way_it_was_written():
    graph = Graph.of([[0, 1], [1, 0], [1, 1], [1, 2], [1, 2]], 4)
    assert graph.edges().tolist() == [[0, 1], [1, 2]] and graph.weights is None
    assert graph.degrees.tolist() == [1, 2, 1, 0]


def test_weights_of_doubles_add_up_but_a_symmetric_list_says_each_weight_twice():
    assert Graph.of([[0, 1], [1, 2], [1, 2]], 3, [1.0, 2.0, 3.0]).weights.tolist() == [1, 1, 5, 5]
    assert Graph.of([[0, 1], [1, 0]], 2, [2.0, 2.0]).weights.tolist() == [2, 2]
    assert Graph.of([[0, 1], [1, 0]], 2, [2.0, 3.0]).weights.tolist() == [5, 5]


def test_has_and_without_agree_with_sets():
    pairs, _ = drawn()
    graph = Graph.of(pairs, 40)
    there = {tuple(edge) for edge in graph.edges().tolist()}
    every = np.array([(a, b) for a in range(40) for b in range(40)])
    expected = [(min(a, b), max(a, b)) in there for a, b in every.tolist()]
    assert graph.has(every).tolist() == expected
    gone = graph.edges()[::3]
    left = graph.without(gone[:, ::-1])
    assert {tuple(edge) for edge in left.edges().tolist()} == there - {tuple(edge) for edge in gone.tolist()}
    assert len(left) == 40


def test_a_directed_graph_keeps_both_directions_apart_until_it_is_asked_not_to():
    graph = Graph.of([[0, 1], [1, 0], [1, 2]], 3, directed=True)
    assert graph.n_edges == 3 and graph.undirected().n_edges == 2
    assert graph.undirected().edges().tolist() == [[0, 1], [1, 2]]


def test_a_graph_without_edges_is_a_graph():
    graph = Graph.of(np.zeros((0, 2), np.int64), 3)
    assert len(graph) == 3 and graph.n_edges == 0 and graph.edges().shape == (0, 2)
    assert graph.has([[0, 1]]).tolist() == [False]


@pytest.mark.parametrize(
    "edges, more, said",
    [
        ([[0, 5]], {"n": 3}, "0 to 2"),
        ([[0, -1]], {"n": 3}, "0 to 2"),
        ([[0.5, 1]], {}, "whole numbers"),
        ([[0, 1, 2]], {}, r"\[m, 2\]"),
        ([[0, 1]], {"weights": [0.0]}, "above 0"),
        ([[0, 1]], {"weights": [np.nan]}, "finite"),
        ([[0, 1]], {"features": np.ones((3, 2)), "n": 2}, "one each"),
        ([[0, 1]], {"features": np.array([[np.nan], [1.0]])}, "NaN"),
    ],
)
def test_bad_edges_are_refused_by_name(edges, more, said):
    with pytest.raises(InputError, match=said):
        Graph.of(edges, **more)


def test_a_subgraph_has_the_edges_among_its_nodes_and_their_features():
    pairs, _ = drawn()
    x = np.arange(80.0).reshape(40, 2)
    graph = Graph.of(pairs, 40, features=x)
    rows = np.array([5, 3, 20, 11, 7])
    part = graph.subgraph(rows)
    np.testing.assert_array_equal(part.adjacency().toarray(), graph.adjacency().toarray()[np.ix_(rows, rows)])
    np.testing.assert_array_equal(part.features.toarray(), x[rows])


def test_groups_become_cliques_whose_weights_count_the_groups():
    hyper = Hypergraph.of([[0, 1, 2], [2, 1, 1], [], [4]], 5)
    assert hyper.n_edges == 3 and hyper.sizes.tolist() == [3, 2, 1]
    weights = hyper.cliques().adjacency().toarray()
    assert weights[1, 2] == 2 and weights[0, 1] == 1 and weights[4].sum() == 0
    assert [group.tolist() for group in hyper.subgraph([1, 2]).groups()] == [[0, 1], [0, 1]]
    with pytest.raises(InputError, match="0 to 2"):
        Hypergraph.of([[0, 3]], 3)


def test_relations_over_other_nodes_are_refused():
    with pytest.raises(InputError, match="same nodes"):
        Multiplex({"a": Graph.of([[0, 1]], 2), "b": Graph.of([[0, 1]], 3)})
    both = Multiplex({"a": Graph.of([[0, 1]], 3), "b": Graph.of([[0, 1], [1, 2]], 3)})
    assert both.union().adjacency().toarray()[0, 1] == 2


def test_facts_said_twice_are_one_and_a_subset_of_entities_keeps_the_facts_among_them():
    facts = Triples.of([["a", "r", "b"], ["b", "s", "a"], ["a", "r", "b"], ["c", "r", "a"]])
    assert facts.n_edges == 3 and list(facts.entities) == ["a", "b", "c"]
    part = facts.subgraph([1, 0])
    said = {(part.entities[h], part.relations[r], part.entities[t]) for h, r, t in part.facts.tolist()}
    assert said == {("a", "r", "b"), ("b", "s", "a")}
    with pytest.raises(InputError, match=r"\[m, 3\]"):
        Triples.of([["a", "b"]])


# Files ---------------------------------------------------------------------------------------------------------------------------------


def written(folder, name, text):
    path = folder / name
    (gzip.open(path, "wt") if name.endswith(".gz") else open(path, "w")).write(text)
    return path


@pytest.mark.parametrize(
    "name, text",
    [
        ("e.tsv", "x\ty\ny\tz\nz\tx\n"),
        ("e.csv", "source,target\nx,y\ny,z\nz,x\n"),
        ("e.txt", "# a comment\nx y\ny   z\nz\tx\n"),
        ("e.edgelist", "x y\ny z\nz x\n"),
        ("e.tsv.gz", "x\ty\ny\tz\nz\tx\n"),
    ],
)
def test_lists_of_edges_are_read_whatever_stands_between_the_nodes(tmp_path, name, text):
    items = read(written(tmp_path, name, text), kind="graph")
    assert sorted(items.ids) == ["x", "y", "z"] and items.values.n_edges == 3


def test_weights_and_the_users_own_column_names_are_understood(tmp_path):
    path = written(tmp_path, "e.csv", "who,whom,weight\na,b,2\nb,c,0.5\n")
    with pytest.raises(InputError, match="--column who,whom"):
        read(path, kind="graph")
    items = read(path, kind="graph", column="who,whom,weight")
    assert items.values.undirected().weights.tolist() == [2, 2, 0.5, 0.5]
    with pytest.raises(InputError, match="no column 'x'"):
        read(path, kind="graph", column="who,x")


def test_rows_without_both_ends_are_left_out_and_counted(tmp_path):
    items = read(written(tmp_path, "e.tsv", "x\ty\n\tz\ny\tz\nx\ty\n"), kind="graph")
    assert items.values.n_edges == 2 and any("1 row without both ends" in note for note in items.notes)
    assert any("said an edge again" in note for note in items.notes)


def test_a_table_of_nodes_gives_features_columns_and_lonely_nodes(tmp_path):
    edges = written(tmp_path, "e.tsv", "x\ty\ny\tz\n")
    nodes = written(tmp_path, "n.csv", "id,age,town\nx,1,rome\ny,2,oslo\nlonely,9,bern\n")
    items = read(edges, kind="graph", nodes=nodes)
    assert list(items.ids) == ["x", "y", "z", "lonely"] and items.columns["town"] == ["rome", "oslo", None, "bern"]
    assert items.values.features.toarray().ravel().tolist() == [1, 2, 0, 9]
    assert items.values.directed and items.values.undirected().degrees.tolist() == [1, 2, 1, 0]
    with pytest.raises(InputError, match="no node of the graph"):
        read(edges, kind="graph", nodes=written(tmp_path, "m.csv", "id,age\nq,1\nr,2\n"))
    with pytest.raises(InputError, match="say kind graph"):
        read(edges, nodes=nodes)


def test_matrices_and_graphml_are_read(tmp_path):
    ring = sp.csr_matrix(np.roll(np.eye(5), 1, axis=1) + np.roll(np.eye(5), -1, axis=1))
    sp.save_npz(tmp_path / "m.npz", ring)
    scipy.io.mmwrite(tmp_path / "m.mtx", ring)
    nx.write_graphml(nx.cycle_graph(["a", "b", "c", "d", "e"]), tmp_path / "m.graphml")
    for path in (tmp_path / "m.npz", tmp_path / "m.mtx", tmp_path / "m.graphml"):
        items = read(path, kind="graph")
        assert items.values.n_edges == 5 and items.values.degrees.tolist() == [2] * 5, path
    assert list(read(tmp_path / "m.graphml").ids) == ["a", "b", "c", "d", "e"]
    one_way = from_adjacency(np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]]))
    assert one_way.directed and one_way.n_edges == 2


def test_triples_come_from_tables_and_from_rdf(tmp_path):
    table = read(written(tmp_path, "t.tsv", "paris\tcapital of\tfrance\nrome\tcapital of\titaly\n"), kind="triples")
    assert table.kind == "triples" and list(table.values.relations) == ["capital of"] and len(table) == 4
    rdf = '<http://a> <http://p> <http://b> .\n# remark\n<http://a> <http://name> "A. B."@en .\n_:x <http://p> <http://a> .\n'
    items = read(written(tmp_path, "t.nt", rdf))
    assert items.kind == "triples" and items.values.n_edges == 2 and "_:x" in items.ids
    assert any("1 fact about values" in note for note in items.notes)
    with pytest.raises(InputError, match="line 1: not a fact"):
        read(written(tmp_path, "bad.nt", "this is no fact\n"))


@pytest.mark.skipif(importlib.util.find_spec("rdflib") is None, reason="rdflib is optional")
def test_turtle_is_read(tmp_path):
    items = read(written(tmp_path, "t.ttl", "@prefix : <http://x/> .\n:a :p :b , :c .\n"))
    assert items.values.n_edges == 2


@pytest.mark.parametrize(
    "name, text, kind, said",
    [
        ("e.tsv", "onecolumn\n", "graph", "one column"),
        ("e.tsv", "# nothing\n", "graph", "no edge"),
        ("e.xyz", "a b\n", "graph", "type"),
        ("e.tsv", "a\tb\n", "triples", "three"),
        ("m.mtx", "not a matrix\n", None, "can't be read"),
        ("e.csv", "source,target,weight\na,b,heavy\n", "graph", "aren't all numbers"),
    ],
)
def test_what_is_no_graph_is_refused_in_one_line(tmp_path, name, text, kind, said):
    with pytest.raises(InputError, match=said) as caught:
        read(written(tmp_path, name, text), kind=kind)
    assert "\n" not in str(caught.value)


def test_a_kept_graph_comes_back_as_it_was(tmp_path):
    pairs, weights = drawn(weighted=True)
    graph = Graph.of(pairs, 40, weights, features=sp.random(40, 6, 0.3, random_state=0))
    for values in (
        graph,
        Graph.of(pairs, 40, directed=True),
        Hypergraph.of([[0, 1], [1, 2, 3]], 5, features=np.ones((5, 2))),
        Multiplex({"a": graph, "b": Graph.of([[0, 1]], 40)}),
        Triples.of([["a", "r", "b"]]),
    ):
        save_graph(values, tmp_path / "g.npz")
        again = load_graph(tmp_path / "g.npz")
        assert type(again) is type(values) and again.describe() == values.describe()
    save_graph(graph, tmp_path / "g.npz")
    np.testing.assert_array_equal(load_graph(tmp_path / "g.npz").adjacency().toarray(), graph.adjacency().toarray())


# Memory --------------------------------------------------------------------------------------------------------------------------------


def test_graphs_of_networkx_keep_their_names_weights_and_directions():
    theirs = nx.DiGraph()
    theirs.add_edge("b", "a", weight=2.0)
    theirs.add_edge("a", "c", weight=3.0)
    theirs.add_node("alone")
    items = as_items(theirs)
    assert items.kind == "graph" and list(items.ids) == ["b", "a", "c", "alone"] and items.values.directed
    np.testing.assert_array_equal(items.values.adjacency().toarray(), nx.to_numpy_array(theirs))


def test_an_object_like_pytorch_geometrics_is_a_graph_with_features():
    import torch

    class Data:
        edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        x = torch.arange(6.0).reshape(3, 2)
        num_nodes = 3

    graph = as_graph_items(Data()).values
    assert not graph.directed and graph.n_edges == 2 and graph.features.toarray()[2].tolist() == [4, 5]


def test_items_of_a_graph_are_its_nodes():
    graph = Graph.of([[0, 1], [1, 2]], 4, features=np.eye(4))
    items = Items("graph", graph, list("abcd"), {"town": ["w", "x", "y", "z"]})
    part = items.subset([2, 1])
    assert list(part.ids) == ["c", "b"] and part.columns["town"] == ["y", "x"] and part.values.n_edges == 1
    np.testing.assert_array_equal(items.take([3]), [[0, 0, 0, 1]])
    assert items.describe() == "4 nodes, 2 edges, 4 numbers a node; 1 without an edge"
    with pytest.raises(InputError, match="wanted a graph"):
        as_graph_items(Items("text", ["a", "b"]))


def test_a_list_that_says_every_edge_in_both_directions_has_no_directions(tmp_path):
    both = read(written(tmp_path, "b.tsv", "x\ty\ny\tx\ny\tz\nz\ty\n"), kind="graph").values
    assert not both.directed and both.n_edges == 2
    weighted = read(written(tmp_path, "w.tsv", "x\ty\t2\ny\tx\t2\ny\tz\t3\nz\ty\t3\n"), kind="graph").values
    assert not weighted.directed and weighted.weights.tolist() == [2, 2, 3, 3]
    one_way = read(written(tmp_path, "o.tsv", "x\ty\ny\tz\nz\ty\n"), kind="graph").values
    assert one_way.directed and one_way.n_edges == 3
