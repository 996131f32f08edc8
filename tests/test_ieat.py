"""Association tests: the formula, what p means, and what is refused."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kstest

from unlabeled import InputError
from unlabeled.evaluate.ieat import association_test, holm, ieat


def four(rng, n=8, d=10):
    return [rng.normal(size=(n, d)) for _ in range(4)]


def by_hand(X, Y, A, B):
    def s(w):
        cos = lambda u, v: u @ v / np.sqrt(u @ u * (v @ v))  # noqa: E731
        return np.mean([cos(w, a) for a in A]) - np.mean([cos(w, b) for b in B])

    values = [s(w) for w in [*X, *Y]]
    n = len(X)
    found = sum(values[:n]) - sum(values[n:])
    others = [sum(2 * values[i] for i in part) - sum(values) for part in combinations(range(2 * n), n)]
    return (np.mean(values[:n]) - np.mean(values[n:])) / np.std(values, ddof=1), np.mean([o >= found - 1e-9 for o in others])


def test_the_effect_size_and_the_exact_p_are_those_of_the_formula():
    sets = four(np.random.default_rng(0), n=5)
    found = association_test(*sets)
    d, p = by_hand(*sets)
    assert found.exact and found.n == (5, 5, 5, 5)
    np.testing.assert_allclose([found.d, found.p], [d, p], atol=1e-6)
    np.testing.assert_allclose(found.cosines[0] - found.cosines[1] - found.cosines[2] + found.cosines[3], d * spread(sets), atol=1e-6)


def spread(sets):
    X, Y, A, B = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in sets)
    W = np.concatenate([X, Y])
    return ((W @ A.T).mean(axis=1) - (W @ B.T).mean(axis=1)).std(ddof=1)


def test_drawn_partitions_give_about_the_p_of_all_of_them(monkeypatch):
    sets = four(np.random.default_rng(3), n=7)
    exact = association_test(*sets)
    monkeypatch.setattr("unlabeled.evaluate.ieat.EXACT", 0)
    drawn = association_test(*sets)
    assert exact.exact and not drawn.exact and 0.02 < exact.p < 0.98
    assert drawn.p == pytest.approx(exact.p, abs=0.02)


def test_without_association_p_is_uniform_and_d_is_zero_on_average():
    rng = np.random.default_rng(1)
    found = [association_test(*four(rng, n=12), draws=200, resamples=1, seed=i) for i in range(300)]
    assert kstest([one.p for one in found], "uniform").pvalue > 0.01
    assert abs(np.mean([one.d for one in found])) < 0.1


def test_a_planted_association_is_found_with_its_direction():
    rng = np.random.default_rng(2)
    X, Y, A, B = four(rng)
    axis = np.zeros(10)
    axis[0] = 3
    found = association_test(X + axis, Y - axis, A + axis, B - axis)
    assert found.d > 1 and found.p < 0.01 and found.ci[0] > 0.5
    turned = association_test(X + axis, Y - axis, B - axis, A + axis)
    assert turned.d == pytest.approx(-found.d) and turned.p > 0.99


def test_the_interval_holds_the_effect_and_narrows_with_more_stimuli():
    rng = np.random.default_rng(4)
    shift = np.eye(10)[0]
    width = {}
    for n in (6, 60):
        X, Y, A, B = four(rng, n=n)
        one = association_test(X + shift, Y - shift, A + shift, B - shift, resamples=300)
        assert one.ci[0] < one.d < one.ci[1]
        width[n] = one.ci[1] - one.ci[0]
    assert width[60] < width[6] / 2


def test_four_stimuli_can_not_give_a_p_below_one_in_seventy():
    axis = np.eye(3)[0]
    noise = np.random.default_rng(5).normal(size=(4, 4, 3)) * 0.01
    assert association_test(noise[0] + axis, noise[1] - axis, noise[2] + axis, noise[3] - axis).p == pytest.approx(1 / 70)


def test_centring_undoes_a_vector_common_to_all():
    sets = four(np.random.default_rng(6))
    shifted = [one + 100 for one in sets]
    plain, centred = association_test(*shifted, center=True), association_test(*sets, center=True)
    assert association_test(*shifted).cosines[0] > 0.99
    assert centred.d == pytest.approx(plain.d, abs=1e-3) and abs(plain.cosines[0]) < 0.5


def test_sets_of_different_sizes_are_compared_by_their_means():
    rng = np.random.default_rng(7)
    found = [association_test(rng.normal(size=(4, 6)), rng.normal(size=(9, 6)), *four(rng, d=6)[:2], resamples=1).p for _ in range(300)]
    assert kstest(found, "uniform").pvalue > 0.01


def test_holm_is_what_its_steps_say():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])


def test_the_table_has_a_line_a_test_and_encodes_each_category_once():
    rng = np.random.default_rng(8)
    stimuli = {name: [f"{name} {i}" for i in range(5)] for name in "abcd"}
    seen = []

    def encoder(texts):
        seen.append(texts[0])
        return rng.normal(size=(len(texts), 4))

    found = ieat(encoder, stimuli, {"one": ("a", "b", "c", "d"), "two": ("b", "a", "c", "d")}, resamples=20)
    assert len(seen) == 4 and len(found.table().splitlines()) == 3
    assert found.results["one"].d == pytest.approx(-found.results["two"].d)
    assert all(found.holm[name] >= one.p for name, one in found.results.items())


def test_a_folder_has_one_subfolder_a_category(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(9)
    for name in "abcd":
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name / f"{i}.png")
    found = ieat(lambda X: np.asarray(X).reshape(len(X), -1), tmp_path, {"t": ("a", "b", "c", "d")}, resamples=20)
    assert found.results["t"].n == (3, 3, 3, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: [s[0][:1], *s[1:]], "X has shape"),
        (lambda s: [s[0] * np.nan, *s[1:]], "X has NaN"),
        (lambda s: [s[0], s[1] * 0, *s[2:]], "Y has a vector of zeros"),
        (lambda s: [*s[:3], s[3][:, :4]], "wanted the same"),
        (lambda s: [np.ones((3, 10)), np.ones((3, 10)), *s[2:]], "same association"),
    ],
)
def test_what_can_not_be_compared_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        association_test(*change(four(np.random.default_rng(0))))


def test_what_is_not_there_is_named():
    with pytest.raises(InputError, match="no stimuli for b"):
        ieat(np.asarray, {"a": [[1.0, 2.0]]}, {"t": ("a", "b", "a", "a")})
    with pytest.raises(InputError, match="tests='some'"):
        ieat(np.asarray, {}, "some")
    with pytest.raises(InputError, match="draws=0"):
        association_test(*four(np.random.default_rng(0)), draws=0)
