"""CPC: telling the true future of a sound from others teaches a network what is said and by whom, and the more the farther it looks."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlabeled.datasets.audio import waveforms
from unlabeled.encoders.sequences import clips
from unlabeled.methods.contrastive.cpc import CPC
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction

SAMPLES = 4096  # half a second at 8 kHz
WHAT, WHO = ("digit", "label", "class"), ("speaker",)


def load(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """Clips of one length [n, SAMPLES]; labels "digit/speaker". Two sevenths of the recordings are for testing."""
    waves, columns = waveforms(source)
    named = [next((columns[name] for name in names if name in columns), None) for names in (WHAT, WHO)]
    labels = np.array(["/".join(str(column[i]) for column in named if column is not None) for i in range(len(waves))])
    order = np.random.default_rng(seed).permutation(len(waves))
    test, train = np.split(order, [len(order) * 2 // 7])
    test, train = test[:n_test], train[:n_train]
    X = clips(waves, SAMPLES).numpy()
    return X[train], labels[train], X[test], labels[test]


def run(lab: Lab) -> Arms:
    """`probe`: what was said; `speaker`: who said it (the first again, where only one thing is told)."""
    common: dict[str, Any] = {"encoder": "auto", "batch_size": 32, "lr": 1e-3, "epochs": lab.setting(6, 300)}
    common |= lab.setting({}, {"dim": 512, "context_dim": 256, "anchors": 48})
    arms = {
        "CPC": lab.learner(CPC, steps=6, **common),
        "one step ahead": lab.learner(CPC, steps=1, **common),
        "negatives of other clips": lab.learner(CPC, steps=6, negatives="others", **common),
    }
    fitted = {name: lab.fit(learner) for name, learner in arms.items()} | {"untrained": lab.untrained(arms["CPC"])}
    vectors = {name: lab.vectors(learner) for name, learner in fitted.items()}
    vectors["mean log spectrum"] = (spectrum(lab.X), spectrum(lab.X_test))
    vectors["mean MFCC"] = (mfcc(lab.X), mfcc(lab.X_test))
    parts, parts_test = ([[one.split("/")[i] for one in map(str, y)] for i in (0, -1)] for y in (lab.y, lab.y_test))
    table: Arms = {}
    for name, (Z, Z_test) in vectors.items():
        scores = [lab.score(Z, Z_test, ("probe",), y, y_test)["probe"] for y, y_test in zip(parts, parts_test, strict=True)]
        table[name] = dict(zip(("probe", "speaker"), scores, strict=True))
        lab.say(f"{name}: {table[name]}")
    bounds = fitted["CPC"].mi_bounds(lab.X_test)
    lab.say(f"bounds in nats: {np.round(bounds, 2)}")
    table["CPC"]["bounds falling"] = float((np.diff(bounds) < 0).mean())
    lab.costs |= {name: fitted[name].cost_ for name in arms}
    return table


def power(X: np.ndarray, window: int = 256, hop: int = 80) -> np.ndarray:
    """Power spectra [n, times, window / 2 + 1] of 32 ms every 10 ms, at 8 kHz."""
    frames = np.lib.stride_tricks.sliding_window_view(X, window, axis=1)[:, ::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(window).astype(np.float32), axis=2)).astype(np.float32) ** 2


def spectrum(X: np.ndarray) -> np.ndarray:
    return np.log(power(X) + 1e-6).mean(axis=1)


def mfcc(X: np.ndarray, filters: int = 26, kept: int = 13) -> np.ndarray:
    """13 mel-frequency cepstral coefficients and their differences over time (means and spreads): [n, 39]."""
    from scipy.fft import dct

    spectra = power(X)
    bins = spectra.shape[2]
    mel = np.linspace(0, 2595 * np.log10(1 + 4000 / 700), filters + 2)
    edges = 700 * (10 ** (mel / 2595) - 1) / 4000 * (bins - 1)
    at = np.arange(bins)[:, None]
    bank = np.clip(np.minimum((at - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - at) / np.diff(edges)[1:]), 0, None)
    c = dct(np.log(spectra @ bank + 1e-6), axis=2, norm="ortho")[:, :, :kept]
    return np.concatenate([c.mean(axis=1), c.std(axis=1), np.abs(np.diff(c, axis=1)).mean(axis=1)], axis=1).astype(np.float32)


REPRODUCTION = Reproduction(
    system="cpc",
    sets=("fsdd",),
    run=run,
    load=load,
    claims=(
        Claim("CPC hears the digit better than its untrained network", ours="CPC", than="untrained", metric="probe", margin=0.08),
        Claim("CPC hears the speaker better than its untrained network", ours="CPC", than="untrained", metric="speaker", margin=0.08),
        Claim(
            "looking six steps ahead teaches more than one",
            ours="CPC",
            than="one step ahead",
            metric="probe",
            margin=0.02,
            role="key ingredient removed",
        ),
        Claim(
            "the nearer the future, the more is known of it",
            ours="CPC",
            than=0.8,
            metric="bounds falling",
            role="by itself",
        ),
    ),
    full="LibriSpeech, 100 h at 16 kHz: strides 5 4 2 2 2, 512 channels, GRU 256, 12 steps, Adam 2e-4, 8 clips of 20480 samples a batch",
)
