"""The estimator and the loop: every trained system on every kind of data, saving, resuming, scikit-learn."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from unlabeled import Frozen, ImageViews, InputError, LeJEPA, SimCLR, SimSiam, TextViews, TfidfSVD, VectorViews, VICReg, load_model
from unlabeled.learner import Learner, Net
from unlabeled.tasks.adapt.bss import BatchStyleStandardization
from unlabeled.views.images import ImagePolicy, MixedViews

TRAINED = [SimCLR, SimSiam, VICReg, LeJEPA]
QUICK = {"epochs": 2, "batch_size": 32}


@pytest.fixture(scope="module")
def pictures():
    return (load_digits().images[:96] * 15).astype(np.uint8)


@pytest.fixture(scope="module")
def texts():
    nouns, verbs = ["file", "socket", "thread", "table", "picture"], ["open", "close", "read", "write", "copy"]
    return [f"how to {verbs[i % 5]} a {nouns[i // 5 % 5]} in language number {i % 7}" for i in range(90)]


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).normal(size=(90, 6))


@pytest.mark.parametrize("system", TRAINED)
def test_the_same_system_learns_from_pictures_texts_and_vectors(system, pictures, texts, vectors):
    for data in (pictures, texts, vectors):
        fitted = system(**QUICK).fit(data)
        z = fitted.transform(data)
        assert z.shape[0] == len(data) and z.dtype == np.float32 and np.isfinite(z).all() and z.std() > 0
        assert len(fitted.loss_curve_) == 2


@pytest.mark.parametrize("system", TRAINED)
def test_training_lowers_the_loss(system, pictures):
    curve = system(epochs=12, batch_size=32, lr=1e-3).fit(pictures).loss_curve_
    assert np.mean(curve[-3:]) < np.mean(curve[:2])


def test_the_same_seed_gives_the_same_vectors_and_another_seed_others(pictures):
    first, again, other = (SimCLR(**QUICK, seed=seed).fit(pictures).transform(pictures) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_fit_leaves_torchs_random_state_alone(vectors):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    SimCLR(**QUICK).fit(vectors)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("system", [*TRAINED, Frozen])
def test_a_saved_model_gives_the_same_vectors_in_a_folder_without_pickles(system, pictures, tmp_path):
    options = {} if system is Frozen else QUICK | {"views": ImageViews(local=1, size=8)} if system is LeJEPA else QUICK
    fitted = system(**options).fit(pictures)
    fitted.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded = load_model(tmp_path)
    assert type(loaded) is system and loaded.get_params() == fitted.get_params()
    np.testing.assert_array_equal(loaded.transform(pictures), fitted.transform(pictures))


@pytest.mark.parametrize("views", [MixedViews((ImagePolicy(grey=0.3), ImagePolicy(jitter=0.0))), BatchStyleStandardization(r=(0.0, 0.2))])
def test_views_that_hold_others_come_back_with_a_loaded_model(views, pictures, tmp_path):
    SimCLR(**QUICK | {"epochs": 1}, views=views).fit(pictures[:40]).save(tmp_path)
    assert load_model(tmp_path).views == views


def test_a_model_with_an_encoder_of_ones_own_is_loaded_with_a_copy_of_it(vectors, tmp_path):
    own = torch.nn.Linear(6, 5)
    fitted = SimCLR(encoder=own, **QUICK).fit(vectors)
    fitted.save(tmp_path)
    with pytest.raises(InputError, match="encoder of your own"):
        load_model(tmp_path)
    loaded = SimCLR.load(tmp_path, encoder=torch.nn.Linear(6, 5))
    np.testing.assert_array_equal(loaded.transform(vectors), fitted.transform(vectors))


def test_loading_what_is_no_model_is_an_error_of_one_line(tmp_path):
    with pytest.raises(InputError, match="no config.json"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{ broken")
    with pytest.raises(InputError, match="damaged"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text('{"class": "os.path.Join"}')
    with pytest.raises(InputError, match="not of this package"):
        load_model(tmp_path)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("system", [SimSiam, LeJEPA])
def test_a_resumed_run_ends_like_an_unbroken_one(system, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("unlabeled.learner.CHECKPOINT_SECONDS", 0.0)
    whole = system(epochs=4, batch_size=32).fit(pictures)

    def stop(progress):
        if progress.step == 7:  # in the middle of an epoch
            raise Stopped

    with pytest.raises(Stopped):
        monkeypatch.setattr(time, "monotonic", iter(range(10**6)).__next__)  # a watcher is told of every step
        system(epochs=4, batch_size=32).fit(pictures, checkpoint=tmp_path, watch=stop)
    resumed = system(epochs=4, batch_size=32).fit(pictures, checkpoint=tmp_path, resume=True)
    np.testing.assert_allclose(resumed.loss_curve_, whole.loss_curve_, atol=1e-5)
    np.testing.assert_allclose(resumed.transform(pictures), whole.transform(pictures), atol=1e-4)


def test_resuming_after_kill_9_ends_like_an_unbroken_run(tmp_path):
    script = textwrap.dedent("""
        import sys, numpy as np, unlabeled.learner as l
        from unlabeled import SimCLR
        l.CHECKPOINT_SECONDS = 0.0
        x = np.random.default_rng(0).normal(size=(256, 8))
        watch = lambda p: print(p.step, flush=True)
        print(SimCLR(epochs=int(sys.argv[2]), batch_size=64).fit(x, checkpoint=sys.argv[1], resume=True, watch=watch).loss_curve_[-1])
    """)
    command = [sys.executable, "-c", script, str(tmp_path / "killed"), "60"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) > 60:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert (tmp_path / "killed" / "checkpoint.safetensors").exists()
    resumed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(resumed[0]) > 1  # it did not start again
    whole = subprocess.run([*command[:3], str(tmp_path / "whole"), "60"], capture_output=True, text=True, check=True).stdout.split()
    assert float(resumed[-1]) == pytest.approx(float(whole[-1]), abs=1e-4)


def test_ctrl_c_leaves_a_checkpoint_to_resume_from(vectors, tmp_path):
    def interrupt(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SimCLR(epochs=5, batch_size=32).fit(vectors, checkpoint=tmp_path, watch=interrupt)
    assert (tmp_path / "checkpoint.safetensors").exists()
    assert len(SimCLR(epochs=5, batch_size=32).fit(vectors, checkpoint=tmp_path, resume=True).loss_curve_) == 5


def test_resuming_with_other_settings_or_other_data_is_refused(vectors, tmp_path):
    SimCLR(**QUICK).fit(vectors, checkpoint=tmp_path)
    with pytest.raises(InputError, match=r"lr=0.002 \(now 0.01\)"):
        SimCLR(**QUICK, lr=0.01).fit(vectors, checkpoint=tmp_path, resume=True)
    with pytest.raises(InputError, match="not those of the checkpoint"):
        SimCLR(**QUICK).fit(vectors + 1, checkpoint=tmp_path, resume=True)


def test_a_diverging_loss_stops_the_run_with_advice(vectors):
    class Diverging(SimCLR):
        def loss(self, net, batch):
            return super().loss(net, batch) * float("nan")

    with pytest.raises(InputError, match="lower lr"):
        Diverging(**QUICK).fit(vectors)


def test_two_players_are_stepped_in_turn_each_by_its_own_optimizer(vectors):
    class TwoPlayers(Learner):
        def build(self, encoder):
            return Net(encode=encoder, critic=torch.nn.Linear(encoder.width, 1))

        def optimizers(self, net):
            return {"critic": self.optimizer_over(net.critic), "encoder": self.optimizer_over(net.encode)}

        def loss(self, net, batch):
            first = lambda: net.critic(net.encode(batch.views[0]).detach()).square().mean()  # noqa: E731
            return {"critic": first, "encoder": lambda: -net.critic(net.encode(batch.views[1])).square().mean()}

    fitted = TwoPlayers(epochs=2, batch_size=30).fit(vectors)
    untouched = TwoPlayers(epochs=2, batch_size=30).untrained(vectors)
    for name in ("critic.weight", "encode.layers.0.0.weight"):
        assert not torch.equal(fitted.net_.state_dict()[name], untouched.net_.state_dict()[name])


def test_hooks_run_before_each_epoch_and_after_each_step(vectors):
    seen = []

    class Hooked(SimCLR):
        def before_epoch(self, net, data):
            seen.append(("epoch", self.embed_all(net, data).shape[0]))

        def loss(self, net, batch):
            batch.keys = len(batch.index)
            return super().loss(net, batch)

        def after_step(self, net, batch):
            seen.append(("step", batch.keys))

    Hooked(epochs=2, batch_size=45).fit(vectors)
    assert seen == [("epoch", 90), ("step", 45), ("step", 45)] * 2


def test_a_system_works_in_pipelines_clones_and_grid_searches(pictures):
    labels = load_digits().target[: len(pictures)]
    pipeline = make_pipeline(SimSiam(**QUICK), LogisticRegression(max_iter=200))
    assert pipeline.fit(pictures, labels).score(pictures, labels) > 0.5
    assert clone(SimSiam(dim=64)).dim == 64
    search = GridSearchCV(pipeline, {"simsiam__epochs": [1, 2]}, cv=2).fit(pictures, labels)
    assert set(search.best_params_) == {"simsiam__epochs"}


def test_labels_never_reach_the_fit(pictures):
    labels = load_digits().target[: len(pictures)]
    with_labels, without = SimCLR(**QUICK).fit(pictures, labels), SimCLR(**QUICK).fit(pictures)
    np.testing.assert_array_equal(with_labels.transform(pictures), without.transform(pictures))


@pytest.mark.parametrize("system", [*TRAINED, Frozen])
def test_systems_on_plain_arrays_pass_scikit_learns_own_checks(system):
    options = {"encoder": "identity"} if system is Frozen else {"epochs": 2, "batch_size": 16}
    check_estimator(system(**options))


def test_an_item_has_the_same_vector_alone_and_in_company(pictures):
    fitted = SimCLR(**QUICK).fit(pictures)
    together = fitted.transform(pictures[:20])
    alone = np.concatenate([fitted.transform(pictures[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(alone, together, atol=1e-4)


def test_pictures_of_another_size_or_colour_are_brought_to_what_was_fitted(pictures):
    fitted = SimCLR(**QUICK).fit(pictures)
    colour = np.repeat(np.repeat(np.repeat(pictures[:4, :, :, None], 3, axis=3), 2, axis=1), 2, axis=2)
    assert fitted.transform(colour).shape[0] == 4


def test_fewer_items_than_the_batch_are_one_batch_and_one_item_is_refused(vectors):
    assert SimCLR(epochs=1, batch_size=256).fit(vectors[:5]).transform(vectors[:2]).shape[0] == 2
    with pytest.raises(ValueError):
        SimCLR(epochs=1).fit(vectors[:1])


def test_identical_items_are_survived(pictures):
    z = SimCLR(**QUICK).fit(np.repeat(pictures[:1], 40, axis=0)).transform(pictures[:3])
    assert np.isfinite(z).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 1}, "batch_size"),
        ({"lr": float("nan")}, "lr must be"),
        ({"optimizer": "adagrad"}, "adamw"),
        ({"device": "quantum"}, "device"),
        ({"encoder": "conv4"}, "reads images"),
        ({"encoder": 3}, "nn.Module"),
        ({"epochs": -1}, "epochs"),
    ],
)
def test_impossible_settings_are_refused_by_name(options, words, vectors):
    with pytest.raises(InputError, match=words):
        SimCLR(**{**QUICK, **options}).fit(vectors)


def test_an_unknown_encoder_is_named_with_the_ones_that_there_are(texts):
    with pytest.raises(InputError, match="ngrams, minilm"):
        SimCLR(encoder="no/such-model", **QUICK).fit(texts)


def test_a_fitted_system_refuses_data_of_another_kind(vectors, texts):
    fitted = SimCLR(**QUICK).fit(vectors)
    with pytest.raises(InputError, match="fitted on vectors"):
        fitted.transform(texts)


def test_gradient_clipping_and_sgd_train_too(vectors):
    assert np.isfinite(SimCLR(optimizer="sgd", clip=0.5, lr=0.05, **QUICK).fit(vectors).loss_curve_).all()


def test_views_may_be_any_callable(vectors, texts):
    assert SimCLR(views=lambda x, generator: [x, x], **QUICK).fit(vectors).loss_curve_[-1] < 1
    assert len(SimCLR(views=VectorViews(noise=0.5), **QUICK).fit(vectors).loss_curve_) == 2
    assert len(SimCLR(views=TextViews(dropout=0.1), **QUICK).fit(texts).loss_curve_) == 2


def test_tfidf_svd_agrees_with_scikit_learn_and_survives_saving(texts, tmp_path):
    from sklearn.feature_extraction.text import TfidfVectorizer

    ours = TfidfSVD(dim=200).fit(texts)  # all directions: which of two equally strong ones comes first is arbitrary
    weights = TfidfVectorizer(stop_words="english", sublinear_tf=True, min_df=2).fit_transform(texts)
    np.testing.assert_allclose(ours.transform(texts) @ ours.transform(texts).T, (weights @ weights.T).toarray(), atol=1e-3)
    ours.save(tmp_path)
    np.testing.assert_allclose(load_model(tmp_path).transform(texts), ours.transform(texts), atol=1e-6)
    assert not clone(ours).fit(texts).transform(["zzz qqq"]).any()


def test_tfidf_svd_learns_from_very_few_texts_and_refuses_texts_without_words():
    assert TfidfSVD().fit(["one two", "three four"]).transform(["one"]).shape == (1, 1)
    with pytest.raises(InputError, match="no words"):
        TfidfSVD().fit(["...", "!!!"])
    with pytest.raises(InputError, match="reads texts"):
        TfidfSVD().fit(np.zeros((5, 8, 8), np.uint8))


def test_without_stop_gradient_and_batch_norm_simsiam_is_seen_to_collapse(pictures):
    from unlabeled.evaluate import collapse
    from unlabeled.parts.heads import mlp
    from unlabeled.parts.losses import negative_cosine

    class Bare(SimSiam):  # without the output's batch norm, too, which hides a collapse for a long time
        def build(self, encoder):
            return Net(encode=encoder, project=mlp(encoder.width, 64, 64, norm=False), predict=mlp(64, 64, norm=False))

        def loss(self, net, batch):
            z1, z2 = (net.project(net.encode(view)) for view in batch.views)
            return (negative_cosine(net.predict(z1), z2) + negative_cosine(net.predict(z2), z1)) / 2

    seen = {}
    for system in (SimSiam, Bare):
        last = []
        system(epochs=30, batch_size=48, dim=64).fit(
            pictures, watch=lambda p, last=last: last.append(p.embed(96)) if p.end_of_epoch else None
        )
        seen[system] = collapse(last[-1])
    assert seen[Bare].collapsed and not seen[SimSiam].collapsed


def test_training_in_bf16_gives_nearly_the_same_vectors(vectors):
    full, half = (SimCLR(precision=p, **QUICK).fit(vectors).transform(vectors) for p in ("32-true", "bf16-mixed"))
    cosine = (full * half).sum(axis=1) / np.linalg.norm(full, axis=1) / np.linalg.norm(half, axis=1)
    assert half.dtype == np.float32 and cosine.mean() > 0.98 and not np.array_equal(full, half)


@pytest.mark.parametrize("before", [False, True])
def test_numbers_that_are_tiny_stay_what_they_were_after_training(before):
    tiny = lambda: torch.full((1,), 1e-40).mul(1.0).item() > 0  # noqa: E731
    torch.set_flush_denormal(before)
    try:
        SimCLR(encoder="mlp", epochs=1, batch_size=64, device="cpu").fit(np.random.default_rng(0).normal(size=(128, 8)).astype(np.float32))
        assert tiny() is not before
    finally:
        torch.set_flush_denormal(False)
