"""Networks of nodes against dense matrices and loops; views of graphs."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from unlabeled import InputError
from unlabeled.data.graphs import Graph, Hypergraph
from unlabeled.encoders.graphs import GCN, UniGCNII, hyper_spread, product
from unlabeled.views.graphs import GraphView, GraphViews, drop_edges, mask_features, transposed

GROUPS = [[0, 1, 2], [2, 3], [3, 4, 5, 6], [6], [1, 2, 6]]  # node 7 is in none, one group has one member


def features(n=8, d=5, seed=0):
    rng = np.random.default_rng(seed)
    return sp.csr_matrix(rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.6))


def hyper():
    return GraphView.of(Hypergraph.of(GROUPS, 8, features=features()))


def graph(**more):
    return Graph.of([[0, 1], [1, 2], [2, 0], [3, 4], [4, 3], [5, 5]], 6, features=features(6), **more)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_groups_mean_goes_back_to_its_members_as_a_loop_says():
    x = torch.randn(8, 3, generator=generator())
    degree = [sum(v in group for group in GROUPS) for v in range(8)]
    wanted = torch.zeros(8, 3)
    for group in GROUPS:
        mean_degree = np.mean([degree[v] for v in group])
        for v in group:
            wanted[v] += x[group].mean(dim=0) / mean_degree**0.5 / degree[v] ** 0.5
    wanted[7] = x[7]
    torch.testing.assert_close(hyper_spread(hyper(), x), wanted)


def test_unigcnii_is_its_formula_and_its_gradient_that_of_dense_matrices():
    view, net = hyper(), UniGCNII(5, 4, layers=2)
    out = net(view)
    out.square().sum().backward()
    H = torch.zeros(len(GROUPS), 8)
    for row, group in enumerate(GROUPS):
        H[row, group] = 1
    degree, size = H.sum(0), H.sum(1)
    P = torch.diag(degree.clamp(min=1).rsqrt()) @ H.T @ torch.diag((H @ degree / size).rsqrt() / size) @ H
    P[7, 7] = 1
    W, b, rest = net.first.weight.detach().clone().requires_grad_(), net.first.bias.detach(), [layer.weight.detach() for layer in net.rest]
    start = h = torch.relu(torch.from_numpy(features().toarray()).float() @ W + b)
    for number, weight in enumerate(rest, 1):
        mixed = 0.9 * P @ h + 0.1 * start
        beta = np.log(0.5 / number + 1)
        h = torch.relu((1 - beta) * mixed + beta * mixed @ weight.T)
    torch.testing.assert_close(out, h)
    h.square().sum().backward()
    torch.testing.assert_close(net.first.weight.grad, W.grad)


def test_gcn_is_its_formula_and_its_gradient_that_of_dense_matrices():
    view, net = GraphView.of(graph()), GCN(5, (4,), 3, act="prelu")
    out = net(view)
    out.square().sum().backward()
    A = torch.from_numpy(graph().adjacency().toarray()) + torch.eye(6)
    A = A / (A.sum(0)[:, None] * A.sum(0)).sqrt()
    W = net.first.weight.detach().clone().requires_grad_()
    first, second = (torch.nn.functional.prelu for _ in range(2))
    x = torch.from_numpy(features(6).toarray()).float()
    h = first(A @ x @ W + net.biases[0].detach(), net.acts[0].weight.detach())
    h = second(A @ (h @ net.rest[0].weight.detach().T) + net.biases[1].detach(), net.acts[1].weight.detach())
    torch.testing.assert_close(out, h)
    h.square().sum().backward()
    torch.testing.assert_close(net.first.weight.grad, W.grad)
    assert torch.isfinite(out[5]).all()  # a node without edges


def test_the_transpose_of_masked_features_is_theirs_not_that_of_the_whole():
    view = GraphView.of(graph())
    transposed(view.x)
    masked = mask_features(view, 0.5, "entry", generator(1))
    assert (masked.x.to_dense() == 0).sum() > (view.x.to_dense() == 0).sum()
    assert torch.equal(transposed(masked.x).to_dense(), masked.x.to_dense().T)
    assert torch.equal(transposed(view.x).to_dense(), view.x.to_dense().T)
    y = torch.randn(5, 2, generator=generator(), requires_grad=True)
    product(masked.x, y).sum().backward()
    torch.testing.assert_close(y.grad, masked.x.to_dense().sum(0)[:, None].expand(5, 2))


def test_an_edge_goes_in_both_directions_or_in_none_and_as_often_as_asked():
    rng = np.random.default_rng(0)
    view = GraphView.of(Graph.of(rng.integers(0, 300, (4000, 2)), 300))
    left = drop_edges(view, 0.3, generator())
    arcs = set(map(tuple, left.pairs.T.tolist()))
    assert all((b, a) in arcs for a, b in arcs)
    assert abs(len(arcs) / view.pairs.shape[1] - 0.7) < 0.03
    dense = left.adjacency.to_dense()
    assert torch.allclose(dense, dense.T) and (dense.diagonal() > 0).all()  # nobody loses itself
    whole = drop_edges(hyper(), 0.5, generator(1)).pairs
    assert 0 < len(whole[0].unique()) < len(GROUPS)
    for group in whole[0].unique().tolist():
        assert whole[1][whole[0] == group].tolist() == GROUPS[group]


@pytest.mark.parametrize("mode", ["dim", "node", "entry"])
def test_what_is_masked_together_says_the_mode(mode):
    rng = np.random.default_rng(0)
    view = GraphView.of(Graph.of([[0, 1]], 40, features=np.abs(rng.normal(size=(40, 30))) + 1))
    gone = mask_features(view, 0.4, mode, generator()).x.to_dense() == 0
    assert abs(gone.float().mean() - 0.4) < 0.15
    shared = {"dim": gone == gone[:1], "node": gone == gone[:, :1], "entry": torch.ones(1, dtype=torch.bool)}
    assert shared[mode].all()
    for other in {"dim": [gone[:, :1]], "node": [gone[:1]], "entry": [gone[:1], gone[:, :1]]}[mode]:
        assert not (gone == other).all()


def test_views_differ_and_a_share_of_nothing_changes_nothing():
    view = GraphView.of(graph())
    one, two = GraphViews(drop_edges=(0.0, 0.5), mask_features=(0.0, 0.5))(view, generator(4))
    assert one is view and two.pairs.shape[1] < view.pairs.shape[1] and not torch.equal(two.x.to_dense(), view.x.to_dense())


def test_edges_for_a_network_of_groups_and_groups_for_one_of_edges_are_refused():
    with pytest.raises(InputError, match="Hypergraph"):
        UniGCNII(5)(GraphView.of(graph()))
    with pytest.raises(InputError, match="cliques"):
        GCN(5)(hyper())
    with pytest.raises(InputError, match="5 numbers each, the network was made for 6"):
        GCN(6)(GraphView.of(graph()))
    with pytest.raises(InputError, match="drop_edges"):
        GraphViews(drop_edges=(1.0, 0.2))
