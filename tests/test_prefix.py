"""Vectors cut to their first numbers, and searched coarse to fine."""

import numpy as np
import pytest

from unlabeled.errors import InputError
from unlabeled.parts.prefix import funnel_search, truncate


def test_truncated_vectors_have_unit_length_again():
    Z = np.random.default_rng(0).normal(size=(5, 8))
    short = truncate(Z, 3)
    np.testing.assert_allclose(short, Z[:, :3] / np.linalg.norm(Z[:, :3], axis=1, keepdims=True), rtol=1e-5)
    for m in (0, 9):
        with pytest.raises(InputError, match="1 to 8"):
            truncate(Z, m)


def test_a_funnel_with_a_full_shortlist_is_exact_and_a_short_one_reranks():
    rng = np.random.default_rng(0)
    Z, queries = rng.normal(size=(300, 16)).astype(np.float32), rng.normal(size=(7, 16)).astype(np.float32)
    cosine = truncate(queries, 16) @ truncate(Z, 16).T
    exact = np.argsort(-cosine, axis=1)[:, :5]
    np.testing.assert_array_equal(funnel_search(queries, Z, 5, dims=(16,)), exact)
    np.testing.assert_array_equal(funnel_search(queries, Z, 5, dims=(4, 16), shortlist=300), exact)
    coarse = np.argsort(-(truncate(queries, 4) @ truncate(Z, 4).T), axis=1)[:, :20]
    expected = [sorted(rows, key=lambda j, i=i: -cosine[i, j])[:5] for i, rows in enumerate(coarse)]
    np.testing.assert_array_equal(funnel_search(queries, Z, 5, dims=(4, 16), shortlist=20), expected)
    with pytest.raises(InputError, match="shortlist"):
        funnel_search(queries, Z, 30, shortlist=20)
    with pytest.raises(InputError, match="dims that grow"):
        funnel_search(queries, Z, dims=(16, 4))
