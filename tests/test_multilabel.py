"""The probe for several labels an item: against scikit-learn, and the rule of as many guesses as there are labels."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from unlabeled import InputError
from unlabeled.evaluate.multilabel import _path, f1, guesses, top_k_f1

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(400, 6)).astype(np.float32) @ RNG.normal(size=(6, 6)).astype(np.float32)
Y = (Z[:, :4] + RNG.normal(size=(400, 4)) > [0, 1, 2, -1]) | (np.arange(400) % 4 == np.arange(4)[:, None]).T


@pytest.mark.parametrize("penalty", [0.1, 0.001])
def test_scores_are_those_of_scikit_learns_regressions(penalty):
    train, test = np.arange(300), np.arange(300, 400)
    *_, scores = _path(Z, Y, train, test, (1.0, penalty))
    A = (Z - Z[train].mean(axis=0)) / Z[train].std(axis=0)
    for label in range(4):
        theirs = LogisticRegression(C=1 / (penalty * 300), tol=1e-8, max_iter=1000).fit(A[train], Y[train, label])
        np.testing.assert_allclose(scores[:, label], theirs.decision_function(A[test]), atol=0.05)


def test_an_item_is_given_as_many_labels_as_it_has_and_f1_is_scikit_learns():
    scores = RNG.normal(size=(50, 5))
    truth = RNG.random((50, 5)) < 0.4
    said = guesses(scores, truth)
    assert (said.sum(axis=1) == truth.sum(axis=1)).all()
    for row in range(50):
        k = truth[row].sum()
        assert set(np.flatnonzero(said[row])) == set(np.argsort(-scores[row])[:k])
    for kind, value in f1(truth, said).items():
        assert value == pytest.approx(f1_score(truth, said, average=kind, zero_division=0))


def test_vectors_that_know_the_labels_score_more_than_noise_and_rows_to_learn_from_are_not_tested_on():
    train = np.arange(0, 400, 2)
    noise = RNG.normal(size=Z.shape)
    assert top_k_f1(Z, Y, train)["micro"] > top_k_f1(noise, Y, train)["micro"] + 0.05
    flipped = Y.copy()
    flipped[1::2] = False  # nothing is left to test on
    with pytest.raises(InputError, match="0 with labels"):
        top_k_f1(Z, flipped, train)


def test_a_label_that_nobody_learned_from_and_columns_that_say_nothing_do_no_harm():
    rare = Y.copy()
    rare[:200, 3] = False
    wide = np.concatenate([Z, np.full((400, 1), 7.0)], axis=1)
    found = top_k_f1(wide, rare, np.arange(200))
    assert 0 < found["macro"] <= 0.75 and found == top_k_f1(wide, rare, np.arange(200))
    with pytest.raises(InputError, match="finite"):
        top_k_f1(np.full_like(Z, np.nan), Y, np.arange(9))
