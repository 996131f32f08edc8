"""The label-free verdict, and what a person sees while a run is made."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from unlabeled import Frozen, SimCLR, judge
from unlabeled.data import as_items
from unlabeled.learner import Progress
from unlabeled.progress import Screen


def row(name, value, std=0.0, measure="half_retrieval"):
    return {"name": name, measure: {"mean": value, "std": std}}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row("learned", 0.6), row("raw", 0.4), row("PCA", 0.5)], ["Training helped", "60%", "50% with PCA"]),
        ([row("learned", 0.505), row("raw", 0.5)], ["did not help", "no difference beyond chance", "Prefer raw"]),
        ([row("learned", 0.55, 0.05), row("raw", 0.5)], ["did not help", "no difference"]),
        ([row("learned", 0.3), row("pretrained", 0.5)], ["did not help", "pretrained is better"]),
        ([row("pretrained", 0.3), row("TF-IDF + SVD", 0.5)], ["worse than TF-IDF + SVD"]),
        ([row("learned", 0.6)], ["Too few"]),
        (
            [row("as it is", 0.4, measure="half_neighbours"), row("PCA", 0.2, measure="half_neighbours")],
            ["the best", "share 40%", "20% with PCA"],
        ),
    ],
)
def test_the_verdict_follows_from_the_numbers(rows, words):
    said = judge.verdict(rows)
    assert all(word in said for word in words), said


def test_a_trained_network_is_judged_better_than_an_untrained_one_on_digits():
    items = as_items((load_digits().images[:600] * 15).astype(np.uint8))
    model = SimCLR(epochs=12, batch_size=128).fit(items)
    rows = {r["name"]: r for r in judge.judge(judge.arms(model, items), items)}
    assert list(rows) == ["learned", "raw", "PCA", "random encoder"]
    assert rows["learned"]["half_retrieval"]["mean"] > rows["random encoder"]["half_retrieval"]["mean"] - 0.03
    assert all(0 <= r["half_neighbours"]["mean"] <= 1 and r["half_neighbours"]["std"] >= 0 for r in rows.values())


def test_halves_of_texts_share_no_words_and_halves_of_vectors_no_features():
    a, b = judge.halves(as_items(["one two three four", "single"]))
    assert a.values == ["one two", "single"] and b.values == ["three four", "single"]
    values = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    a, b = judge.halves(as_items(values))
    mean = values.mean(axis=0)
    np.testing.assert_allclose(a.values[:, 1], mean[1], rtol=1e-5)
    np.testing.assert_allclose(b.values[:, 0], mean[0], rtol=1e-5)


def test_parts_of_pictures_are_two_different_crops_of_each():
    pictures = np.random.default_rng(0).integers(0, 255, (5, 16, 16, 3), dtype=np.uint8)
    a, b = judge.halves(as_items(pictures))
    assert a.values.shape == b.values.shape == pictures.shape and a.values.dtype == np.uint8
    assert (a.values != b.values).reshape(5, -1).any(axis=1).all()


def test_every_arm_embeds_every_item():
    items = as_items(np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32))
    for arm in judge.arms(Frozen(encoder="identity").fit(items), items):
        assert len(arm.embed(items)) == 30


def test_a_collapse_is_said_while_it_happens_and_only_once(capsys, monkeypatch):
    clock = iter(range(0, 10**6, 100))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    progress = Progress(3, 10, 1, 5, -1.0, 100.0, 7.0, True, lambda m: np.ones((m, 8), np.float32))
    with Screen() as screen:
        screen.training(progress)
        screen.training(progress)
    out = capsys.readouterr().out
    assert out.count("warning, epoch 1") == 1 and "collapse" in out.lower()
