"""Several methods trained briefly: the one that the judges prefer is trained in full, and how sure that is is said."""

import json

import numpy as np
import pytest
from torch import nn

import unlabeled as ul
from unlabeled.data import as_items
from unlabeled.datasets import load
from unlabeled.errors import InputError
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.methods.frozen import Frozen
from unlabeled.tournament import SHARE, Tournament, shortened, tournament


class Blind(nn.Module):
    """Sees nothing but a picture's mean grey."""

    width = 2

    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3))[:, None]
        return mean.expand(-1, 2)


def test_the_method_whose_vectors_recognise_an_item_by_its_parts_wins():
    items = load("digits", n=300)
    candidates = {"blind": Frozen(encoder=Blind()), "pixels": Frozen(encoder="conv4")}
    ended = tournament(items, candidates.__getitem__, ("blind", "pixels"), seed=0)
    assert ended.winner == "pixels" and ended.leads == 1.0 and "clearly" in ended.sentence()
    assert set(ended.scores) == {"blind", "pixels"} and len(ended.scores["blind"]) == 10


def test_two_of_a_kind_are_told_apart_hardly_more_than_by_chance():
    items = load("digits", n=300)
    ended = tournament(items, lambda name: Frozen(encoder="conv4", seed=0), ("one", "other"), seed=0)
    assert ended.leads == 0 and "hardly more than by chance" in ended.sentence()


def test_a_short_training_is_a_share_of_the_whole():
    assert shortened(SimCLR(examples=100_000), 1000).examples == round(100_000 * SHARE)
    assert shortened(SimCLR(epochs=20), 1000).epochs == 3
    assert shortened(SimCLR(epochs=1), 1000).epochs == 1
    assert shortened(Frozen(), 1000).epochs == 0


def test_a_tournament_needs_two_methods_and_enough_items():
    items = load("digits", n=100)
    with pytest.raises(InputError, match="two different methods"):
        tournament(items, lambda name: Frozen(), ("none", "none"))
    with pytest.raises(InputError, match="too few to judge"):
        tournament(items.subset(np.arange(10)), lambda name: Frozen())


def test_learn_trains_the_winner_and_keeps_how_it_was_found(tmp_path, monkeypatch):
    from unlabeled import tournament as module

    monkeypatch.setitem(module.CANDIDATES, "image", ("none", "simclr"))
    said = []
    pictures = load("digits", n=200).values
    run = ul.learn(pictures, method="tournament", settings={}, epochs=2, out=tmp_path / "run", say=said.append)
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["tournament"]
    assert kept["winner"] in ("none", "simclr") and set(kept["scores"]) == {"none", "simclr"}
    assert any("won the tournament" in line for line in said)
    assert len(run.vectors) == 200


def test_vectors_are_judged_by_the_neighbours_of_their_halves():
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(5, 12))[rng.integers(5, size=150)]
    items = as_items((groups + 0.3 * rng.normal(size=(150, 12))).astype(np.float32))
    ended = tournament(items, lambda name: Frozen(encoder="identity", whiten=0.0 if name == "plain" else 1.0), ("plain", "white"))
    assert ended.measure == "half_neighbours" and isinstance(ended, Tournament)
