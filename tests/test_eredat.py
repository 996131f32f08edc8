"""Graphs as lines and as wrong ones, the loss against a computation of its own, and what a text and its graph have in common."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.base import clone

from test_moe_embed import tokenizer
from unlabeled import InputError
from unlabeled.encoders.text import HuggingFaceText
from unlabeled.learner import Batch
from unlabeled.methods.knowledge.eredat import TextGraphEncoder, eredat
from unlabeled.parts.text_graphs import KINDS, Corruptions, as_facts, content, linearise, plain_name
from unlabeled.saving import load_model

GRAPH = (("Alan_Bean", "birthPlace", "Wheeler,_Texas"), ("Alan_Bean", "occupation", '"Test pilot"'))
SMALL = {"layers": 1, "batch_size": 8, "length": 32, "lr": 3e-3}


def bert(dropout=0.1):
    from transformers import BertConfig, BertModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 44}
        model = BertModel(BertConfig(**shape, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout))
    return HuggingFaceText(model, tokenizer(), length=32).eval()


def pairs(n=64, seed=0):
    """Graphs of one or two facts about w0 to w9 and texts that say them in words of another kind."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        facts = [tuple(f"w{int(k)}" for k in rng.integers([0, 10, 0], [10, 14, 10])) for _ in range(rng.integers(1, 3))]
        found.append((facts, " ".join(f"w{20 + int(name[1:])}" for fact in facts for name in fact)))
    return found


@pytest.fixture(scope="module")
def model():
    return TextGraphEncoder(encoder=bert(), examples=1600, negatives=1, **SMALL | {"layers": 2}).fit(pairs())


def test_a_graph_is_read_as_a_line_of_the_words_that_its_names_are_made_of():
    assert linearise(GRAPH) == "Alan Bean | birth Place | Wheeler, Texas ; Alan Bean | occupation | Test pilot"
    assert plain_name("USAAirForce_Base") == "USAAir Force Base"
    assert content(GRAPH) == content([*GRAPH[::-1], GRAPH[0]]) != content(GRAPH[:1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_graph_differs_from_the_right_one_in_one_place_of_its_kind(kind):
    graphs = [as_facts(graph) for graph, _ in pairs(200)]
    wrong, rng = Corruptions(graphs), np.random.default_rng(0)
    places = {prop: {fact[::2] for graph in graphs for fact in graph if fact[1] == prop} for prop in ("w10", "w11", "w12", "w13")}
    for graph in graphs:
        made = wrong(graph, kind, rng)
        if made is None:
            assert kind == "drop" or (kind == "ends" and content(fact[::-1] for fact in graph) == content(graph))
            assert kind == "ends" or len(set(graph)) == 1
            continue
        assert content(made) != content(graph)
        if kind == "drop":
            assert any(made == graph[:i] + graph[i + 1 :] for i in range(len(graph)))
        elif kind == "add":
            assert any(graph == made[:i] + made[i + 1 :] and made[i][0] in {fact[0] for fact in graph} for i in range(len(made)))
        elif kind == "ends":
            changed = [(a, b) for a, b in zip(graph, made, strict=True) if a != b]
            assert len(changed) == 1 and changed[0][0] == changed[0][1][::-1]
        else:
            kept, end = (0, 2) if kind == "object" else (2, 0)
            old, new = next((a, b) for a, b in zip(graph, made, strict=True) if a != b)
            assert old[1] == new[1] and old[kept] == new[kept] and new[end] in {ends[end // 2] for ends in places[old[1]]}


def test_of_one_fact_whose_property_is_nowhere_else_a_wrong_graph_is_made_all_the_same():
    alone = (("a", "p", "b"),)
    wrong = Corruptions([alone, (("c", "q", "d"),)])
    rng = np.random.default_rng(0)
    assert wrong(alone, "drop", rng) is None
    assert {wrong(alone, "object", rng) for _ in range(20)} == {(("a", "p", "d"),)}
    assert all(content(one) != content(alone) for one in wrong.some(alone, ("drop",), 5, rng))


def test_the_loss_is_that_of_both_directions_with_wrong_graphs_for_the_texts_alone_and_equal_graphs_left_out():
    data = pairs(6)
    data[3] = (data[1][0][::-1], data[3][1])  # says the same in another order
    model = TextGraphEncoder(encoder=bert(0.0), negatives=2, temperature=0.1, **SMALL).untrained(data)
    seen = []
    tokens = model._tokens
    model._tokens = lambda net, lines: seen.append(lines) or tokens(net, lines)
    torch.manual_seed(3)
    with torch.no_grad():
        loss = model.loss(model.net_, Batch([tokens(model.net_, [text for _, text in data])], torch.arange(6)))
        T, L = (F.normalize(model.net_.encode(tokens(model.net_, lines)), dim=1) for lines in ([text for _, text in data], seen[0]))
    assert len(seen[0]) == 6 + 12
    told = [frozenset(line.split(" ; ")) for line in seen[0]]
    assert told[1] == told[3] == frozenset(linearise([fact]) for fact in data[1][0])
    there, back = [], []
    for i in range(6):
        keep = [j for j in range(18) if j == i or told[j] != told[i]]
        there.append(-F.log_softmax(T[i] @ L[keep].T / 0.1, dim=0)[keep.index(i)])
        keep = [j for j in range(6) if j == i or told[j] != told[i]]
        back.append(-F.log_softmax(L[i] @ T[keep].T / 0.1, dim=0)[keep.index(i)])
    assert float(loss) == pytest.approx(float(sum(there) + sum(back)) / 12, rel=1e-4)


def test_only_the_last_blocks_learn():
    data, net = pairs(), bert()
    before = {name: value.clone() for name, value in net.transformer.state_dict().items()}
    fitted = TextGraphEncoder(encoder=net, examples=80, **SMALL).fit(data)
    moved = {name for name, value in fitted.net_.encode.transformer.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and all(name.startswith("encoder.layer.1.") for name in moved)


def test_graphs_find_texts_that_share_no_word_with_them_and_texts_graphs(model):
    graphs, texts = zip(*pairs(), strict=True)
    start = TextGraphEncoder(encoder=bert(), **SMALL).untrained(pairs())
    rows, cosines = model.search(texts, graphs, k=3)
    assert rows.shape == cosines.shape == (64, 3) and (np.diff(cosines, axis=1) <= 0).all()
    found = [np.mean(one.search(graphs, texts, k=1)[0][:, 0] == np.arange(64)) for one in (model, start)]
    assert np.mean(rows[:, 0] == np.arange(64)) > 0.5 and found[0] > 0.5 > 0.2 > found[1]


def test_the_score_of_a_right_pair_is_above_that_of_a_wrong_one_and_is_the_cosine(model):
    graphs, texts = zip(*pairs(), strict=True)
    right, wrong = eredat(texts, graphs, [model]), eredat(texts, graphs[1:] + graphs[:1], [model])
    assert (right > wrong).mean() > 0.9
    np.testing.assert_allclose(right, (model.encode_text(texts) * model.encode_graph(graphs)).sum(axis=1), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(model.encode_graph(graphs), axis=1), 1, atol=1e-5)


def test_several_models_count_alike_whatever_the_scale_of_their_cosines(model):
    class Scaled:
        def score(self, texts, graphs):
            return np.array([0.5, 0.51, 0.49, 0.5])

    graphs, texts = zip(*pairs(4), strict=True)
    one = model.score(texts, graphs)
    both = eredat(texts, graphs, [model, Scaled()])
    other = Scaled().score(texts, graphs)
    np.testing.assert_allclose(both, ((one - one.mean()) / one.std() + (other - other.mean()) / other.std()) / 2, atol=1e-6)


def test_transform_reads_texts_and_graphs_and_a_graph_that_is_cut_is_told_of(model):
    graphs, texts = zip(*pairs(), strict=True)
    assert model.transform(list(graphs)).shape == model.transform(list(texts)).shape == (64, 16)
    with pytest.warns(UserWarning, match="1 of 2 graphs"):
        model.encode_graph([[("w1", "w2", "w3")], [("w1", "w2", "w3")] * 9])


def test_a_seed_repeats_and_what_was_learned_is_kept(model, tmp_path):
    graphs, texts = zip(*pairs(), strict=True)
    arm = TextGraphEncoder(encoder=bert(), examples=80, **SMALL)
    one, two, other = (clone(arm).set_params(seed=s, encoder=bert()).fit(list(graphs), list(texts)).encode_graph(graphs) for s in (1, 1, 2))
    assert (one == two).all() and not np.allclose(one, other)
    model.save(tmp_path / "m")
    again = TextGraphEncoder.load(tmp_path / "m", encoder=bert())
    np.testing.assert_allclose(again.score(texts, graphs), model.score(texts, graphs), atol=1e-6)
    with pytest.raises(InputError):
        load_model(tmp_path / "m")  # an encoder of one's own has to be brought


@pytest.mark.parametrize(
    ("settings", "graphs", "texts", "said"),
    [
        ({"temperature": 0}, [GRAPH] * 9, ["a"] * 9, "temperature=0"),
        ({"negatives": -1}, [GRAPH] * 9, ["a"] * 9, "negatives=-1"),
        ({"layers": 0}, [GRAPH] * 9, ["a"] * 9, "layers=0"),
        ({"corruptions": ("swap",)}, [GRAPH] * 9, ["a"] * 9, "corruptions="),
        ({"corruptions": ()}, [GRAPH] * 9, ["a"] * 9, "corruptions="),
        ({"encoder": "ngrams"}, [GRAPH] * 9, ["a"] * 9, "no transformer"),
        ({}, [GRAPH] * 9, ["a"] * 8, "9 graphs and 8 texts"),
        ({}, [GRAPH] * 2, ["a", 3], "wanted a str"),
        ({}, [GRAPH, []], ["a", "b"], "graph 1 is"),
        ({}, [GRAPH, [("a", "b")]], ["a", "b"], "graph 1 holds"),
        ({}, ["a text", "another"], ["a", "b"], "graph 0 is"),
        ({}, [GRAPH, [("a", "b", float("nan"))]], ["a", "b"], "three str"),
        ({}, [(GRAPH, 1), (GRAPH, 2)], None, "wanted pairs"),
        ({}, [GRAPH], ["a"], "at least 2"),
    ],
)
def test_mistakes_are_said_in_one_line(settings, graphs, texts, said):
    with pytest.raises(InputError, match=said) as error:
        TextGraphEncoder(**{"encoder": bert()} | settings).fit(graphs, texts)
    assert "\n" not in str(error.value)


def test_a_score_wants_as_many_texts_as_graphs_and_several_models_two_pairs(model):
    with pytest.raises(InputError, match="2 texts for 1"):
        model.score(["a", "b"], [GRAPH])
    for models, n in (([], 3), ([model, model], 1)):
        with pytest.raises(InputError, match="models and"):
            eredat(["a"] * n, [GRAPH] * n, models)
