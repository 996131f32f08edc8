"""Folders of sentence-transformers are encoders, and ours are folders that it opens."""

import json

import numpy as np
import pytest
import torch

from unlabeled.encoders import Inputs, encoder, has_minilm
from unlabeled.encoders.sentence_transformer import options_of, with_options, write_folder
from unlabeled.encoders.text import POOLS, HuggingFaceText, pool_tokens
from unlabeled.errors import InputError
from unlabeled.methods.frozen import Frozen

TEXTS = ["a cat sat on the mat", "dogs", "", "a dog and a cat and a dog and a cat sat", "Cat", "the the the"]


@pytest.fixture(scope="module")
def small():
    """A two-layer BERT with random weights and a tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"a cat sat on the mat dogs dog and Cat query :".split()]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=8
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        model = BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=32, **shape))
    return model.eval(), tokenizer


def opened(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu").encode(TEXTS, batch_size=2, show_progress_bar=False)


def ours(which):
    return Frozen(encoder=which).fit(TEXTS).transform(TEXTS)


@pytest.mark.parametrize("pool", [*((one,) for one in POOLS), ("mean", "max")])
@pytest.mark.parametrize("unit", [False, True])
def test_a_written_folder_gives_the_same_vectors_in_sentence_transformers_and_here(small, tmp_path, pool, unit):
    model, tokenizer = small
    with torch.random.fork_rng():
        torch.manual_seed(1)
        dense = [torch.nn.Linear(16 * len(pool), 5), torch.nn.Tanh()] if pool[0] == "cls" else []
    net = HuggingFaceText(model, tokenizer, length=8, unit=unit, pool=pool, dense=dense, lower=pool[0] == "max")
    want = ours(net)
    folder = write_folder(net, tmp_path / "out")
    np.testing.assert_allclose(opened(folder), want, atol=2e-6)
    np.testing.assert_allclose(ours(str(folder)), want, atol=2e-6)


def test_a_folder_of_sentence_transformers_own_making_is_read_with_its_prompt_and_its_layers(small, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense, Normalize, Pooling, Transformer

    small[0].save_pretrained(tmp_path / "base")
    small[1].save_pretrained(tmp_path / "base")
    parts = [Transformer(str(tmp_path / "base"), max_seq_length=7), Pooling(16, "max"), Dense(16, 4, activation_function=torch.nn.Tanh())]
    theirs = SentenceTransformer(modules=[*parts, Normalize()], prompts={"q": "query : "}, default_prompt_name="q", device="cpu")
    theirs.save(str(tmp_path / "made"))
    want = theirs.encode(TEXTS, show_progress_bar=False)
    assert not np.allclose(want, theirs.encode(TEXTS, prompt="", show_progress_bar=False))
    np.testing.assert_allclose(ours(str(tmp_path / "made")), want, atol=2e-6)


def test_what_was_learned_is_saved_as_a_sentence_transformer(small, tmp_path):
    import unlabeled as ul

    model = ul.SimSiam(encoder=HuggingFaceText(*small, length=8), epochs=1, batch_size=4, seed=0).fit(TEXTS)
    folder = model.save_sentence_transformer(tmp_path / "learned")
    np.testing.assert_allclose(opened(folder), model.transform(TEXTS), atol=2e-6)
    with pytest.raises(InputError, match="isn't empty"):
        model.save_sentence_transformer(folder)
    with pytest.raises(InputError, match="no transformer of texts"):
        ul.SimSiam(epochs=1).fit(TEXTS).save_sentence_transformer(tmp_path / "bag")


def test_pooling_never_looks_at_padding():
    hidden, mask = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)) - 3, torch.arange(5) < torch.tensor([[5], [2], [1]])
    other = torch.where(mask[:, :, None], hidden, 1e3)
    for how in POOLS:
        assert torch.equal(pool_tokens(hidden, mask, how), pool_tokens(other, mask, how)), how
    by_hand = {
        "mean": hidden[1, :2].mean(0),
        "max": hidden[1, :2].amax(0),
        "lasttoken": hidden[1, 1],
        "weightedmean": (hidden[1, 0] + 2 * hidden[1, 1]) / 3,
        "mean_sqrt_len_tokens": hidden[1, :2].sum(0) / 2**0.5,
    }
    for how, want in by_hand.items():
        torch.testing.assert_close(pool_tokens(hidden, mask, how)[1], want)


def test_unknown_modules_and_odd_folders_are_refused_with_their_name(small, tmp_path):
    folder = write_folder(HuggingFaceText(*small), tmp_path / "out")
    modules = json.loads((folder / "modules.json").read_text())

    def refuse(match, rows):
        (folder / "modules.json").write_text(json.dumps(rows))
        with pytest.raises(InputError, match=match):
            encoder(str(folder), Inputs("text"))

    refuse("module CNN", [*modules, {"path": "2_CNN", "type": "sentence_transformers.models.CNN"}])
    refuse("wanted a Transformer", modules[1:])
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "attention"}')
    refuse("pools by attention", modules)


def test_options_rebuild_an_encoder(small):
    net = HuggingFaceText(
        *small, length=6, pool=("cls", "mean"), dense=[torch.nn.Linear(32, 3, bias=False), torch.nn.GELU()], prompt="query"
    )
    again = with_options(*small, json.loads(json.dumps(options_of(net))))
    assert options_of(again) == options_of(net)
    assert again.width == net.width == 3


@pytest.mark.skipif(not has_minilm(), reason="MiniLM isn't installed")
def test_minilm3_is_minilm_without_its_last_three_layers_and_saves_as_such(tmp_path):
    from unlabeled.encoders.tokens import token_states

    states = token_states(TEXTS, "minilm", layer=3)
    want = np.stack([one.mean(axis=0) for one in states])
    np.testing.assert_allclose(ours("minilm3"), want, atol=1e-5)
    model = Frozen(encoder="minilm3").fit(TEXTS)
    model.save(tmp_path / "model")
    np.testing.assert_allclose(Frozen.load(tmp_path / "model").transform(TEXTS), want, atol=1e-5)
    np.testing.assert_allclose(opened(model.save_sentence_transformer(tmp_path / "st")), want, atol=1e-5)
