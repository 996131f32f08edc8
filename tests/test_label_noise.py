"""Labels made wrong on purpose, class mixes with a long tail, and the search for wrong labels."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

from unlabeled import InputError
from unlabeled.parts.label_noise import long_tail, noisy_labels
from unlabeled.tasks.noisy_labels.suspects import by_noise_rate, calibrated, confident_joint, held_out_logits, joint_of, label_suspects


def blobs(sizes, d=6, apart=3.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes)), sizes)
    return (rng.normal(size=(len(y), d)) + apart * np.eye(len(sizes), d)[y]).astype(np.float32), y


# -- noise ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", ["uniform", "mix"])
def test_symmetric_noise_changes_exactly_the_rate_to_other_classes_in_the_promised_proportions(targets):
    y = np.repeat(["a", "b", "c"], [6000, 3000, 1000])
    noisy, changed = noisy_labels(y, 0.3, targets=targets, seed=1)
    assert changed.sum() == 3000 and (noisy[changed] != y[changed]).all() and (noisy[~changed] == y[~changed]).all()
    to_b = (noisy[changed & (y == "a")] == "b").mean()
    assert to_b == pytest.approx(0.5 if targets == "uniform" else 0.75, abs=0.04)
    assert y[0] == "a" and (noisy_labels(y, 0.3, targets=targets, seed=1)[0] == noisy).all()
    assert (noisy_labels(y, 0.3, targets=targets, seed=2)[0] != noisy).any()


def test_in_proportion_a_rare_class_stays_mostly_right_and_with_uniform_targets_it_does_not():
    y = np.repeat(np.arange(5), [1000, 300, 100, 40, 20])
    wrong = {}
    for targets in ("uniform", "mix"):
        draws = [noisy_labels(y, 0.3, targets=targets, seed=seed) for seed in range(10)]
        wrong[targets] = np.mean([changed[noisy == 4].mean() for noisy, changed in draws])
    assert wrong["uniform"] > 0.75 and wrong["mix"] < 0.5


def test_asymmetric_noise_goes_to_the_partner_only():
    y = np.repeat([0, 1, 2], 100)
    noisy, changed = noisy_labels(y, 0.2, "asym")
    assert np.bincount(noisy[changed & (y == 2)], minlength=3).tolist() == [20, 0, 0]
    noisy, changed = noisy_labels(y, 0.2, "asym", pairs={0: 2})
    assert changed.sum() == 20 and set(noisy[changed]) == {2} and set(y[changed]) == {0}


def test_rows_without_a_label_stay_without_one():
    y = np.array([0, 1, 2, -1] * 25)
    noisy, changed = noisy_labels(y, 1.0)
    assert (noisy[y == -1] == -1).all() and changed.sum() == 75


def test_a_long_tail_falls_off_exponentially_and_the_seed_draws_which_class_is_rare():
    y = np.repeat(np.arange(4), 500)
    rows = long_tail(y, 27, 270)
    assert sorted(np.bincount(y[rows]).tolist()) == [10, 30, 90, 270] and len(set(rows)) == len(rows)
    assert len({int(np.bincount(y[long_tail(y, 27, 270, seed=s)]).argmin()) for s in range(8)}) > 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: noisy_labels([0, 1], 1.5),
        lambda: noisy_labels([0, 1], 0.5, "odd"),
        lambda: noisy_labels([0, 1], 0.5, targets="odd"),
        lambda: noisy_labels([0, 0], 0.5),
        lambda: noisy_labels([0, 1], 0.5, "asym", pairs={0: 7}),
        lambda: long_tail([0, 1], 0.5),
        lambda: long_tail([0, 1], 2, 0),
    ],
)
def test_noise_that_can_not_be_made_is_refused(call):
    with pytest.raises(InputError):
        call()


# -- the search for wrong labels ----------------------------------------------------------------------------------------------------------


def test_the_confident_joint_is_the_one_counted_row_by_row():
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(4) * 3, 300)
    labels = P.argmax(axis=1) * (rng.random(300) < 0.8)  # a fifth of the others are called class 0
    counts, likely = confident_joint(P, labels)
    expected, total = np.zeros((4, 4), int), [np.mean([P[n, j] for n in range(300) if labels[n] == j]) for j in range(4)]
    for n in range(300):
        above = [j for j in range(4) if P[n, j] >= total[j]]
        if above:
            best = max(above, key=lambda j: P[n, j])
            expected[labels[n], best] += 1
            assert likely[n] == best
        else:
            assert likely[n] == -1
    assert (counts == expected).all() and 0 < counts.sum() < 300
    joint = joint_of(counts, labels)
    np.testing.assert_allclose(joint.sum(axis=1), np.bincount(labels) / 300)


def test_probabilities_come_from_a_probe_that_did_not_see_the_row():
    Z, y = blobs([30, 30], apart=0.0, d=40)  # nothing to learn: whoever saw the row would know it
    P = calibrated(held_out_logits(Z, y, 5, 0), y)
    assert abs((P.argmax(axis=1) == y).mean() - 0.5) < 0.2
    np.testing.assert_allclose(P.sum(axis=1), 1)


def test_the_temperature_takes_back_too_much_confidence():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 20000)
    labels = (rng.random(20000) > p).astype(int)
    logits = np.stack([np.log(p), np.log(1 - p)], axis=1) * 5
    np.testing.assert_allclose(calibrated(logits, labels)[:, 0], p, atol=0.03)


@pytest.mark.parametrize("prune", ["noise rate", "confident"])
@pytest.mark.parametrize("kind", ["sym", "asym"])
def test_planted_errors_are_found_with_the_class_they_really_are(kind, prune):
    Z, y = blobs([150, 150, 150, 60], apart=4)
    noisy, wrong = noisy_labels(y, 0.15, kind, seed=3)
    found = label_suspects(Z, noisy, prune=prune)
    hit = wrong[found.rows]
    assert hit.mean() > 0.85 and hit.sum() / wrong.sum() > (0.8 if prune == "noise rate" else 0.65)
    assert (found.likely[hit] == y[found.rows[hit]]).mean() > 0.95 and (found.given == noisy[found.rows]).all()
    assert found.wrong == pytest.approx(0.15, abs=0.05) and "labels are probably wrong" in found.table()
    assert (np.diff(found.score[found.rows]) <= 0).all()


def test_pruning_by_noise_rate_takes_the_largest_leads_of_each_pair():
    P = np.array([[0.1, 0.9, 0.0], [0.3, 0.7, 0.0], [0.0, 0.5, 0.5], [0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.0, 0.0, 1.0]])
    labels, joint = np.array([0, 0, 0, 0, 1, 2]), np.diag([1 / 6, 1 / 6, 1 / 6])
    joint[0, 1], joint[0, 2] = 2 / 6, 1 / 6  # two rows labelled 0 are 1, one is 2
    assert by_noise_rate(P, labels, joint).tolist() == [1, -1, 1, -1, -1, -1]  # row 2 leads for both: the first class keeps it


def test_where_classes_are_mistaken_for_certain_others_it_beats_sorting_by_self_confidence():
    """With errors spread evenly it need not: so the docstring says."""
    precision, trivial = [], []
    X, digit = load_digits(return_X_y=True)
    for seed in range(3):
        noisy, wrong = noisy_labels(digit, 0.2, "asym", seed=seed)
        found = label_suspects(X, noisy, seed=seed)
        own = found.probabilities[np.arange(len(X)), noisy]
        precision.append(wrong[found.rows].mean())
        trivial.append(wrong[np.argsort(own)[: len(found.rows)]].mean())
        assert average_precision_score(wrong, found.score) > average_precision_score(wrong, 1 - own)
    assert np.mean(precision) > np.mean(trivial) + 0.02 and np.mean(precision) > 0.8


def test_clean_and_separated_labels_raise_no_suspicion():
    Z, y = blobs([100, 100, 100], apart=12)
    found = label_suspects(Z, y)
    assert len(found.rows) == 0 and found.wrong == 0


def test_names_rows_without_labels_and_classes_smaller_than_the_folds_are_taken():
    Z, y = blobs([80, 80, 3, 1], apart=6)
    names = np.array(["cat", "dog", "emu", "fox"], dtype=object)[y]
    names[5], names[7] = "", None
    names[10] = "dog"
    found = label_suspects(Z, names)
    assert found.rows[0] == 10 and found.likely[0] == "cat" and found.classes.tolist() == ["cat", "dog", "emu"]
    assert np.flatnonzero(np.isnan(found.score)).tolist() == [5, 7, len(y) - 1]  # no label, and the only fox
    assert not set(found.rows) & {5, 7, len(y) - 1}


def test_the_order_of_columns_and_their_size_do_not_matter_and_a_constant_one_neither():
    Z, y = blobs([60, 60, 60])
    noisy, _ = noisy_labels(y, 0.2)
    other = np.column_stack([1000 * Z[:, ::-1], np.full(len(Z), 7)])
    a, b = label_suspects(Z, noisy), label_suspects(other.astype(np.float64), noisy)
    assert (a.rows == b.rows).mean() > 0.95


@pytest.mark.parametrize(
    ("Z", "y", "more"),
    [
        (np.full((6, 2), np.nan), [0, 1] * 3, {}),
        (np.ones((6, 2)), [0, 1], {}),
        (np.ones((6, 2)), [0] * 6, {}),
        (np.ones((6, 2)), [0, 1, 2, 3, 4, 4], {}),
        (np.ones((6, 2)), [0, 1] * 3, {"folds": 1}),
        (np.ones((6, 2)), [0, 1] * 3, {"prune": "odd"}),
    ],
)
def test_what_can_not_be_judged_is_refused(Z, y, more):
    with pytest.raises(InputError):
        label_suspects(Z, y, **more)


def test_rows_that_are_all_the_same_give_an_answer_without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = label_suspects(np.ones((12, 3)), [0, 1, 2] * 4)
    assert np.isfinite(found.score).all()
