"""Episodes, HyperShot, BECLR and its classifier: their formulas against loops and other people's solvers, their traps, hard inputs."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import check_estimator

from unlabeled import InputError, load_model
from unlabeled.learner import Batch
from unlabeled.parts.episodes import Episodes, few_shot_accuracy
from unlabeled.tasks.few_shot.beclr import BECLR, ClusteredMemory, FewShotClassifier, directions, transported, uniformity
from unlabeled.tasks.few_shot.hypershot import HyperShot

TINY = {"n_way": 2, "batch_size": 6, "hidden": 8, "target": 4}


@pytest.fixture(scope="module")
def characters():
    """80 classes of 12 vectors: classes differ in 6 of 24 numbers, the others are loud. X [960, 24], y."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(80, 6)) * 2
    X = np.concatenate([np.repeat(centers, 12, axis=0) + rng.normal(size=(960, 6)), 4 * rng.normal(size=(960, 18))], axis=1)
    return X.astype(np.float32), np.repeat(np.arange(80), 12)


@pytest.fixture(scope="module")
def learned(characters):
    X, y = characters
    return HyperShot(epochs=8, batch_size=40, lr=1e-2).fit(X[y < 60], y[y < 60])


@pytest.fixture(scope="module")
def blobs():
    """Five classes on the sphere, 20 vectors each."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(5, 1, 16)) + 0.8 * rng.normal(size=(5, 20, 16))
    return X.reshape(100, 16).astype(np.float32), np.repeat(np.arange(5), 20)


# Episodes -----------------------------------------------------------------------------------------------------------
def test_an_episode_has_other_examples_of_the_same_classes_as_queries():
    y = np.repeat(np.array(list("abcdefg")), 9)
    one = Episodes(y, 4, 2, 5).draw(np.random.default_rng(0))
    assert (y[one.support] == np.repeat(one.classes, 2)).all() and (y[one.query] == one.classes[one.query_codes]).all()
    assert len(np.unique(np.concatenate([one.support, one.query]))) == 4 * 7


def test_every_class_comes_at_every_place_equally_often():
    drawn, rng = Episodes(np.repeat(np.arange(4), 3), 3, 1, 1), np.random.default_rng(0)
    counts = np.zeros((4, 3))
    for _ in range(2000):
        counts[drawn.draw(rng).classes, np.arange(3)] += 1
    assert abs(counts - 500).max() < 80  # four standard deviations


def test_rows_without_a_label_and_small_classes_are_never_drawn():
    y = np.array([0] * 6 + [1] * 6 + [2] * 5 + [-1] * 30)
    drawn, rng = Episodes(y, 2, 2, 4), np.random.default_rng(0)
    assert drawn.classes.tolist() == [0, 1]
    assert all(y[np.concatenate([one.support, one.query])].max() < 2 for one in (drawn.draw(rng) for _ in range(20)))
    assert Episodes(["a", "a", "", "", "b", "b"], 2, 1, 1).classes.tolist() == ["a", "b"]
    with pytest.raises(InputError, match="2 of 3 classes have the 6 rows"):
        Episodes(y, 3, 2, 4)


def test_unbalanced_queries_fall_unevenly_on_the_classes():
    drawn, rng = Episodes(np.repeat(np.arange(5), 100), 5, 1, 10, unbalanced=1.0), np.random.default_rng(0)
    counts = [np.bincount(drawn.draw(rng).query_codes, minlength=5) for _ in range(30)]
    assert {int(one.sum()) for one in counts} == {50} and np.std(counts) > 4


@pytest.mark.parametrize("bad", [{"n_way": 1}, {"k_shot": 0}, {"n_query": 0}, {"k_shot": 1.5}, {"unbalanced": 0.0}])
def test_episodes_that_can_not_be_are_refused(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        Episodes(np.repeat(np.arange(6), 20), **bad)


def test_the_accuracy_of_one_who_knows_is_one_and_of_one_who_guesses_a_share_of_the_classes():
    y = np.repeat(np.arange(8), 12)
    rng = np.random.default_rng(3)
    assert few_shot_accuracy(lambda S, s, Q: Q, y, y, n_query=5, episodes=10).mean == 1
    guess = few_shot_accuracy(lambda S, s, Q: rng.choice(s, len(Q)), y, y, n_query=5, episodes=300)
    assert abs(guess.mean - 1 / 5) < 2 * guess.interval and guess.each.shape == (300,) and "300 episodes" in guess.table()
    assert guess.interval == pytest.approx(1.96 * np.std(guess.each, ddof=1) / np.sqrt(300))
    assert guess.interval == pytest.approx(1.96 * np.sqrt(0.2 * 0.8 / 25 / 300), rel=0.15)  # 25 coins of 1/5 an episode


def test_every_model_gets_the_same_episodes_whatever_it_is(blobs):
    X, y = blobs
    seen = []

    def nearest(S, s, Q):
        seen.append((S, Q))
        return s[((Q[:, None] - S) ** 2).sum(axis=2).argmin(axis=1)]

    first = few_shot_accuracy(nearest, X, y, episodes=5, seed=4)
    classifier = few_shot_accuracy(KNeighborsClassifier(1), X, y, episodes=5, seed=4)
    np.testing.assert_allclose(first.each, classifier.each)
    assert len(seen) == 5
    texts = few_shot_accuracy(lambda S, s, Q: [int(q) // 20 for q in Q], [str(i) for i in range(100)], y, episodes=2)
    assert texts.mean == 1
    with pytest.raises(InputError, match="a label a row"):
        few_shot_accuracy(nearest, X, y[:-1])


# HyperShot ----------------------------------------------------------------------------------------------------------
def test_hypershot_passes_scikit_learns_own_checks():
    check_estimator(HyperShot(**TINY, examples=12, encoder="identity"))


def test_the_written_network_is_what_its_formula_says(learned, characters):
    X, y = characters
    support, queries = X[y >= 75][::12], X[y >= 75][1::12]
    classify = learned.episode(support, np.arange(5))
    zs, zq = (learned.transform(part).astype(np.float64) for part in (support, queries))
    zs, zq = zs / np.linalg.norm(zs, axis=1, keepdims=True), zq / np.linalg.norm(zq, axis=1, keepdims=True)
    w = {name: value.double().numpy() for name, value in learned.net_.hyper.state_dict().items()}
    root = (zs @ zs.T).ravel()
    for layer in ("neck.0.0", "neck.0.2"):
        root = np.maximum(w[f"{layer}.weight"] @ root + w[f"{layer}.bias"], 0)
    w1, b1, w2, b2 = (w[f"heads.{i}.weight"] @ root + w[f"heads.{i}.bias"] for i in range(4))
    hidden = np.maximum(zq @ zs.T @ w1.reshape(128, 5).T + b1, 0)
    logits = hidden @ w2.reshape(5, 128).T + b2
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(classify.predict_proba(queries), p / p.sum(axis=1, keepdims=True), atol=1e-4)


def test_classes_never_seen_are_told_apart_better_than_by_the_raw_vectors(learned, characters):
    X, y = characters
    new = y >= 60
    raw = few_shot_accuracy(KNeighborsClassifier(1), X[new], y[new], n_query=7, episodes=40)
    ours = few_shot_accuracy(learned, X[new], y[new], n_query=7, episodes=40)
    assert ours.mean > raw.mean + 0.15


def test_an_epoch_shows_whole_episodes(characters):
    X, y = characters
    model = HyperShot(n_way=4, k_shot=2, batch_size=20)
    model._codes = torch.from_numpy(np.where(y == 7, -1, y))
    net = model._new_net(model._items(X, reset=True))
    order = model.order(net, 960, torch.Generator().manual_seed(0))
    assert order.shape == (960,)
    for batch in order.numpy().reshape(48, 20):
        classes, counts = np.unique(y[batch], return_counts=True)
        assert counts.tolist() == [5] * 4 and 7 not in classes and len(set(batch)) == 20


def test_which_class_is_the_first_and_what_is_support_is_drawn_anew(characters):
    X, y = characters
    model = HyperShot(n_way=4, k_shot=2, batch_size=20)
    model._codes = torch.from_numpy(y)
    net, seen = model._new_net(model._items(X, reset=True)), []
    model.solve = lambda net, support: seen.append(support) or HyperShot.solve(model, net, support)
    index = torch.cat([torch.arange(12 * c, 12 * c + 5) for c in range(4)])
    net.eval()
    for seed in range(60):
        torch.manual_seed(seed)
        model.loss(net, Batch([torch.from_numpy(X[index])], index))
    z = net.encode(torch.from_numpy(X[index]))
    found = [torch.cdist(support.flatten(0, 1), z).argmin(dim=1).view(4, 2) for support in seen]
    assert all((rows // 5 == (rows // 5)[:, :1]).all() for rows in found)  # support rows of one class stand together
    assert len({tuple((rows[:, 0] // 5).tolist()) for rows in found}) > 15  # of 24 orders
    assert len(set(torch.cat(found).flatten().tolist())) == 20


def test_the_support_may_come_in_any_order_and_number_and_with_names(learned, characters):
    X, y = characters
    rows = np.flatnonzero(y >= 75)
    names = np.array(["cat", "gnu", "emu", "eel", "yak"])[y[rows] - 75]
    mixed = np.random.default_rng(0).permutation(len(rows))[:43]
    classify = learned.episode(X[rows[mixed]], names[mixed])
    again = learned.episode(X[rows[np.sort(mixed)]], names[np.sort(mixed)])
    assert set(classify(X[rows])) <= set(names) and (classify(X[rows]) == names).mean() > 0.7
    np.testing.assert_allclose(classify.predict_proba(X[rows]), again.predict_proba(X[rows]), atol=1e-5)
    vectors = learned.episode(learned.transform(X[rows[mixed]]), names[mixed], embedded=True)
    assert (vectors(learned.transform(X[rows])) == classify(X[rows])).all()
    with pytest.raises(InputError, match="4 classes of"):
        learned.episode(X[rows[:48]], names[:48])
    with pytest.raises(InputError, match="wanted one label each"):
        learned.episode(X[rows], names[:-1])


def test_adapting_fits_the_support_better(learned, characters):
    X, y = characters
    rows = np.flatnonzero(y >= 75)
    losses = []
    for steps in (0, 20):
        model = learned.set_params(adapt=steps)
        p = model.episode(X[rows], y[rows]).predict_proba(X[rows])
        losses.append(-np.log(p[np.arange(len(rows)), y[rows] - 75]).mean())
    learned.set_params(adapt=0)
    assert losses[1] < losses[0] - 0.01


@pytest.mark.parametrize("options", [{"kernel": "dot"}, {"kernel": None}, {"aggregate": "all", "k_shot": 2, "batch_size": 8}])
def test_its_variants_learn_and_are_kept(options, characters, tmp_path):
    X, y = characters
    fitted = HyperShot(**TINY | {"epochs": 1} | options).fit(X, [f"class {i}" for i in y])
    classify = fitted.episode(X[[0, 1, 12, 13]], [3, 3, 4, 4])
    fitted.save(tmp_path)
    loaded = load_model(tmp_path).episode(X[[0, 1, 12, 13]], [3, 3, 4, 4])
    np.testing.assert_allclose(loaded.predict_proba(X[:30]), classify.predict_proba(X[:30]), atol=1e-5)
    if options.get("aggregate") == "all":
        with pytest.raises(InputError, match="2 examples each"):
            fitted.episode(X[[0, 12]], [3, 4])


def test_a_vector_of_zeros_is_related_to_nothing(learned):
    support = torch.eye(256)[:5]
    assert (learned.net_.hyper.relate(torch.zeros(1, 256), support) == 0).all()
    classify = learned.episode(np.eye(5, 256) * [[0], [1], [1], [1], [1]], np.arange(5), embedded=True)
    assert np.isfinite(classify.predict_proba(np.zeros((2, 256)))).all()


def test_hypershot_reads_pictures():
    digits = load_digits()
    X = (digits.images[:200] * 15).astype(np.uint8)
    fitted = HyperShot(n_way=3, batch_size=12, epochs=1).fit(X, digits.target[:200])
    assert fitted.episode(X[:3], digits.target[:3])(X[3:9]).shape == (6,)


@pytest.mark.parametrize(
    ("options", "y", "said"),
    [
        ({}, None, "requires y"),
        ({}, np.zeros(959), "wanted one label each"),
        ({}, np.zeros(960), "one class only"),
        ({"batch_size": 7}, None, "requires y"),
        ({"batch_size": 7, "n_way": 2}, "y", "multiple of n_way=2"),
        ({"k_shot": 16}, "y", "at least 85"),
        ({"batch_size": 100}, "y", "80 classes have the 20 rows"),
        ({"batch_size": 1000}, "y", "fewer than an episode"),
        ({"kernel": "rbf", "batch_size": 20}, "y", "kernel"),
    ],
)
def test_what_hypershot_can_not_learn_from_is_refused(options, y, said, characters):
    with pytest.raises(InputError, match=said):
        HyperShot(epochs=1, **options).fit(characters[0], characters[1] if isinstance(y, str) else y)


# BECLR --------------------------------------------------------------------------------------------------------------
def test_uniformity_is_the_mean_over_all_pairs_but_a_row_with_itself_and_its_partner():
    z1, z2 = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    z = torch.nn.functional.normalize(torch.cat([z1, z2]), dim=1)
    terms = [np.exp(float(z[i] @ z[j]) / 2) for i in range(10) for j in range(10) if j not in (i, (i + 5) % 10)]
    assert float(uniformity(z1, z2)) == pytest.approx(np.log(np.mean(terms)), abs=1e-5) and len(terms) == 80


def filled(size=40, clusters=4):
    memory = ClusteredMemory(size, 6, clusters)
    z = torch.randn(size, 6, generator=torch.Generator().manual_seed(1))
    memory.add([z[: size // 2], z[size // 2 :]])
    return memory, z


def test_the_memory_keeps_the_last_embeddings_and_the_means_of_its_clusters():
    memory, z = filled()
    assert memory.full and torch.equal(memory.rows, z) and len(memory.labels.unique()) == 4
    expected, old = memory.assign(torch.cat([z[:7] + 1, z[:7] - 1])), memory.labels.clone()
    memory.add([z[:7] + 1, z[:7] - 1])
    assert torch.equal(memory.rows, torch.cat([z[:7] + 1, z[:7] - 1, z[14:]])) and int(memory.added) == 54
    assert torch.equal(memory.labels, torch.cat([expected, old[14:]]))
    for k in range(4):
        mean = torch.nn.functional.normalize(memory.rows[memory.labels == k], dim=1).sum(dim=0)
        torch.testing.assert_close(memory.centers[k], mean / mean.norm())


def test_a_cluster_without_members_stays_where_it_was_and_a_long_batch_leaves_its_end():
    memory, z = filled()
    centers = memory.centers.clone()
    memory.assign = lambda z: torch.zeros(len(z), dtype=torch.long)
    memory.add([torch.randn(30, 6), z[:35]])
    assert torch.equal(memory.centers[1:], centers[1:]) and not torch.equal(memory.centers[0], centers[0])
    assert int(memory.added) == 80 and torch.equal(memory.rows[5:], z[:35])


def test_a_batch_is_dealt_out_evenly_over_the_clusters():
    memory, _ = filled()
    z = torch.randn(64, 6, generator=torch.Generator().manual_seed(2)) + 2 * memory.centers[0]
    counts = memory.assign(z).bincount(minlength=4)
    nearest = (z @ memory.centers.T).argmax(dim=1).bincount(minlength=4)
    assert counts.min() >= 8 and nearest.max() > 40


def test_neighbours_are_the_nearest_of_the_own_cluster_or_of_all_where_it_is_small():
    memory, _ = filled()
    memory.labels[:] = torch.tensor([0] * 2 + [1] * 20 + [2] * 18)
    z, labels = torch.randn(12, 6, generator=torch.Generator().manual_seed(3)), torch.arange(12) % 4
    found = memory.neighbours(z, labels, 3)
    cosines = torch.nn.functional.cosine_similarity(z[:, None], memory.rows[None], dim=2)
    for i in range(12):
        candidates = (memory.labels == labels[i]).nonzero().flatten()
        candidates = candidates if len(candidates) >= 3 else torch.arange(40)
        assert found[i].tolist() == candidates[cosines[i, candidates].argsort(descending=True)[:3]].tolist()


def begun(data, **options):
    learner = BECLR(epochs=2, batch_size=32, dim=8, memory=64, clusters=6, **options)
    net = learner._new_net(learner._items(data, reset=True)).train()
    torch.manual_seed(0)
    x = torch.from_numpy(data)
    return learner, net, Batch([x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x)], torch.arange(len(data)))


def test_the_loss_is_that_of_both_views_with_their_neighbours_row_by_row(blobs):
    learner, net, batch = begun(blobs[0], start=0.0, topk=2)
    learner.loss(net, batch)
    learner.after_step(net, batch)
    assert net.remember.full and net.teacher_remember.full
    net.eval()
    added = int(net.remember.added)
    terms = learner.loss(net, batch)
    assert int(net.remember.added) == added  # the batch is not among its own neighbours
    sides = {"student": (net.remember, batch.seen[0]), "teacher": (net.teacher_remember, batch.seen[1])}
    rows = {}
    for side, (memory, views) in sides.items():
        labels = memory.assign(torch.cat(list(views)))
        for v in range(2):
            found = memory.neighbours(views[v], labels[100 * v :][:100], 2)
            rows[side, v] = [views[v][i] for i in range(100)] + [memory.rows[found[i, j]] for j in range(2) for i in range(100)]
    p = [net.predict(torch.stack(rows["student", v])) for v in range(2)]
    cosine = torch.nn.functional.cosine_similarity
    positive = [-cosine(p[v][i], rows["teacher", 1 - v][i], dim=0) for v in range(2) for i in range(300)]
    torch.testing.assert_close(terms["positive"], torch.stack(positive).mean())
    apart = uniformity(torch.stack(rows["student", 0]), torch.stack(rows["teacher", 1]))
    torch.testing.assert_close(terms["apart"], 0.1 * apart)


def test_gradients_reach_the_student_alone_and_without_neighbours_there_is_no_memory(blobs):
    for options in ({"start": 0.0}, {"topk": 0}, {"sides": "SS"}):
        learner, net, batch = begun(blobs[0], **options)
        for _ in range(2):
            sum(learner.loss(net, batch).values()).backward()
            learner.after_step(net, batch)
        assert all(p.grad is None for p in net.teacher.parameters()) and not any(b.requires_grad for b in net.buffers())
        assert all(p.grad is not None for p in [*net.encode.parameters(), *net.predict.parameters()])
        assert hasattr(net, "remember") == (options.get("topk") != 0)


def test_before_its_start_the_memory_fills_but_nothing_is_added(blobs):
    learner, net, batch = begun(blobs[0], start=1.0)
    learner.steps_ = 10
    first = learner.loss(net, batch)["positive"]
    learner.after_step(net, batch)
    assert int(net.remember.added) == 64
    z = [net.project(net.encode(view)) for view in batch.views]
    assert [len(one) for one in net.remember.enhanced(z, 3)] == [400, 400]
    learner.loss(net, batch)
    assert torch.isfinite(first)


@pytest.mark.parametrize("kind", ["vectors", "pictures"])
def test_beclr_learns_without_collapse_and_is_the_same_when_loaded(kind, blobs, tmp_path):
    X = blobs[0] if kind == "vectors" else (load_digits().images[:100] * 15).astype(np.uint8)
    fitted = BECLR(epochs=6, batch_size=20, dim=16, memory=80, clusters=6).fit(X)
    z = fitted.transform(X)
    fitted.save(tmp_path)
    loaded = load_model(tmp_path)
    np.testing.assert_allclose(loaded.transform(X), z, atol=1e-5)
    assert torch.equal(loaded.net_.remember.rows, fitted.net_.remember.rows) and int(loaded.net_.remember.added) == 6 * 5 * 40
    spread = torch.nn.functional.normalize(fitted.net_.teacher_remember.rows, dim=1).std(dim=0).mean()
    assert spread > 0.6 / 16**0.5 and np.isfinite(z).all()


@pytest.mark.parametrize("bad", [{"topk": -1}, {"topk": 1.5}, {"sides": "TT"}, {"start": 2.0}, {"clusters": 1}, {"momentum": 1.5}])
def test_settings_that_make_no_sense_are_refused(bad, blobs):
    with pytest.raises(ValueError, match=next(iter(bad))):
        BECLR(epochs=1, **bad).fit(blobs[0])


# The classifier -----------------------------------------------------------------------------------------------------
def test_the_classifiers_pass_scikit_learns_own_checks():
    check_estimator(FewShotClassifier(align=None))
    together = "queries are judged together"
    check_estimator(FewShotClassifier(), expected_failed_checks={"check_methods_subset_invariance": together})


def test_with_little_entropy_prototypes_go_to_the_means_of_the_cheapest_even_assignment():
    rng = np.random.default_rng(0)
    queries = np.repeat(np.eye(4), 10, axis=0) + 0.1 * rng.normal(size=(40, 4))
    prototypes = np.eye(4) * 0.6 + np.eye(4)[0]  # all of them far off, the first farthest
    cost = ((queries[:, None] - np.repeat(prototypes, 10, axis=0)) ** 2).sum(axis=2)
    _, columns = linear_sum_assignment(cost)
    expected = [queries[columns // 10 == k].mean(axis=0) for k in range(4)]
    np.testing.assert_allclose(transported(prototypes, queries, 1, eps=0.01), expected, atol=0.02)
    assert (cost[:, ::10].argmin(axis=1) == 0).sum() < 3  # by the nearest prototype its ten would go to the others


def test_the_plan_is_the_one_that_plain_sinkhorn_finds(blobs):
    X, _ = blobs
    P, Q = directions(X[:3]), directions(X[20:70])
    for _ in range(2):
        cost = ((P[:, None] - Q) ** 2).sum(axis=2)
        plan = np.exp(-cost / cost.max() / 0.1)
        for _ in range(2000):
            plan *= (1 / 3) / plan.sum(axis=1, keepdims=True)
            plan *= (1 / 50) / plan.sum(axis=0, keepdims=True)
        P = plan / plan.sum(axis=1, keepdims=True) @ Q
    np.testing.assert_allclose(transported(directions(X[:3]), directions(X[20:70]), 2, eps=0.1), P, atol=1e-3)


def test_without_alignment_it_is_a_logistic_regression_on_directions(blobs):
    X, y = blobs
    ours = FewShotClassifier(align=None).fit(X[::4], y[::4]).predict_proba(X)
    unit = 4 * X / np.linalg.norm(X, axis=1, keepdims=True)
    theirs = LogisticRegression(max_iter=1000).fit(unit[::4], y[::4]).predict_proba(unit)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_the_labelled_rows_stay_beside_the_moved_means(blobs):
    X, y = blobs
    support, queries = directions(X[::4]), directions(X[1::4])
    moved = transported(np.stack([support[y[::4] == code].mean(axis=0) for code in range(5)]), queries, 1)
    expected = LogisticRegression(max_iter=1000).fit(np.r_[moved, support], np.r_[np.arange(5), y[::4]]).predict_proba(queries)
    np.testing.assert_allclose(FewShotClassifier().fit(X[::4], y[::4]).predict_proba(X[1::4]), expected, atol=1e-5)


def test_alignment_helps_where_classes_have_as_many_queries_and_not_where_they_have_not(blobs):
    rng = np.random.default_rng(2)
    X = (rng.normal(size=(20, 1, 16)) + 1.3 * rng.normal(size=(20, 40, 16))).reshape(800, 16)
    y = np.repeat(np.arange(20), 40)
    found = {
        (align, share): few_shot_accuracy(FewShotClassifier(align=align), X, y, episodes=25, unbalanced=share).mean
        for align in ("opta", None)
        for share in (None, 0.3)
    }
    gain, uneven = (found["opta", share] - found[None, share] for share in (None, 0.3))
    assert gain > 0.05 and uneven < gain - 0.05, found


def test_fewer_queries_than_classes_move_nothing_and_lengths_do_not_matter(blobs):
    X, y = blobs
    fitted, plain = FewShotClassifier().fit(X[::10], y[::10]), FewShotClassifier(align=None).fit(X[::10], y[::10])
    np.testing.assert_array_equal(fitted.predict_proba(X[:4]), plain.predict_proba(X[:4]))
    longer = X * np.linspace(0.1, 9, 100, dtype=np.float32)[:, None]
    again = FewShotClassifier().fit(longer[::10], y[::10])
    np.testing.assert_allclose(again.predict_proba(longer), fitted.predict_proba(X), atol=1e-4)


def test_hard_inputs_are_right_or_refused(blobs, tmp_path):
    X, y = blobs
    names = np.array(["ant", "bee", "cat", "dog", "eel"])[y]
    named = np.where(np.arange(100) % 10 == 0, names, "")
    fitted = FewShotClassifier().fit(X.astype(np.float16), named)
    assert (fitted.predict(np.asfortranarray(X)) == names).mean() > 0.8 and len(fitted.support_) == 10
    fitted.save(tmp_path)
    np.testing.assert_array_equal(FewShotClassifier.load(tmp_path).predict(X), fitted.predict(X))
    zeros = np.concatenate([X, np.zeros((3, 16), np.float32)])
    assert np.isfinite(fitted.predict_proba(zeros)).all() and np.isfinite(fitted.predict_proba(np.zeros((7, 16)))).all()
    assert np.isfinite(FewShotClassifier().fit(zeros[[0, 20, 100, 101]], [0, 1, 0, 1]).predict_proba(zeros)).all()
    for bad in (X[:, :5], np.where(X > 2, np.nan, X), X[0]):
        with pytest.raises(ValueError):
            fitted.predict(bad)
    for Z, labels in ((X, np.zeros(100)), (X, y[:50]), (np.where(X > 2, np.inf, X), y)):
        with pytest.raises(ValueError):
            FewShotClassifier().fit(Z, labels)
    for bad in ({"align": "ot"}, {"passes": 0}, {"eps": 0.0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            FewShotClassifier(**bad).fit(X, y)
