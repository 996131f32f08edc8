"""Fewer numbers by neighbours (TLDR), one order for all (WordTour), and a family of maps with guarantees (functorial manifold learning)."""

from itertools import permutations

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import Isomap
from sklearn.utils.estimator_checks import check_estimator

from unlabeled import InputError
from unlabeled.parts.pairweights import fuzzy, geodesic, strongest, ultrametric
from unlabeled.parts.planar import cross_entropy_map, laplacian_map, mds_map
from unlabeled.parts.tour import greedy_tour, short_tour, tour_bound, tour_length
from unlabeled.tasks.reduce.functorial_manifold import LOSSES, WEIGHTS, FunctorialEmbedding
from unlabeled.tasks.reduce.tldr import TLDR
from unlabeled.tasks.reduce.wordtour import WordTour

TINY = {"dim": 2, "epochs": 2, "projector": "mlp-1-8", "batch": 16}
SHORT = {"epochs": 3, "starts": 1}


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return (3 * rng.normal(size=(6, 8))[np.arange(120) % 6] + rng.normal(size=(120, 8))).astype(np.float32)


@pytest.mark.parametrize(
    "model", [TLDR(**TINY), WordTour(kicks=0.0), FunctorialEmbedding(), FunctorialEmbedding(weights="single", loss="mds", **SHORT)]
)
@pytest.mark.filterwarnings("ignore")
def test_they_pass_scikit_learns_own_checks(model):
    check_estimator(model)


@pytest.mark.parametrize("model", [TLDR(**TINY), TLDR(**TINY | {"encoder": "mlp-1-4"}), WordTour(kicks=0.1), FunctorialEmbedding()])
def test_saved_and_loaded_they_say_the_same_of_new_vectors_and_a_seed_repeats_it(model, vectors, tmp_path):
    fitted = model.fit(vectors[:100])
    fitted.save(tmp_path / "model")
    again = type(model)(**model.get_params()).fit(vectors[:100])
    for other in (type(model).load(tmp_path / "model"), again):
        np.testing.assert_array_equal(other.transform(vectors[100:]), fitted.transform(vectors[100:]))
    assert fitted.transform(vectors[100:].astype(np.float64)).dtype == np.float32


@pytest.mark.parametrize("model", [TLDR(**TINY), WordTour(), FunctorialEmbedding()])
@pytest.mark.parametrize("bad", [np.full((9, 3), np.nan), np.full((9, 3), np.inf), csr_array(np.eye(9))])
def test_what_can_not_be_used_is_refused(model, bad):
    with pytest.raises((ValueError, TypeError)):
        model.fit(bad)


# TLDR -----------------------------------------------------------------------------------------------------------------
def strands(n=400, seed=0):
    """Two numbers that neighbours share, small, beside six large ones that only noise fills."""
    rng = np.random.default_rng(seed)
    signal = rng.integers(0, 4, n)
    return np.concatenate([np.eye(4)[signal] * 3, rng.normal(size=(n, 6)) * [2, 2, 2, 2, 2, 2]], axis=1).astype(np.float32), signal


def same_kind_nearest(Z, kind):
    d = cdist(Z, Z, "cosine")
    np.fill_diagonal(d, np.inf)
    return (kind[d.argmin(axis=1)] == kind).mean()


def test_what_given_neighbours_share_is_kept_where_pca_keeps_the_noise():
    X, kind = strands()
    rng = np.random.default_rng(1)
    near = np.stack([rng.choice(np.flatnonzero(kind == one), 3) for one in kind])
    model = TLDR(dim=3, epochs=40, batch=100, projector="mlp-1-64", lr=5e-3, normalize=False).fit(X, neighbours=near)
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]
    assert same_kind_nearest(model.transform(X), kind) > same_kind_nearest(PCA(3).fit_transform(X), kind) + 0.2


@pytest.mark.parametrize("encoder", ["linear", "flinear-1-6"])
def test_a_linear_encoder_is_one_matrix_and_the_training_rows_lie_around_zero(encoder, vectors):
    model = TLDR(**TINY | {"encoder": encoder}, normalize=False).fit(vectors)
    made = model.transform(vectors)
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-5)
    middle = model.transform((vectors[:50] + vectors[50:100]) / 2)
    np.testing.assert_allclose(middle, (made[:50] + made[50:100]) / 2, atol=1e-4)


def test_a_mlp_is_not_linear(vectors):
    model = TLDR(**TINY | {"encoder": "mlp-1-6"}, normalize=False).fit(vectors)
    middle = model.transform((vectors[:50] + vectors[50:100]) / 2)
    assert np.abs(middle - (model.transform(vectors[:50]) + model.transform(vectors[50:100])) / 2).max() > 1e-2


def test_a_copy_of_a_row_is_no_neighbour_of_it(vectors):
    import torch

    doubled = torch.from_numpy(np.repeat(vectors[:20], 2, axis=0))
    anchors, near, there = TLDR(k=2)._pairs(doubled, None)
    assert len(anchors) == 40 and (there.sum(dim=1) == 2).all()
    assert (near[there].reshape(40, 2) // 2 != torch.arange(40)[:, None] // 2).all()


@pytest.mark.parametrize(
    "wrong", [{"dim": 0}, {"k": 0}, {"encoder": "cnn"}, {"encoder": "mlp-1"}, {"projector": "mlp-1-x"}, {"batch": 1}, {"lr": 0.0}]
)
def test_wrong_settings_of_tldr_are_refused(wrong, vectors):
    with pytest.raises(InputError):
        TLDR(**TINY | wrong).fit(vectors)


@pytest.mark.parametrize("near", [np.zeros((3, 2), int), np.full((120, 2), 120), np.zeros((120, 2)), np.arange(120)[:, None]])
def test_neighbours_that_are_none_are_refused(near, vectors):
    with pytest.raises(InputError):
        TLDR(**TINY).fit(vectors, neighbours=near)


# WordTour ---------------------------------------------------------------------------------------------------------------
def test_few_vectors_get_the_shortest_tour_and_the_bound_is_its_length():
    X = np.random.default_rng(3).random((7, 2))
    shortest = min(tour_length(X, np.array((0, *rest))) for rest in permutations(range(1, 7)))
    model = WordTour().fit(X)
    assert model.length_ == pytest.approx(shortest, rel=1e-6) == pytest.approx(model.bound_, rel=1e-6)


def test_points_on_a_circle_are_walked_round_whatever_the_start():
    angle = np.random.default_rng(4).permutation(60) / 60 * 2 * np.pi
    X = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    order = short_tour(X, kicks=0, start=np.arange(60))
    assert tour_length(X, order) == pytest.approx(60 * 2 * np.sin(np.pi / 60), rel=1e-5)


@pytest.mark.parametrize("oropt", [True, False])
def test_no_move_is_left_that_brute_force_finds_among_near_rows(oropt):
    """With all rows as candidates a local optimum of 2-opt has no pair of edges whose exchange is shorter."""
    X = np.random.default_rng(5).random((40, 2)).astype(np.float32)
    order = short_tour(X, k=39, oropt=oropt, kicks=0, start=np.random.default_rng(0).permutation(40))
    length = tour_length(X, order)
    assert sorted(order) == list(range(40))
    for i in range(39):
        for j in range(i + 2, 40):
            assert tour_length(X, np.r_[order[: i + 1], order[i + 1 : j + 1][::-1], order[j + 1 :]]) > length - 1e-4
    if oropt:
        for i in range(40):
            turned = np.roll(order, -i)
            for size in (1, 2, 3):
                segment, rest = turned[:size], turned[size:]
                for at in range(len(rest)):
                    for moved in (segment, segment[::-1]):
                        assert tour_length(X, np.r_[rest[:at], moved, rest[at:]]) > length - 1e-4


def test_each_step_shortens_and_stays_above_the_bound():
    X = np.random.default_rng(6).random((150, 2)).astype(np.float32)
    tours = [greedy_tour(X), short_tour(X, oropt=False, kicks=0), short_tour(X, kicks=0), short_tour(X, kicks=1)]
    lengths = [tour_length(X, order) for order in tours]
    bound = tour_bound(X, lengths[-1])
    assert all(sorted(order) == list(range(150)) for order in tours)
    assert lengths[0] > lengths[1] and lengths[0] > lengths[2] > lengths[3] >= bound > 0.93 * lengths[3]
    tree = minimum_spanning_tree(cdist(X, X)).sum()
    assert bound > tree  # a tour without an edge is a tree


def test_the_bound_holds_for_clusters_that_the_graph_of_neighbours_does_not_join():
    rng = np.random.default_rng(7)
    X = (100 * rng.normal(size=(5, 3))[np.arange(100) % 5] + rng.normal(size=(100, 3))).astype(np.float32)
    best = tour_length(X, short_tour(X, k=5, kicks=2))
    assert 0 < tour_bound(X, best, k=5) < tour_bound(X, best, k=99) <= best  # low, but never above a tour
    assert tour_bound(X, best, k=99) > minimum_spanning_tree(cdist(X, X)).sum()  # with all edges at hand


def test_equal_vectors_stand_together():
    X = np.repeat(np.random.default_rng(8).normal(size=(12, 4)), 5, axis=0)
    model = WordTour(kicks=1.0).fit(X)
    assert (np.diff(model.order_ // 5) != 0).sum() + (model.order_[0] // 5 != model.order_[-1] // 5) == 12


def test_names_are_found_and_the_order_is_a_ring(vectors):
    names = [f"n{i}" for i in range(120)]
    model = WordTour(kicks=0).fit(vectors, names=names)
    first = names[model.order_[0]]
    assert model.position(first) == 0 and model.neighbours(first, r=2) == [names[model.order_[i]] for i in (-2, -1, 0, 1, 2)]
    np.testing.assert_array_equal(model.transform(vectors)[:, 0], [model.position(name) for name in names])
    with pytest.raises(InputError, match="not among"):
        model.position("no such")
    with pytest.raises(InputError, match="3 names"):
        WordTour().fit(vectors, names=names[:3])


def test_blurring_is_a_circular_gaussian_along_the_order(vectors):
    model = WordTour(kicks=0).fit(vectors)
    counts = np.zeros((2, 120))
    counts[0, model.order_[0]] = 4
    found = model.blur(counts, sigma=3)
    gap = np.minimum(model.place_, 120 - model.place_)
    kernel = np.exp(-np.square(gap) / 18) * (gap <= 12)
    np.testing.assert_allclose(found[0], kernel / kernel.sum(), atol=1e-6)
    assert not found[1].any()
    np.testing.assert_allclose(model.blur(counts, sigma=0)[0], counts[0] / 4)
    for wrong in (-counts, counts[:, 1:]):
        with pytest.raises(InputError):
            model.blur(wrong)


def test_by_cosine_lengths_do_not_count(vectors):
    scaled = vectors * np.random.default_rng(9).uniform(0.1, 10, (120, 1))
    one, other = (WordTour(metric="cosine", kicks=0).fit(Z) for Z in (vectors, scaled))
    assert one.length_ == pytest.approx(other.length_, rel=1e-3)


# Functorial manifold learning ---------------------------------------------------------------------------------------------
def minimax(D):
    """The longest step on the best way, by Floyd and Warshall."""
    U = D.copy()
    for k in range(len(U)):
        U = np.minimum(U, np.maximum(U[:, k, None], U[None, k]))
    return U


def test_single_linkage_is_the_minimax_distance_and_lies_below_the_distance_below_the_graphs():
    for seed in range(5):
        D = squareform(pdist(np.random.default_rng(seed).normal(size=(40, 3))))
        u = ultrametric(D)
        np.testing.assert_allclose(u, minimax(D), atol=1e-12)
        assert (u <= D + 1e-12).all() and (D <= geodesic(D, 4) + 1e-12).all()


def test_single_linkage_moves_no_more_than_the_distances_and_complete_linkage_does():
    rng, broken = np.random.default_rng(0), 0
    for _ in range(20):
        X = rng.normal(size=(60, 4))
        D, E = (squareform(pdist(one)) for one in (X, X + 0.1 * rng.normal(size=X.shape)))
        moved = np.abs(D - E).max()
        assert np.abs(ultrametric(D) - ultrametric(E)).max() <= moved + 1e-12
        broken += np.abs(ultrametric(D, "complete") - ultrametric(E, "complete")).max() > moved
    assert broken >= 15


def test_the_reports_say_so():
    X = load_digits().data[:150]
    model = FunctorialEmbedding()
    assert model.refinement_report(X)["violations"] == 0
    report = model.stability_report(X, noise=(0.02, 0.5))
    assert all(one["single"] <= 1 + 1e-9 < one["complete"] for one in report)
    assert report[0]["kept"] > report[1]["kept"] and report[0]["moved"] < report[1]["moved"]
    assert report[0]["procrustes"] < report[1]["procrustes"]


def test_points_that_lie_in_the_plane_come_back_from_their_distances():
    X = np.random.default_rng(1).normal(size=(30, 2))
    D = squareform(pdist(X))
    model = FunctorialEmbedding(weights="maximal", loss="mds", metric="precomputed", starts=1).fit(D)
    made = squareform(pdist(model.embedding_))
    np.testing.assert_allclose(made * D.sum() / made.sum(), D, atol=1e-2)
    np.testing.assert_allclose(mds_map(D, 2), mds_map(D, 2))
    from_vectors = FunctorialEmbedding(weights="maximal", loss="mds", starts=1).fit(X)
    np.testing.assert_allclose(squareform(pdist(from_vectors.embedding_)), made, atol=1e-3)


def test_ways_along_the_graph_are_scikit_learns():
    X = np.random.default_rng(2).normal(size=(60, 3))
    np.testing.assert_allclose(geodesic(squareform(pdist(X)), 8), Isomap(n_neighbors=8).fit(X).dist_matrix_, atol=1e-9)


def test_fuzzy_weights_are_symmetric_reach_one_and_each_row_adds_up_to_log2_k_before_the_union():
    D = squareform(pdist(np.random.default_rng(3).normal(size=(50, 4))))
    w = fuzzy(D, 8)
    assert (w == w.T).all() and (w.diagonal() == 1).all() and w.max() == 1 and w.min() == 0
    near = np.argsort(D + np.diag(np.full(50, np.inf)), axis=1)
    np.testing.assert_allclose(w[np.arange(50), near[:, 0]], 1)  # the nearest, at rho
    mutual = [w[i, j] for i in range(50) for j in range(50) if j in near[i, :8] and i not in near[j, :8]]
    i, j = next((i, j) for i in range(50) for j in near[i, 1:8] if i not in near[j, :8])
    one_sided = w[i, j]
    from scipy.optimize import brentq

    d = D[i, near[i, :8]]
    sigma = brentq(lambda s: np.exp(-(d - d[0]) / s).sum() - 3, 1e-3, 1e3)
    assert mutual and one_sided == pytest.approx(np.exp(-(D[i, j] - d[0]) / sigma), rel=1e-4)


def test_the_laplacians_functions_solve_its_equation():
    w = fuzzy(squareform(pdist(np.random.default_rng(4).normal(size=(40, 3)))), 10)
    Y = laplacian_map(w, 2)
    np.fill_diagonal(w, 0)
    degree = w.sum(axis=1)
    for y in Y.T:
        Ly = degree * y - w @ y
        np.testing.assert_allclose(Ly, (y @ Ly) / (y @ (degree * y)) * degree * y, atol=1e-6)
        assert abs(degree @ y) < 1e-6


def test_a_line_is_unrolled_in_its_order_by_the_laplacian_and_the_cross_entropy():
    t = np.linspace(0, 3 * np.pi, 90)
    spiral = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
    w = fuzzy(squareform(pdist(spiral)), 5)
    assert abs(spearmanr(laplacian_map(w, 1)[:, 0], t)[0]) > 0.99
    places = cross_entropy_map(w, 2, epochs=60)
    d = squareform(pdist(places))
    assert np.median([d[i, i + 1] for i in range(89)]) < 0.2 * np.median(d)


def test_only_the_strongest_weights_stay():
    w = np.exp(-squareform(pdist(np.random.default_rng(5).normal(size=(30, 2)))))
    kept = strongest(w, 3)
    assert ((kept > 0).sum(axis=1) >= 4).all() and (kept == kept.T).all() and 0 < (kept > 0).mean() < 0.4


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_copies_far_clusters_and_turned_data_are_all_mapped(weights, loss):
    rng = np.random.default_rng(6)
    X = np.r_[np.ones((20, 3)), rng.normal(size=(20, 3)) + 1000]
    model = FunctorialEmbedding(weights=weights, loss=loss, k=4, **SHORT)
    made = model.fit_transform(X)
    assert made.shape == (40, 2) and np.isfinite(made).all() and np.isfinite(model.fit_transform(np.ones((10, 2)))).all()


@pytest.mark.parametrize("weights", WEIGHTS)
def test_turned_and_moved_data_have_the_same_weights_and_so_the_same_map(weights):
    rng = np.random.default_rng(6)
    Y, turn = rng.normal(size=(30, 3)), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    model = FunctorialEmbedding(weights=weights)
    one, other = (model._pairs(squareform(pdist(Z))) for Z in (Y, Y @ turn + 5))
    np.testing.assert_allclose(one, other, atol=1e-8)
    maps = (pdist(model.fit(Z).embedding_) for Z in (Y, Y @ turn + 5))
    np.testing.assert_allclose(*maps, rtol=1e-2, atol=1e-2)


def test_beyond_a_number_of_rows_a_sample_is_fitted_and_the_others_are_placed(vectors):
    model = FunctorialEmbedding(most=50).fit(vectors)
    assert len(model.map_) == 50 and model.embedding_.shape == (120, 2)
    np.testing.assert_array_equal(model.embedding_[model.rows_], model.map_)


@pytest.mark.parametrize("wrong", [{"weights": "average"}, {"loss": "stress"}, {"dim": 0}, {"metric": "cosine"}, {"metric": "precomputed"}])
def test_wrong_settings_of_the_maps_are_refused(wrong, vectors):
    with pytest.raises(InputError):
        FunctorialEmbedding(**wrong).fit(vectors)
