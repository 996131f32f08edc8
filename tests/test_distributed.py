"""Two processes that share a batch take the step that one process takes on the whole of it."""

import json
import os
import socket
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

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


SETTINGS = {
    "simclr": {},
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
}
if "ONLY" in os.environ:
    SETTINGS = {k: v for k, v in SETTINGS.items() if k.split(" ")[0] in os.environ["ONLY"].split(",")}


def pictures():
    return np.random.default_rng(0).integers(0, 255, (32, 12, 12, 3), dtype=np.uint8)


def _share(process, port, folder, names):
    os.environ |= {"RANK": str(process), "LOCAL_RANK": str(process), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GROUP_RANK": "0"}
    torch.manual_seed(5)
    start = Small().state_dict()
    for name in names:
        learner = _one(name, start)
        np.savez(f"{folder}/{name}-{process}.npz", **{k: v.numpy() for k, v in learner.net_.state_dict().items()})
        with open(f"{folder}/{name}-{process}.json", "w") as file:
            json.dump(learner.loss_curve_, file)
    torch.distributed.destroy_process_group()


def _one(name, start, precision="32-true"):  # in half of it the order of a sum would show
    torch.set_num_threads(1)
    encoder = Small()
    encoder.load_state_dict(start)
    settings = dict(SETTINGS[name])
    learner = method(name.split(" ")[0])(
        encoder=encoder,
        views=Still(settings.pop("views", 2)),
        batch_size=16,
        epochs=STEPS // 2,
        optimizer="sgd",
        lr=0.05,
        warmup=0,
        device="cpu",
        precision=precision,
        **settings,
    )
    return learner.fit(pictures())


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_share, (port, str(folder), list(SETTINGS)), nprocs=2)
    return folder


@pytest.mark.parametrize("name", SETTINGS)
def test_two_processes_take_the_steps_of_one(shared, name):
    assert name.split(" ")[0] in NAMED
    torch.manual_seed(5)
    alone = _one(name, Small().state_dict())
    first, second = (dict(np.load(shared / f"{name}-{process}.npz")) for process in (0, 1))
    for key, value in alone.net_.state_dict().items():
        assert np.array_equal(first[key], second[key]) or np.allclose(first[key], second[key], atol=1e-6), key
        np.testing.assert_allclose(first[key], value.numpy(), atol=2e-4, rtol=1e-3, err_msg=key)
    curves = [json.loads((shared / f"{name}-{process}.json").read_text()) for process in (0, 1)]
    assert curves[0] == pytest.approx(alone.loss_curve_, abs=1e-4, rel=1e-4) and curves[0] == pytest.approx(curves[1])


@pytest.mark.parametrize("name", SETTINGS)
def test_every_system_takes_its_steps_in_half_precision(name):
    torch.manual_seed(5)
    learner = _one(name, Small().state_dict(), "bf16-mixed")
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
