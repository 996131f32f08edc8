"""Reading folders of JPEGs to tensors beside Pillow in a DataLoader with a worker a core: pictures a second, and whether the pixels agree.

Small ones are CIFAR-10's own files; large ones have 12 megapixels and are made here (see benchmarks/corpora.py). Ours: `read(folder)`, to
one uint8 array on the disk, wrapped as a tensor. Pillow: `Image.open(path).convert("RGB")`, the middle square, resize, as tensors of uint8;
"Pillow with draft" is what somebody who knows Pillow well would write: `Image.draft` lets libjpeg decode at an eighth of the size.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers import CORES, answer, call, median, now, processor_seconds
from benchmarks.results import Plan, Row, ratios

SIDE = 64  # of what large pictures become


def measure(engine: str, folder: str, side: int, out: str) -> dict[str, Any]:
    import numpy as np
    import torch

    started, used = now(), processor_seconds()
    if engine == "unlabeled":
        import unlabeled as ul

        started = now()  # imports aren't timed, of either
        tensor = torch.from_numpy(np.asarray(ul.read(folder).values))
    else:
        dataset = Folder(sorted(Path(folder).iterdir()), side, draft="draft" in engine)
        from PIL import Image  # noqa: F401  (its import isn't timed)

        started, used = now(), processor_seconds()
        loader = torch.utils.data.DataLoader(dataset, batch_size=64, num_workers=CORES)
        tensor = torch.cat(list(loader))
    seconds, cpu = now() - started, processor_seconds() - used
    np.save(out, tensor[:200].numpy())
    return {"a_second": len(tensor) / seconds, "a_cpu_second": len(tensor) / cpu, "shape": list(tensor.shape)}


class Folder:
    """Pillow pictures as uint8 tensors [side, side, 3]."""

    def __init__(self, paths: list[Path], side: int, draft: bool):
        self.paths, self.side, self.draft = paths, side, draft

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Any:
        import numpy as np
        import torch
        from PIL import Image, ImageOps

        with Image.open(self.paths[row]) as image:
            if self.draft:
                image.draft("RGB", (2 * self.side, 2 * self.side))
            image = image.convert("RGB")
            if image.size != (self.side, self.side):
                image = ImageOps.fit(image, (self.side, self.side), Image.Resampling.BILINEAR)
            return torch.from_numpy(np.array(image))


def rows(plan: Plan) -> Iterator[Row]:
    import numpy as np

    from benchmarks.corpora import write_large_pictures, write_small_pictures

    small, large = (50_000, 5_000) if plan.full else (50_000, 120)
    write_small_pictures(plan.data, plan.scratch / "small", small)
    mean_size = write_large_pictures(plan.data, plan.scratch / "large", large)
    for name, n, side in (("small", small, 32), ("large", large, SIDE)):
        engines = {"unlabeled": sys.executable} | {
            peer: python for peer, python in plan.peers.items() if name == "large" or "draft" not in peer
        }
        found: dict[str, list[dict[str, Any]]] = {engine: [] for engine in engines}
        for _ in range(plan.rounds):
            for engine, python in engines.items():
                out = str(plan.scratch / f"{engine}-{name}.npy")
                found[engine].append(call(python, "images", engine=engine, folder=str(plan.scratch / name), side=side, out=out, minutes=60))
        speed = {engine: median([one["a_second"] for one in each]) for engine, each in found.items()}
        pixels = {engine: np.load(plan.scratch / f"{engine}-{name}.npy").astype(float) for engine in engines}
        for peer in list(engines)[1:]:
            off = float(np.abs(pixels["unlabeled"] - pixels[peer]).mean())
            large_case = f"{n:,} JPEGs of 12 megapixels ({mean_size / 1e6:.1f} MB) to {side} x {side}"
            case = f"{n:,} JPEGs of 32 x 32" if name == "small" else large_case
            row = Row(case, peer, "pictures/s", speed["unlabeled"], speed[peer], None if "draft" in peer else 2.0)
            row.measured_by, row.quality, row.theirs_quality, row.equal = "mean difference of pixels, of 255", off, 0.0, off < 3
            row.each = ratios(*([one["a_second"] for one in found[engine]] for engine in ("unlabeled", peer)))
            cpu = [median([one["a_cpu_second"] for one in found[engine]]) for engine in ("unlabeled", peer)]
            row.note = f"a DataLoader with {CORES} workers; files in the page cache; by processor time {cpu[0] / cpu[1]:.2f} times as fast"
            yield row


if __name__ == "__main__":
    answer(measure)
