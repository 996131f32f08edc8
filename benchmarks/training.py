"""SimSiam, MoCo v2 and SwAV on CIFAR-10 beside lightly and beside a bare PyTorch loop: pictures a second, views included, and k-NN.

Equal: the network (three plain 3x3 convolutions, 64 to 256 wide, one file that both load), the heads' widths, two views of 32 pixels
with the same crops, flips, jitter and grey, batch, AdamW, its schedule, epochs, threads. lightly runs as its examples do: its transforms
over a data set of Pillow pictures (torchvision's CIFAR10 gives those) in a DataLoader with a worker a core. The bare loop has our
network, views and loss, and nothing else. Speed: pictures a second, median of all epochs but the first. k-NN: k = 20, cosine, 2,000 test
pictures against those trained on.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers import CORES, ROOT, Failed, answer, call, median, now, processor_seconds
from benchmarks.results import Plan, Row, ratios

METHODS = ("SimSiam", "MoCo", "SwAV")
BATCH, RATE, DECAY, WARMUP, SIDE, TEST = 256, 2e-3, 1e-4, 0.1, 32, 2000
DIMS = {"SimSiam": (256, 256), "MoCo": (256, 128), "SwAV": (256, 64)}  # hidden and output width of the projection
QUEUE, MOMENTUM, PREDICTOR, PROTOTYPES = 1024, 0.99, 64, 100


Clock = tuple[float, float]


def clock() -> Clock:
    """Seconds on the clock, and of the processor, workers included."""
    return now(), processor_seconds()


def measure(engine: str, method: str, folder: str, epochs: int) -> dict[str, Any]:
    import numpy as np
    import torch

    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    given = np.load(Path(folder) / "pictures.npz")
    train, test = given["train"], given["test"]
    embed, ends = {"unlabeled": ours, "bare loop": bare, "lightly": lightly}[engine](method, train, epochs)
    seconds, cpu = ([b[i] - a[i] for a, b in zip(ends, ends[1:], strict=False)] for i in (0, 1))
    shown = len(train) // BATCH * BATCH
    return {
        "a_second": shown / median(seconds),
        "each": [shown / one for one in seconds],
        "a_cpu_second": shown / median(cpu),
        "knn": knn(embed(train), given["y"], embed(test), given["y_test"]),
    }


def network() -> Any:
    """The encoder, from its one file: it needs nothing of our package."""
    spec = importlib.util.spec_from_file_location("conv", ROOT / "src" / "unlabeled" / "encoders" / "conv.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["conv"] = module
    spec.loader.exec_module(module)
    return module.ConvNet(3, plain=True)


def learner(method: str, epochs: int) -> Any:
    import unlabeled as ul
    from unlabeled.methods.clustering.swav import SwAV
    from unlabeled.methods.contrastive.moco import MoCo

    hidden, dim = DIMS[method]
    like = {"epochs": epochs, "batch_size": BATCH, "lr": RATE, "weight_decay": DECAY, "warmup": WARMUP, "views": ul.ImageViews(size=SIDE)}
    like["encoder"] = network()
    if method == "SimSiam":
        return ul.SimSiam(dim=dim, layers=3, predictor_dim=PREDICTOR, **like)
    if method == "MoCo":
        return MoCo(dim=dim, hidden=hidden, queue=QUEUE, momentum=MOMENTUM, splits=1, **like)
    return SwAV(dim=dim, hidden=hidden, prototypes=PROTOTYPES, eps=0.05, freeze=0.0, **like)


def ours(method: str, train: Any, epochs: int) -> tuple[Callable[[Any], Any], list[Clock]]:
    ends: list[Clock] = []
    model = learner(method, epochs)
    model.fit(train, watch=lambda progress: ends.append(clock()) if progress.end_of_epoch else None)
    return model.transform, ends


def bare(method: str, train: Any, epochs: int) -> tuple[Callable[[Any], Any], list[Clock]]:
    import torch

    from unlabeled.learner import Batch

    model = learner(method, epochs)
    model.steps_ = epochs * (len(train) // BATCH)
    net = model.build(model.encoder).to(memory_format=torch.channels_last).train()
    factor = schedule(model.steps_)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY, betas=(0.9, 0.98), fused=True)
    data, ends, step = torch.from_numpy(train), [], 0
    for _ in range(epochs):
        order = torch.randperm(len(data))
        for start in range(0, len(data) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            for group in optimizer.param_groups:
                group["lr"] = RATE * factor(step)
            batch = Batch(model.views(data[rows]), rows)
            loss = model.loss(net, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                model.after_step(net, batch)
            step += 1
        ends.append(clock())
    return embedder(net.encode), ends


def schedule(steps: int) -> Callable[[int], float]:
    """A linear rise over the first tenth, then half a cosine: as ours."""
    rise = int(WARMUP * steps)

    def factor(step: int) -> float:
        return (step + 1) / rise if step < rise else (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2

    return factor


def embedder(encode: Any) -> Callable[[Any], Any]:
    import numpy as np
    import torch

    def embed(pictures: Any) -> Any:
        encode.eval()
        with torch.inference_mode():
            rows = [torch.from_numpy(pictures[i : i + 512]).permute(0, 3, 1, 2).float() / 255 for i in range(0, len(pictures), 512)]
            return np.concatenate([encode(x).numpy() for x in rows])

    return embed


def lightly(method: str, train: Any, epochs: int) -> tuple[Callable[[Any], Any], list[Clock]]:
    import torch

    kept = allow_torchvision()
    model, loss_of = lightly_model(method)
    loader = torch.utils.data.DataLoader(
        Pictures(train, lightly_transform(method)), batch_size=BATCH, shuffle=True, drop_last=True, num_workers=CORES
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, betas=(0.9, 0.98))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule(epochs * len(loader)))
    ends = []
    for _ in range(epochs):
        for views, _, _ in loader:
            loss = loss_of(views)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        ends.append(clock())
    del kept
    return embedder(model.backbone), ends


def allow_torchvision() -> Any:
    """Where only a CUDA build of torchvision is to be had, it won't be imported beside a CPU PyTorch: two of its operators are missing.

    They aren't used here; declared, the rest works. What is returned has to live as long as torchvision does.
    """
    import torch

    try:
        import torchvision  # type: ignore[import-not-found] # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    return None


class Pictures:
    """A data set as torchvision's CIFAR10: a Pillow picture made from an array, and a transform."""

    def __init__(self, pixels: Any, transform: Any):
        self.pixels, self.transform = pixels, transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> Any:
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[row])), 0, row


def lightly_transform(method: str) -> Any:
    from lightly import transforms  # type: ignore[import-not-found]

    like = {"cj_prob": 0.8, "cj_strength": 1.0, "cj_bright": 0.4, "cj_contrast": 0.4, "cj_sat": 0.4, "cj_hue": 0.1, "gaussian_blur": 0.0,
            "random_gray_scale": 0.2, "normalize": None}  # fmt: skip
    if method == "SwAV":
        return transforms.SwaVTransform(crop_sizes=(SIDE,), crop_counts=(2,), crop_min_scales=(0.2,), crop_max_scales=(1.0,), **like)
    kind = transforms.SimSiamTransform if method == "SimSiam" else transforms.MoCoV2Transform
    return kind(input_size=SIDE, min_scale=0.2, **like)


def lightly_model(method: str) -> tuple[Any, Callable[[Any], Any]]:
    """As in lightly's examples: https://docs.lightly.ai/self-supervised-learning/examples/models.html"""
    import copy

    from lightly.loss import NegativeCosineSimilarity, NTXentLoss, SwaVLoss  # type: ignore[import-not-found]
    from lightly.models import modules, utils  # type: ignore[import-not-found]
    from torch import nn

    hidden, dim = DIMS[method]
    model = nn.Module()
    model.backbone = network()
    width = model.backbone.width
    if method == "SimSiam":
        model.project = modules.SimSiamProjectionHead(width, dim, dim)
        model.predict = modules.SimSiamPredictionHead(dim, PREDICTOR, dim)
        negative_cosine = NegativeCosineSimilarity()

        def loss(views: Any) -> Any:
            (z0, p0), (z1, p1) = ((z.detach(), model.predict(z)) for z in (model.project(model.backbone(view)) for view in views))
            return 0.5 * (negative_cosine(z0, p1) + negative_cosine(z1, p0))

    elif method == "MoCo":
        model.project = modules.MoCoProjectionHead(width, hidden, dim)
        slow, slow_project = copy.deepcopy(model.backbone), copy.deepcopy(model.project)
        utils.deactivate_requires_grad(slow)
        utils.deactivate_requires_grad(slow_project)
        info_nce = NTXentLoss(temperature=0.2, memory_bank_size=(QUEUE, dim))

        def loss(views: Any) -> Any:
            utils.update_momentum(model.backbone, slow, m=MOMENTUM)
            utils.update_momentum(model.project, slow_project, m=MOMENTUM)
            return info_nce(model.project(model.backbone(views[0])), slow_project(slow(views[1])).detach())

    else:
        model.project = modules.SwaVProjectionHead(width, hidden, dim)
        model.prototypes = modules.SwaVPrototypes(dim, n_prototypes=PROTOTYPES)
        swapped = SwaVLoss()

        def loss(views: Any) -> Any:
            model.prototypes.normalize()
            features = [model.project(model.backbone(view)) for view in views]
            scores = [model.prototypes(nn.functional.normalize(z, dim=1, p=2)) for z in features]
            return swapped(scores[:2], scores[2:])

    return model.train(), loss


def knn(Z: Any, y: Any, Z_test: Any, y_test: Any, k: int = 20) -> float:
    """Share of test pictures whose 20 nearest, by cosine on mean-subtracted vectors, vote for the right class."""
    import numpy as np

    mean = Z.mean(axis=0)
    A, B = ((X - mean) / np.maximum(np.linalg.norm(X - mean, axis=1, keepdims=True), 1e-12) for X in (Z, Z_test))
    near = np.argpartition(-(B @ A.T), k, axis=1)[:, :k]
    votes = np.stack([np.bincount(y[row], minlength=10) for row in near])
    return float((votes.argmax(axis=1) == y_test).mean())


def write_pictures(data: Path, path: Path, n: int) -> None:
    import io

    import numpy as np
    import pyarrow.parquet as pq
    from PIL import Image

    arrays = {}
    for split, many, X, y in (("train", n, "train", "y"), ("test", TEST, "test", "y_test")):
        table = pq.read_table(data / "cifar10" / f"{split}.parquet").slice(0, many)
        arrays[X] = np.stack([np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")) for jpeg in table["jpeg"].to_pylist()])
        arrays[y] = table["label"].to_numpy()
    np.savez(path, **arrays)


def rows(plan: Plan) -> Iterator[Row]:
    """As many epochs as fit an hour of all benchmarks: k-NN then says that nothing is broken, not how good a method can be."""
    n, epochs = (50_000, 10) if plan.full else (3_072, 5)
    write_pictures(plan.data, plan.scratch / "pictures.npz", n)
    engines = {"unlabeled": sys.executable, "bare loop": sys.executable} | plan.peers
    for method in METHODS:
        found = {}
        for engine, python in engines.items():
            try:
                found[engine] = call(python, "training", engine=engine, method=method, folder=str(plan.scratch), epochs=epochs, minutes=60)
            except Failed as error:
                yield Row(method, engine, note=f"not measured: {error}")
        mine = found.pop("unlabeled", None)
        for engine, theirs in found.items() if mine else ():
            assert mine is not None
            wanted = 2.0 if engine == "lightly" else 1.0
            row = Row(f"{method}, {n:,} pictures, {epochs} epochs", engine, "images/s", mine["a_second"], theirs["a_second"], wanted)
            row.measured_by, row.quality, row.theirs_quality = "k-NN", mine["knn"], theirs["knn"]
            row.equal, row.each = mine["knn"] >= theirs["knn"] - 0.02, ratios(mine["each"], theirs["each"])
            row.note = f"by processor time, workers included, {mine['a_cpu_second'] / theirs['a_cpu_second']:.2f} times as fast"
            yield row


if __name__ == "__main__":
    answer(measure)
