import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits, make_blobs

from unlabeled.data import as_items
from unlabeled.errors import InputError
from unlabeled.learner import Batch
from unlabeled.methods.clustering.clusterfit import ClusterFit
from unlabeled.methods.clustering.deepercluster import DeeperCluster
from unlabeled.methods.clustering.jule import JULE
from unlabeled.methods.pretext.rotnet import RotNet, turn
from unlabeled.parts.agglomerate import agglomerate, chains, linkage, merge, nearest_clusters, neighbours, periods, symmetric
from unlabeled.parts.partition import Partition
from unlabeled.saving import load_model
from unlabeled.views import ImageViews
from unlabeled.views.images import WHOLE, rotate4
from unlabeled.views.whole import whole

SMALL = {"encoder": "conv5", "epochs": 2, "batch_size": 32, "seed": 3}
pytestmark = pytest.mark.filterwarnings("ignore:turns are told")


def upright(n: int, seed: int = 0) -> np.ndarray:
    """Pictures with an upright: a bright sky above a dark ground, a blob at random."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (n, 16, 16, 3))
    images[:, :7] += 150
    for image, (x, y) in zip(images, rng.integers(0, 12, (n, 2)), strict=True):
        image[y : y + 4, x : x + 4] = rng.integers(0, 255, 3)
    return images.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures():
    return upright(96)


# RotNet -----------------------------------------------------------------------------------------------------------
def test_quarter_turns_only_move_pixels():
    images = torch.rand(3, 3, 8, 8)
    turned, labels = turn(images, (0, 90, 180, 270))
    same, numbers = rotate4(images)
    assert torch.equal(turned, same) and torch.equal(labels, numbers)
    assert torch.equal(turned.flatten(1).sort().values, images.flatten(1).sort().values.repeat(4, 1))


def test_a_turn_by_interpolation_is_that_of_rot90_inside_the_disc():
    images = torch.rand(2, 3, 9, 9)
    slow = turn(images, (0, 45, 90))[0][4:]
    disc = turn(images, (0, 45))[0][:2] != 0
    assert torch.equal(slow, torch.rot90(images, 1, dims=(2, 3)) * disc)
    almost = turn(images, (0, 90.0001))[0][2:]  # by way of the interpolation, in the same direction
    assert torch.allclose(almost, slow, atol=1e-3)


def test_no_angle_leaves_corners_that_tell_it_from_another():
    turned, _ = turn(torch.ones(1, 1, 16, 16), (0, 45, 90, 135))
    assert (turned[:, :, 0, 0] == 0).all() and (turned[:, 0, 8, 8] > 0.99).all()


def test_pictures_that_are_not_square_are_turned_about_their_central_square():
    images = torch.rand(2, 3, 8, 12)
    assert torch.equal(turn(images, (0, 180))[0][:2], images[:, :, :, 2:10])


def test_rotnet_tells_turns_and_its_loss_is_the_mean_over_all_turns(pictures):
    rotnet = RotNet(**SMALL | {"epochs": 8}).fit(pictures)
    assert rotnet.rotation_accuracy(upright(40, seed=1)) > 0.6
    net, views = rotnet.net_, torch.rand(5, 3, 16, 16)
    with torch.no_grad():
        loss = rotnet.loss(net, Batch([views], torch.arange(5)))
        one_by_one = [
            F.cross_entropy(net.classify(net.encode(torch.rot90(view[None], r, dims=(2, 3)))), torch.tensor([r]))
            for view in views
            for r in range(4)
        ]
    assert float(loss) == pytest.approx(float(torch.stack(one_by_one).mean()), abs=1e-5)


def test_rotnet_gives_the_vectors_of_the_block_that_was_asked_for(pictures):
    rotnet = RotNet(**SMALL, layer=2).fit(pictures)
    x = torch.from_numpy(pictures[:4]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        assert np.allclose(rotnet.transform(pictures[:4]), rotnet.net_.encode.layers(x)[1].numpy(), atol=1e-5)
    assert rotnet.transform(pictures[:4]).shape == (4, 64)


def test_pictures_without_an_upright_bring_a_warning():
    noise = np.random.default_rng(0).integers(0, 255, (64, 12, 12, 3)).astype(np.uint8)
    with pytest.warns(UserWarning, match="upright"):
        RotNet(**SMALL | {"epochs": 1}).fit(noise)


@pytest.mark.parametrize(("wrong", "said"), [({"angles": (0, 360)}, "angles"), ({"angles": (90,)}, "angles"), ({"layer": 6}, "5 blocks")])
def test_rotnet_says_which_setting_is_wrong(pictures, wrong, said):
    with pytest.raises(InputError, match=said):
        RotNet(**SMALL, **wrong).fit(pictures)


@pytest.mark.parametrize("method", [RotNet, DeeperCluster])
def test_only_pictures_can_be_turned(method):
    with pytest.raises(InputError, match="pictures"):
        method(epochs=1).fit(np.random.default_rng(0).normal(size=(30, 5)))


# ClusterFit -------------------------------------------------------------------------------------------------------
def test_clusterfit_learns_the_clusters_of_given_vectors_with_a_network_from_its_first_weights(pictures):
    vectors, y = make_blobs(96, n_features=4, centers=3, cluster_std=0.01, random_state=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    fit = ClusterFit(**SMALL, representation=vectors.astype(np.float32), clusters=3).fit(pictures)
    table = np.zeros((3, 3))
    np.add.at(table, (fit.labels_, y), 1)
    assert (table > 0).sum() == 3


def test_clusterfit_makes_its_clusters_once_and_leaves_the_given_estimator_as_it_was(pictures):
    given = RotNet(**SMALL)
    fit = ClusterFit(**SMALL, representation=given, clusters=5).fit(pictures)
    assert int(fit.net_.pseudo.rounds) == 1 and not hasattr(given, "net_")
    fitted = RotNet(**SMALL).fit(pictures)
    before = fitted.transform(pictures)
    again = ClusterFit(**SMALL, representation=fitted, clusters=5).fit(pictures)
    assert np.array_equal(again.labels_, fit.labels_)  # fitted within or before: the same
    assert np.array_equal(fitted.transform(pictures), before)


def test_clusterfit_does_not_begin_with_the_weights_of_the_other_network(pictures):
    fitted = RotNet(**SMALL).fit(pictures)
    start = ClusterFit(**SMALL, representation=fitted).untrained(pictures)
    other = RotNet(**SMALL).untrained(pictures)
    assert torch.equal(start.net_.encode.blocks[0][0].weight, other.net_.encode.blocks[0][0].weight)
    assert not torch.equal(start.net_.encode.blocks[0][0].weight, fitted.net_.encode.blocks[0][0].weight)


def test_clusterfit_learns_from_vectors_and_texts_without_a_word_about_the_representation():
    X, y = make_blobs(120, n_features=6, centers=4, cluster_std=0.3, random_state=1)
    assert ClusterFit(epochs=2, batch_size=40, clusters=4).fit(X).transform(X).shape[0] == 120
    texts = [f"{word} number {i}" for i in range(20) for word in ("apple", "river")]
    assert ClusterFit(epochs=1, batch_size=20, clusters=4).fit(texts).labels_.shape == (40,)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"representation": np.zeros((5, 2), np.float32)}, "5 vectors for 96"),
        ({"representation": "rotnet"}, "representation"),
        ({"clusters": 1}, "clusters"),
    ],
)
def test_clusterfit_says_what_is_wrong_with_what_it_was_given(pictures, wrong, said):
    with pytest.raises(InputError, match=said):
        ClusterFit(**SMALL, **wrong).fit(pictures)


# DeeperCluster ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def deeper(pictures):
    return DeeperCluster(**SMALL | {"epochs": 6}, super_clusters=2, clusters=12, refresh=2).fit(pictures)


def test_a_super_class_reads_its_own_classifier_only(deeper, pictures):
    """The gathered logits against one big matrix in which every other super-class's logits are set to -inf."""
    net, index = deeper.net_, torch.arange(6)
    views = torch.from_numpy(pictures[:6]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        terms = deeper.loss(net, Batch([views], index))
        turned, turns = rotate4(views)
        features = net.encode(turned)
        s = net.supers.labels[index.repeat(4)] * 4 + turns
        logits, width = net.subs.classify(features), net.subs.classes // 8
        outside = torch.arange(logits.shape[1]) // width != s[:, None]
        right = F.cross_entropy(net.supers.classify(features), s)
        masked = F.cross_entropy(logits.masked_fill(outside, -torch.inf), s * width + net.subs.labels[index.repeat(4)])
    assert terms["cluster"].item() == pytest.approx(float(masked), abs=1e-5)
    assert terms["super-class"].item() == pytest.approx(right.item(), abs=1e-5)


def test_super_clusters_are_made_once_and_the_clusters_in_them_again(deeper):
    assert int(deeper.net_.supers.rounds) == 1
    assert int(deeper.net_.subs.rounds) == 2  # epochs 2 and 4 of 6: a third of the epochs are turns alone
    assert deeper.labels_.shape == (96, 2)
    assert set(np.unique(deeper.labels_[:, 0])) == {0, 1} and deeper.labels_[:, 1].max() < 6


def test_before_the_first_clustering_only_turns_are_learned(pictures):
    method = DeeperCluster(**SMALL, start=1.0).fit(pictures)
    assert int(method.net_.supers.rounds) == 0
    assert set(method.loss(method.net_, Batch([torch.rand(2, 3, 16, 16)], torch.arange(2)))) == {"super-class"}


def test_an_epoch_shows_every_cluster_equally_often(deeper):
    shown = deeper.order(deeper.net_, 96, torch.Generator().manual_seed(0)).numpy()
    _, counts = np.unique(deeper.labels_[shown], axis=0, return_counts=True)
    assert len(counts) == len(np.unique(deeper.labels_, axis=0)) and counts.max() - counts.min() <= 1


def test_deepercluster_still_tells_turns(deeper):
    assert deeper.rotation_accuracy(upright(40, seed=1)) > 0.5


# JULE -------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def graph():
    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    return X, neighbours(X, 6)[0]


def test_the_graph_is_directed_and_its_weights_are_those_of_the_formula(graph):
    X, W = graph
    squared = ((X[:, None] - X) ** 2).sum(axis=2)
    np.fill_diagonal(squared, np.inf)
    near = squared.argsort(axis=1)[:, :6]
    expected = np.zeros((40, 40))
    sigma2 = np.take_along_axis(squared, near, axis=1).mean()
    for i in range(40):
        expected[i, near[i]] = np.exp(-squared[i, near[i]] / sigma2)
    assert np.allclose(W.toarray(), expected, atol=1e-5)
    assert (W.toarray() != W.toarray().T).any()


def test_cluster_affinity_is_that_of_the_formula(graph):
    X, W = graph
    labels = np.arange(40) % 5
    dense, paths = W.toarray(), linkage(W, labels)
    affinity = symmetric(paths, np.bincount(labels))
    for a in range(5):
        for b in set(range(5)) - {a}:
            there, back = dense[np.ix_(labels == a, labels == b)], dense[np.ix_(labels == b, labels == a)]
            one = np.ones(8)
            expected = (one @ there @ back @ one) / 64 + (one @ back @ there @ one) / 64
            assert affinity[a, b] == pytest.approx(expected, rel=1e-5)
    assert (np.diag(affinity) == -np.inf).all()


def test_a_merge_takes_the_pair_of_highest_affinity(graph):
    X, W = graph
    labels = np.arange(40) % 8
    affinity = symmetric(linkage(W, labels), np.bincount(labels))
    a, b = np.unravel_index(affinity.argmax(), affinity.shape)
    merged = merge(X, W, labels, 7)
    assert len(set(merged[(labels == a) | (labels == b)])) == 1
    assert len(np.unique(merged)) == 7 and all(len(set(merged[labels == c])) == 1 for c in range(8))


def test_merges_follow_a_slow_and_plain_version_of_the_same_rule(graph):
    X, W = graph
    labels = np.arange(40) // 2
    U, sizes, alive, slow = linkage(W, labels), np.bincount(labels).astype(float), list(range(20)), labels.copy()
    while len(alive) > 9:
        score = {(a, b): U[a, b] / sizes[a] ** 2 + U[b, a] / sizes[b] ** 2 for a in alive for b in alive if a < b}
        a, b = max(score, key=score.get)
        assert score[a, b] > 0  # else the fallback would be tested
        for c in set(alive) - {a, b}:
            U[c, a] += U[c, b]
            U[a, c] += U[b, c]
        sizes[a] += sizes[b]
        alive.remove(b)
        slow[slow == b] = a
    assert np.array_equal(merge(X, W, labels, 9), np.unique(slow, return_inverse=True)[1])


def test_chains_join_each_row_to_its_nearest_and_are_cut_when_they_grow_too_long():
    assert len(set(chains(np.array([1, 0, 3, 2, 2])))) == 2
    assert np.array_equal(chains(np.array([1, 0, 3, 2, 2])), [0, 0, 1, 1, 1])
    line = np.minimum(np.arange(1, 121), 119)
    line[119] = 118
    assert np.bincount(chains(line, longest=50)).tolist() == [50, 50, 20]


def test_clusters_without_any_affinity_go_to_the_nearest_mean():
    X = np.array([[0.0], [0.1], [5.0], [5.1], [9.0], [9.1]], np.float32)
    W, nearest = neighbours(X, 1)
    assert len(set(merge(X, W, chains(nearest), 2)[2:])) == 1  # 5 and 9, not 0 and 5: the graph itself has nothing to say


def test_a_complete_cluster_waits_while_others_are_still_in_pieces():
    X, y = make_blobs([20, 60, 60, 60], n_features=3, centers=[[0, 0, 0], [9, 0, 0], [0, 90, 0], [0, 0, 90]], random_state=0)
    labels = agglomerate(X.astype(np.float32), 4, k=5)
    assert [len(set(labels[y == c])) for c in range(4)] == [1, 1, 1, 1] and len(set(labels)) == 4


def test_agglomeration_finds_rings_that_kmeans_cannot():
    rng = np.random.default_rng(0)
    angle = np.tile(np.linspace(0, 2 * np.pi, 200, endpoint=False), 2)  # evenly: a gap would cut a ring in two
    radius = np.repeat([1.0, 3.0], 200)
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1) + rng.normal(size=(400, 2)) * 0.05
    labels = agglomerate(X, 2, k=10)
    assert len(set(labels[:200])) == 1 and len(set(labels[200:])) == 1 and labels[0] != labels[-1]


def test_agglomeration_bears_copies_and_never_goes_below_the_number_asked_for():
    X = np.repeat(np.random.default_rng(0).normal(size=(10, 4)), 30, axis=0)
    assert len(np.unique(agglomerate(X, 4, k=5))) == 4


def test_periods_end_at_the_number_of_clusters():
    assert periods(450, 10, 0.9) == [45, 10] and periods(10, 10, 0.5) == [] and periods(12, 10, 0.9) == [10]


def test_near_clusters_are_ordered_by_affinity_and_filled_up(graph):
    X, W = graph
    labels = np.arange(40) % 4
    near = nearest_clusters(X, W, labels, 5)
    affinity = symmetric(linkage(W, labels), np.bincount(labels))
    assert (near[:, 3:] == -1).all() and np.array_equal(near[:, 0], affinity.argmax(axis=1))
    assert all(i not in row for i, row in enumerate(near))


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.images[:300].astype(np.float32) / 16, data.target[:300]


@pytest.fixture(scope="module")
def jule(digits):
    return JULE(encoder="conv5", epochs=4, batch_size=60, lr=1e-3, n_clusters=10, k=10, seed=0).fit(digits[0])


def test_jule_gives_as_many_clusters_as_asked_for_and_better_than_chance(jule, digits):
    from unlabeled.evaluate.probes import clustering_scores

    assert set(np.unique(jule.labels_)) == set(range(10))
    assert clustering_scores(jule.labels_, digits[1])["nmi"] > 0.5
    assert np.allclose(np.linalg.norm(jule.transform(digits[0]), axis=1), 1, atol=1e-5)


def test_a_batch_holds_anchors_with_one_of_their_cluster_and_one_of_every_rival():
    state = clusters_of_thirty()
    groups = state.order(30, torch.Generator().manual_seed(0))[: 30 // 4 * 4].view(-1, 4)
    labels, rivals = state.labels[groups], state.rivals[groups[:, 0]]
    assert (labels[:, 0] == labels[:, 1]).all() and (groups[:, 0] != groups[:, 1]).all()
    assert (labels[:, 2:] == rivals).all()


def clusters_of_thirty() -> Partition:
    state = Partition(30, 2)
    state.set(np.arange(30) % 5)
    state.oppose(np.array([[1, 2], [0, 2], [3, 4], [2, 4], [2, 3]]))
    return state


def test_triplets_take_positives_of_their_own_cluster_and_negatives_of_its_rivals_only():
    state = clusters_of_thirty()
    index = torch.randperm(30, generator=torch.Generator().manual_seed(1))[:20]
    torch.manual_seed(0)
    anchors, positives, negatives = (index[rows] for rows in state.triplets(index))
    assert len(anchors) == 2 * 20 and (anchors != positives).all()
    assert (state.labels[anchors] == state.labels[positives]).all()
    assert (state.rivals[anchors] == state.labels[negatives][:, None]).any(dim=1).all()
    state.oppose_any(3)
    assert (state.rivals != state.labels[:, None]).all() and (state.rivals >= 0).all() and state.rivals.max() == 4


def test_jule_with_any_negatives_has_new_rivals_every_epoch_and_with_near_ones_those_nearest(digits):
    seen = {}
    for negatives in ("any", "near"):
        rivals = []
        learner = JULE(encoder="conv5", epochs=4, batch_size=60, n_clusters=10, k=10, seed=0, negatives=negatives)
        learner.before_epoch = lambda net, data, own=learner.before_epoch, kept=rivals: (
            own(net, data),
            kept.append(net.state.rivals.clone()),
        )
        learner.fit(digits[0])
        seen[negatives] = [torch.equal(a, b) for a, b in zip(rivals[:-1], rivals[1:], strict=True)]
    assert not any(seen["any"]) and any(seen["near"])


def test_jule_takes_no_triplet_from_a_cluster_of_one(jule):
    index = torch.arange(10)
    net = jule.net_
    kept = net.state.labels.clone()
    net.state.labels[:10] = torch.arange(10)
    try:
        loss = jule.loss(net, Batch([torch.rand(10, 1, 8, 8)], index))
    finally:
        net.state.labels.copy_(kept)
    assert loss.item() == 0 and loss.requires_grad


def test_jule_keeps_the_labels_of_its_training_when_not_reclustered(digits):
    kept = JULE(encoder="conv5", epochs=2, batch_size=60, n_clusters=10, recluster=False, seed=0).fit(digits[0])
    assert set(np.unique(kept.labels_)) == set(range(10))
    none = JULE(encoder="conv5", epochs=0, n_clusters=10, seed=0, recluster=False).fit(digits[0])
    assert set(np.unique(none.labels_)) == set(range(10))


def test_jule_learns_from_vectors_too():
    X, y = make_blobs(200, n_features=8, centers=4, cluster_std=0.5, random_state=0)
    labels = JULE(n_clusters=4, epochs=2, batch_size=50, k=10).fit(X).labels_
    assert sorted(len(set(labels[y == c])) for c in range(4)) == [1, 1, 1, 1]


@pytest.mark.parametrize("wrong", [{"n_clusters": 1}, {"n_clusters": 301}, {"unroll": 1.0}, {"near": 0}])
def test_jule_says_which_setting_is_wrong(digits, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        JULE(encoder="conv5", epochs=1, **wrong).fit(digits[0])


# All four ---------------------------------------------------------------------------------------------------------
METHODS = {
    "rotnet": RotNet(**SMALL),
    "rotnet, a block": RotNet(**SMALL, layer=3, views=ImageViews(views=1, policy=WHOLE)),
    "clusterfit": ClusterFit(**SMALL, clusters=6, representation=RotNet(**SMALL | {"epochs": 1})),
    "clusterfit, vectors": ClusterFit(**SMALL, clusters=6, representation=np.random.default_rng(0).normal(size=(96, 3))),
    "deepercluster": DeeperCluster(**SMALL, super_clusters=2, clusters=8, start=0.5),
    "jule": JULE(**SMALL, n_clusters=4),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_model_gives_the_same_vectors_and_labels(name, pictures, tmp_path):
    fitted = METHODS[name].fit(pictures)
    opened = load_model(fitted.save(tmp_path))
    assert np.array_equal(opened.transform(pictures), fitted.transform(pictures))
    if hasattr(fitted, "labels_"):
        assert np.array_equal(opened.labels_, fitted.labels_)


@pytest.mark.parametrize("name", ["clusterfit, vectors", "deepercluster", "jule"])
def test_a_training_that_was_broken_off_ends_as_a_whole_one_does(name, pictures, tmp_path):
    from sklearn.base import clone

    method = clone(METHODS[name]).set_params(epochs=4)
    whole = method.fit(pictures).transform(pictures)

    def stop(progress):
        if progress.end_of_epoch and progress.epoch == 3:
            raise KeyboardInterrupt

    import unlabeled.learner as learner

    broken, kept = clone(method), learner.CHECKPOINT_SECONDS
    learner.CHECKPOINT_SECONDS = 0.0
    try:
        with pytest.raises(KeyboardInterrupt):
            broken.fit(pictures, checkpoint=tmp_path, watch=stop)
        resumed = clone(method).fit(pictures, checkpoint=tmp_path, resume=True)
    finally:
        learner.CHECKPOINT_SECONDS = kept
    assert np.array_equal(resumed.transform(pictures), whole)


def test_the_same_seed_gives_the_same_and_the_whole_view_changes_nothing(pictures):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = (DeeperCluster(**SMALL, super_clusters=2, clusters=8).fit(pictures).transform(pictures) for _ in range(2))
    assert np.array_equal(a, b)
    x = torch.from_numpy(as_items(pictures).values[:2])
    assert torch.equal(whole(x)[0], x.permute(0, 3, 1, 2).float() / 255)
