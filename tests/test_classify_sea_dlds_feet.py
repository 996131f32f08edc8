"""Classifiers of vectors with few labels (SeA, LDS, DeepLDS and the plain ones), and FEET, the table of what embeddings are worth."""

import re

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.special import softmax
from sklearn.datasets import make_moons
from sklearn.metrics import f1_score, log_loss, roc_auc_score
from sklearn.semi_supervised import LabelSpreading
from sklearn.utils.estimator_checks import check_estimator
from torch.nn import functional as F

from unlabeled import InputError
from unlabeled.evaluate.feet import METRICS, feet, few_shots
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.parts.calibrate import platt, temperature
from unlabeled.parts.neighbours import knn_graph
from unlabeled.parts.paths import density_coordinates, joined, landmark_mds, path_distances
from unlabeled.parts.spread import spread
from unlabeled.tasks.classify import CalibratedProbe, LabelPropagation, NearestClassMean
from unlabeled.tasks.few_shot.sea import SeA, adversarial, semantic
from unlabeled.tasks.fine_tune import fine_tune
from unlabeled.tasks.semi_supervised.dlds import LDS, DeepLDS, GradTSVM, grad_tsvm

TINY: dict = {"pretrain": 30, "steps": 60, "embed": (16, 4)}
ALL = [
    NearestClassMean(),
    CalibratedProbe(folds=2, penalties=(0.1, 0.001)),
    LabelPropagation(),
    SeA(epochs=40),
    GradTSVM(),
    LDS(),
    DeepLDS(rounds=1, **TINY),
]
QUICK = [  # scikit-learn's checks fit about fifty times
    NearestClassMean(),
    CalibratedProbe(folds=2, penalties=(0.01,)),
    LabelPropagation(),
    SeA(epochs=15, eta=0.2),
    GradTSVM(),
    LDS(),
    DeepLDS(rounds=1, pretrain=0, steps=25, lr=0.02, embed=(16, 4)),
]
names = [type(one).__name__ for one in ALL]


def few(y, each, seed=0, none=-1):
    """y with `each` labels a class, the others `none`."""
    rows = few_shots(np.unique(y, return_inverse=True)[1], each, seed)
    return np.where(np.isin(np.arange(len(y)), rows), y, none)


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 60)
    centres = 2.5 * np.eye(3, 8)
    return (centres[y] + rng.normal(size=(180, 8))).astype(np.float32), y


@pytest.fixture(scope="module")
def moons():
    X, y = make_moons(400, noise=0.06, random_state=0)
    return X.astype(np.float32), y


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", QUICK, ids=names)
def test_they_pass_scikit_learns_own_checks(model):
    check_estimator(model)


@pytest.mark.parametrize("model", ALL, ids=names)
def test_names_as_labels_and_rows_without_one_save_and_load(model, blobs, tmp_path):
    Z, y = blobs
    said = few(np.array(["first", "second", "third"], dtype=object)[y], 8, none="")
    fitted = model.fit(Z.astype(np.float64)[::-1][::-1], said.tolist())
    assert set(fitted.predict(Z)) == {"first", "second", "third"}
    p = fitted.predict_proba(Z)
    assert (p.argmax(axis=1) == y).mean() > 0.6  # chance is 1/3
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    fitted.save(tmp_path)
    np.testing.assert_allclose(type(model).load(tmp_path).predict_proba(Z), p, atol=1e-6)
    np.testing.assert_array_equal(model.fit(Z, said.tolist()).predict_proba(Z), p)  # the same seed says the same


@pytest.mark.parametrize("model", ALL, ids=names)
@pytest.mark.parametrize("said", [[0, 0, -1] * 60, [-1] * 180, [0, 1] * 30])
def test_labels_that_teach_nothing_are_refused(model, said, blobs):
    with pytest.raises(ValueError):
        model.fit(blobs[0], said)


@pytest.mark.parametrize("model", ALL, ids=names)
def test_hard_rows_are_taken(model, blobs):
    """A class with one example, a constant column, copies, a row of zeros, float16."""
    Z, y = blobs
    Z = np.concatenate([Z, np.full((180, 1), 3.0)], axis=1).astype(np.float16)
    Z[5:15], Z[20] = Z[5], 0
    said = few(y, 6)
    said[y == 2] = np.where(np.arange(60) == 30, 2, -1)
    assert np.isfinite(model.fit(Z, said).predict_proba(Z)).all() and len(model.classes_) == 3


@pytest.mark.parametrize(
    "model",
    [
        SeA(direction="back"), SeA(alpha=0.0), SeA(epochs=0), LDS(rho=-1.0), LDS(k=0), LDS(landmarks=1), GradTSVM(prior=(0.5, 0.5)),
        GradTSVM(C=0.0), DeepLDS(rounds=-1), DeepLDS(embed=()), DeepLDS(dropout=1.0), CalibratedProbe(calibration="isotonic"),
        CalibratedProbe(folds=1), LabelPropagation(alpha=1.0), LabelPropagation(metric="dot"), NearestClassMean(temperature=0.0),
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_named(model, blobs):
    changed = [name for name, value in model.get_params().items() if repr(value) != repr(type(model)().get_params()[name])]
    with pytest.raises(InputError, match=changed[0]):
        model.fit(*blobs)


# Plain classifiers --------------------------------------------------------------------------------------------------
def test_labels_spread_as_the_closed_form_says_and_as_scikit_learn_does(blobs):
    Z, y = blobs
    graph, said = knn_graph(Z, 6, weight="similarity"), few(y, 2)
    W, Y = graph.toarray().astype(np.float64), (said[:, None] == np.arange(3)).astype(float)
    d = W.sum(axis=1) ** -0.5
    S = d[:, None] * W * d
    found = spread(graph, Y, 0.9, tol=1e-10)
    np.testing.assert_allclose(found, 0.1 * np.linalg.solve(np.eye(180) - 0.9 * S, Y), atol=1e-8)
    theirs = LabelSpreading(kernel=lambda *_: W.copy(), alpha=0.9, max_iter=3000, tol=1e-9).fit(Z, said)
    np.testing.assert_allclose(found / found.sum(axis=1, keepdims=True), theirs.label_distributions_, atol=1e-4)
    ours = LabelPropagation(k=6, alpha=0.9, balance=False).fit(Z, said)
    assert (ours.transduction_ == theirs.transduction_).all() and ours.unreached_ == 0


def test_rows_that_no_label_reaches_are_told_and_get_the_labels_shares():
    Z = np.concatenate([np.random.default_rng(0).normal(size=(20, 2)) + 9 * c for c in range(3)])
    y = np.full(60, -1)
    y[[0, 1, 2, 21]] = [0, 0, 0, 1]
    with pytest.warns(UserWarning, match="20 of 60"):
        model = LabelPropagation(k=4, metric="euclidean").fit(Z, y)
    np.testing.assert_allclose(model.label_distributions_[40:], np.tile([0.75, 0.25], (20, 1)), rtol=1e-6)


def test_label_propagation_follows_the_moons_where_a_class_mean_can_not(moons):
    X, y = moons
    said = few(y, 3, seed=1) + 5 * (few(y, 3, seed=1) >= 0)  # labels 5 and 6: -1 and 1 alone would be two classes
    spread_, mean = LabelPropagation(k=8, metric="euclidean").fit(X, said), NearestClassMean().fit(X, said)
    assert (spread_.transduction_ - 5 == y).mean() > 0.97 > (mean.predict(X) - 5 == y).mean()
    np.testing.assert_array_equal(spread_.predict(X[:7]), spread_.predict(X)[:7])


def test_temperature_and_platt_undo_what_was_done_to_the_scores():
    rng = np.random.default_rng(0)
    scores = 2 * rng.normal(size=(5000, 3))
    y = (softmax(scores, axis=1).cumsum(axis=1) > rng.random((5000, 1))).argmax(axis=1)
    assert temperature(4 * scores, y) == pytest.approx(4, rel=0.06)
    assert temperature(4e6 * scores, y) == pytest.approx(4e6, rel=0.06)
    two = np.stack([0 * scores[:, 0], scores[:, 0]], axis=1)
    y = (rng.random(5000) < 1 / (1 + np.exp(-scores[:, 0]))).astype(int)
    slopes, offsets = platt(10 * two[:, 1:].repeat(2, axis=1) + 3, y)
    assert (
        slopes[1] == pytest.approx(0.1, rel=0.1)
        and offsets[1] == pytest.approx(-0.3, abs=0.12)
        and slopes[0] == pytest.approx(-slopes[1], rel=1e-3)
    )


def test_few_rows_that_are_all_right_do_not_make_everything_certain():
    scores, y = 5.0 * np.eye(3), np.arange(3)
    sure = softmax(scores / temperature(scores, y, smooth=True), axis=1).max()
    assert sure == pytest.approx(2 / 3, abs=0.01) and softmax(scores / temperature(scores, y), axis=1).max() > 0.999


@pytest.mark.parametrize("calibration", ["temperature", "platt"])
def test_a_calibrated_probe_is_surer_of_what_is_right_than_one_that_is_not(calibration):
    rng = np.random.default_rng(3)
    y = rng.integers(2, size=1200)
    Z = rng.normal(size=(1200, 40)) + 0.25 * y[:, None] * (np.arange(40) < 10)
    train, test = np.arange(100), np.arange(100, 1200)
    loose = {"penalties": (1e-6,), "folds": 5}  # separable: without a penalty it is far too sure
    plain, ours = (CalibratedProbe(calibration=one, **loose).fit(Z[train], y[train]) for one in (None, calibration))
    assert log_loss(y[test], ours.predict_proba(Z[test])) < 0.7 * log_loss(y[test], plain.predict_proba(Z[test]))
    chosen = CalibratedProbe().fit(Z[train], y[train])
    assert chosen.penalty_ > 1e-3 and chosen.score(Z[test], y[test]) >= plain.score(Z[test], y[test])


# SeA ----------------------------------------------------------------------------------------------------------------
def test_the_adversarial_direction_is_the_gradient_upwards():
    torch.manual_seed(0)
    x, w, y = F.normalize(torch.randn(6, 5), dim=1).requires_grad_(), torch.randn(3, 5), torch.tensor([0, 1, 2, 0, 1, 2])
    loss = 0.1 * F.cross_entropy((x @ w.T - 0.2 * F.one_hot(y, 3)) / 0.1, y, reduction="sum")
    loss.backward()
    g = adversarial(x.detach(), y, w, 0.1, margin=0.2)
    torch.testing.assert_close(g, F.normalize(x.grad, dim=1))
    higher = F.cross_entropy(((x + 0.01 * g) @ w.T) / 0.1, y) > F.cross_entropy((x @ w.T) / 0.1, y)
    assert higher


def test_the_semantic_direction_is_the_softmax_over_the_others_without_the_row_itself():
    torch.manual_seed(0)
    x, g = F.normalize(torch.randn(5, 4), dim=1), F.normalize(torch.randn(5, 4), dim=1)
    found = semantic(g, x, 0.3, torch.eye(5, dtype=torch.bool))
    for i in range(5):
        p = np.exp(np.array([float(g[i] @ x[j]) / 0.3 for j in range(5)]))
        p[i] = 0
        a = sum(p[j] / p.sum() * x[j].numpy() for j in range(5))
        np.testing.assert_allclose(found[i].numpy(), a / np.linalg.norm(a), atol=1e-5)
    alone = semantic(x, x, 0.001, torch.eye(5, dtype=torch.bool))  # even a row that lies along its own direction
    assert (alone * x).sum(dim=1).max() < 0.99


def test_sea_leaves_the_vectors_that_came_in_and_no_augmentation_is_eta_zero(blobs):
    Z, y = blobs
    before = Z.copy()
    plain, zero = SeA(direction=None, epochs=5).fit(Z, y), SeA(eta=0.0, direction="gradient", epochs=5).fit(Z, y)
    SeA(epochs=5).fit(Z, few(y, 4))
    np.testing.assert_array_equal(Z, before)
    np.testing.assert_allclose(plain.weights_, zero.weights_, atol=1e-5)
    assert all(
        np.abs(SeA(direction=one, epochs=5).fit(Z, y).weights_ - plain.weights_).max() > 1e-3 for one in ("semantic", "random", "noise")
    )


# LDS ----------------------------------------------------------------------------------------------------------------
def test_path_distances_are_those_of_brute_force_and_of_plain_length_at_rho_zero():
    w = np.zeros((4, 4))
    w[0, 1], w[1, 2], w[2, 3], w[0, 3] = 1, 1, 1, 2.5  # the long edge costs more than three short ones only where rho says so
    graph = csr_array(w + w.T)
    rho, plain = path_distances(graph, 2.0, np.arange(4)), path_distances(graph, 0.0, np.arange(4))
    scale = np.median(graph.data)
    assert rho[0, 3] == pytest.approx((np.log1p(3 * np.expm1(2 * 1 / scale)) / 2) ** 2, rel=1e-5)
    assert plain[0, 3] == pytest.approx((2.5 / scale) ** 2, rel=1e-5)
    small = path_distances(graph, 1e-4, np.arange(4))
    np.testing.assert_allclose(small, plain, rtol=1e-3, atol=1e-6)
    w[0, 3] = w[3, 0] = 1e6
    assert np.isfinite(path_distances(csr_array(w + w.T), 5.0, np.arange(4))).all()


def test_parts_of_a_graph_are_joined_by_the_shortest_edge(blobs):
    X = np.concatenate([np.random.default_rng(0).normal(size=(10, 2)) + [20.0 * c, 0] for c in range(3)]).astype(np.float32)
    graph = knn_graph(X, 3, metric="euclidean")
    whole = joined(graph, X)
    assert connected_components(graph)[0] == 3 and connected_components(whole)[0] == 1 and whole.nnz == graph.nnz + 4
    between = whole.tocoo()
    new = sorted(d for i, j, d in zip(*between.coords, between.data, strict=True) if i // 10 != j // 10)[::2]
    true = [np.linalg.norm(X[10 * c : 10 * c + 10, None] - X[10 * c + 10 : 10 * c + 20], axis=2).min() for c in range(2)]
    np.testing.assert_allclose(new, sorted(true), rtol=1e-4)


def test_scaling_gives_plain_distances_back_from_few_landmarks():
    X = np.random.default_rng(0).normal(size=(40, 3)) @ np.diag([3.0, 2, 1])
    squared = np.square(X[:, None] - X).sum(axis=2)
    for rows in (np.arange(40), np.arange(8)):
        found = landmark_mds(squared[rows].astype(np.float32), rows, 1e-4)
        assert found.shape == (40, 3)
        np.testing.assert_allclose(np.square(found[:, None] - found).sum(axis=2), squared, atol=1e-3)
    values = np.linalg.eigvalsh(np.cov(X.T))[::-1]
    share = (values[1] + values[2]) / 2 / values[0]
    assert landmark_mds(squared.astype(np.float32), np.arange(40), share).shape[1] == 2  # the weakest axis is below the share


def test_tsvm_has_the_gradient_of_its_objective_balances_and_ends_lower_with_annealing():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(40, 3)) + [2, 0, 0], rng.normal(size=(40, 3)) - [2, 0, 0]])
    X -= X.mean(axis=0)
    y = np.zeros(80)
    y[[0, 40]] = 1, -1
    w, values = grad_tsvm(X, y, 0.1, 1.0, 0.05)
    f = X @ w + 0.1

    def objective(w):
        g = X @ w + 0.1
        return w @ w / 2 + (np.maximum(0, 1 - y * g)[y != 0] ** 2).sum() + 0.05 * np.exp(-3 * g[y == 0] ** 2).sum()

    assert len(values) == 11 and values[-1] == pytest.approx(objective(w))
    steps = 1e-4 * np.eye(3)
    slope = [(objective(w + s) - objective(w - s)) / 2e-4 for s in steps]
    assert np.abs(slope).max() < 1e-2  # it is at a minimum
    assert f.mean() == pytest.approx(0.1) and (np.sign(f) == np.repeat([1, -1], 40)).mean() > 0.9
    without = grad_tsvm(X, y, 0.1, 1.0, 0.0)[0]
    assert np.exp(-3 * f**2).mean() < np.exp(-3 * (X @ without + 0.1) ** 2).mean()


def test_the_balance_takes_a_prior_that_is_known(blobs):
    Z, y = blobs
    keep = np.concatenate([np.arange(60), np.arange(60, 75), np.arange(120, 135)])
    Z, y = Z[keep], y[keep]
    said, prior = few(y, 3), (60 / 90, 15 / 90, 15 / 90)
    model = GradTSVM(prior=prior).fit(Z, said)
    np.testing.assert_allclose(model.intercept_, 2 * np.array(prior) - 1)
    scores = ((Z - model.mean_) / model.scale_ @ model.coef_.T + model.intercept_)[said < 0]
    np.testing.assert_allclose(scores.mean(axis=0), model.intercept_, atol=1e-6)


def test_lds_separates_the_moons_from_three_labels_and_plain_distances_do_not(moons):
    X, y = moons
    said = few(y, 3, seed=1)
    said = np.where(said < 0, -1, said + 5)
    lds, plain = LDS(k=8, rho=4.0).fit(X, said), GradTSVM().fit(X, said)
    assert (lds.transduction_ - 5 == y).mean() > 0.97 > 0.95 > (plain.transduction_ - 5 == y).mean()
    assert (lds.predict(X) == lds.transduction_).mean() > 0.99
    few_landmarks = LDS(k=8, rho=4.0, landmarks=40).fit(X, said)
    assert (few_landmarks.transduction_ - 5 == y).mean() > 0.95
    assert (density_coordinates(X, k=8, landmarks=40).shape[0] == 400) and (lds.transduction_[said >= 0] == said[said >= 0]).all()


def test_deep_lds_learns_more_than_its_network_does_from_the_labels_and_looks_at_no_hidden_one(moons):
    X, y = moons
    said = few(y, 4, seed=2)
    said = np.where(said < 0, -1, said + 5)
    settings = {"embed": (32, 8), "steps": 150, "pretrain": 200}
    deep, shallow = DeepLDS(rounds=2, **settings).fit(X, said), DeepLDS(rounds=0, **settings).fit(X, said)
    hidden = said < 0
    assert (deep.transduction_[hidden] - 5 == y[hidden]).mean() > (shallow.transduction_[hidden] - 5 == y[hidden]).mean()
    assert (deep.transduction_[~hidden] == said[~hidden]).all() and deep.embedding_.shape == (400, 8)


# FEET ---------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def task(blobs):
    Z, y = blobs
    rows = np.random.default_rng(0).permutation(180)
    return Z[rows[:90]], np.array(["a", "b", "c"])[y[rows[:90]]], Z[rows[90:]], np.array(["a", "b", "c"])[y[rows[90:]]]


def test_shots_are_nested_and_of_every_class_alike():
    codes = np.repeat([0, 1, 2], [20, 20, 3])
    small, large = few_shots(codes, 2, (1, 0)), few_shots(codes, 8, (1, 0))
    assert set(small) <= set(large) and np.bincount(codes[large]).tolist() == [8, 8, 3]
    assert set(small) != set(few_shots(codes, 2, (1, 1)))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_measures_are_those_of_scikit_learn(classes):
    rng = np.random.default_rng(classes)
    y, p = rng.integers(classes, size=200), rng.dirichlet(np.ones(classes), size=200).round(1)
    p /= p.sum(axis=1, keepdims=True)
    assert METRICS["macro_f1"](y, p) == pytest.approx(f1_score(y, p.argmax(axis=1), average="macro"))
    theirs = roc_auc_score(y, p[:, 1]) if classes == 2 else roc_auc_score(y, p, multi_class="ovr")
    assert METRICS["auroc"](y, p) == pytest.approx(theirs)


def test_feet_puts_the_better_vectors_first_and_says_what_it_left_blank(task):
    found = feet({"as they are": lambda X: X, "<noise>": lambda X: X[:, 5:]}, {"blobs": task}, shots=(10, 2), seeds=1)
    row = found.scores("blobs")
    assert list(row["as they are"]) == ["frozen", "k=2", "k=10"]
    good, bad = (row[name] for name in ("as they are", "<noise>"))
    assert good["frozen"].score > 0.85 > 0.5 > bad["frozen"].score and good["frozen"].score >= good["k=2"].score
    assert all(cell.low <= cell.score <= cell.high and cell.high - cell.low < 0.4 for cell in found.cells)
    assert len(found.notes) == 2 and "not tuned" in found.notes[0]
    assert found.changes()["blobs", "as they are", "k=2"] == pytest.approx(good["k=2"].score / good["frozen"].score - 1)
    assert "*" in found.table() and "k=2 " in found.delta()
    assert re.search(r"\| as they are \| \*\*0\.\d{3}", found.to_markdown())
    assert "&lt;noise&gt;" in found.to_html() and "<noise>" not in found.to_html()


def test_feet_tunes_a_copy_and_finds_chance_where_labels_mean_nothing(task):
    X, y, X_test, y_test = task
    learner = SimCLR(epochs=1, encoder="mlp", batch_size=32).fit(X)
    before = {name: value.clone() for name, value in learner.net_.state_dict().items()}
    rng = np.random.default_rng(0)  # not clusters with shuffled labels: three clusters can be in or out of luck as a whole
    tasks = {"true": task, "shuffled": (rng.normal(size=X.shape), rng.permutation(y), rng.normal(size=X_test.shape), y_test)}
    regimes = ("frozen", "few", "few tuned", "tuned")
    found = feet({"mlp": learner}, tasks, shots=(10,), regimes=regimes, seeds=1, tune={"epochs": 2, "lr": 1e-3}, metric="auroc")
    assert all(torch.equal(value, before[name]) for name, value in learner.net_.state_dict().items())
    true, chance = (found.scores(name)["mlp"] for name in tasks)
    assert list(true) == ["frozen", "k=10", "k=10 tuned", "tuned"] and min(cell.score for cell in true.values()) > 0.75
    assert all(abs(cell.score - 0.5) < 0.2 for cell in chance.values())
    assert true["tuned"].trained > true["frozen"].trained


def test_fine_tuning_lowers_the_loss_of_the_frozen_encoder_and_repeats(task):
    X, y, X_test, y_test = task
    learner = SimCLR(epochs=1, encoder="mlp", batch_size=32).fit(X)
    one, again = (fine_tune(learner, X, y, epochs=4, lr=1e-3) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(X_test), again.predict_proba(X_test))
    assert (one.predict(X_test) == y_test).mean() > 0.8 and one.learner is not learner
    with pytest.raises(InputError, match="function"):
        fine_tune(lambda X: X, X, y)


def test_feet_refuses_what_it_can_not_compare(task):
    X, y, X_test, y_test = task
    model = {"m": lambda X: X}
    with pytest.raises(InputError, match="metric"):
        feet(model, {"t": task}, metric="mse")
    with pytest.raises(InputError, match="regimes"):
        feet(model, {"t": task}, regimes=("frozen", "many"))
    with pytest.raises(InputError, match="don't occur"):
        feet(model, {"t": (X, y, X_test, np.where(y_test == "a", "z", y_test))})
    with pytest.raises(InputError, match="1 classes"):
        feet(model, {"t": (X, ["a"] * len(X), X_test, y_test)})
    with pytest.raises(InputError, match="wanted one each"):
        feet({"m": lambda X: X[:3]}, {"t": task})


def test_a_dead_unit_of_a_network_gets_no_weight(blobs):
    Z, y = blobs
    dead = np.concatenate([Z, 1e-33 * np.random.default_rng(0).normal(size=(180, 2))], axis=1)
    model, without = CalibratedProbe().fit(dead, y), CalibratedProbe().fit(Z, y)
    assert (model.coef_[:, 8:] == 0).all()
    np.testing.assert_allclose(model.coef_[:, :8], without.coef_)
