"""Concept embeddings: names are found in texts, edges are drawn as often as they should be, and text and graph share one space."""

from collections import Counter

import numpy as np
import pytest

from unlabeled import InputError
from unlabeled.methods.words.concept_embeddings import ConceptEmbeddings
from unlabeled.parts.corpora import mixed
from unlabeled.parts.phrases import Phrases, name_of
from unlabeled.parts.skipgram import Corpus
from unlabeled.reproduce.concept_embeddings import Nouns, reaching

ANIMALS, CARS = [f"animal{i}" for i in range(8)], [f"car{i}" for i in range(8)]
GRAPH = [(name, "living thing") for name in ANIMALS[1:]] + [(name, "motor vehicle") for name in CARS[1:]]


@pytest.fixture(scope="module")
def texts():
    """Animals eat and cars drive; neither class is ever named; the first of each is not in the graph."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(3000):
        names, verbs = (ANIMALS, "eats sleeps runs bites".split()) if rng.random() < 0.5 else (CARS, "drives brakes parks honks".split())
        found.append(" ".join([rng.choice(names), *rng.choice(verbs, 2), f"near the old oak tree {rng.integers(30)}"]))
    return found


@pytest.fixture(scope="module")
def model(texts):
    return ConceptEmbeddings(dim=16, epochs=10, sample=0, lr=0.05).fit(texts, graph=GRAPH, gazetteer=["Oak Tree"])


# Names in texts ---------------------------------------------------------------------------------------------------
def test_the_longest_name_is_found_first_from_left_to_right():
    phrases = Phrases(["new york", "new york times", "times square", "york"])
    assert phrases.link("the new york times square".split()) == ["the", "new york times", "square"]
    assert phrases.link("new new york york new".split()) == ["new", "new york", "york", "new"]
    assert phrases.link([]) == [] and Phrases([]).link(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "written"), [("Ice  Hockey!", "ice hockey"), ("Çay-ev", "çay ev"), ("東京", "東 京"), ("👍🏽 up", "👍🏽 up"), ("...", "")]
)
def test_a_name_is_written_as_texts_have_it(name, written):
    assert name_of(name) == written


def test_names_are_single_words_of_the_vocabulary_and_some_mentions_stay_words(texts, model):
    uses = sum("oak tree" in text for text in texts)
    counts = dict(zip(model.vocabulary_, model.counts_.tolist(), strict=True))
    assert counts["oak tree"] + counts["oak"] == uses and counts["oak"] == counts["tree"]
    assert 0.87 < counts["oak tree"] / uses < 0.93
    everywhere = ConceptEmbeddings(mode="text", linked=1.0, epochs=1).fit(texts, gazetteer=["oak tree"])
    assert "oak" not in everywhere and "oak tree" in everywhere
    assert set(np.array(model.vocabulary_)[model.is_concept_]) == {"oak tree"} | {name for edge in GRAPH for name in edge}


def test_names_too_rare_for_a_vector_leave_their_words_in_the_text():
    model = ConceptEmbeddings(mode="text", epochs=1, linked=1.0).fit(["oak tree"] + ["oak leaf", "apple tree"] * 5, gazetteer=["oak tree"])
    assert "oak tree" not in model and dict(zip(model.vocabulary_, model.counts_.tolist(), strict=True))["oak"] == 6


def test_of_concepts_only_names_are_left(texts):
    model = ConceptEmbeddings(mode="concepts", epochs=1).fit(texts, graph=GRAPH, gazetteer=["oak tree", "near"])
    assert set(model.vocabulary_) <= {"oak tree", "near", *ANIMALS, *CARS} and "eats" not in model


# The graph --------------------------------------------------------------------------------------------------------
def test_an_edge_is_drawn_in_proportion_to_the_probabilities_of_its_ends():
    edges = [("a", "b", 2), ("A", "b"), ("a", "c", 1), ("d", "c", 50), ("e", "f", 0.001)]
    model = ConceptEmbeddings(mode="graph", graph_ratio=1000, epochs=1, dim=4).fit([], graph=edges)
    counts = dict(zip(model.vocabulary_, model.counts_.tolist(), strict=True))
    # p(b | a) = 3/4, p(a | b) = 1; p(c | a) = 1/4, p(a | c) = 1/51; p(c | d) = 1, p(d | c) = 50/51; p(f | e) = p(e | f) = 1
    ab, ac, dc, ef = (np.sqrt(p) for p in (3 / 4, 1 / 4 / 51, 50 / 51, 1))
    for name, share in {"a": ab + ac, "b": ab, "c": ac + dc, "d": dc, "e": ef, "f": ef}.items():
        assert counts[name] == pytest.approx(share / (ab + ac + dc + ef) * 4000, abs=2), name


def test_a_joint_model_draws_so_many_pairs_for_each_name_in_the_texts(texts):
    for ratio in (0.5, 2):
        model = ConceptEmbeddings(graph_ratio=ratio, epochs=1, dim=4, linked=1).fit(texts, graph=GRAPH)
        counts = dict(zip(model.vocabulary_, model.counts_.tolist(), strict=True))
        mentions = sum(name in {*ANIMALS[1:], *CARS[1:]} for text in texts for name in text.split())
        assert counts["living thing"] + counts["motor vehicle"] == pytest.approx(ratio * mentions, abs=2)


def test_texts_and_pairs_are_mixed_and_none_is_lost():
    texts, edges = Corpus.of([[0, 1, 2, 3, 4], [], [5], [1, 2]]), Corpus.of([[6, 7], [8, 9]])
    both = mixed(texts, edges, [3, 1], np.random.default_rng(0))
    rows = [tuple(both.tokens[a:b].tolist()) for a, b in zip(both.starts[:-1], both.starts[1:], strict=True)]
    assert Counter(rows) == Counter([(0, 1, 2, 3, 4), (), (5,), (1, 2), (6, 7), (6, 7), (6, 7), (8, 9)])
    assert rows[:4] != [(0, 1, 2, 3, 4), (), (5,), (1, 2)]
    both.check(10)


def test_a_name_that_the_graph_does_not_have_is_typed_by_its_texts_and_only_together(texts, model):
    types = ["living thing", "motor vehicle"]
    assert model.type_of("animal0", types) == "living thing" and model.type_of("car0", types) == "motor vehicle"
    for mode in ("text", "graph"):
        alone = ConceptEmbeddings(mode=mode, dim=16, epochs=5).fit(texts, graph=GRAPH)
        with pytest.raises(InputError, match="nothing of"):
            alone.type_of("animal0", types)


def test_the_reproductions_graph_skips_what_texts_do_not_use_and_hides_what_is_above_the_names_held_out():
    #        0 animal <- 1 bird <- 2 oscine <- 3 robin, redbreast <- 4 redpoll;   2 <- 5 finch
    names = [["animal"], ["bird"], ["oscine"], ["robin", "redbreast"], ["redpoll"], ["finch"]]
    nouns = Nouns(names, [""] * 6, [[], [0], [1], [2], [3], [2]], [[1], [2], [3, 5], [4], [], []])
    used = {"animal", "bird", "robin", "redbreast", "redpoll", "finch"}
    near = nouns.edges(used, set(), 1)
    assert {(x, y): n for x, y, n in near} == {
        ("bird", "animal"): 1, ("robin", "bird"): 0.5, ("redbreast", "bird"): 0.5,
        ("redpoll", "robin"): 0.5, ("redpoll", "redbreast"): 0.5, ("finch", "bird"): 1,
    }  # fmt: skip
    assert ("finch", "animal", 0.5) in nouns.edges(used, set(), 2) and ("redpoll", "animal", 0.25) in nouns.edges(used, set(), 3)
    held = nouns.edges(used, {3}, 3)
    assert not [edge for edge in held if edge[0] in ("robin", "redbreast")] and ("redpoll", "robin", 0.5) in held
    of_class = {"robin": "animal", "finch": "animal"}
    assert reaching(near, of_class) == ["robin", "finch"] and reaching(held, of_class) == ["finch"]


# What is asked of it ----------------------------------------------------------------------------------------------
def test_an_unknown_name_is_the_mean_of_the_longest_names_and_words_within(model):
    wanted = (model.vector("oak tree") + model.vector("old")) / 2
    np.testing.assert_allclose(model.vector("An old Oak-Tree!"), wanted, rtol=1e-6)
    found = model.transform(["An old Oak-Tree!", ["zzz"], ""])
    np.testing.assert_allclose(found[0], wanted, rtol=1e-6)
    assert (found[1:] == 0).all()
    assert (model.vector("oak tree") == model.vector(" OAK tree")).all()
    with pytest.raises(InputError, match="nothing of 'zzz'"):
        model.vector("zzz")


def test_the_nearest_are_those_of_brute_force_names_alone_where_asked(model):
    Z = model.vectors_ / np.linalg.norm(model.vectors_, axis=1, keepdims=True)
    order = [model.vocabulary_[row] for row in np.argsort(-(Z @ Z[model.vocabulary_.index("animal3")]))]
    assert [name for name, _ in model.nearest("Animal3", 5)] == [name for name in order if name != "animal3"][:5]
    names = {name for edge in GRAPH for name in edge} | {"oak tree"}
    found = model.nearest("animal3", 100, concepts=True)
    assert [name for name, _ in found] == [name for name in order if name in names - {"animal3"}]
    assert {"old", "oak tree"}.isdisjoint(name for name, _ in model.nearest("old oak tree", 1000))
    assert model.nearest(model.vector("oak tree"), 1)[0][0] == "oak tree"


def test_a_vector_is_the_sum_of_both_tables_each_of_length_one_or_the_first_alone(texts):
    both, first = (ConceptEmbeddings(dim=4, epochs=1, both=both).fit(texts[:300], graph=GRAPH) for both in (True, False))
    assert both.vocabulary_ == first.vocabulary_
    rest = both.vectors_ - first.vectors_ / np.linalg.norm(first.vectors_, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(rest, axis=1), 1, rtol=1e-5)


def test_save_and_load_keep_everything(model, tmp_path, texts):
    model.save(tmp_path)
    again = ConceptEmbeddings.load(tmp_path)
    assert (again.transform(texts[:20]) == model.transform(texts[:20])).all() and (again.vectors_ == model.vectors_).all()
    assert again.nearest("old oak tree", 5, concepts=True) == model.nearest("old oak tree", 5, concepts=True)


def test_a_seed_gives_the_same_vectors_and_labels_are_never_looked_at(texts):
    first, again, other = (
        ConceptEmbeddings(dim=4, epochs=1, seed=seed).fit(texts[:300], y, graph=GRAPH).vectors_
        for seed, y in ((0, None), (0, 3), (1, None))
    )
    assert (first == again).all() and (first.shape != other.shape or (first != other).any())


def test_graph_and_gazetteer_come_from_files_too(texts, tmp_path):
    (tmp_path / "graph.tsv").write_text("".join(f"{x}\t{y}\t1\n" for x, y in GRAPH), encoding="utf-8")
    (tmp_path / "graph.csv").write_text("".join(f'{x},"{y}"\n' for x, y in GRAPH) + "\n", encoding="utf-8")
    (tmp_path / "names.txt").write_text("Oak tree\n\n", encoding="utf-8")
    wanted = ConceptEmbeddings(dim=4, epochs=1).fit(texts[:300], graph=GRAPH, gazetteer=["oak tree"])
    for name in ("graph.tsv", "graph.csv"):
        files = {"graph": str(tmp_path / name), "gazetteer": str(tmp_path / "names.txt")}
        assert (ConceptEmbeddings(dim=4, epochs=1, **files).fit(texts[:300]).vectors_ == wanted.vectors_).all()


def test_hard_texts_are_taken_as_they_are():
    rng = np.random.default_rng(0)
    long = " ".join(f"w{j}" for j in rng.integers(0, 50, 100_000))
    hard = [long, "", "w1", "🙂", "ёлка 東京 ёлка", ["w1", "w2"], *["same line"] * 50]
    graph = [("東京", "都市"), ("ёлка", "tree"), ("w1", "w1")]
    model = ConceptEmbeddings(dim=8, epochs=2, min_count=1).fit(hard, graph=graph)
    assert np.isfinite(model.vectors_).all() and "東 京" in model and model.vector("東京").shape == (8,)


@pytest.mark.parametrize(
    ("settings", "given", "wanted"),
    [
        ({}, {}, "needs a graph or a gazetteer"),
        ({"mode": "graph"}, {"gazetteer": ["oak"]}, "needs a graph:"),
        ({"mode": "both"}, {"graph": GRAPH}, "mode='both'"),
        ({"graph_ratio": -1}, {"graph": GRAPH}, "graph_ratio=-1"),
        ({"linked": 2}, {"graph": GRAPH}, "linked=2"),
        ({}, {"graph": [("a", "b"), ("a",)]}, "edge 1 of the graph"),
        ({}, {"graph": [("a", "b", 0)]}, "above 0"),
        ({}, {"graph": [("a", "!")]}, "edge 0"),
        ({}, {"graph": "nowhere.csv"}, "no such file"),
        ({}, {"gazetteer": [3]}, "gazetteer holds 3"),
        ({"min_count": 9}, {"gazetteer": ["oak"]}, "min_count=9"),
    ],
)
def test_mistakes_are_said_in_one_line(settings, given, wanted):
    with pytest.raises(InputError, match=wanted):
        ConceptEmbeddings(**settings).fit(["an oak tree"], **given)
