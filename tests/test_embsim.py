"""How alike embedding models are: CKA against the n x n definition, lists against a loop, families recovered."""

import time

import numpy as np
import pytest

from unlabeled import InputError
from unlabeled.evaluate.embsim import jaccard_at_k, linear_cka, model_similarity, rank_similarity


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(1).normal(size=(80, 12)) * np.linspace(0.2, 2, 12)


def rotation(d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def brute_cka(X, Y):
    H = np.eye(len(X)) - 1 / len(X)
    K, L = (H @ Z @ Z.T @ H for Z in (X, Y))
    return (K * L).sum() / np.sqrt((K * K).sum() * (L * L).sum())


def brute_debiased(X, Y):
    """Song et al., 2012, equation 5, on the kernels of the vectors as they are."""

    def hsic(K, L):
        n, K, L = len(K), K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
        return np.trace(K @ L) + K.sum() * L.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * K.sum(axis=0) @ L.sum(axis=1)

    K, L = X @ X.T, Y @ Y.T
    return hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))


@pytest.mark.parametrize(("debiased", "brute"), [(False, brute_cka), (True, brute_debiased)])
def test_cka_is_that_of_the_kernel_matrices(X, debiased, brute):
    Y = np.tanh(X[:, :7]) + 3
    assert linear_cka(X + 5, Y, debiased=debiased) == pytest.approx(brute(X + 5, Y), abs=1e-6)


def test_cka_does_not_see_rotation_shift_and_scale_but_a_linear_map(X):
    turned = 37 * X @ rotation(12) - 4
    for debiased in (False, True):
        assert abs(linear_cka(X, turned, debiased=debiased) - 1) < 1e-6
    assert linear_cka(X, X @ np.diag(np.linspace(5, 0.1, 12))) < 0.9


def test_far_from_the_origin_and_in_tiny_numbers_cka_is_the_same(X):
    assert linear_cka(X * 1e-12, X[:, :5] * 1e12) == pytest.approx(linear_cka(X, X[:, :5]), abs=1e-6)
    assert linear_cka(X + 1000, X[:, :5]) == pytest.approx(linear_cka(X, X[:, :5]), abs=1e-3)  # float32 came in


def test_few_items_fool_the_plain_cka_and_not_the_debiased(rng):
    plain, debiased = zip(
        *[[linear_cka(*pair, debiased=d) for d in (False, True)] for pair in (rng.normal(size=(2, 40, 200)) for _ in range(10))],
        strict=True,
    )
    assert min(plain) > 0.7 and abs(np.mean(debiased)) < 0.05


def test_lists_are_compared_as_a_loop_over_sets_does(rng):
    A, B = (np.stack([rng.permutation(30)[:10] for _ in range(25)]) for _ in range(2))
    B[0], B[1] = A[0], A[1] + 100
    for a, b, jaccard, rank in zip(A.tolist(), B.tolist(), jaccard_at_k(A, B), rank_similarity(A, B), strict=True):
        common = set(a) & set(b)
        assert jaccard == pytest.approx(len(common) / len(set(a) | set(b)))
        total = sum(2 / ((1 + abs(a.index(j) - b.index(j))) * (a.index(j) + b.index(j) + 2)) for j in common)
        assert rank == pytest.approx(total / sum(1 / h for h in range(1, len(common) + 1)) if common else 0)
    assert jaccard_at_k(A, B)[0] == 1 and rank_similarity(A, B)[0] == pytest.approx(1)
    assert jaccard_at_k(A, B)[1] == rank_similarity(A, B)[1] == 0


def test_what_was_not_found_is_in_common_with_nothing():
    assert jaccard_at_k([[3, -1, -1]], [[3, -1, -1]])[0] == 1
    assert jaccard_at_k([[-1]], [[-1]])[0] == rank_similarity([[-1]], [[-1]])[0] == 0


def test_families_are_found_and_a_random_embedding_has_the_overlap_of_chance(rng):
    first, second = rng.normal(size=(2, 200, 16)) @ np.diag(np.linspace(2, 0.3, 16))
    noise = lambda: 0.1 * rng.normal(size=(200, 16))  # noqa: E731
    models = {
        "a": first,
        "b": second + noise(),
        "a turned": first @ rotation(16) + noise(),
        "b2": second[:, :12],
        "none": rng.normal(size=(200, 150)),
    }
    report = model_similarity(models, k=(1, 10, 500))
    assert report.clusters(least=0.5) == {"a": 0, "b": 1, "a turned": 0, "b2": 1, "none": 2} == report.clusters(3, by=10)
    assert report.nearest("b")[0][0] == "b2" and report.nearest("a", by=10)[0][0] == "a turned"
    chance = 10 / 199 / (2 - 10 / 199)
    assert report.jaccard[10][0, 4] == pytest.approx(chance, abs=0.01) and abs(report.cka[0, 4]) < 0.05
    assert list(report.jaccard) == [1, 10, 199] and np.allclose(report.jaccard[199], 1)
    assert (report.cka == report.cka.T).all() and (report.cka.diagonal() == 1).all()
    assert len(report.table().splitlines()) == 11 and "a turned" in "".join(report.table().splitlines()[1:3])


def test_own_queries_are_searched_and_without_them_no_item_finds_itself(rng):
    Z, Q = rng.normal(size=(50, 4)), rng.normal(size=(5, 4))
    report = model_similarity({"a": (Z, Q), "b": (Z @ rotation(4), Q @ rotation(4)), "c": (Z, -Q)}, k=(3,))
    assert report.queries == 5 and report.jaccard[3][0, 1] == 1 and report.jaccard[3][0, 2] < 0.3
    copies = np.repeat(Z[:5], 10, axis=0)
    assert model_similarity({"a": copies, "b": copies}, k=(3,)).queries == 50


def test_centring_undoes_a_common_direction(rng):
    Z = rng.normal(size=(300, 8))
    plain, centred = (model_similarity({"a": Z, "b": Z + 20}, k=(10,), center=c).jaccard[10][0, 1] for c in (False, True))
    assert centred > 0.95 and plain < 0.7


def test_fitted_estimators_embed_the_documents_themselves():
    from unlabeled.methods.words.tfidf_svd import TfidfSVD

    docs = [f"the {a} eats {b} in {c}" for a in ("cat", "dog", "cow") for b in ("fish", "meat", "grass") for c in ("may", "june", "july")]
    models = {f"{dim}": TfidfSVD(dim=dim).fit(docs) for dim in (3, 8)}
    report = model_similarity(models, docs, docs[:4], k=(2,))
    assert report.items == 27 and report.queries == 4 and 0 < report.cka[0, 1] < 1


@pytest.mark.parametrize(
    ("models", "more"),
    [
        ({"a": np.eye(5)}, {}),
        ({"a": np.eye(5), "b": np.eye(6)}, {}),
        ({"a": np.eye(5), "b": np.ones((5, 3))}, {}),
        ({"a": np.eye(5), "b": np.full((5, 2), np.nan)}, {}),
        ({"a": np.eye(5), "b": np.eye(5)}, {"k": (0,)}),
        ({"a": (np.eye(5), np.eye(5)), "b": np.eye(5)}, {}),
        ({"a": (np.eye(5), np.ones((2, 3))), "b": (np.eye(5), np.ones((2, 5)))}, {}),
        ({"a": np.eye(5), "b": np.eye(5)}, {"docs": ["x"] * 5}),
        ({"a": np.eye(3), "b": np.eye(3)}, {}),
    ],
)
def test_what_can_not_be_compared_is_refused(models, more):
    with pytest.raises(InputError):
        model_similarity(models, **more)


def test_what_a_report_does_not_hold_is_refused(X):
    report = model_similarity({"a": X, "b": X.astype(np.float16)}, k=(2,))
    for ask in (lambda: report.nearest("c"), lambda: report.similarity(7), lambda: report.clusters(3)):
        with pytest.raises(InputError):
            ask()
    with pytest.raises(InputError, match="whole numbers"):
        jaccard_at_k([[1, 2]], [[1.0, 2.0]])


def test_memory_maps_are_read_and_many_rows_take_no_square_of_them(tmp_path, rng):
    Z = rng.normal(size=(100_000, 16)).astype(np.float32)
    path = tmp_path / "Z.npy"
    np.save(path, Z)
    started = time.process_time()
    report = model_similarity({"a": np.load(path, mmap_mode="r"), "b": Z[:, ::-1]}, k=(5,))
    assert report.jaccard[5][0, 1] > 0.99 and report.cka[0, 1] == pytest.approx(1, abs=1e-6) and time.process_time() - started < 30
