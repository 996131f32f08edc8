"""Phrases by counting, spans and masks by hand, and which mentions are whose partners and negatives."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import unlabeled as ul
from unlabeled import InputError
from unlabeled.encoders.span_text import SpanText
from unlabeled.encoders.text import HuggingFaceText
from unlabeled.learner import Batch, Source
from unlabeled.parts.mentions import mine
from unlabeled.parts.scale import unit
from unlabeled.saving import load_model
from unlabeled.tasks.topics.uctopic import UCTopic, best_k

NAMES = [f"{kind}{i}" for kind in ("ice", "star") for i in range(12)] + [f"p{i}" for i in range(16)] + ["the", "of", "and"]


def bert():
    """A two-layer BERT with random weights and a tokenizer of the words above; no dropout."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *NAMES]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(names)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=32, **special)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": len(names)}
        model = BertModel(BertConfig(**shape, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
    return HuggingFaceText(model, tokenizer, length=32).eval()


def posts_of(n=60, seed=0):
    """Two subjects, with eight phrases of two words each; the words around a phrase tell the subject."""
    rng = np.random.default_rng(seed)
    posts = []
    for i in range(n):
        kind, first = ("ice", 0) if i % 2 else ("star", 8)
        lines = []
        for _ in range(3):
            a = first + 2 * rng.integers(4)
            words = [f"{kind}{rng.integers(12)}" for _ in range(4)]
            lines.append(f"{words[0]} the p{a} p{a + 1} of {words[1]} and {words[2]} of the {words[3]}.")
        posts.append(" ".join(lines))
    return posts


SMALL = {
    "n_topics": 2,
    "pmi": 1.0,
    "batch_size": 16,
    "epochs": 4,
    "finetune": 0.5,
    "lr": 3e-3,
    "precision": "32-true",
    "freeze_embeddings": False,
}


@pytest.fixture(scope="module")
def posts():
    return posts_of()


@pytest.fixture(scope="module")
def model(posts):
    return UCTopic(encoder=bert(), **SMALL | {"epochs": 12, "lr": 1e-2}).fit(posts)


def ids_of(net, texts):
    rows = net.tokenize(texts)
    ids = torch.zeros(len(rows), max(1, *map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
    return ids


def test_phrases_are_the_runs_of_words_that_attract_each_other_often_enough():
    rng = np.random.default_rng(0)
    words, stops = [*"abcdefgh"], {"a", "b"}
    texts = [" ".join(rng.choice(words, 6)) + "." for _ in range(40)] + [f"c d e{i}." for i in range(6)]
    sentences = list(dict.fromkeys(texts))
    counts: dict[tuple, int] = {}
    for sentence in sentences:
        runs = [[*group] for keep, group in itertools.groupby(sentence[:-1].split(), lambda word: word not in stops) if keep]
        grams = {tuple(run[i : i + n]) for run in runs for n in (1, 2, 3) for i in range(len(run) - n + 1)}
        for gram in grams:
            counts[gram] = counts.get(gram, 0) + 1
    good = set()
    for gram, n in counts.items():
        cuts = [counts[gram[:i]] * counts[gram[i:]] for i in range(1, len(gram))]
        if len(gram) > 1 and n >= 3 and min(math.log(n * len(sentences) / cut) for cut in cuts) >= -1.2:
            good.add(" ".join(gram))
    assert 3 < len(good) < len([gram for gram, n in counts.items() if len(gram) > 1 and n >= 3])
    found = mine(texts, pmi=-1.2, stop_words=stops)
    assert {"c d"} <= set(found.phrases) <= good
    for phrase in good:  # each is found, or hidden under longer or more frequent ones wherever it stands
        assert phrase in found.phrases or all(
            any(a < m.end() and m.start() < b for s, (a, b) in zip(found.sentences, found.spans, strict=True) if s == sentence)
            for sentence in sentences
            for m in re.finditer(rf"\b{phrase}\b", sentence)
        )


def test_a_mention_is_where_the_phrase_stands_and_knows_its_text():
    texts = [f"I saw {n} ice ages; The ICE Age of {n}." for n in ("two", "three")] + ["An ice age! Ice, age", "no such thing"]
    found = mine(texts, pmi=-1, min_sentences=2)
    at = [sentence[a:b] for sentence, (a, b) in zip(found.sentences, found.spans, strict=True)]
    assert at == ["ice ages", "ICE Age", "ice ages", "ICE Age", "ice age"]  # not across a comma
    assert found.phrases[found.phrase[0]] in ("ice age", "ice ages") and len(set(found.phrase.tolist())) == 1  # one phrase, in one or many
    assert found.text.tolist() == [0, 0, 1, 1, 2]


def test_phrases_of_other_scripts_are_found_and_pictures_and_numbers_are_none():
    texts = [f"слово{i} Ледниковый период, 2020 2021 👍 👍 {i}." for i in range(4)]
    assert mine(texts, pmi=0).phrases == ["ледниковый период"]
    with pytest.raises(InputError, match="no phrase of 2 to 3 words"):
        mine(["", "one", "👍👍 👍"])


def test_of_a_hundred_thousand_words_in_one_line_phrases_are_found():
    text = " ".join(f"w{i % 977} x{i % 977}" for i in range(50_000))
    found = mine([text], pmi=0.0, longest=2)
    assert len(found) > 1000 and max(len(s) for s in found.sentences) < 600


def test_a_spans_vector_is_the_mean_of_its_tokens_states_in_the_whole_sentence():
    base = bert()
    net = SpanText(base, 32).eval()
    with torch.no_grad():
        got = net(ids_of(net, ["the \0p1 p2\0 of ice1", "the p1 p2", "\0star3\0", ""]))
        words = base.tokenizer("the p1 p2 of ice1", return_tensors="pt")
        states = base.transformer(**{key: words[key] for key in ("input_ids", "attention_mask")}).last_hidden_state[0]
        alone = base.transformer(input_ids=base.tokenizer("the p1 p2", return_tensors="pt")["input_ids"]).last_hidden_state[0]
    torch.testing.assert_close(got[0], states[2:4].mean(dim=0), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(got[1], alone[1:4].mean(dim=0), atol=1e-6, rtol=1e-5)  # without a span: all of it
    assert torch.isfinite(got).all()


def test_masks_fall_on_the_span_alone_and_always_or_never_by_chance():
    net = SpanText(bert(), 32).eval()
    seen = []
    net.transformer.register_forward_pre_hook(lambda module, args, kwargs: seen.append(kwargs["input_ids"].clone()), with_kwargs=True)
    texts = ["the \0p1 p2\0 of ice1"] * 400
    with torch.no_grad():
        for chance in (0.0, 1.0, 0.5):
            net(ids_of(net, texts), mask=chance)
    plain, all_of_it, half = seen
    mask = net.tokenizer.mask_token_id
    assert not (plain == mask).any() and ((all_of_it == mask).nonzero()[:, 1].unique() == torch.tensor([2, 3])).all()
    assert torch.equal(all_of_it[:, [0, 1, 4, 5, 6]], plain[:, [0, 1, 4, 5, 6]]) and (all_of_it[:, 2:4] == mask).all()
    assert 0.4 < (half[:, 2:4] == mask).float().mean() < 0.6


def test_of_a_long_sentence_what_is_nearest_to_the_span_is_read():
    net = SpanText(bert(), 12)
    far = " ".join(["ice1"] * 50)
    row = net.tokenize([f"{far} ice2 ice3 \0p1 p2\0 ice4 ice5 {far}", f"\0p1 p2\0 ice4 {far}", f"{far} ice3 \0p1 p2\0"])
    names = [net.tokenizer.convert_ids_to_tokens([token - 1 for token in one if token < net.begin]) for one in row]
    assert all(len(one) == 10 for one in names)
    assert names[0][3:8] == ["ice3", "p1", "p2", "ice4", "ice5"] and names[0][2] == "ice2"
    assert names[1][:3] == ["p1", "p2", "ice4"] and names[2][-3:] == ["ice3", "p1", "p2"]


def test_pairs_are_of_one_phrase_in_two_texts_and_later_of_two_phrases_of_one_topic(posts):
    learner = UCTopic(encoder=bert(), **SMALL | {"top": 0.5}).untrained(posts)
    source = Source(learner._items(posts, reset=True), learner.net_.encode, learner.inputs_)
    m, n = learner.mentions_, len(learner.mentions_)
    learner.steps_ = 4 * (n // 16)
    for epoch in range(4):
        learner.before_epoch(learner.net_, source)
        order = learner.order(learner.net_, n, torch.Generator().manual_seed(epoch)).numpy()
        assert len(order) == n
        a, b = order[: n // 2 * 2].reshape(-1, 2).T
        if epoch < 2:
            assert (m.phrase[a] == m.phrase[b]).all() and (m.text[a] != m.text[b]).all()
        else:
            topic = learner._key.numpy()
            assert (topic[a] == topic[b]).all() and (topic[a] >= 0).all() and (m.phrase[a] != m.phrase[b]).all()
            assert abs(int((topic[a] == 0).sum()) - int((topic[a] == 1).sum())) <= 1  # one of each topic in turn


def test_the_nearest_mentions_vote_and_the_others_have_no_topic(posts):
    learner = UCTopic(encoder=bert(), **SMALL | {"top": 0.3}).untrained(posts)
    Z = unit(np.random.default_rng(0).normal(size=(len(learner.mentions_), 5)).astype(np.float32))
    votes = learner._votes(Z)
    found, phrase = learner._clusters(Z), learner.mentions_.phrase
    near, kept = (Z * unit(found.centers)[found.labels]).sum(axis=1), np.zeros(len(Z), bool)
    for topic in (0, 1):
        members = np.flatnonzero(found.labels == topic)
        kept[sorted(members, key=lambda i: -near[i])[: math.ceil(0.3 * len(members))]] = True
    for i in range(len(Z)):
        counts = np.bincount(found.labels[kept & (phrase == phrase[i])], minlength=2)
        right = kept[i] and counts.argmax() == found.labels[i]
        assert votes[i] == (found.labels[i] if right else -1)


def test_the_loss_has_negatives_of_other_phrases_or_topics_only(posts):
    learner = UCTopic(encoder=bert(), **SMALL | {"mask_prob": 0.0}).untrained(posts)
    net, keys = learner.net_.eval(), [0, 0, 1, 1, 2, 2, 0, 0]
    texts = [f"the \0p{i} p{i + 1}\0 of ice{i}" for i in range(8)]
    learner._key = torch.tensor(keys).float()
    torch.manual_seed(3)
    with torch.no_grad():
        got = float(learner.loss(net, Batch([ids_of(net.encode, texts)], torch.arange(8))))
        z = F.normalize(net.project(net.encode(ids_of(net.encode, texts))), dim=1).numpy()

    def value(pairs):
        total = []
        for one in (pairs, [(j, i) for i, j in pairs]):
            for i, j in one:
                others = [k for _, k in one if keys[k] != keys[i]]
                s = {k: np.exp(float(z[i] @ z[k]) / 0.05) for k in [j, *others]}
                total.append(-math.log(s[j] / sum(s.values())))
        return np.mean(total)

    zeros = [0, 1, 6, 7]  # which two of the four are partners is by chance
    possible = []
    for p in itertools.permutations(zeros):
        for q in itertools.product(([2, 3], [3, 2]), ([4, 5], [5, 4])):
            possible.append(value([(p[0], p[1]), (p[2], p[3]), tuple(q[0]), tuple(q[1])]))
    assert min(abs(got - one) for one in possible) < 1e-4


def test_two_subjects_become_two_topics_of_their_own_phrases(model, posts):
    own = np.array([i % 2 for i in range(len(posts))])[model.mentions_.text]
    agree = (model.labels_ == own).mean()
    assert max(agree, 1 - agree) > 0.95
    lists = model.topics(4)
    assert {frozenset(one) for one in lists} == {frozenset(f"p{a} p{a + 1}" for a in range(s, s + 8, 2)) for s in (0, 8)}
    for topic in model.topics_:
        scores = [score for _, score in topic]
        assert scores == sorted(scores, reverse=True)
    a, b = posts[0].index("p"), posts[1].index("p")
    found = model.predict([(posts[0], (a, a + 3)), (posts[1], (b, b + 3))])
    assert found[0] != found[1]


def test_the_number_of_topics_is_found_where_there_is_one():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 20)) * 3
    Z = unit((centres[rng.integers(4, size=300)] + rng.normal(size=(300, 20))).astype(np.float32))
    assert best_k(Z) == 4


def test_mentions_of_ones_own_serve_as_well_and_a_seed_repeats_it(model):
    spans = list(zip(model.mentions_.sentences, model.mentions_.spans, strict=True))[:60]
    small = SMALL | {"epochs": 1, "finetune": 0.0}
    one, two = (UCTopic(encoder=bert(), **small).fit(spans) for _ in range(2))
    assert one.mentions_.spans == model.mentions_.spans[:60]
    np.testing.assert_array_equal(one.encode(spans[:5]), two.encode(spans[:5]))


def test_saved_and_opened_it_has_the_same_topics_and_vectors(model, posts, tmp_path):
    model.save(tmp_path / "model")
    opened = load_model(tmp_path / "model")
    assert opened.topics(3) == model.topics(3) and np.array_equal(opened.labels_, model.labels_)
    spans = list(zip(model.mentions_.sentences, model.mentions_.spans, strict=True))[:20]
    np.testing.assert_array_equal(opened.encode(spans), model.encode(spans))
    np.testing.assert_array_equal(opened.predict(spans), model.predict(spans))
    np.testing.assert_array_equal(opened.transform(posts[:5]), model.transform(posts[:5]))


def test_any_text_has_a_vector(model):
    Z = model.transform(["", "👩‍👩‍👧‍👦 東京 नमस्ते", "ice1 " * 100_000, "a\0b", "p1", "p1"])
    assert Z.shape == (6, 16) and np.isfinite(Z).all() and np.array_equal(Z[4], Z[5])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: UCTopic(encoder=bert()).fit(["no phrase", "here"]), "no phrase of 2 to 3 words"),
        (lambda: UCTopic(encoder=bert()).fit([("p1 p2", (3, 9))] * 4), "mention 0 .* wanted"),
        (lambda: UCTopic(encoder=bert()).fit([("p1 p2", (2, 2))] * 4), "mention 0 .* wanted"),
        (lambda: UCTopic(encoder=bert(), n_topics=2, epochs=1).fit([("p1 p2", (0, 5))] * 4), "no phrase is in two different texts"),
        (lambda: UCTopic(encoder=bert(), n_topics=1, pmi=0).fit(posts_of()), "n_topics=1"),
        (lambda: UCTopic(encoder=bert(), n_topics=9999, pmi=0).fit(posts_of()), "n_topics=9999"),
        (lambda: UCTopic(encoder=bert(), mask_prob=1.5, pmi=0).fit(posts_of()), "mask_prob=1.5"),
        (lambda: UCTopic(encoder=bert(), temperature=0, pmi=0).fit(posts_of()), "temperature=0"),
        (lambda: UCTopic(encoder=bert(), batch_size=7, pmi=0).fit(posts_of()), "batch_size=7"),
        (lambda: UCTopic(encoder=bert(), pmi=math.nan).fit(posts_of()), "pmi=nan"),
        (lambda: UCTopic(encoder="ngrams", n_topics=2, pmi=0).fit(posts_of()), "NgramBag is no transformer"),
        (lambda: UCTopic().fit(np.zeros((4, 3))), "wanted texts, or mentions"),
    ],
)
def test_mistakes_are_told_in_one_line(call, said):
    with pytest.raises(InputError, match=said) as error:
        call()
    assert "\n" not in str(error.value)


def test_it_is_at_the_front_door():
    assert ul.UCTopic is UCTopic
