"""The probe of nodes: what it learns from, what it chooses with, and that scales and labels it must not see don't matter."""

import numpy as np
import pytest
import scipy.sparse as sp

from unlabeled import InputError
from unlabeled.evaluate.nodes import node_accuracy, random_split, split_by_class

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 300)
Z = np.eye(3)[Y] + RNG.normal(size=(300, 3)) * 0.35


def test_splits_are_apart_and_as_large_as_asked():
    y = np.where(np.arange(300) < 20, -1, Y)
    split = random_split(y, 1)
    assert [len(part) for part in split] == [28, 28, 224] and len(set(np.concatenate(split).tolist())) == 280
    assert (y[np.concatenate(split)] >= 0).all() and not np.array_equal(split.train, random_split(y, 2).train)
    few = split_by_class(y, 0, 5)
    assert np.bincount(y[few.train]).tolist() == [5, 5, 5] == np.bincount(y[few.val]).tolist() and len(few.test) == 250
    assert np.bincount(y[split_by_class(y, 0, 0.001).train]).tolist() == [1, 1, 1]
    with pytest.raises(InputError, match="leave no node"):
        split_by_class(y, 0, 200)
    with pytest.raises(InputError, match="labelled nodes"):
        random_split(y[:25], 0, 0.01)


def test_good_vectors_score_high_noise_at_chance_and_sparse_ones_as_dense():
    splits = [random_split(Y, seed) for seed in range(3)]
    found = node_accuracy(Z, Y, splits)
    assert found > 0.85
    assert 0.2 < node_accuracy(RNG.normal(size=(300, 3)), Y, splits) < 0.5
    words = np.maximum(Z, 0)
    assert abs(node_accuracy(sp.csr_matrix(words), Y, splits) - node_accuracy(words, Y, splits)) < 0.03


def test_columns_of_very_different_scale_and_empty_rows_cost_nothing():
    splits = [random_split(Y, seed) for seed in range(3)]
    scaled = np.concatenate([Z, RNG.normal(size=(300, 1)) * 1e4], axis=1)
    assert node_accuracy(scaled, Y, splits) > node_accuracy(Z, Y, splits) - 0.06
    for empty in (np.zeros((300, 4)), sp.csr_matrix((300, 4))):
        assert node_accuracy(empty, Y, splits) == pytest.approx(
            np.mean([(Y[s.test] == np.bincount(Y[s.train]).argmax()).mean() for s in splits])
        )


def test_test_labels_choose_nothing():
    split = random_split(Y, 0)
    swapped = Y.copy()
    swapped[split.test] = (swapped[split.test] + 1) % 3
    right, wrong = node_accuracy(Z, Y, [split]), node_accuracy(Z, swapped, [split])
    assert right > 0.85 and wrong < 1 - right + 1e-9
