"""Late interaction against a loop, pooling against its definition, retrieval measures against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from unlabeled import InputError
from unlabeled.evaluate.retrieval import ndcg, recall, reciprocal_rank, retrieval_scores
from unlabeled.methods.retrieval.token_pooling import METHODS, TokenPooling, pool_tokens
from unlabeled.parts import late_interaction
from unlabeled.parts.late_interaction import maxsim, stacked
from unlabeled.saving import load_model


@pytest.fixture(scope="module")
def documents():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, 8)).astype(np.float32) for n in rng.integers(1, 30, size=40)]


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.mark.parametrize("block", [1, 300, 1 << 24])
def test_maxsim_is_what_a_loop_over_queries_documents_and_tokens_gives(documents, block, monkeypatch):
    monkeypatch.setattr(late_interaction, "BLOCK", block)
    queries = documents[:7]
    expected = [[sum(max(q @ t for t in unit(D)) for q in unit(Q)) for D in documents] for Q in queries]
    np.testing.assert_allclose(maxsim(*stacked(queries, "queries"), *stacked(documents, "documents")), expected, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_pooled_tokens_are_unit_means_of_groups_and_the_first_is_kept(documents, method):
    D = documents[int(np.argmax([len(one) for one in documents]))]
    n = len(D)
    for factor in (1, 2, 3, 5, 100):
        pooled = pool_tokens(D, factor, method, protect=1)
        assert pooled.dtype == np.float32 and len(pooled) <= 1 + max(1, (n - 1) // factor)
        assert len(pooled) > 0.8 * (1 + max(1, (n - 1) // factor)), "a tie in the tree may cost a group, not many"
        np.testing.assert_allclose(np.linalg.norm(pooled, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(pooled[0], unit(D)[0], atol=1e-6)
    np.testing.assert_allclose(pool_tokens(D, 1, method), unit(D), atol=1e-6)
    mean = unit(D).mean(axis=0)
    np.testing.assert_allclose(pool_tokens(D, 100, method, protect=0)[0], mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.parametrize("method", ["hierarchical", "ward", "kmeans"])
def test_tokens_that_mean_the_same_are_merged_wherever_they_stand(method):
    rng = np.random.default_rng(3)
    kinds = rng.permutation(np.repeat(np.arange(5), 4))
    D = np.eye(8)[kinds] + 0.05 * rng.normal(size=(20, 8))
    pooled = pool_tokens(D, 4, method, protect=0)
    assert pooled.shape == (5, 8)
    seen = list(dict.fromkeys(kinds.tolist()))
    if method == "kmeans":  # a start may put two centres in one kind
        assert (pooled @ unit(D).T).max(axis=0).min() > 0.6
    else:
        assert pooled.argmax(axis=1).tolist() == seen


def test_sequential_pooling_averages_neighbours_and_leaves_no_short_tail():
    D = np.eye(7)
    pooled = pool_tokens(D, 3, "sequential", protect=0)
    np.testing.assert_allclose(pooled, unit(np.stack([D[:3].sum(axis=0), D[3:].sum(axis=0)])), atol=1e-6)


def test_hierarchical_clusters_profiles_of_similarity_not_the_vectors(documents):
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    differ = 0
    for D in (one for one in documents if len(one) > 8):
        U, groups = unit(D), len(D) // 3
        labels = fcluster(linkage(pdist(1 - U @ U.T), "ward"), groups, "maxclust")
        expected = unit(np.stack([U[labels == c].mean(axis=0) for c in dict.fromkeys(labels.tolist())]))
        found = pool_tokens(D, 3, "hierarchical", protect=0)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        other = pool_tokens(D, 3, "ward", protect=0)
        differ += other.shape != found.shape or not np.allclose(other, found, atol=1e-3)
    assert differ > 3


def test_factor_one_searches_as_without_pooling_and_higher_factors_shrink_the_index(documents):
    index = TokenPooling(factor=1).fit(documents)
    rows, scores = index.search(documents[:5], 3)
    np.testing.assert_allclose(scores[:, 0], [len(D) for D in documents[:5]], rtol=1e-4)  # each token finds itself
    assert rows[:, 0].tolist() == [0, 1, 2, 3, 4] and (np.diff(scores, axis=1) <= 0).all()
    half = TokenPooling(factor=2).fit(documents)
    assert half.n_vectors_ < 0.6 * index.n_vectors_ and half.bytes_ == half.n_vectors_ * 8 * 4
    assert TokenPooling(factor=2).fit(documents).search(documents, 99)[0].shape == (40, 40)


def test_a_saved_index_finds_the_same(documents, tmp_path):
    index = TokenPooling(factor=3, method="kmeans").fit(documents)
    index.save(tmp_path)
    for one, other in zip(index.search(documents[:3], 5), load_model(tmp_path).search(documents[:3], 5), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda D: TokenPooling(factor=0).fit(D), "factor=0"),
        (lambda D: TokenPooling(method="mean").fit(D), "method='mean'"),
        (lambda D: TokenPooling(protect=-1).fit(D), "protect=-1"),
        (lambda D: TokenPooling().fit([]), "0 items"),
        (lambda D: TokenPooling().fit([*D, np.empty((0, 8))]), "at least 1 row"),
        (lambda D: TokenPooling().fit([*D, np.ones((2, 9))]), "widths"),
        (lambda D: TokenPooling().fit([*D, np.full((2, 8), np.nan)]), "NaN"),
        (lambda D: TokenPooling().fit(["a text"]), "name an encoder"),
        (lambda D: TokenPooling(encoder="minilm").fit("a text"), "one text"),
        (lambda D: TokenPooling().fit(D[0]), "list of arrays"),
        (lambda D: TokenPooling().fit(D).search([np.ones((2, 9))]), "9 numbers"),
        (lambda D: TokenPooling().fit(D).search(D, k=0), "k=0"),
    ],
)
def test_what_can_not_be_indexed_is_refused(documents, make, said):
    with pytest.raises(InputError, match=said):
        make(documents)


def test_zero_vectors_half_floats_and_views_are_indexed(documents):
    odd = [np.zeros((3, 8)), documents[1].astype(np.float16), np.asfortranarray(documents[2]), documents[3][::-1]]
    assert np.isfinite(TokenPooling().fit(odd).search(documents[:2], 4)[1]).all()


def test_an_index_of_texts_finds_the_text(monkeypatch):
    from unlabeled.encoders import has_minilm

    if not has_minilm():
        pytest.skip("MiniLM is not installed")
    texts = ["The cat sleeps on the sofa.", "Stocks fell on Monday after the bank's report.", "A recipe for bread with olives and salt"]
    index = TokenPooling(encoder="minilm", factor=2).fit(texts)
    assert index.search(["how do I bake bread", "share prices dropped", "kitten"], 1)[0].ravel().tolist() == [2, 1, 0]


def test_token_states_of_a_batch_are_those_of_each_text_alone():
    from unlabeled.encoders import Inputs, encoder, has_minilm
    from unlabeled.encoders.tokens import token_states

    if not has_minilm():
        pytest.skip("MiniLM is not installed")
    texts = ["a much longer text than the others, of many words", "", "two words"]
    together, alone = token_states(texts), [token_states([text])[0] for text in texts]
    assert [one.shape[1] for one in together] == [384] * 3 and len(together[1]) == 2
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert len(token_states(texts, length=5)[0]) == 5
    twice = token_states(["dog dog"], layer=0)[0]
    assert np.abs(twice[1] - twice[2]).max() < np.abs(twice[1] - twice[0]).max()  # the same word, but for its place
    with pytest.raises(InputError, match="layers 0 to 6"):
        token_states(texts, layer=7)
    import torch

    net = encoder("minilm", Inputs("text"))
    ids = torch.tensor([net.tokenize(texts)[0]])
    with torch.no_grad():
        pooled = net.eval()(ids)[0].numpy()
    mean = together[0].mean(axis=0)
    np.testing.assert_allclose(pooled, mean / np.linalg.norm(mean), atol=1e-4)
    with pytest.raises(InputError, match="one vector a text"):
        token_states(texts, "ngrams")


def test_ndcg_is_scikit_learns():
    rng = np.random.default_rng(0)
    gains = rng.integers(0, 4, size=(20, 30)).astype(float)
    scores = rng.normal(size=(20, 30))
    found = np.argsort(-scores, axis=1)
    relevant = [{i: g for i, g in enumerate(row) if g} for row in gains]
    assert ndcg(found, relevant, 10).mean() == pytest.approx(ndcg_score(gains, scores, k=10))


def test_measures_by_hand():
    found = [[5, 2, 9], [1, -1, -1], [0, 1, 2], [3, 3, 3]]
    relevant = [{2, 9, 40}, {7}, set(), {3, 4}]
    np.testing.assert_allclose(recall(found, relevant, 3), [2 / 3, 0, np.nan, 1 / 2])  # an item found thrice is found once
    np.testing.assert_allclose(reciprocal_rank(found, relevant, 3), [1 / 2, 0, np.nan, 1])
    best = 1 + 1 / np.log2(3)
    np.testing.assert_allclose(ndcg(found, relevant, 2), [(1 / np.log2(3)) / best, 0, np.nan, 1 / best])
    scores = retrieval_scores(found, relevant, ("recall@3", "mrr@1"))
    assert (scores.queries, scores.dropped) == (3, 1) and scores.mean["mrr@1"] == pytest.approx(1 / 3)
    assert "1 without" in scores.table()


@pytest.mark.parametrize(
    ("found", "relevant", "measures"),
    [
        ([[1]], [{1}, {2}], ("ndcg@10",)),
        ([[1.5]], [{1}], ("ndcg@10",)),
        ([[1]], [set()], ("ndcg@10",)),
        ([[1]], [{1}], ("map@10",)),
        ([[1]], [{1}], ("ndcg",)),
    ],
)
def test_what_can_not_be_measured_is_refused(found, relevant, measures):
    with pytest.raises(InputError):
        retrieval_scores(found, relevant, measures)
