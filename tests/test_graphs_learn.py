"""Networks of nodes against dense matrices, views of graphs, hidden edges, ranks of facts, and runs of graphs from end to end."""

from dataclasses import dataclass

import networkx as nx
import numpy as np
import pytest
import torch

import unlabeled as ul
from unlabeled import InputError
from unlabeled.cli import main
from unlabeled.data import Items
from unlabeled.data.graphs import Graph, Hypergraph, Triples
from unlabeled.encoders.graphs import GCN, SparseLinear
from unlabeled.learner import Learner, Net
from unlabeled.methods.graphs.adjacency_svd import AdjacencySVD
from unlabeled.parts.links import link_scores, link_split, non_edges
from unlabeled.parts.ranking import Known, filtered_ranks, rank_scores
from unlabeled.views.graphs import GraphView, GraphViews, drop_edges, mask_features, normalised


def communities(sizes=(20, 20, 20), inside=0.4, between=0.02, seed=0, features=True):
    blocks = nx.random_partition_graph(sizes, inside, between, seed=seed)
    x = np.random.default_rng(seed).normal(size=(sum(sizes), 6)) if features else None
    return Graph.of(np.array(blocks.edges), sum(sizes), features=x), np.repeat(np.arange(len(sizes)), sizes)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_normalised_adjacency_is_that_of_kipf_and_welling(weighted):
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 12, (20, 2))
    graph = Graph.of(pairs, 14, rng.random(20) + 0.5 if weighted else None)
    A = graph.adjacency().toarray() + np.eye(14)
    root = np.diag(A.sum(axis=1) ** -0.5)
    view = GraphView.of(graph)
    np.testing.assert_allclose(view.adjacency.to_dense().numpy(), root @ A @ root, atol=1e-6)
    bare = normalised(view.pairs, view.weights, 14, self_loops=False).to_dense()
    assert torch.isfinite(bare).all() and bare[13].abs().sum() == 0  # a node without edges: zeros, not NaN


def test_a_gcn_is_what_dense_matrices_give_with_its_gradients():
    graph, _ = communities()
    view, net = GraphView.of(graph), GCN(6, (8,), 4, last=False)
    A, X = view.adjacency.to_dense(), torch.from_numpy(graph.features.toarray())
    dense = A @ (torch.relu(A @ (X @ net.first.weight) + net.biases[0]) @ net.rest[0].weight.T) + net.biases[1]
    out = net(view)
    torch.testing.assert_close(out, dense, rtol=1e-5, atol=1e-5)
    target = torch.randn(out.shape, generator=torch.Generator().manual_seed(0))
    for parameter in net.parameters():
        one, other = (torch.autograd.grad((z * target).sum(), parameter, retain_graph=True)[0] for z in (out, dense))
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_sparse_products_stay_in_float32_under_autocast():
    view = GraphView.of(communities()[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert SparseLinear(6, 4)(view.x).dtype == torch.float32


def test_nodes_without_features_are_told_apart_by_their_number_and_another_graph_is_refused():
    graph = Graph.of([[0, 1], [1, 2]], 3)
    view = GraphView.of(graph)
    np.testing.assert_array_equal(view.x.to_dense().numpy(), np.eye(3))
    with pytest.raises(InputError, match="the network was made for 5"):
        GCN(5)(view)


def test_edges_are_dropped_in_both_directions_or_in_none():
    view = GraphView.of(communities()[0])
    left = drop_edges(view, 0.4, torch.Generator().manual_seed(0))
    kept = {tuple(pair) for pair in left.pairs.T.tolist()}
    assert all((b, a) in kept for a, b in kept)
    assert 0.5 < len(kept) / view.pairs.shape[1] < 0.7
    assert drop_edges(view, 0.0, torch.Generator()).pairs.shape == view.pairs.shape


def test_whole_groups_of_a_hypergraph_are_dropped():
    view = GraphView.of(Hypergraph.of([[i, i + 1, i + 2] for i in range(50)], 52))
    left = drop_edges(view, 0.5, torch.Generator().manual_seed(0))
    assert set(torch.bincount(left.pairs[0], minlength=50).tolist()) == {0, 3}


@pytest.mark.parametrize("mode", ["dim", "node", "entry"])
def test_features_are_masked_by_dimension_by_node_or_each_by_itself(mode):
    view = GraphView.of(Graph.of([[0, 1]], 200, features=np.ones((200, 100))))
    x = mask_features(view, 0.3, mode, torch.Generator().manual_seed(0)).x.to_dense().numpy()
    assert 0.6 < x.mean() < 0.8
    alike = {"dim": (x == x[0]).all(), "node": (x == x[:, :1]).all(), "entry": False}
    assert [alike["dim"], alike["node"]] == [mode == "dim", mode == "node"]
    with pytest.raises(InputError, match="shares"):
        GraphViews(drop_edges=(1.0, 0.1), mask_features=(0.1, 0.1))


@dataclass(kw_only=True, eq=False)
class Smooth(Learner):
    """A system for these tests: two views of a node agree, different nodes don't."""

    batch_size: int = 4096
    epochs: int | None = 5

    def default_views(self, kind):
        return GraphViews()

    def build(self, encoder):
        return Net(encode=encoder)

    def loss(self, net, batch):
        a, b = (torch.nn.functional.normalize(net.encode(view), dim=1)[batch.index] for view in batch.views)
        return torch.nn.functional.cross_entropy(a @ b.T / 0.5, torch.arange(len(a)))


def test_the_training_loop_reads_graphs_keeps_them_apart_and_comes_back_from_disk(tmp_path):
    graph, _ = communities()
    model = Smooth(batch_size=20).fit(graph)
    assert len(model.loss_curve_) == 5 and model.loss_curve_[-1] < model.loss_curve_[0]
    Z = model.transform(graph)
    assert Z.shape == (60, 128) and model._n_features_out == 128
    np.testing.assert_array_equal(Z, Smooth(batch_size=20).fit(graph).transform(graph))
    model.save(tmp_path / "m")
    np.testing.assert_allclose(Smooth.load(tmp_path / "m").transform(graph), Z, atol=1e-6)
    grown = Graph.of(np.concatenate([graph.edges(), [[0, 60]]]), 61, features=np.vstack([graph.features.toarray(), np.ones(6)]))
    assert model.transform(grown).shape == (61, 128)  # a network reads nodes that it never saw
    with pytest.raises(InputError, match="fitted on graphs"):
        model.transform(np.ones((4, 6), np.float32))
    with pytest.raises(InputError, match="facts"):
        Smooth().fit(Triples.of([["a", "r", "b"]]))


def test_a_stopped_training_on_a_graph_goes_on_as_if_it_had_not_stopped(tmp_path):
    graph, _ = communities()
    whole = Smooth(epochs=4).fit(graph).transform(graph)

    def stop(progress):
        if progress.epoch == 2 and progress.end_of_epoch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Smooth(epochs=4).fit(graph, checkpoint=tmp_path, watch=stop)
    np.testing.assert_allclose(Smooth(epochs=4).fit(graph, checkpoint=tmp_path, resume=True).transform(graph), whole, atol=1e-6)


def test_the_svd_of_the_adjacency_finds_communities_and_new_nodes_stand_where_their_neighbours_do(tmp_path):
    graph, label = communities(features=False)
    model = AdjacencySVD(dim=3).fit(graph)
    A = graph.adjacency().toarray()
    root = np.diag(A.sum(axis=1) ** -0.5)
    s = np.linalg.svd(root @ A @ root, compute_uv=False)[:3]
    np.testing.assert_allclose(np.linalg.norm(model.vectors_, axis=0) ** 2, s, rtol=1e-3)
    assert label[int(model.most_similar(0, 1)[0][0])] == label[0]
    grown = Graph.of(np.concatenate([graph.edges(), [[3, 60], [4, 60]]]), 62)
    Z = model.transform(grown)
    np.testing.assert_allclose(Z[60], model.vectors_[[3, 4]].mean(axis=0), rtol=1e-5)
    assert (Z[61] == 0).all() and np.array_equal(Z[:60], model.vectors_)
    model.save(tmp_path / "m")
    again = ul.load_model(tmp_path / "m")
    np.testing.assert_array_equal(again.vectors_, model.vectors_)
    assert again.ids_ == model.ids_ and again.most_similar("5", 2) == model.most_similar(5, 2)
    with pytest.raises(InputError, match="no node is called"):
        model.most_similar("nobody")
    with pytest.raises(InputError, match="has none"):
        AdjacencySVD().fit(Graph.of(np.zeros((0, 2), np.int64), 4))


# Edges and facts that are asked for ------------------------------------------------------------------------------------------------------


def test_hidden_edges_are_gone_in_both_directions_and_other_pairs_are_edges_nowhere():
    graph, _ = communities()
    split = link_split(graph, 0.1, 0.2, seed=3)
    m = graph.n_edges
    assert (len(split.val), len(split.test)) == (round(m * 0.1), round(m * 0.2))
    hidden = np.concatenate([split.val, split.test])
    assert not split.graph.has(hidden).any() and not split.graph.has(hidden[:, ::-1]).any()
    assert split.graph.n_edges == m - len(hidden) and graph.has(hidden).all()
    none = np.concatenate([split.val_none, split.test_none])
    assert not graph.has(none).any() and len(np.unique(none, axis=0)) == len(none) and (none[:, 0] < none[:, 1]).all()
    with pytest.raises(InputError, match="shares"):
        link_split(graph, 0.5, 0.5)
    full = Graph.of([(a, b) for a in range(6) for b in range(a)], 6)
    with pytest.raises(InputError, match="nearly complete"):
        non_edges(full, 3, np.random.default_rng(0))


def test_scores_of_links_that_are_not_finite_are_refused():
    assert link_scores(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == {"auc": 1.0, "ap": 1.0}
    with pytest.raises(InputError, match="isn't finite"):
        link_scores(np.array([np.nan, 1.0]), np.array([0.0]))


def test_ranks_are_those_of_a_literal_loop_over_all_entities():
    rng = np.random.default_rng(0)
    facts = np.unique(rng.integers(0, (9, 3, 9), (60, 3)), axis=0)
    table = rng.integers(0, 4, (9, 3, 9)).astype(np.float32)  # few values: many ties
    asked = facts[::4]
    found = filtered_ranks(
        lambda part, heads: table[:, part[:, 1], part[:, 2]].T if heads else table[part[:, 0], part[:, 1]], asked, Known(facts, 9)
    )
    there = {tuple(fact) for fact in facts.tolist()}
    for row, (h, r, t) in enumerate(asked.tolist()):
        for side in (0, 1):
            others = [(h, r, e) if side == 0 else (e, r, t) for e in range(9)]
            others = [one for one in others if one == (h, r, t) or one not in there]
            scores = [table[one] for one in others]
            own = table[h, r, t]
            expected = 1 + sum(s > own for s in scores) + (sum(s == own for s in scores) - 1) / 2
            assert found[row, side] == expected
    scores = rank_scores(found)
    assert scores["mrr"] == pytest.approx((1 / found).mean()) and scores["hits@3"] == (found <= 3).mean()


def test_equal_scores_for_all_are_no_first_place_and_nan_is_refused():
    facts = np.array([[0, 0, 1], [0, 0, 2]])
    known = Known(facts, 5)
    ranks = filtered_ranks(lambda part, heads: np.zeros((len(part), 5)), facts, known)
    assert (ranks[:, 0] == 2.5).all() and (ranks[:, 1] == 3).all()
    with pytest.raises(InputError, match="isn't finite"):
        filtered_ranks(lambda part, heads: np.full((len(part), 5), np.nan), facts, known)
    with pytest.raises(InputError, match=r"wanted \[2, 5\]"):
        filtered_ranks(lambda part, heads: np.zeros((len(part), 4)), facts, known)


# A run ---------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    graph, label = communities((40, 40, 40), 0.3, 0.01, features=False)
    (folder / "e.tsv").write_text("".join(f"n{a}\tn{b}\n" for a, b in graph.edges().tolist()))
    (folder / "n.csv").write_text("id,size,side\n" + "".join(f"n{i},{i % 7},s{label[i]}\n" for i in range(120)))
    made = ul.learn(folder / "e.tsv", kind="graph", nodes=folder / "n.csv", method="adjacency-svd", settings={"dim": 8}, out=folder / "run")
    (folder / "e.tsv").unlink()  # a run keeps what joins its items
    return made


def test_a_run_of_a_graph_is_searched_by_names_and_foretells_edges_that_are_not_there(run):
    again = ul.open(run.path)
    assert again.kind == "graph" and again.column("side")[0] == "s0"
    side = dict(zip(again.ids, again.column("side"), strict=True))
    assert [hit.id for hit in again.search("n3", 5)] == [hit.id for hit in again.search("id:n3", 5)]
    assert sum(side[hit.id] == side["n3"] for hit in again.search("n3", 5)) >= 4
    graph = again.items().values
    links = again.predict_links(k=20)
    pairs = np.array([[again.row_of(link.source), again.row_of(link.target)] for link in links])
    assert len(links) == 20 and not graph.has(pairs).any() and np.mean([side[a.source] == side[a.target] for a in links]) > 0.9
    own = again.predict_links("n3", k=5)
    assert all(link.source == "n3" for link in own) and [one.score for one in own] == sorted((one.score for one in own), reverse=True)
    for wrong, said in (({"relation": "r"}, "leave it out"), ({"k": 0}, "at least 1"), ({"node": "nobody"}, "nobody")):
        with pytest.raises(InputError, match=said):
            again.predict_links(**wrong)
    with pytest.raises(InputError, match="rules are of facts"):
        again.rules()


def test_the_report_of_a_graph_says_how_hidden_edges_were_found(run):
    report = run.report()
    arms = {arm["name"]: arm for arm in report["quality"]["arms"]}
    assert set(arms) == {"learned", "features"} and arms["learned"]["links_found"]["mean"] > 0.7
    assert 0.3 < arms["features"]["links_found"]["mean"] < 0.7
    assert "an edge it never saw" in report["quality"]["verdict"]
    assert "Hidden edges are found" in (run.path / "report.html").read_text()


def test_the_command_line_says_which_links_are_missing(run, capsys):
    assert main(["links", str(run.path), "n3", "-k", "2"]) == 0
    assert capsys.readouterr().out.count("n3") == 2
    assert main(["rules", str(run.path)]) == 2
    assert "rules are of facts" in capsys.readouterr().err
    assert main(["links", str(run.path), "--json", "-k", "1"]) == 0
    assert '"score"' in capsys.readouterr().out


def test_a_graph_without_a_method_that_keeps_things_as_they_are(tmp_path):
    with pytest.raises(InputError, match="nodes have none"):
        ul.learn(Items("graph", communities()[0]), method="none", out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_run_of_facts_foretells_facts_tells_rules_and_is_judged_by_hidden_ones(tmp_path, capsys):
    names = [f"p{i}" for i in range(60)]
    parent = [(names[i], "child of", names[(i - 1) // 2]) for i in range(1, 60)]
    up = {child: above for child, _, above in parent}
    grand = [(child, "grandchild of", up[up[child]]) for child in up if up[child] in up]
    (tmp_path / "facts.tsv").write_text("".join("\t".join(fact) + "\n" for fact in parent + grand[:-3]))
    run = ul.learn(tmp_path / "facts.tsv", kind="triples", epochs=20, settings={"dim": 32}, out=tmp_path / "run")
    assert run.kind == "triples" and len(run) == 60 and "DistMult" in run.config["class"]
    answers = run.predict_links("p59", k=3, relation="grandchild of")
    assert all(one.source == "p59" and one.relation == "grandchild of" for one in answers) and len(answers) == 3
    asked = run.predict_links("p0", k=3, relation="child of", of="head")
    assert all(one.target == "p0" and one.source not in ("p1", "p2") for one in asked)
    said = set(parent) | set(grand[:-3])
    assert not {(one.source, one.relation, one.target) for one in run.predict_links(k=10)} & said
    assert any(rule.body == ("child of", "child of") and rule.confidence > 0.9 for rule in run.rules("grandchild of"))
    with pytest.raises(InputError, match="a relation is asked for"):
        run.predict_links("p3")
    arms = {arm["name"]: arm for arm in run.report()["quality"]["arms"]}
    assert set(arms) == {"learned", "frequency"} and 0 < arms["frequency"]["facts_found"]["mean"] < 1
    assert main(["rules", str(run.path), "--top", "1"]) == 0 and "=>" in capsys.readouterr().out


def test_features_are_averaged_over_neighbours_as_dense_matrices_say(tmp_path):
    graph, _ = communities()
    A = graph.adjacency().toarray() + np.eye(60)
    S = np.diag(A.sum(axis=1) ** -0.5) @ A @ np.diag(A.sum(axis=1) ** -0.5)
    expected = S @ S @ graph.features.toarray()
    np.testing.assert_allclose(ul.SGC(hops=2, dim=None).fit(graph).transform(graph), expected, atol=1e-5)
    model = ul.SGC(hops=2, dim=4).fit(graph)
    Z = model.transform(graph)
    U, s, Vt = np.linalg.svd(expected, full_matrices=False)
    np.testing.assert_allclose(Z @ Z.T, (U[:, :4] * s[:4] ** 2) @ U[:, :4].T, atol=1e-3)
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(ul.load_model(tmp_path / "m").transform(graph), Z)
    with pytest.raises(InputError, match="no features"):
        ul.SGC().fit(graph.with_features(None))
    with pytest.raises(InputError, match="6 were fitted"):
        model.transform(graph.with_features(np.ones((60, 3))))


def test_nodes_are_embedded_with_the_table_of_what_they_say(tmp_path):
    (tmp_path / "e.tsv").write_text("a\tb\nb\tc\nc\td\n")
    (tmp_path / "n.csv").write_text("id,age,height\na,1,2\nb,3,4\nc,5,6\nd,1,1\n")
    run = ul.learn(tmp_path / "e.tsv", kind="graph", nodes=tmp_path / "n.csv", method="sgc", out=tmp_path / "run")
    asked = ["embed", str(run.path), str(tmp_path / "e.tsv"), "--kind", "graph", "-o", str(tmp_path / "v.npy")]
    assert main([*asked, "--nodes", str(tmp_path / "n.csv")]) == 0
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), run.vectors, atol=1e-6)
    assert main(asked) == 2  # without what they say
