"""The sentiment unit: the multiplicative LSTM and its gradient, texts that don't see each other, units, and what a held unit writes."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

import unlabeled as ul
from unlabeled import InputError
from unlabeled.methods.sentences.sentiment_neuron import ByteLM, coded
from unlabeled.parts.mlstm import NormedWeight, SymbolMLSTM, multiplicative_lstm
from unlabeled.parts.units import Unit, find_units, unit_auroc
from unlabeled.reproduce.sentiment_neuron import ngram_bits

SMALL = {"units": 24, "embed": 8, "seq": 16, "batch": 8, "lr": 0.02, "precision": "32-true"}
TEXTS = ["aaa bbb", "", "naïve 東京 👍", "b" * 70, "ab\nab\r\nab", "one"]


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    return ByteLM(epochs=3, **SMALL).fit(["".join(rng.choice(["ab", "cd"], 20)) for _ in range(100)])


def plain_loop(zx, a, wh, wm, h, c):
    """The cell as the paper writes it, step by step; torch finds the gradient."""
    H, C = [], []
    for z, at in zip(zx, a, strict=True):
        m = at * (h @ wh)
        i, f, o, u = (z + m @ wm).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(u)
        h = torch.sigmoid(o) * torch.tanh(c)
        H.append(h)
        C.append(c)
    return torch.stack(H), torch.stack(C)


def sequence(T=6, B=3, n=5):
    torch.manual_seed(0)
    shapes = (T, B, 4 * n), (T, B, n), (n, n), (n, 4 * n), (B, n), (B, n)
    return [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("of", ["h", "c", "both"])
def test_states_and_gradients_are_those_of_a_plain_loop(of):
    inputs = sequence()
    weigh = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    found = []
    for function in (multiplicative_lstm, plain_loop):
        H, C = function(*inputs)
        loss = (
            (weigh[0] * H).sum() * (of != "c") + (weigh[1] * C).sum() * (of != "h")
            if of == "both"
            else (H if of == "h" else C).mul(weigh[0]).sum()
        )
        found.append([H, C, *torch.autograd.grad(loss, inputs)])
    for ours, wanted in zip(*found, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-9, atol=1e-11)


def test_matrices_in_bfloat16_give_nearly_the_same():
    torch.manual_seed(0)
    cell, x = SymbolMLSTM(256, 16, 32), torch.randint(0, 256, (12, 4))
    found = []
    for half in (False, True):
        cell.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            H, C = cell(x, cell.zero(4))
        assert H.dtype == C.dtype == torch.float32
        (H * C).sum().backward()
        found.append([H.detach(), C.detach(), *(weight.grad.clone() for weight in cell.parameters())])
    for exact, rough in zip(*found, strict=True):
        assert 0 < (exact - rough).norm() < 0.05 * exact.norm()


def test_normed_weights_have_columns_of_the_learned_lengths():
    weight = NormedWeight(7, 3)
    torch.testing.assert_close(weight().norm(dim=0), torch.ones(3))
    with torch.no_grad():
        weight.g[:] = torch.tensor([2.0, 0.5, -1.0])
        weight.v *= 3
    wanted = torch.nn.functional.normalize(weight.v, dim=0) * weight.g
    torch.testing.assert_close(weight(), wanted)
    weight().square().sum().backward()
    assert weight.v.grad.norm() < 1e-5 and torch.allclose(weight.g.grad, 2 * weight.g)  # the length is g's alone


def test_a_sequence_in_pieces_and_step_by_step_is_the_same_as_at_once():
    torch.manual_seed(0)
    cell, x = SymbolMLSTM(256, 8, 6), torch.randint(0, 256, (9, 2))
    H, C = cell(x, cell.zero(2))
    first = cell(x[:4], cell.zero(2))
    H2, C2 = cell(x[4:], (first[0][-1], first[1][-1]))
    torch.testing.assert_close(torch.cat([first[1], C2]), C)
    state = cell.zero(2)
    for row in x:
        state = cell.step(row, state, cell.weights(), [], torch.tensor([]))
    torch.testing.assert_close(state, (H[-1], C[-1]))
    assert H2.shape == (5, 2, 6)


def test_a_held_unit_is_held_in_the_cell_before_the_output_is_made_of_it():
    torch.manual_seed(0)
    cell, x = SymbolMLSTM(256, 8, 6), torch.randint(0, 256, (2,))
    free_h, free_c = cell.step(x, cell.zero(2), cell.weights(), [], torch.tensor([]))
    h, c = cell.step(x, cell.zero(2), cell.weights(), [4], torch.tensor([0.7]))
    assert (c[:, 4] == 0.7).all() and (c[:, :4] == free_c[:, :4]).all()
    # The gate is what it was, and stands before tanh of the held value: neither 0.7 itself nor what the free cell gave.
    torch.testing.assert_close(h[:, 4], free_h[:, 4] / torch.tanh(free_c[:, 4]) * np.tanh(0.7))


def test_a_texts_vector_is_tanh_of_the_cell_after_its_last_byte_from_an_empty_memory(model):
    Z, hidden = model.transform(TEXTS), model.transform(TEXTS, state="hidden")
    for text, z, h in zip(TEXTS, Z, hidden, strict=True):
        said = torch.from_numpy(coded(text).copy()).long()[:, None]
        H, C = plain_loop(
            *(table[said] for table in model.net_.cell.weights()[:2]), *model.net_.cell.weights()[2:], *model.net_.cell.zero(1)
        )
        np.testing.assert_allclose(z, torch.tanh(C[-1, 0]).detach(), atol=1e-5)
        np.testing.assert_allclose(h, H[-1, 0].detach(), atol=1e-5)
    assert Z.dtype == np.float32 and np.abs(Z).max() <= 1


def test_texts_do_not_see_each_other_and_come_back_in_their_order(model):
    for here, start, _, C in model.net_.cell.read([coded(text) for text in TEXTS], rows=4, steps=10):
        for column, row in enumerate(here):  # in groups and in pieces, too
            said = coded(TEXTS[row])[: start + len(C)]
            alone = model.net_.cell(torch.from_numpy(said.copy()).long()[:, None], model.net_.cell.zero(1))[1]
            np.testing.assert_allclose(C[len(said) - 1 - start, column], alone[-1, 0].detach(), atol=1e-5)
    Z = model.transform(TEXTS * 2)
    for text, z in zip(TEXTS * 2, Z, strict=True):
        np.testing.assert_allclose(model.transform([text])[0], z, atol=1e-5)
    out, told = np.empty((6, 24), np.float32), []
    assert model.transform(TEXTS, out=out, progress=lambda *at: told.append(at)) is out and told[-1] == (6, 6)
    assert np.isfinite(model.transform(["long " * 1000])).all()


def test_a_text_is_read_with_its_own_line_breaks_as_spaces():
    assert coded("a\nb\r\nc").tobytes() == b"\n a b c " and coded("").tobytes() == b"\n  "
    assert coded("é\ud800").tobytes() == "\n é? ".encode()


def test_bits_a_byte_are_those_of_the_chances_it_gives(model):
    total, n = 0.0, 0
    with torch.no_grad():
        for text in TEXTS:
            said = torch.from_numpy(coded(text).copy()).long()
            H, _ = model.net_.cell(said[:-1, None], model.net_.cell.zero(1))
            total += float(nn.functional.cross_entropy(model.net_.say(H[:, 0]), said[1:], reduction="sum")) / np.log(2)
            n += len(said) - 1
    assert model.bits_per_byte(TEXTS) == pytest.approx(total / n, rel=1e-5)


def test_what_is_regular_in_texts_is_learned(model):
    # Every other byte is free to choose of two: half a bit a byte is the least there is.
    assert 0.45 < model.bits_per_byte(["abcdcdab" * 8]) < 1.0 < model.loss_curve_[0]
    assert all(set(text[2:]) <= set("abcd \n") for text in model.generate(30, count=3, prompt="abcd", temperature=0.5))


def test_auroc_is_scikit_learns_with_ties():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 5, (60, 4)) * 0.5, rng.random(60) < 0.4
    np.testing.assert_allclose(unit_auroc(X, y), [roc_auc_score(y, x) for x in X.T])


def test_the_best_units_are_found_with_their_sign_their_cut_and_their_means():
    rng = np.random.default_rng(0)
    y = np.repeat(["bad", "good"], 50)
    X = rng.normal(size=(100, 5))
    X[:, 3] -= 2 * (y == "good")
    X[:, 1] += 1 * (y == "good")
    first, second = find_units(X, y, 2)
    assert (first.unit, first.sign, second.unit, second.sign) == (3, -1, 1, 1)
    assert first.auroc == pytest.approx(roc_auc_score(y == "good", -X[:, 3]))
    assert first.means == pytest.approx((X[:50, 3].mean(), X[50:, 3].mean()))
    cuts = [np.mean((X[:, 3] < cut) == (y == "good")) for cut in X[:, 3] + 1e-9]
    assert np.mean(first.predict(X) == (y == "good")) == pytest.approx(max(cuts))
    assert len(find_units(X, y, 99)) == 5
    assert find_units(np.ones((4, 1)), [0, 1, 1, 1])[0] == Unit(0, 0.5, 1, 0.0, (1.0, 1.0))


def test_a_held_unit_changes_what_is_written_and_a_seed_repeats_it(model):
    free, again = (model.generate(40, count=2, seed=3) for _ in range(2))
    assert free == again and len(free) == 2 and free != model.generate(40, count=2, seed=4)
    assert free != model.generate(40, {5: 3.0}, count=2, seed=3)


def test_untrained_is_what_training_starts_from_and_a_seed_repeats_it():
    texts = ["abc def"] * 40
    first = ByteLM(seed=1, **SMALL).untrained().transform(["abc"])
    assert ByteLM(seed=1, **SMALL | {"lr": 1e-12}).fit(texts).transform(["abc"]) == pytest.approx(first, abs=1e-6)
    a, b, c = (ByteLM(seed=seed, **SMALL).fit(texts).transform(["abc"]) for seed in (1, 1, 2))
    assert (a == b).all() and (a != c).any() and (a != first).any()


def test_a_saved_model_says_the_same(model, tmp_path):
    model.save(tmp_path / "kept")
    again = ul.load_model(tmp_path / "kept")
    assert type(again) is ByteLM and (again.transform(TEXTS) == model.transform(TEXTS)).all()
    assert again.generate(20) == model.generate(20) and again.loss_curve_ == model.loss_curve_


@pytest.mark.parametrize(
    ("ask", "wanted"),
    [
        (lambda m: ByteLM(units=0).fit(["a"]), "units=0"),
        (lambda m: ByteLM(lr=-1).fit(["a"]), "lr=-1"),
        (lambda m: ByteLM().fit([]), "empty"),
        (lambda m: ByteLM().fit(["a", 3]), "item 1"),
        (lambda m: ByteLM().fit(np.zeros((3, 2))), "reads texts"),
        (lambda m: m.transform(["a"], state="gate"), "state='gate'"),
        (lambda m: m.generate(5, {24: 1.0}), "unit 24"),
        (lambda m: m.generate(5, {"a": 1.0}), "unit 'a'"),
        (lambda m: m.generate(5, {0: np.nan}), r"clamp\[0\]"),
        (lambda m: m.generate(0), "n=0"),
        (lambda m: find_units(np.ones((3, 2)), [0, 0, 0]), "1 classes"),
        (lambda m: find_units(np.ones((3, 2)), [0, 1]), "wanted"),
        (lambda m: find_units(np.full((2, 2), np.nan), [0, 1]), "not finite"),
    ],
)
def test_what_makes_no_sense_is_refused(model, ask, wanted):
    with pytest.raises(InputError, match=wanted):
        ask(model)


def kneser_ney(texts, order):
    """The chance of a byte after a context, by dictionaries."""
    streams = [b"\0" * order + coded(text).tobytes() for text in texts]
    seen = [x[i - order : i + 1] for x in streams for i in range(order + 1, len(x))]
    counts = {order: {gram: seen.count(gram) for gram in set(seen)}}
    for k in range(order - 1, -1, -1):
        longer = counts[k + 1]
        counts[k] = {gram[1:]: sum(other[1:] == gram[1:] for other in longer) for gram in longer}

    def chance(byte, context, k):
        lower = chance(byte, context[1:], k - 1) if k else 1 / 256
        after = {gram: n for gram, n in counts[k].items() if gram[:-1] == context}
        if not after:
            return lower
        once, twice = (sum(n == m for n in counts[k].values()) for m in (1, 2))
        d = max(once / max(once + 2 * twice, 1), 0.1)
        return (max(after.get(context + bytes([byte]), 0) - d, 0) + d * len(after) * lower) / sum(after.values())

    return chance


@pytest.mark.parametrize("order", [0, 1, 3])
def test_the_counts_of_bytes_that_it_is_compared_with_are_kneser_neys(order):
    train, test = ["abab abba", "baba", "cab"], ["abcab", "xa"]
    chance = kneser_ney(train, order)
    for context in (b"ba", b"zz"):
        context = context[-order:] if order < 2 else (b"\0" + context)
        assert sum(chance(byte, context if order else b"", order) for byte in range(256)) == pytest.approx(1)
    bits = []
    for text in test:
        x = b"\0" * order + coded(text).tobytes()
        bits += [-np.log2(chance(x[i], x[i - order : i], order)) for i in range(order + 1, len(x))]
    assert ngram_bits(train, test, order) == pytest.approx(np.mean(bits), rel=1e-9)
