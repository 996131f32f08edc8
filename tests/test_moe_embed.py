"""Experts in a transformer: who gets which text and which gradient, that nothing changes at first, and what a domain's own folder holds."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import unlabeled as ul
from unlabeled import InputError
from unlabeled.encoders import Inputs, encoder
from unlabeled.encoders.domain_text import upcycle_moe
from unlabeled.encoders.text import HuggingFaceText
from unlabeled.learner import Batch
from unlabeled.methods.frozen import Frozen
from unlabeled.methods.sentences.moe_embed import MoEEmbedder
from unlabeled.parts.cocitation import cocitation_pairs
from unlabeled.parts.experts import Experts, blocks_of, upcycle
from unlabeled.saving import load_model

WORDS = [f"w{i}" for i in range(40)]
TEXTS = ["w1 w2 w3", "w9", "", "w4 w4 w4 w4 w5 w30", "unheard w7"]


def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(names)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=32, **special)


def bert(kind="bert"):
    """A two-layer transformer with random weights and a tokenizer of forty words; no dropout."""
    from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "bert":
            shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 44}
            model = BertModel(BertConfig(**shape, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
        else:
            model = DistilBertModel(DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32, vocab_size=44))
    return HuggingFaceText(model, tokenizer(), length=32).eval()


def pairs_of(domain, n=40, seed=0):
    """Texts of one domain's words; partners share their first word. Which words mean what differs between domains."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        topic = rng.integers(5)
        other = 10 + (topic + 2 * domain) % 5
        rows.append(tuple(" ".join([f"w{one}", *(f"w{rng.integers(20, 40)}" for _ in range(3))]) for one in (topic, other)))
    return rows


SMALL = {"batch_size": 16, "examples": 320, "lr": 3e-3, "precision": "32-true"}
LEARNS = SMALL | {"examples": 1600, "lr": 1e-2, "freeze_embeddings": False}


@pytest.fixture(scope="module")
def pairs():
    return {"a": pairs_of(0), "b": pairs_of(1, 30, seed=1)}


@pytest.fixture(scope="module")
def model(pairs):
    return MoEEmbedder(encoder=bert(), **LEARNS).fit(pairs)


def ids_of(net, texts, domain=None):
    rows = net.tokenize([text if domain is None else f"\0{domain}\0{text}" for text in texts])
    ids = torch.zeros(len(rows), max(1, *map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
    return ids


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
@pytest.mark.parametrize("options", [{}, {"domain_token": False}, {"layers": [1]}])
def test_right_after_upcycling_every_domain_gives_what_the_base_gave_bit_for_bit(kind, options):
    base = bert(kind)
    net = upcycle_moe(base, 3, **options).eval()
    with torch.no_grad():
        want = base(ids_of(base, TEXTS))
        for domain in range(3):
            assert torch.equal(net(ids_of(net, TEXTS, domain)), want)
        torch.testing.assert_close(net(ids_of(net, TEXTS)), want, atol=1e-6, rtol=0)


def test_minilm3_too_is_bit_for_bit_what_it_was():
    base = encoder("minilm3", Inputs("text")).eval()
    net = upcycle_moe(base, 2, length=base.length).eval()
    with torch.no_grad():
        assert torch.equal(
            net(ids_of(net, ["Grüße 👍", "a longer text about proteins"], 1)),
            base(ids_of(base, ["Grüße 👍", "a longer text about proteins"])),
        )


def test_upcycling_leaves_the_encoder_itself_alone_and_counts_one_feed_forward_part_more_a_domain():
    base = bert()
    before = copy.deepcopy(base.state_dict())
    net = upcycle_moe(base, 3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    block = blocks_of(base.transformer)[0]
    extra = sum(p.numel() for part in (block.intermediate, block.output) for p in part.parameters())
    size = [sum(p.numel() for p in one.parameters()) for one in (base, net)]
    assert size[1] - size[0] == 2 * 2 * extra + 3 * 16  # two more experts in each of two blocks, and three tokens


def test_a_text_is_read_by_its_domains_experts_only_and_a_mixed_batch_is_what_each_is_alone():
    net = upcycle_moe(bert(), 2).eval()
    with torch.no_grad():
        before = [net(ids_of(net, TEXTS, d)) for d in (0, 1)]
        for experts in net.placed:
            experts.experts[1].intermediate.dense.weight.mul_(50)
        after = [net(ids_of(net, TEXTS, d)) for d in (0, 1)]
        mixed = net(torch.cat([ids_of(net, TEXTS, 0), ids_of(net, TEXTS, 1), F.pad(ids_of(net, TEXTS), (0, 1))]))
    assert torch.equal(before[0], after[0]) and (before[1] - after[1]).abs().max() > 1e-3
    want = torch.cat([*after, (after[0] + after[1]) / 2])  # without a domain: the mean
    torch.testing.assert_close(mixed, want, atol=1e-6, rtol=1e-5)


def test_in_training_a_domains_pairs_teach_its_experts_its_token_and_the_shared_attention_alone():
    learner = MoEEmbedder(encoder=bert(), **SMALL).untrained({"a": pairs_of(0), "b": pairs_of(1)})
    net = learner.net_.train()
    index = torch.cat([torch.arange(40, 48), torch.arange(120, 128)])  # of "b"
    texts = [text for side in (0, 1) for _, part in enumerate((pairs_of(0), pairs_of(1))) for text in (pair[side] for pair in part)]
    learner.loss(net, Batch([ids_of(net.encode, [texts[i] for i in index], 1)], index)).backward()
    moved = {name for name, p in net.encode.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any("attention" in name for name in moved) and any("experts.1." in name for name in moved)
    assert not any("experts.0." in name or "word_embeddings" in name for name in moved)
    rows = net.encode.domains.weight.grad.abs().sum(dim=1)
    assert rows[0] == 0 and rows[1] > 0


def test_the_loss_is_the_cross_entropy_both_ways_without_texts_that_the_pairs_share():
    made = {"a": [("w1", "w2"), ("w1", "w3"), ("w4", "w2"), ("w5", "w6")], "b": [("w7", "w8"), ("w9", "w10")]}
    learner = MoEEmbedder(encoder=bert(), **SMALL).untrained(made)
    index = torch.tensor([0, 1, 2, 3, 6, 7, 8, 9])
    texts = ["w1", "w1", "w4", "w5", "w2", "w3", "w2", "w6"]
    net = learner.net_.eval()
    with torch.no_grad():
        z = F.normalize(net.encode(ids_of(net.encode, texts, 0)), dim=1).numpy()
        got = float(learner.loss(net, Batch([ids_of(net.encode, texts, 0)], index)))
    s = np.exp(z[:4] @ z[4:].T / 0.05)
    out = [{1, 2}, {0}, {0}, set()]  # rows and columns that share "w1" or "w2" with the pair
    each = [-np.log(t[i, i] / sum(t[i, j] for j in range(4) if j not in out[i])) for t in (s, s.T) for i in range(4)]
    np.testing.assert_allclose(got, np.mean(each), rtol=1e-5)


def test_batches_are_of_one_domain_each_domain_in_turn_and_partners_stay_together_when_sorted():
    learner = MoEEmbedder(encoder=bert(), **SMALL).untrained({"a": pairs_of(0, 70), "b": pairs_of(1, 10), "c": pairs_of(2, 40)})
    order = learner.order(learner.net_, 240, torch.Generator().manual_seed(0)).numpy()
    assert len(order) == 240
    domains, seen = [], set()
    for batch in np.sort(order[: 240 // 16 * 16].reshape(-1, 16), axis=1):
        assert (batch[8:] == batch[:8] + 120).all()
        domains.append({0 if i < 70 else 1 if i < 80 else 2 for i in batch[:8].tolist()})
        seen |= set(batch[:8].tolist())
    assert all(len(one) == 1 for one in domains)
    assert np.bincount([one.pop() for one in domains]).tolist() == [5, 5, 5]
    assert set(range(70, 80)) <= seen


def test_a_learned_router_mixes_two_experts_of_each_token_by_its_softmax():
    torch.manual_seed(0)
    experts = Experts(torch.nn.Linear(4, 4), 3, 4, learned=True)
    with torch.no_grad():
        for one in experts.experts:
            one.weight.normal_()
        x = torch.randn(2, 5, 4)
        got = experts(x)
        for i in range(2):
            for j in range(5):
                score = (experts.route.weight @ x[i, j]).numpy()
                best = np.argsort(-score)[:2]
                weight = np.exp(score[best]) / np.exp(score[best]).sum()
                want = sum(w * experts.experts[e](x[i, j]) for w, e in zip(weight.tolist(), best, strict=True))
                torch.testing.assert_close(got[i, j], want)
    base, net = bert(), upcycle_moe(bert(), 3, routing="learned", domain_token=False).eval()
    with torch.no_grad():
        torch.testing.assert_close(net(ids_of(net, TEXTS)), base(ids_of(base, TEXTS)), atol=1e-6, rtol=0)
    fitted = MoEEmbedder(encoder=bert(), routing="learned", **SMALL).fit({"a": pairs_of(0)})
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]


def test_training_brings_partners_together_in_every_domain_and_its_own_experts_know_it_best(model, pairs):
    def found(fitted, name, domain):
        held = pairs_of("ab".index(name), 80, seed=9)
        left, right = (fitted.encode([pair[k] for pair in held], domain) for k in (0, 1))
        left, right = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (left, right))
        topic = np.array([int(pair[0].split()[0][1:]) for pair in held])
        near = np.stack([(left @ right[topic == t].T).mean(axis=1) for t in range(5)], axis=1)
        return np.mean(near.argmax(axis=1) == topic)

    base = MoEEmbedder(encoder=bert(), **SMALL).untrained(pairs)
    for name, other in (("a", "b"), ("b", "a")):
        assert found(model, name, name) > max(found(base, name, name), found(model, name, other)) + 0.1
    again, twice = (MoEEmbedder(encoder=bert(), **SMALL).fit(pairs) for _ in range(2))
    assert np.array_equal(again.encode(TEXTS, "a"), twice.encode(TEXTS, "a"))


def test_saved_and_opened_it_gives_the_same_vectors_for_each_domain_and_without_one(model, tmp_path):
    model.save(tmp_path / "model")
    opened = load_model(tmp_path / "model")
    assert opened.domains_ == ["a", "b"]
    for domain in ("a", "b", None, ["a", "b", "a", "b", "b"]):
        np.testing.assert_array_equal(opened.encode(TEXTS, domain), model.encode(TEXTS, domain))
    assert np.abs(model.encode(TEXTS, "a") - model.encode(TEXTS, "b")).max() > 0.01


def test_one_domain_as_a_sentence_transformer_is_as_large_as_the_base_and_gives_the_same_vectors(model, tmp_path):
    model.save_sentence_transformer(tmp_path / "b", "b")
    alone = Frozen(encoder=str(tmp_path / "b"), whiten=0).fit(TEXTS)
    np.testing.assert_allclose(alone.transform(TEXTS), model.encode(TEXTS, "b"), atol=1e-6)
    size = [sum(p.numel() for p in net.transformer.parameters()) for net in (alone.net_.encode, bert())]
    assert size[0] == size[1]
    with pytest.raises(InputError, match="name a domain of a, b"):
        model.save_sentence_transformer(tmp_path / "c")


def test_cocitations_are_those_that_counting_finds():
    rng = np.random.default_rng(0)
    edges = np.concatenate([rng.integers(0, 15, (60, 2)), [[3, 3], [4, 5], [4, 5]]])
    cites = {(a, b) for a, b in edges.tolist() if a != b}
    for least in (1, 2, 3):
        count = {(a, b): sum((c, a) in cites and (c, b) in cites for c in range(15)) for a in range(15) for b in range(a + 1, 15)}
        assert cocitation_pairs(edges, least).tolist() == [list(pair) for pair, n in count.items() if n >= least]
    assert cocitation_pairs(np.array([[2, 2]])).shape == (0, 2)


def test_hard_texts_have_vectors_and_signs_of_ours_within_them_do_nothing(model):
    hard = [
        "",
        "नमस्ते 東京 👩‍👩‍👧‍👦",
        "w1 " * 100_000,
        "\0" + "1\0w3",
        "w1\0w2",
        "\ud83d".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
    ]
    Z = model.encode(hard, "a")
    assert Z.shape == (6, 16) and np.isfinite(Z).all()
    np.testing.assert_array_equal(model.encode(["\0" + "1\0w3"], "a"), model.encode(["1\0w3"], "a"))
    same = MoEEmbedder(encoder=bert(), **SMALL | {"examples": 32}).fit({"only": [("w1", "w1")] * 8})
    assert np.isfinite(same.encode(["w1"])).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.encode(["w1"], "c"), "domain is 'c': wanted one of a, b"),
        (lambda m: m.encode(["w1", "w2"], ["a"]), "1 for 2 texts"),
        (lambda m: MoEEmbedder(encoder=bert()).fit(["w1", "w2"]), "wanted pairs by domain"),
        (lambda m: MoEEmbedder(encoder=bert()).fit({"a": [("w1",)]}), "wanted two texts"),
        (lambda m: MoEEmbedder(encoder=bert()).fit({"a": []}), "0 left"),
        (lambda m: MoEEmbedder(encoder="ngrams").fit({"a": pairs_of(0)}), "NgramBag is no transformer"),
        (lambda m: MoEEmbedder(encoder=bert(), routing="best").fit({"a": pairs_of(0)}), "routing='best'"),
        (lambda m: MoEEmbedder(encoder=bert(), layers=[2]).fit({"a": pairs_of(0)}), "from 0 to 1"),
        (lambda m: MoEEmbedder(encoder=bert(), batch_size=2).fit({"a": pairs_of(0)}), "batch_size=2"),
        (lambda m: upcycle_moe(bert(), 0), "n_experts=0"),
        (lambda m: upcycle(torch.nn.Linear(2, 2), 2, 2), "Linear has no blocks"),
        (lambda m: cocitation_pairs([[1, 2, 3]]), "wanted whole numbers"),
        (lambda m: cocitation_pairs([[0.5, 1]]), "wanted whole numbers"),
    ],
)
def test_mistakes_are_told_in_one_line(model, call, said):
    with pytest.raises(InputError, match=said) as error:
        call(model)
    assert "\n" not in str(error.value)


def test_it_is_at_the_front_door():
    assert ul.MoEEmbedder is MoEEmbedder
