"""URL: uncertainties judged on classes never seen, and the heads that give them."""

import math

import numpy as np
import pytest
import torch
from scipy.special import ive
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from unlabeled import InputError
from unlabeled.evaluate.uncertain import HEADS, UncertainEncoder
from unlabeled.evaluate.url_benchmark import retrieval_uncertainty, url_benchmark, url_score
from unlabeled.parts.uncertainty import HeadEnsemble, LossPrediction, MaxProbability, mc_info_nce, sample_vmf


@pytest.fixture(scope="module")
def items():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(30), 10)
    return (rng.normal(size=(30, 8))[y] + rng.normal(size=(300, 8))).astype(np.float32), rng.normal(size=300), y


# -- the measure ------------------------------------------------------------------------------------------------------------------------


def test_the_measure_is_what_loops_and_scikit_learn_say(items):
    Z, u, y = items
    right = []
    for i in range(len(Z)):
        cosine = [-2 if j == i else Z[i] @ Z[j] / np.linalg.norm(Z[i]) / np.linalg.norm(Z[j]) for j in range(len(Z))]
        right.append(y[int(np.argmax(cosine))] == y[i])
    right = np.array(right)
    found = retrieval_uncertainty(Z, np.round(u, 1), y)  # rounded: with ties
    assert found.r1 == right.mean() and 0.2 < found.r1 < 0.9
    assert found.r_auroc == pytest.approx(roc_auc_score(~right, np.round(u, 1)))
    order = np.argsort(u)
    assert retrieval_uncertainty(Z, u, y).abstention[4] == pytest.approx(right[order[:150]].mean())
    assert found.abstention[-1] == pytest.approx(found.r1) and "R-AUROC" in found.table()


def test_an_oracle_has_one_its_opposite_zero_and_chance_a_half(items):
    Z, _, y = items
    right = y[np.argsort(-(unit := Z / np.linalg.norm(Z, axis=1, keepdims=True)) @ unit.T, axis=1)[:, 1]] == y
    assert retrieval_uncertainty(Z, 1.0 - right, y).r_auroc == 1
    assert retrieval_uncertainty(Z, 1.0 * right, y).r_auroc == 0
    assert retrieval_uncertainty(Z, np.ones(300), y).r_auroc == 0.5
    random = [retrieval_uncertainty(Z, np.random.default_rng(s).random(300), y).r_auroc for s in range(50)]
    assert np.mean(random) == pytest.approx(0.5, abs=0.02)


def test_equally_sure_items_count_alike_in_any_order(items):
    Z, _, y = items
    found = retrieval_uncertainty(Z, np.zeros(300), y)
    np.testing.assert_allclose(found.abstention, found.r1)


def test_items_without_a_label_and_the_only_ones_of_a_class_are_no_neighbours(items):
    Z, u, y = items
    names = np.array([f"class {c}" for c in y], dtype=object)
    extra = np.concatenate([Z, Z[:3] * 1.0001])  # would be the nearest of rows 0 to 2
    said = np.concatenate([names, np.array(["", None, "alone"], dtype=object)])
    found = retrieval_uncertainty(extra, np.append(u, [0, 0, 0]), said)
    assert found.dropped == 3 and found.r1 == retrieval_uncertainty(Z, u, y).r1


def test_where_all_are_right_the_auroc_is_not_defined_and_said_to_be_nan():
    found = retrieval_uncertainty(np.repeat(np.eye(3), 4, axis=0), np.arange(12), np.repeat([0, 1, 2], 4))
    assert found.r1 == 1 and math.isnan(found.r_auroc)


@pytest.mark.parametrize(
    ("u", "y"), [([0, 1], [0, 0, 1, 1]), ([0, 1, np.nan, 1], [0, 0, 1, 1]), ([0] * 4, [0, 1, 2, 3]), ([0] * 4, [0, 1]), ([0] * 4, [-1] * 4)]
)
def test_what_can_not_be_judged_is_refused(u, y):
    with pytest.raises(InputError):
        retrieval_uncertainty(np.eye(4), u, y)


def test_the_rank_correlation_with_crops_is_spearmans():
    rng = np.random.default_rng(0)
    pictures, y = rng.integers(0, 255, (12, 16, 16)).astype(np.uint8), np.repeat([0, 1], 6)
    calls = []

    def embed(X):
        calls.append(np.asarray(X))
        return rng.normal(size=(12, 3)), rng.normal(size=12) + len(calls) / 2

    uncertain = []

    def kept(X):
        Z, u = embed(X)
        uncertain.append(u)
        return Z, u

    found = url_score(kept, pictures, y, crops=True)
    crops = np.stack(uncertain[1:])
    expected = np.mean([spearmanr(np.arange(5), crops[:, i]).statistic for i in range(12)])
    assert found.crop_rho == pytest.approx(expected)
    np.testing.assert_array_equal(calls[1], pictures)  # the first crop is the whole picture
    assert np.abs(calls[5].astype(float)[:, 1:] - calls[5].astype(float)[:, :-1]).mean() < 60  # a small part, enlarged, is smooth


# -- the heads --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "kappa"), [(3, 2.0), (16, 5.0), (64, 200.0)])
def test_von_mises_fisher_draws_have_the_mean_that_bessel_functions_give(d, kappa):
    generator = torch.Generator().manual_seed(0)
    mu = F.normalize(torch.randn(1, d, generator=generator), dim=1)
    k = torch.full((1,), kappa, requires_grad=True)
    z = sample_vmf(mu, k, 20000, generator)
    np.testing.assert_allclose(z.detach().norm(dim=2).numpy(), 1, atol=1e-4)

    def expected(at):
        return ive(d / 2, at) / ive(d / 2 - 1, at)

    mean = (z @ mu[0]).mean()
    assert float(mean.detach()) == pytest.approx(expected(kappa), abs=0.01)
    # Sideways no direction is preferred, and the mean grows with kappa about as it should, in few dimensions too slowly.
    assert float((z.mean(dim=0)[0] - mean * mu[0]).detach().norm()) < 0.03
    mean.backward()
    slope = (expected(kappa * 1.01) - expected(kappa * 0.99)) / (0.02 * kappa)
    assert float(k.grad[0]) == pytest.approx(slope, rel=0.4 if d == 3 else 0.25)


def test_with_certain_directions_mc_info_nce_is_info_nce():
    from unlabeled.parts.losses import info_nce

    generator = torch.Generator().manual_seed(0)
    a, b = (F.normalize(torch.randn(10, 6, generator=generator), dim=1) for _ in range(2))
    sure = torch.full((10,), 1e6)
    found = mc_info_nce(a, sure, b, sure, samples=4, temperature=0.2, generator=generator)
    assert float(found) == pytest.approx(float(info_nce(a, b, temperature=0.2)), abs=0.02)


def test_directions_learn_that_a_false_pair_is_unsure():
    generator = torch.Generator().manual_seed(0)
    mu = F.normalize(torch.randn(8, 6, generator=generator), dim=1)
    k = torch.full((8,), 30.0, requires_grad=True)
    mixed = mu[[0, 1, 2, 3, 5, 4, 7, 6]]  # the last four have the wrong partner
    mc_info_nce(mu, k, mixed, k.detach(), samples=256, generator=generator).backward()
    assert (k.grad[4:] > 0).all() and k.grad[:4].mean() < k.grad[4:].mean()  # descent lowers the concentration of those


def test_the_predicted_loss_is_taught_by_the_loss_alone_unless_the_gradient_may_pass():
    torch.manual_seed(0)
    x, y = torch.randn(6, 4, requires_grad=True), torch.tensor([0, 1, 2, 0, 1, 2])
    head = LossPrediction(4, 3, hidden=8, lam=0.5)
    each = F.cross_entropy(head(x), y, reduction="none")
    expected = each.mean() + 0.5 * ((head.uncertainty(x) - each) ** 2).mean()
    assert float(head.loss(x, y).detach()) == pytest.approx(float(expected.detach()))
    gradients = []
    for through in (False, True):
        head.through = through
        (gradient,) = torch.autograd.grad(head.loss(x, y), x)
        gradients.append(gradient)
    (alone,) = torch.autograd.grad(F.cross_entropy(head(x), y), x)
    assert torch.allclose(gradients[0], alone) and not torch.allclose(gradients[1], alone)


def test_an_ensemble_that_agrees_is_sure_and_one_that_does_not_is_unsure_by_at_most_log_members():
    torch.manual_seed(0)
    head, x = HeadEnsemble(4, 3, members=3), torch.randn(5, 4)
    assert torch.allclose(head(x).exp().sum(dim=1), torch.ones(5)) and (head.uncertainty(x) > 0).all()
    for member in head.members[1:]:
        member.load_state_dict(head.members[0].state_dict())
    assert head.uncertainty(x).abs().max() < 1e-6
    for i, member in enumerate(head.members):
        torch.nn.init.zeros_(member[-1].weight)
        member[-1].bias.data = 50 * torch.eye(3)[i]
    assert torch.allclose(head.uncertainty(x), torch.full((5,), math.log(3)), atol=1e-4)


def test_uncertain_is_an_even_softmax_or_a_short_feature():
    head = MaxProbability(3, 3)
    torch.nn.init.eye_(head.classify.weight)
    torch.nn.init.zeros_(head.classify.bias)
    x = torch.tensor([[9.0, 0, 0], [1.0, 1, 1]])
    assert float(head.uncertainty(x)[1].detach()) == pytest.approx(2 / 3) and head.uncertainty(x)[0] < 0.001
    head.norm = True
    assert head.uncertainty(x)[1] > head.uncertainty(x)[0]


def test_bad_directions_are_refused():
    with pytest.raises(ValueError, match="mu has shape"):
        sample_vmf(torch.ones(2, 1), torch.ones(2), 3)


# -- the encoder and the benchmark --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
def test_every_head_learns_from_labels_says_how_sure_it_is_and_repeats(head, items):
    Z, _, y = items
    names = np.array([f"class {c}" for c in y])
    options = {"hidden": 16} if head in ("loss", "vmf", "ensemble") else {}
    model = UncertainEncoder(head=head, options=options, encoder="mlp", epochs=8, batch_size=64, lr=5e-3)
    fitted, again = (clone(model).fit(Z, names) for _ in range(2))
    V, u = fitted.embed_with_uncertainty(Z)
    assert V.dtype == u.dtype == np.float32 and u.shape == (300,) and np.ptp(u) > 0
    np.testing.assert_array_equal(u, again.embed_with_uncertainty(Z)[1])
    assert np.mean(fitted.loss_curve_[-5:]) < np.mean(fitted.loss_curve_[:5])
    blank = clone(model).set_params(epochs=0).fit(Z, names)
    assert url_score(fitted, Z, y).r1 > url_score(blank, Z, y).r1 + 0.05
    if head == "vmf":
        with pytest.raises(InputError, match="no classes"):
            fitted.predict(Z)
    else:
        assert (fitted.predict(Z) == names).mean() > 0.5


def test_the_partners_of_a_batch_are_other_rows_of_the_same_class_and_no_class_meets_itself(items):
    Z, _, y = items
    model = UncertainEncoder(head="vmf", encoder="mlp", epochs=0, batch_size=16).fit(Z, y)
    seen = []
    for rows, codes in model._batches(np.arange(300), y, torch.Generator().manual_seed(0)):
        half = len(rows) // 2
        assert (codes[:half] == codes[half:]).all() and len(set(codes[:half].tolist())) == half and not set(rows[:half]) & set(rows[half:])
        seen += rows.tolist()
    assert len(seen) == len(set(seen)) > 280


def test_pictures_go_in_as_bytes_and_labels_may_be_missing():
    rng = np.random.default_rng(0)
    pictures, y = rng.integers(0, 255, (24, 16, 16)).astype(np.uint8), np.repeat([0, 1, -1], 8)
    model = UncertainEncoder(head="loss", encoder="conv5", epochs=1, batch_size=8).fit(pictures, y)
    assert model.classes_.tolist() == [0, 1] and model.embed_with_uncertainty(pictures)[0].shape == (24, 128)


def test_the_benchmark_trains_each_method_with_each_seed_and_keeps_classes_apart(items):
    Z, _, y = items
    seen = []

    def method(X, labels, seed):
        seen.append(seed)
        return lambda A: (A, np.arange(len(A)))

    low, high = y < 15, y >= 15
    found = url_benchmark({"a": method, "b": method}, (Z[low], y[low]), {"new": (Z[high], y[high])}, seeds=(3, 4))
    assert seen == [3, 4, 3, 4] and found.mean("a", "r1") == found.scores["b"]["new"][0].r1 and "R-AUROC" in found.table()
    with pytest.raises(InputError, match="unseen"):
        url_benchmark({"a": method}, (Z, y), {"new": (Z[high], y[high])})
    with pytest.raises(InputError, match="at least one"):
        url_benchmark({}, (Z, y), {"new": (Z[high], y[high])})
    with pytest.raises(InputError, match="model"):
        url_score(3, Z, y)


@pytest.mark.parametrize("more", [{"head": "odd"}, {"epochs": -1}, {"lr": 0}])
def test_parameters_that_make_no_sense_are_refused(more, items):
    with pytest.raises(InputError):
        UncertainEncoder(**more).fit(items[0], items[2])
    with pytest.raises(InputError, match="labels"):
        UncertainEncoder().fit(items[0], items[2][:5])
