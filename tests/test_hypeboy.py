"""HypeBoy's two losses against loops, what it learns of planted groups, and what comes in."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import unlabeled as ul
from unlabeled import InputError
from unlabeled.data.graphs import Graph, Hypergraph
from unlabeled.encoders.sparse_cosine import decoded_cosine
from unlabeled.evaluate.probes import knn_accuracy
from unlabeled.learner import Batch
from unlabeled.methods.graphs.hypeboy import HypeBoy
from unlabeled.parts.losses import unit
from unlabeled.views.graphs import GraphView

BRIEF = {"dim": 8, "epochs": 4, "reconstruct": 0.5}


def planted(n=160, kinds=4, groups=200, seed=0):
    """Groups of three to five nodes mostly of one kind; words weakly tell it."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, kinds, n)
    members = []
    for _ in range(groups):
        weight = np.where(kind == rng.integers(kinds), 1.0, 0.03)
        members.append(rng.choice(n, rng.integers(3, 6), replace=False, p=weight / weight.sum()))
    words = rng.random((n, 80)) < np.where(np.arange(80) % kinds == kind[:, None], 0.12, 0.05)
    return Hypergraph.of(members, n, features=sp.csr_matrix(words.astype(float))), kind


def near(Z, kind):
    half = len(kind) // 2
    return knn_accuracy(Z[:half], kind[:half], Z[half:], kind[half:], k=10)


def test_filling_is_the_papers_loop_over_groups_and_their_members():
    graph = Hypergraph.of([[0, 1, 2], [2, 3], [4], [1, 3, 5, 6]], 8, features=np.eye(8) + 0.1)
    model = HypeBoy(dim=6).untrained(graph)
    net, view = model.net_, GraphView.of(graph)
    seen = view.with_edges(view.pairs[0] != 1)
    ours = model._fill(net, seen, view, torch.arange(8))
    z = net.encode(seen)
    h = unit(net.node(z))
    terms = []
    for group in graph.groups():
        for v in group.tolist() if len(group) > 1 else []:
            query = unit(net.group(sum(z[u] for u in group.tolist() if u != v)))
            terms.append(-(h[v] @ query - torch.log(sum(torch.exp(h[w] @ query) for w in range(8)))))
    torch.testing.assert_close(ours, torch.stack(terms).mean())
    some = model._fill(net, seen, view, torch.tensor([2]))  # only the batch's nodes are looked for
    torch.testing.assert_close(some, torch.stack([terms[2], terms[3]]).mean())
    assert float(model._fill(net, seen, view, torch.tensor([4, 7])).detach()) == 0  # in no group, or in one alone


def test_decoded_cosines_are_those_of_the_dense_table_and_so_are_their_gradients():
    rng = np.random.default_rng(0)
    dense = torch.from_numpy(rng.normal(size=(9, 7)) * (rng.random((9, 7)) < 0.5)).float()
    dense[4] = 0
    x = dense.to_sparse_csr()
    h, W = torch.randn(9, 3, requires_grad=True), torch.randn(7, 3, requires_grad=True)
    cosine, there = decoded_cosine(x, h, W)
    plain = torch.nn.functional.cosine_similarity(dense, h @ W.T, dim=1)
    torch.testing.assert_close(cosine, plain)
    assert there.tolist() == [i != 4 for i in range(9)]
    for a, b in zip(torch.autograd.grad(cosine.sum(), (h, W)), torch.autograd.grad(plain.sum(), (h, W)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_hidden_nodes_are_decoded_without_their_own_features(monkeypatch):
    from unlabeled.methods.graphs import hypeboy

    graph, _ = planted(40)
    model = HypeBoy(dim=8).untrained(graph)
    torch.nn.init.normal_(model.net_.hidden_input)
    torch.nn.init.normal_(model.net_.hidden_code)
    torch.manual_seed(7)
    hidden = (torch.rand(40, 1) < 0.5)[:, 0].numpy()
    assert 10 < hidden.sum() < 30
    decoded = []
    monkeypatch.setattr(hypeboy, "decoded_cosine", lambda x, h, W: decoded.append(h) or decoded_cosine(x, h, W))

    def loss(changed):
        x = graph.features.toarray()
        x[changed] = np.random.default_rng(1).random((changed.sum(), 80))
        torch.manual_seed(7)
        return model._reconstruct(model.net_, GraphView.of(Hypergraph.of(graph.groups(), 40, features=x)))

    plain, theirs, others = (loss(which) for which in (hidden & False, hidden, ~hidden))
    assert torch.equal(decoded[0], decoded[1]) and not torch.allclose(decoded[0], decoded[2])
    assert plain != theirs and plain != others  # what is to be found has changed
    cosine, _ = decoded_cosine(GraphView.of(graph).x, decoded[0], model.net_.decode.weight)
    torch.testing.assert_close(plain, (1 - cosine)[torch.from_numpy(hidden)].mean())  # over hidden nodes alone


def test_the_stages_follow_each_other_and_what_the_first_needs_is_left_alone_in_the_second():
    graph, _ = planted(60)
    calls = []

    class Watched(HypeBoy):
        def _reconstruct(self, net, view):
            calls.append("reconstruct")
            return super()._reconstruct(net, view)

        def _fill(self, net, *rest):
            calls.append("fill")
            return super()._fill(net, *rest)

    model = Watched(dim=8, epochs=10, reconstruct=0.3, batch_size=30).fit(graph)
    assert calls == ["reconstruct"] * 6 + ["fill"] * 14 and int(model.net_.step) == 20
    half = HypeBoy(dim=8, epochs=3, reconstruct=1.0).fit(graph).net_.node[0].weight
    assert torch.equal(half, HypeBoy(dim=8).untrained(graph).net_.node[0].weight)


def test_planted_groups_are_told_better_than_by_words_and_by_the_untrained_network():
    graph, kind = planted()
    model = HypeBoy(dim=32, epochs=80, reconstruct=0.4, drop_edges=0.5, lr=5e-3).fit(graph)
    found = near(model.transform(graph), kind)
    assert found > near(graph.features.toarray(), kind) + 0.2
    assert found > near(HypeBoy(dim=32).untrained(graph).transform(graph), kind)


def test_who_is_missing_is_found_and_sets_that_go_together_are_told_from_others():
    graph, kind = planted(groups=300)
    kept, hidden = graph.take(np.arange(260)), graph.take(np.arange(260, 300)).groups()
    model = HypeBoy(dim=32, epochs=120, reconstruct=0.3, drop_edges=0.5, lr=5e-3).fit(kept)
    best, scores = model.fill(kept, [group[1:] for group in hidden], k=10)
    assert best.shape == scores.shape == (40, 10) and (np.diff(scores, axis=1) <= 0).all()
    assert not any(set(group[1:].tolist()) & set(row.tolist()) for group, row in zip(hidden, best, strict=True))
    same = np.mean([np.mean(kind[row] == np.bincount(kind[group[1:]]).argmax()) for group, row in zip(hidden, best, strict=True)])
    assert same > 0.6, same  # by chance a quarter
    rng = np.random.default_rng(0)
    random = [rng.choice(160, len(group), replace=False) for group in hidden]
    assert model.score_sets(kept, hidden).mean() > model.score_sets(kept, random).mean() + 0.05
    z, group = model.transform(kept), hidden[0]
    with torch.no_grad():
        h = unit(model.net_.node(torch.from_numpy(z)))
        asked = [unit(model.net_.group(torch.from_numpy(z[group[group != v]].sum(axis=0))[None]))[0] for v in group]
    wanted = np.mean([float(h[v] @ q) for v, q in zip(group, asked, strict=True)])
    np.testing.assert_allclose(model.score_sets(kept, [group])[0], wanted, rtol=1e-5)


def test_a_seed_repeats_a_run_goes_on_and_what_was_learned_is_kept(tmp_path):
    graph, _ = planted(50)
    model = HypeBoy(**BRIEF).fit(graph)
    Z = model.transform(graph)
    assert (HypeBoy(**BRIEF).fit(graph).transform(graph) == Z).all()

    def stop(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        HypeBoy(**BRIEF).fit(graph, checkpoint=tmp_path / "run", watch=stop)
    again = HypeBoy(**BRIEF).fit(graph, checkpoint=tmp_path / "run", resume=True)
    np.testing.assert_allclose(again.transform(graph), Z, atol=1e-6)
    kept = ul.load_model(model.save(tmp_path / "m"))
    assert (kept.transform(graph) == Z).all() and (kept.fill(graph, [[0, 1]])[0] == model.fill(graph, [[0, 1]])[0]).all()


def test_lonely_nodes_single_groups_and_missing_features_are_fine():
    for graph in (
        Hypergraph.of([[0], [1, 2], [2, 2, 3]], 7),
        Hypergraph.of([[0]], 4, features=np.zeros((4, 3))),
        Hypergraph.of([], 3, features=np.ones((3, 2))),
    ):
        assert np.isfinite(HypeBoy(**BRIEF).fit(graph).transform(graph)).all()
    plain = HypeBoy(**BRIEF, heads=False).fit(planted(30)[0])
    assert isinstance(plain.net_.node, torch.nn.Identity)


def test_views_hide_groups_and_entries_and_keep_the_whole():
    graph = GraphView.of(planted(100, groups=400)[0])
    thinned, masked, whole = HypeBoy().default_views("graph")(graph, torch.Generator().manual_seed(0))
    assert whole is graph and thinned.x is graph.x
    left = [len(view.pairs[0].unique()) / 400 for view in (thinned, masked)]
    assert abs(left[0] - 0.8) < 0.07 and abs(left[1] - 0.1) < 0.07
    assert abs(float((masked.x.values() == 0).float().mean()) - 0.5) < 0.1
    assert Batch([thinned, masked, whole], torch.arange(3)).views[2].groups == 400


@pytest.mark.parametrize(
    ("settings", "X", "said"),
    [
        ({"dim": 0}, None, "dim=0"),
        ({"layers": 1.5}, None, "layers=1.5"),
        ({"reconstruct": 1.5}, None, "reconstruct=1.5"),
        ({"mask_nodes": 0}, None, "mask_nodes=0"),
        ({"drop_edges": 1.0}, None, "drop_edges"),
        ({"encoder": "gcn"}, None, "UniGCNII"),
        ({}, Graph.of([[0, 1], [1, 2]]), "Hypergraph"),
    ],
)
def test_mistakes_of_a_fit_are_said_in_one_line(settings, X, said):
    with pytest.raises(InputError, match=said) as error:
        HypeBoy(**BRIEF | settings).fit(planted(20)[0] if X is None else X)
    assert "\n" not in str(error.value)


def test_mistakes_of_a_question_are_said_in_one_line():
    graph, _ = planted(20)
    model = HypeBoy(**BRIEF).fit(graph)
    for sets, said in (([[0, 20]], "0 to 19"), ([[]], "1 or more")):
        with pytest.raises(InputError, match=said):
            model.fill(graph, sets)
    with pytest.raises(InputError, match="2 or more"):
        model.score_sets(graph, [[3, 3]])
    with pytest.raises(InputError, match="k=0"):
        model.fill(graph, [[1]], k=0)
    assert model.fill(graph, [])[0].shape == (0, 5) and model.score_sets(graph, []).shape == (0,)
