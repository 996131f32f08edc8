"""Cosines to anchors: what they don't see, what heads can be exchanged, and what mismatched anchors cost."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.utils.estimator_checks import check_estimator

from unlabeled import InputError
from unlabeled.evaluate.space_similarity import space_similarity
from unlabeled.saving import load_model
from unlabeled.tasks.translate.relative_representations import RelativeProjection, RelativeRepresentation, stitch


@pytest.fixture(scope="module")
def Z():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(6, 10))[rng.integers(6, size=400)] * 2 + rng.normal(size=(400, 10))).astype(np.float32)


@pytest.fixture(scope="module")
def turned(Z):
    """The same space, rotated, reflected, scaled and moved."""
    return 7 * Z @ np.linalg.qr(np.random.default_rng(1).normal(size=(10, 10)))[0] + 30


@pytest.mark.parametrize("choose", ["uniform", "farthest", "kmeans"])
def test_it_passes_scikit_learns_own_checks(choose):
    check_estimator(RelativeRepresentation(anchors=5, choose=choose))


def test_the_numbers_are_cosines_with_the_anchor_rows(Z):
    found = RelativeRepresentation(anchors=20, seed=3).fit(Z)
    centred = Z - Z.mean(axis=0)
    np.testing.assert_allclose(found.transform(Z), cosine_similarity(centred, centred[found.anchor_rows_]), atol=1e-5)
    plain = RelativeRepresentation(anchors=[4, 2], center=False).fit(Z)
    np.testing.assert_allclose(plain.transform(Z[:9]), cosine_similarity(Z[:9], Z[[4, 2]]), atol=1e-5)


def test_rotation_reflection_scale_and_shift_are_not_seen_and_a_bent_space_is(Z, turned):
    a, b = (RelativeRepresentation(anchors=50).fit(X) for X in (Z, turned))
    np.testing.assert_allclose(a.transform(Z), b.transform(turned), atol=1e-3)
    assert a.anchor_rows_ == b.anchor_rows_
    bent = Z * np.linspace(0.1, 3, 10, dtype=np.float32)
    assert np.abs(RelativeRepresentation(anchors=50).fit(bent).transform(bent) - a.transform(Z)).max() > 0.3


@pytest.mark.parametrize("choose", ["uniform", "farthest", "kmeans"])
def test_anchors_are_different_rows_and_the_same_for_a_seed(Z, choose):
    rows = RelativeRepresentation(anchors=60, choose=choose, seed=1).fit(Z).anchor_rows_
    assert len(set(rows)) == 60 and rows == RelativeRepresentation(anchors=60, choose=choose, seed=1).fit(Z).anchor_rows_
    assert RelativeRepresentation(anchors=999, choose=choose).fit(Z[:30]).transform(Z).shape == (400, 30)


def test_farthest_anchors_lie_farther_apart_and_copies_come_last(Z):
    def least(choose):
        A = RelativeRepresentation(anchors=15, choose=choose).fit(Z).anchors_
        return (1 - A @ A.T + 9 * np.eye(15)).min()

    assert least("farthest") > 2 * least("uniform")
    copies = np.concatenate([Z[:5], np.repeat(Z[:1], 20, axis=0)])
    rows = RelativeRepresentation(anchors=5, choose="farthest").fit(copies).anchor_rows_
    assert len(np.unique(copies[rows], axis=0)) == 5


def test_a_head_serves_the_other_space_and_not_with_other_anchors(Z, turned):
    y = (Z @ np.arange(10) > 0).astype(int)
    a = RelativeRepresentation(anchors=40, choose="kmeans").fit(Z)
    b = RelativeRepresentation(anchors=a.anchor_rows_).fit(turned)
    head = LogisticRegression(max_iter=500).fit(b.transform(turned), y)
    assert stitch(a, head).score(Z, y) > 0.9
    wrong = RelativeRepresentation(anchors=a.anchor_rows_[::-1]).fit(Z)
    assert stitch(wrong, head).score(Z, y) < 0.8
    with pytest.raises(InputError, match="40 numbers"):
        stitch(RelativeRepresentation(anchors=7).fit(Z), head)


def test_similarity_of_spaces_is_one_of_the_same_and_chance_of_unrelated(Z, turned):
    a, b = (RelativeRepresentation(anchors=50).fit(X).transform(X) for X in (Z, turned))
    same = space_similarity(a, b)
    assert same.mrr > 0.99 and same.jaccard > 0.95 and same.cosine > 0.999 and "MRR" in same.table()
    other = space_similarity(a, b[::-1])
    assert other.mrr < 5 * other.chance and other.jaccard < 0.15
    assert space_similarity(np.ones((50, 3)), np.ones((50, 3))).mrr == pytest.approx(1 / 50)  # a collapsed space finds nothing


def test_the_place_of_an_item_is_counted_over_all_others():
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(2, 30, 4))
    S = cosine_similarity(A, B)
    places = [1 + int((S[i] > S[i, i]).sum()) for i in range(30)] + [1 + int((S[:, i] > S[i, i]).sum()) for i in range(30)]
    assert space_similarity(A, B).mrr == pytest.approx(np.mean(1 / np.array(places)))


def test_a_relative_encoder_gives_cosines_and_learns_through_its_anchors():
    torch.manual_seed(0)
    encode, x = torch.nn.Linear(5, 3), torch.randn(7, 5)
    net = RelativeProjection(encode, torch.randn(4, 5))
    expected = torch.nn.functional.cosine_similarity(encode(x)[:, None], encode(net.anchors)[None], dim=2)
    torch.testing.assert_close(net(x), expected)
    assert "anchors" in net.state_dict()
    (through,) = torch.autograd.grad(net(x).sum(), encode.weight)
    with torch.no_grad():
        fixed = torch.nn.functional.normalize(encode(net.anchors), dim=1)
    (held,) = torch.autograd.grad((torch.nn.functional.normalize(encode(x), dim=1) @ fixed.T).sum(), encode.weight)
    assert not torch.allclose(through, held)


def test_what_was_saved_says_the_same(Z, tmp_path):
    fitted = RelativeRepresentation(anchors=RelativeRepresentation(anchors=9).fit(Z).anchor_rows_).fit(Z)
    fitted.save(tmp_path)
    loaded = load_model(tmp_path)
    np.testing.assert_array_equal(loaded.transform(Z), fitted.transform(Z))
    assert loaded.anchors == fitted.anchors == loaded.anchor_rows_


@pytest.mark.parametrize("bad", [{"anchors": 0}, {"anchors": [0, 400]}, {"anchors": [0.5]}, {"anchors": []}, {"choose": "best"}])
def test_bad_anchors_are_refused(Z, bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        RelativeRepresentation(**bad).fit(Z)


def test_dead_rows_and_flat_features_give_zeros_not_nan(Z):
    X = np.zeros((20, 4), np.float16)
    X[:10, 0] = 1
    assert np.isfinite(RelativeRepresentation(anchors=5).fit(X).transform(X)).all()
    assert (RelativeRepresentation(anchors=3).fit(np.ones((8, 2))).transform(np.ones((8, 2))) == 0).all()
    with pytest.raises(InputError, match="same items"):
        space_similarity(Z, Z[:, :4])
