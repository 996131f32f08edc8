"""What every estimator on vectors takes, and the one search for neighbours."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.estimator_checks import check_estimator

from unlabeled import InputError
from unlabeled.parts.labels import classes_of, known
from unlabeled.parts.neighbours import knn_graph, neighbours
from unlabeled.vectors import VectorClassifier, VectorTransformer


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neighbours_are_those_that_scikit_learn_finds(vectors, metric):
    found = neighbours(vectors + 50, 5, metric=metric)
    distances, rows = NearestNeighbors(n_neighbors=6, metric=metric).fit(np.float64(vectors + 50)).kneighbors()
    assert found.recall == 1 and found.said() == "exact"
    np.testing.assert_allclose(found.distances, distances[:, :5], atol=2e-4)
    assert (found.rows == rows[:, :5]).mean() > 0.97  # float32 swaps a near-tie now and then


def test_neighbours_of_queries_include_the_row_itself(vectors):
    assert (neighbours(vectors, 1, queries=vectors[:7]).rows[:, 0] == np.arange(7)).all()


def test_among_copies_no_row_is_its_own_neighbour():
    assert (neighbours(np.ones((20, 3)), 4).rows != np.arange(20)[:, None]).all()


def test_an_approximate_search_says_its_recall_and_keeps_it(vectors):
    many = np.random.default_rng(1).normal(size=(5000, 8)).astype(np.float32)
    found, true = neighbours(many, 10, exact=False, recall=0.9), neighbours(many, 10)
    overlap = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.rows, true.rows, strict=True)])
    assert 0.88 <= overlap and abs(overlap - found.recall) < 0.05 and "recall" in found.said()


@pytest.mark.parametrize(
    ("X", "k", "more"),
    [
        (np.full((5, 2), np.nan), 2, {}),
        (np.ones((5, 2)), 0, {}),
        (np.ones((1, 2)), 1, {}),
        (np.ones((5, 2)), 2, {"queries": np.ones((5, 3))}),
        (np.ones((5, 2)), 2, {"metric": "manhattan"}),
    ],
)
def test_what_has_no_neighbours_is_refused(X, k, more):
    with pytest.raises(InputError):
        neighbours(X, k, **more)


def test_the_graph_of_neighbours_is_symmetric_without_loops_and_mutual_is_a_part_of_it(vectors):
    graph, mutual = knn_graph(vectors, 5), knn_graph(vectors, 5, mutual=True)
    dense = graph.toarray()
    assert (dense == dense.T).all() and (dense.diagonal() == 0).all()
    assert ((dense > 0).sum(axis=1) >= 5).all() and 0 < mutual.nnz < graph.nnz
    assert (dense[mutual.toarray() > 0] > 0).all()


def test_equal_rows_keep_their_edge():
    assert knn_graph(np.repeat(np.eye(3), 2, axis=0), 1).nnz == 6


@dataclass(kw_only=True, eq=False)
class Nearest(VectorClassifier):
    """The nearest class mean, for these tests."""

    def fit(self, Z, y):
        Z, codes = self._labelled(Z, y)
        self.means_ = np.stack([Z[codes == c].mean(axis=0) for c in range(len(self.classes_))])
        return self

    def predict_proba(self, Z):
        d = ((self._vectors(Z, reset=False)[:, None] - self.means_) ** 2).sum(axis=2)
        p = np.exp(d.min(axis=1, keepdims=True) - d)
        return p / p.sum(axis=1, keepdims=True)


@dataclass(kw_only=True, eq=False)
class Centred(VectorTransformer):
    def fit(self, Z, y=None):
        self.mean_ = self._vectors(Z, reset=True).mean(axis=0)
        self._n_features_out = len(self.mean_)
        return self

    def transform(self, Z):
        return self._vectors(Z, reset=False) - self.mean_


@pytest.mark.parametrize(("spoilt", "wanted"), [(csr_array, "sparse"), (lambda Z: Z * np.float32(1e30), "scale them")])
def test_sparse_vectors_and_too_large_ones_are_refused_with_what_to_do(vectors, spoilt, wanted):
    with pytest.raises(InputError, match=wanted):
        Centred().fit(spoilt(vectors))


@pytest.mark.filterwarnings("ignore:y holds -1 and 1 only")
@pytest.mark.parametrize("kind", [Nearest, Centred])
def test_the_bases_pass_scikit_learns_own_checks(kind):
    check_estimator(kind())


@pytest.mark.parametrize("labels", [[0, 1, -1, 1], ["a", "b", "", "b"], [None, "b", "", "a"]])
def test_rows_without_a_label_are_told_from_those_with_one(labels, vectors):
    labels = labels * 10
    fitted = Nearest().fit(vectors[:40], labels)
    there = np.array([one not in (-1, "", None) for one in labels])
    assert len(fitted.classes_) == 2 and fitted.predict_proba(vectors[:3]).shape == (3, 2)
    np.testing.assert_allclose(fitted.means_, Nearest().fit(vectors[:40][there], np.array(labels)[there]).means_)


@pytest.mark.parametrize(("labels", "classes"), [([1, None, 2], [1, 2]), (np.array(["a", None, "b"], object), ["a", "b"])])
def test_none_is_no_label_in_lists_and_arrays_and_leaves_the_others_their_type(labels, classes, vectors):
    assert Nearest().fit(vectors[:3], labels).classes_.tolist() == classes


def test_minus_one_and_one_alone_are_two_classes_and_that_is_said():
    with pytest.warns(UserWarning, match="two classes"):
        assert known([1, -1, 1]).all()
    assert known([1, -1, 2]).tolist() == [True, False, True]


def test_labels_of_one_class_are_refused():
    with pytest.raises(InputError, match="one class only, 3"):
        classes_of([3, -1, 3])
    with pytest.raises(InputError, match="no class"):
        classes_of([-1, -1])


def test_a_saved_estimator_says_the_same_when_it_is_loaded(vectors, tmp_path):
    fitted = Nearest().fit(vectors, np.where(vectors[:, 0] > 0, "over", "under"))
    fitted.save(tmp_path / "model")
    assert (Nearest.load(tmp_path / "model").predict(vectors) == fitted.predict(vectors)).all()
    with pytest.raises(InputError, match="Nearest"):
        Centred.load(tmp_path / "model")


def test_what_can_not_be_kept_is_refused(vectors, tmp_path):
    fitted = Centred().fit(vectors)
    fitted.odd_ = object()
    with pytest.raises(TypeError, match="odd_"):
        fitted.save(tmp_path)
