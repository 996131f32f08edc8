"""Counts in shards against the plain counter, on the disk against in memory; AdaGrad on cells against NumPy; GloVe and PPMI-SVD."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from unlabeled import InputError
from unlabeled.methods.words.glove import GloVe
from unlabeled.methods.words.ppmi_svd import PPMISVD
from unlabeled.parts.cell_factors import factorise
from unlabeled.parts.cooccurrence import cooccurrence, ppmi
from unlabeled.parts.cooccurrence_counts import Counts, count_pairs
from unlabeled.parts.skipgram import Corpus


def drawn(seed=0, words=40, texts=60, longest=50):
    """Texts of words w0, w1, ... with frequencies that fall, as strings and as numbers; an empty one and one of a single word, too."""
    rng = np.random.default_rng(seed)
    rows = [np.minimum(rng.geometric(0.08, size=rng.integers(0, longest)) - 1, words - 1) for _ in range(texts)]
    return [" ".join(f"w{i}" for i in row) for row in [*rows, [], [3]]], Corpus.of([*rows, [], [3]])


@pytest.mark.parametrize("weighting", ["1/d", "flat"])
@pytest.mark.parametrize(("shard", "top", "held"), [(100, 2048, 10**6), (7, 5, 10**6), (7, 5, 60), (13, 0, 200)])
def test_counts_are_those_of_the_plain_counter_however_they_are_held(weighting, shard, top, held):
    texts, corpus = drawn()
    expected = cooccurrence(texts, [f"w{i}" for i in range(40)], 4, weighting).toarray()
    found = count_pairs(corpus, 40, window=4, weighting=weighting, shard=shard, top=top, held=held)
    np.testing.assert_allclose(found.matrix().toarray(), expected, rtol=1e-6)
    np.testing.assert_allclose(found.row_sums, expected.sum(axis=1), rtol=1e-6)
    assert found.total == pytest.approx(expected.sum()) and found.symmetric
    assert isinstance(found.cells, np.memmap) == (held < 10**6)  # the small tables ran full and were written to the disk


def test_more_pairs_than_the_first_table_holds_are_counted_and_the_table_grows():
    rng = np.random.default_rng(1)
    corpus = Corpus.of([rng.integers(0, 1500, 3000) for _ in range(20)])
    found = count_pairs(corpus, 1500, window=3, top=0)
    expected = np.zeros((1500, 1500))
    for start, end in zip(corpus.starts[:-1], corpus.starts[1:], strict=True):
        row = corpus.tokens[start:end]
        for d in (1, 2, 3):
            np.add.at(expected, (row[:-d], row[d:]), 1 / d)
    np.testing.assert_allclose(found.matrix().toarray(), expected + expected.T, rtol=1e-6)
    assert len(found.cells) > 1 << 17


def test_shards_stride_over_rows_and_hold_every_cell_once_in_order():
    _, corpus = drawn()
    found = count_pairs(corpus, 40, window=4, shard=9)
    assert found.parts == (5, 5)
    for i in range(5):
        for j in range(5):
            cells = found.shard(i, j)
            assert (cells["row"] % 5 == i).all() and (cells["column"] % 5 == j).all()
            assert (np.diff(cells["row"].astype(np.int64) * 40 + cells["column"]) > 0).all()
    assert sum(len(cells) for cells in found) == found.matrix().nnz
    again = Counts.of(found.matrix(), shard=9)
    assert (again.cells == found.cells).all() and (again.starts == found.starts).all() and again.symmetric


def test_a_rectangular_matrix_is_cut_in_both_directions_and_zeros_are_no_cells():
    rng = np.random.default_rng(0)
    X = rng.poisson(0.5, (17, 31)).astype(float)
    X[4] = 0
    matrix = csr_array(X)
    matrix.data[0] = 0
    found = Counts.of(matrix, shard=8)
    assert found.parts == (3, 4) and not found.symmetric and (found.cells["value"] > 0).all()
    assert (found.matrix().toarray() == matrix.toarray()).all()
    assert np.isfinite(found.logs[0]).all() and found.column_sums.tolist() == matrix.toarray().sum(axis=0).tolist()


def test_mutual_information_has_the_sums_of_the_whole_matrix():
    texts, corpus = drawn()
    X = cooccurrence(texts, [f"w{i}" for i in range(40)], 4).toarray()
    found = count_pairs(corpus, 40, window=4, shard=9)
    cells = found.shard(1, 2)
    expected = [np.log(X[i, j] * X.sum() / X[i].sum() / X[:, j].sum()) for i, j in zip(cells["row"], cells["column"], strict=True)]
    np.testing.assert_allclose(found.pmi(cells["row"], cells["column"], cells["value"]), expected, atol=1e-5)


def test_what_can_not_be_counted_is_refused():
    _, corpus = drawn()
    for bad in ({"window": 0}, {"weighting": "square"}, {"shard": 0}, {"held": 1.5}):
        with pytest.raises(InputError, match=next(iter(bad))):
            count_pairs(corpus, 40, **bad)
    with pytest.raises(InputError, match="no two known words"):
        count_pairs(Corpus.of([[0], [1], []]), 2)
    for bad in (csr_array(np.array([[1.0, -1]])), csr_array(np.array([[np.nan, 1]])), csr_array((3, 2))):
        with pytest.raises(InputError, match="counts"):
            Counts.of(bad)


# AdaGrad on cells --------------------------------------------------------------------------------------------------


def plain(cells, shape, order, *, dim, lr, norm, tied, biases, constant, start, cell):
    """The same steps, one at a time, by hand in float64."""
    tables = [table.astype(np.float64) for table in start]
    U, V = tables[0], tables[0] if tied else tables[1]
    A, B = np.ones_like(U), np.ones_like(V)
    B = A if tied else B
    bias, squares = [np.zeros(n) for n in shape], [np.ones(n) for n in shape]
    C, C_squares = constant or 0.0, 1.0
    target, weight = cell(cells["row"], cells["column"], cells["value"].astype(np.float64))
    for at in order:
        i, j = cells["row"][at], cells["column"][at]
        both = U[i] + V[j]
        error = (both @ both if norm else U[i] @ V[j]) + bias[0][i] + bias[1][j] + C - target[at]
        g = weight[at] * error
        if tied and i == j:
            steps = [(U, A, i, (8 if norm else 2) * g * U[i])]
        else:
            steps = [(U, A, i, 2 * g * both if norm else g * V[j]), (V, B, j, 2 * g * both if norm else g * U[i])]
        steps = [(table, square, row, step.copy()) for table, square, row, step in steps]
        for table, square, row, step in steps:
            square[row] += step**2
            table[row] -= lr * step / np.sqrt(square[row])
        if biases:
            for side, row in enumerate((i, j)):
                squares[side][row] += g**2
                bias[side][row] -= lr * g / np.sqrt(squares[side][row])
        if constant is not None:
            C_squares += g**2
            C -= lr * g / np.sqrt(C_squares)
    return U, V, bias, C


@pytest.mark.parametrize(
    "form",
    [
        {"norm": False, "tied": False, "biases": True, "constant": None},
        {"norm": True, "tied": True, "biases": False, "constant": 0.3},
        {"norm": False, "tied": True, "biases": False, "constant": None},
    ],
)
def test_the_compiled_steps_are_adagrads(form):
    texts, corpus = drawn()
    counts = count_pairs(corpus, 40, window=4)

    def cell(rows, columns, values):
        return np.log(values), np.minimum(values, 3.0)

    found = factorise(counts, cell, dim=5, epochs=1, lr=0.05, seed=3, **form)
    rng = np.random.default_rng(3)  # what factorise draws, in its order
    start = [(rng.random((40, 5), np.float32) - 0.5) / 5 for _ in range(1 if form["tied"] else 2)]
    rng.permutation(1)
    cells = counts.shard(0, 0)
    cells = cells[cells["row"] <= cells["column"]] if form["tied"] else cells  # symmetric counts: each pair once
    U, V, bias, C = plain(cells, (40, 40), rng.permutation(len(cells)), dim=5, lr=0.05, start=start, cell=cell, **form)
    np.testing.assert_allclose(found.rows, U, atol=2e-4)
    np.testing.assert_allclose(found.columns, V, atol=2e-4)
    np.testing.assert_allclose(found.row_bias, bias[0], atol=2e-4)
    assert found.constant == pytest.approx(C, abs=2e-4) and (found.constant == 0) == (form["constant"] is None)


def test_a_matrix_of_low_rank_is_found_again_from_shards_on_the_disk():
    rng = np.random.default_rng(0)
    A, B, a, b = rng.normal(size=(60, 3)) * 0.6, rng.normal(size=(50, 3)) * 0.6, rng.normal(size=60) + 2, rng.normal(size=50)
    L = A @ B.T + a[:, None] + b
    model = GloVe(dim=3, xmax=0.001, epochs=200, lr=0.1).fit(csr_array(np.exp(L)))
    found = model.row_vectors_ @ model.col_vectors_.T + model.row_bias_[:, None] + model.col_bias_
    assert np.corrcoef(found.ravel(), L.ravel())[0, 1] > 0.999 and np.abs(found - L).mean() < 0.05
    assert model.loss_curve_[-1] < 0.01 * model.loss_curve_[0]


def test_glove_weighs_a_pair_by_its_count_up_to_xmax(monkeypatch):
    from unlabeled.methods.words import glove

    seen = {}

    def caught(counts, cell, **rest):
        seen["found"] = cell(np.array([0]), np.array([0]), np.array([1.0, 5.0, 80.0]))
        return factorise(counts, cell, **rest)

    monkeypatch.setattr(glove, "factorise", caught)
    GloVe(dim=2, epochs=1, min_count=1).fit(["a b c a b"])
    np.testing.assert_allclose(seen["found"][0], np.log([1, 5, 80]))
    np.testing.assert_allclose(seen["found"][1], [0.1**0.75, 0.5**0.75, 1])


def test_ppmi_svd_factorises_ppmi_and_takes_rectangular_counts():
    texts, _ = drawn()
    model = PPMISVD(dim=8, window=4, min_count=1).fit(texts)
    X = cooccurrence(texts, model.vocabulary_, 4)
    expected = np.linalg.svd(ppmi(X).toarray())[1][:8]
    np.testing.assert_allclose(np.square(model.vectors_).sum(axis=0), expected, rtol=1e-3)
    wide = PPMISVD(dim=3).fit(csr_array(np.random.default_rng(0).poisson(1.0, (9, 20)).astype(float)))
    assert wide.row_vectors_.shape == (9, 3) and wide.col_vectors_.shape == (20, 3) and (wide.vectors_ == wide.row_vectors_).all()
    with pytest.raises(InputError, match="dim=90"):
        PPMISVD(dim=90, min_count=1).fit(texts)


@pytest.mark.parametrize("Model", [GloVe, PPMISVD])
def test_foundations_keep_what_they_learned_and_repeat_for_a_seed(Model, tmp_path):
    texts, _ = drawn()
    settings = {"dim": 6, "min_count": 1} | ({"epochs": 5} if Model is GloVe else {})
    model = Model(**settings).fit(texts)
    again = Model.load(model.save(tmp_path / "m"))
    for name in ("vectors_", "row_vectors_", "col_vectors_", "counts_"):
        assert (getattr(again, name) == getattr(model, name)).all()
    assert (Model(**settings).fit(texts).vectors_ == model.vectors_).all() and again.vocabulary_ == model.vocabulary_
    with pytest.raises(InputError, match="names"):
        Model(**settings).fit(csr_array(np.eye(3)), words=["a", "b"])
