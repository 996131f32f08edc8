"""Two or four processes that share a batch take the step that one process takes on the whole of it."""

import json
import os
import socket
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from unlabeled import learner as learner_module
from unlabeled.data.graphs import Graph
from unlabeled.errors import InputError
from unlabeled.methods import NAMED, method
from unlabeled.parts.norm import SharedBatchNorm, share_statistics

STEPS = 2


@dataclass(frozen=True)
class Still:
    """Views without chance: the picture, its mirrors, a darker one; their boxes are the whole picture."""

    views: int = 2

    def __call__(self, images, generator=None):
        x = images.permute(0, 3, 1, 2).float() / 255
        views = [x, x.flip(3), x.flip(2), x * 0.5][: self.views]
        return views, {"boxes": [torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(len(x), 4)] * len(views)}


class Small(nn.Module):
    """An encoder with batch norm, small enough to look at every weight."""

    width = 8

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))

    def map(self, x):
        return self.layers(x)

    def forward(self, x):
        return self.map(x).mean(dim=(2, 3))


class Bag(nn.Module):
    """An encoder of texts without dropout: the mean of its words' vectors, and a layer."""

    width = 8

    def __init__(self):
        super().__init__()
        self.words, self.layer = nn.Embedding(27, 8, padding_idx=0), nn.Linear(8, 8)

    def tokenize(self, texts):
        return [[ord(letter) - 96 for letter in text] for text in texts]

    def forward(self, ids):
        return self.layer(self.words(ids).sum(dim=1) / (ids != 0).sum(dim=1, keepdim=True).clamp(min=1))


class Perceptron(nn.Sequential):
    """An encoder of vectors, with batch norm."""

    width = 8

    def __init__(self):
        super().__init__(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8))


def seeded(network):
    torch.manual_seed(5)
    return network()


@dataclass(frozen=True)
class StillTexts:
    """Views of texts without chance: the whole, its first letters, its last ones."""

    views: int = 2

    def __call__(self, ids, generator=None):
        return [ids, ids[:, :4], ids[:, 1:]][: self.views]


@dataclass(frozen=True)
class StillVectors:
    """Views of vectors without chance: as they are, smaller."""

    def __call__(self, x, generator=None):
        return [x, x * 0.5 + 0.1]


SETTINGS = {
    "simclr": {},
    "g-simclr": {"pseudo_labels": np.arange(32) % 16},
    "cpc": {"encoder": "auto", "patch": 4, "steps": 1, "dim": 8, "context_dim": 8},
    "clusterfit": {"representation": np.random.default_rng(1).normal(size=(32, 5)).astype(np.float32), "clusters": 4},
    "moco-v2": {"queue": 16, "splits": 1},  # keys are normalised in parts of what a process has, so the parts differ
    "moco-dual-hard": {"queue": 16, "splits": 1, "choose_after": 0.0},
    "instance-discrimination": {},
    "invariance-propagation": {"k": 2, "positives": 3, "background": 8, "start": 0.0},
    "decoupled-uniformity": {},
    "decoupled-uniformity with a prior": {"prior": np.random.default_rng(1).normal(size=(32, 5)).astype(np.float32)},
    "triplet-network": {"dropout": 0.0},
    "matryoshka": {"objective": "simclr", "dims": (4, 8)},
    "swav": {"prototypes": 6},
    "sela": {"clusters": 4, "heads": 2},
    "odc": {"clusters": 4, "dim": 4, "min_cluster": 2},
    "deepcluster": {"clusters": 4, "pca": None},
    "deepercluster": {"clusters": 4, "super_clusters": 2, "pca": None, "even": False, "start": 0.0},
    "simsiam": {},
    "byol": {},
    "barlow-twins": {},
    "vicreg": {},
    "dino": {"prototypes": 16},
    "lejepa": {},
    "pixpro": {},
    "obow": {"words": 16},
    "rotnet": {},
    "jigclu": {"views": 4},
    "mae": {},
    "mlc": {"n_clusters": 3, "dim": 4, "rank": 2, "warm": 0.5},
    "lfr": {},
    "lfr of vectors": {},
    "simclr of vectors": {},
    "vicreg of vectors": {},
    "simclr of texts": {},
    "simcse of texts": {"replace": "always"},
    "dclr of texts": {"replace": "always", "noise_ratio": 0.0, "complementary": seeded(Bag), "phi": 0.5},
    "compcse of texts": {"replace": "always", "views": 3},
}
ENCODERS = {"pictures": Small, "texts": Bag, "vectors": Perceptron}
WORLDS = (2, 4)
if "ONLY" in os.environ:
    SETTINGS = {k: v for k, v in SETTINGS.items() if k.split(" ")[0] in os.environ["ONLY"].split(",")}


def kind(name):
    return name.split(" of ")[1] if " of " in name else "pictures"


def data(of):
    rng = np.random.default_rng(0)
    if of == "texts":
        return ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size)) for size in rng.integers(5, 9, 32)]
    return rng.normal(size=(32, 5)).astype(np.float32) if of == "vectors" else rng.integers(0, 255, (32, 12, 12, 3), dtype=np.uint8)


def first_weights(name):
    return seeded(ENCODERS[kind(name)]).state_dict()


def _among(process, world, port):
    os.environ |= {"RANK": str(process), "LOCAL_RANK": str(process), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GROUP_RANK": "0"}


def _share(process, world, port, folder, names):
    _among(process, world, port)
    for name in names:
        learner = _one(name)
        np.savez(f"{folder}/{name}-{process}.npz", **{k: v.numpy() for k, v in learner.net_.state_dict().items()})
        with open(f"{folder}/{name}-{process}.json", "w") as file:
            json.dump(learner.loss_curve_, file)
    torch.distributed.destroy_process_group()


def _one(name, precision="32-true", checkpoint=None, resume=False, watch=None, **changed):  # in half of it the order of a sum would show
    torch.set_num_threads(1)
    settings, of = dict(SETTINGS[name]), kind(name)
    encoder = ENCODERS[of]()
    encoder.load_state_dict(first_weights(name))
    views = settings.pop("views", 2)
    learner = method(name.split(" ")[0])(
        encoder=settings.pop("encoder", encoder),
        views=StillVectors() if of == "vectors" else (StillTexts if of == "texts" else Still)(views),
        device="cpu",
        precision=precision,
        **{"batch_size": 16, "epochs": STEPS // 2, "optimizer": "sgd", "lr": 0.05, "warmup": 0} | settings | changed,
    )
    return learner.fit(data(of), checkpoint=checkpoint, resume=resume, watch=watch)


def _together(function, world, *more):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(function, (world, port, *more), nprocs=world)


@pytest.fixture(scope="module", params=WORLDS, ids=lambda world: f"{world} processes")
def shared(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    _together(_share, request.param, str(folder), list(SETTINGS))
    return folder


@cache
def alone(name):
    return _one(name)


@pytest.mark.parametrize("name", SETTINGS)
def test_processes_that_share_a_batch_take_the_steps_of_one(shared, name):
    assert name.split(" ")[0] in NAMED
    first, *others = (dict(np.load(file)) for file in sorted(shared.glob(f"{name}-?.npz")))
    for key, value in alone(name).net_.state_dict().items():
        for other in others:
            assert np.array_equal(first[key], other[key]) or np.allclose(first[key], other[key], atol=1e-6), key
        np.testing.assert_allclose(first[key], value.numpy(), atol=2e-4, rtol=1e-3, err_msg=key)
    curves = [json.loads(file.read_text()) for file in shared.glob(f"{name}-?.json")]
    assert len(curves) in WORLDS and len(others) == len(curves) - 1
    assert all(curve == pytest.approx(alone(name).loss_curve_, abs=1e-4, rel=1e-4) for curve in curves)


def _refuse(process, world, port, folder):
    _among(process, world, port)
    ring = np.stack([np.arange(8), (np.arange(8) + 1) % 8], axis=1)
    with pytest.raises(InputError, match="GRACE learns in one process, here are 2: a graph is learned as a whole"):
        method("grace")(epochs=1).fit(Graph.of(ring, 8, features=np.eye(8, dtype=np.float32)))
    with pytest.raises(InputError, match="JULE learns in one process"):
        method("jule")(encoder=Small(), epochs=1).fit(data("pictures"))
    with pytest.raises(InputError, match="ClusterNS learns in one process"):
        method("clusterns")(encoder=Bag(), views=StillTexts(), replace="always").fit(data("texts"))
    with pytest.raises(InputError, match="15 examples can't be shared by 2 processes"):
        method("simclr")(encoder=Perceptron(), views=StillVectors(), batch_size=15, device="cpu").fit(data("vectors"))
    with pytest.raises(InputError, match="different data"):
        method("simclr")(encoder=Perceptron(), views=StillVectors(), batch_size=16, device="cpu").fit(data("vectors") + process)
    torch.distributed.destroy_process_group()


def test_what_cannot_be_shared_is_refused(tmp_path):
    _together(_refuse, 2, str(tmp_path))


@pytest.mark.parametrize("name", SETTINGS)
def test_every_system_takes_its_steps_in_half_precision(name):
    learner = _one(name, "bf16-mixed")
    assert all(np.isfinite(value.float().numpy()).all() for value in learner.net_.state_dict().values() if value.is_floating_point())
    assert np.isfinite(learner.loss_curve_).all()


def test_shared_batch_norm_alone_is_batch_norm():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False))
    x = torch.randn(6, 2, 4, 4)
    plain = net(x)
    for module in net[1:]:
        module.__class__ = SharedBatchNorm
        module.reset_running_stats()
    assert torch.allclose(net(x), plain, atol=1e-6)
    share_statistics(net)  # of one process: nothing to share
    assert torch.allclose(net.eval()(x), net(x))


SHARDED = ["simclr", "byol", "vicreg of vectors", "simcse of texts"]


def _in_parts(process, world, port, folder):
    """The settings under FSDP; and one stopped in the midst, and gone on with."""
    _among(process, world, port)
    os.environ["UNLABELED_STRATEGY"] = "fsdp"
    for name in SHARDED:
        learner = _one(name)
        np.savez(f"{folder}/{name}-{process}.npz", **{k: v.numpy() for k, v in learner.net_.state_dict().items()})
        with open(f"{folder}/{name}-{process}.json", "w") as file:
            json.dump(learner.loss_curve_, file)
    learner_module.CHECKPOINT_SECONDS = -1.0  # after every step
    changed = {"epochs": 3, "optimizer": "adamw", "lr": 1e-3}
    with pytest.raises(ZeroDivisionError):
        _one("vicreg of vectors", checkpoint=folder, watch=lambda progress: 1 / (4 - progress.step), **changed)
    on, through = (_one("vicreg of vectors", **more, **changed) for more in ({"checkpoint": folder, "resume": True}, {}))
    assert on.loss_curve_ == pytest.approx(through.loss_curve_, abs=1e-6)
    assert all(torch.allclose(a, b) for a, b in zip(on.net_.state_dict().values(), through.net_.state_dict().values(), strict=True))
    with pytest.raises(InputError, match="DeepCluster looks at all the data before an epoch"):
        _one("deepcluster")
    torch.distributed.destroy_process_group()


def test_processes_with_a_part_of_the_model_each_take_the_steps_of_one(tmp_path):
    _together(_in_parts, 2, str(tmp_path))
    for name in SHARDED:
        first, second = (dict(np.load(tmp_path / f"{name}-{process}.npz")) for process in (0, 1))
        for key, value in alone(name).net_.state_dict().items():
            np.testing.assert_allclose(first[key], second[key], atol=1e-6, err_msg=key)
            np.testing.assert_allclose(first[key], value.numpy(), atol=2e-4, rtol=1e-3, err_msg=key)
        assert json.loads((tmp_path / f"{name}-0.json").read_text()) == pytest.approx(alone(name).loss_curve_, abs=1e-4, rel=1e-4)
