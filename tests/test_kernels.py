"""Kernel matrices and the averages that kernel ridge regression makes of them."""

import numpy as np
import pytest
import torch

from unlabeled.parts.kernels import gram, median_distance, ridge


def rows(n=9, d=4, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32))


@pytest.mark.parametrize("kernel", ["rbf", "cosine"])
def test_kernel_values_are_those_of_the_formula(kernel):
    w = rows().double().numpy()
    u = w / np.linalg.norm(w, axis=1, keepdims=True)
    expected = np.exp(-((w[:, None] - w[None]) ** 2).sum(-1) / 2) if kernel == "rbf" else u @ u.T
    np.testing.assert_allclose(gram(rows(), kernel), expected, atol=1e-6)


def test_an_example_without_any_tag_keeps_its_own_mean():
    tags = torch.tensor([[1.0, 0], [1, 0], [0, 0], [0, 1]])
    K = gram(tags, "cosine")
    np.testing.assert_allclose(ridge(K, K, 1e-6)[2], [0, 0, 1, 0], atol=1e-5)
    np.testing.assert_allclose(ridge(K, K, 1e-6)[0], [0.5, 0.5, 0, 0], atol=1e-5)


def test_ridge_weights_are_those_of_the_explicit_inverse_also_for_some_rows_only():
    K = gram(rows())
    expected = (K @ torch.linalg.inv(K + 0.1 * torch.eye(9))).float()
    np.testing.assert_allclose(ridge(K, K, 0.1), expected, atol=1e-5)
    np.testing.assert_allclose(ridge(K[2:5], K, 0.1), expected[2:5], atol=1e-5)


def test_the_median_distance_is_that_of_all_pairs_and_never_zero():
    w = rows(40)
    assert median_distance(w) == pytest.approx(float(torch.pdist(w).median()))
    assert median_distance(torch.ones(5, 2)) > 0
