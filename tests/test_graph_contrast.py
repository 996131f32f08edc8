"""The loss of nodes among nodes against a literal double loop, autograd and SimCLR's loss."""

import math

import pytest
import torch

from unlabeled.parts import graph_contrast
from unlabeled.parts.graph_contrast import find_among, node_contrast
from unlabeled.parts.losses import info_nce, nt_xent


def vectors(n=7, d=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n, d, generator=generator, dtype=torch.float32, requires_grad=True) for _ in range(2))


def literal(u, v, tau, intra):
    """Equation 1 and 2 of the paper, term by term."""

    def cos(a, b):
        return float(a @ b / (a.norm() * b.norm()))

    def one(first, second, i):
        positive = math.exp(cos(first[i], second[i]) / tau)
        inter = sum(math.exp(cos(first[i], second[k]) / tau) for k in range(len(first)) if k != i)
        within = sum(math.exp(cos(first[i], first[k]) / tau) for k in range(len(first)) if k != i) if intra else 0
        return -math.log(positive / (positive + inter + within))

    return sum(one(u, v, i) + one(v, u, i) for i in range(len(u))) / (2 * len(u))


@pytest.mark.parametrize("intra", [True, False])
@pytest.mark.parametrize("tau", [0.1, 0.9])
def test_it_is_the_papers_double_loop_in_one_block_and_in_many(intra, tau, monkeypatch):
    u, v = vectors()
    for block in (1 << 20, 20, 1):
        monkeypatch.setattr(graph_contrast, "BLOCK", block)
        found = node_contrast(u, v, temperature=tau, intra=intra)
        assert float(found.detach()) == pytest.approx(literal(u.detach(), v.detach(), tau, intra), rel=1e-5)


@pytest.mark.parametrize("intra", [True, False])
def test_its_gradient_is_autograds(intra, monkeypatch):
    monkeypatch.setattr(graph_contrast, "BLOCK", 30)
    u, v = vectors(n=9)
    ours = torch.autograd.grad(3 * node_contrast(u, v, temperature=0.5, intra=intra), (u, v))
    plain = nt_xent(u, v, 0.5) if intra else info_nce(u, v, temperature=0.5, symmetric=True)
    for a, b in zip(ours, torch.autograd.grad(3 * plain, (u, v)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_queries_find_their_keys_among_others_by_any_number_of_them():
    query, keys = torch.randn(5, 3, requires_grad=True), torch.randn(11, 3, requires_grad=True)
    target, skip = torch.tensor([3, 3, 0, 10, 7]), torch.tensor([1, 2, 3, 4, 5])
    ours = find_among(query, keys, target, temperature=0.7, skip=skip)
    logits = (query @ keys.T / 0.7).scatter(1, skip[:, None], float("-inf"))
    plain = torch.nn.functional.cross_entropy(logits, target)
    torch.testing.assert_close(ours, plain)
    for a, b in zip(torch.autograd.grad(ours, (query, keys)), torch.autograd.grad(plain, (query, keys)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_large_products_do_not_overflow_and_half_precision_is_near():
    u, v = vectors(n=64, d=16)
    assert torch.isfinite(find_among(u * 1000, v * 1000, torch.arange(64)))
    exact = torch.autograd.grad(node_contrast(u, v, temperature=0.5), u)[0]
    with torch.autocast("cpu", torch.bfloat16):
        loss = node_contrast(u, v, temperature=0.5)
    assert (torch.autograd.grad(loss, u)[0] - exact).norm() < 0.02 * exact.norm()
