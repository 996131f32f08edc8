"""Training throughput of the loop beside a bare PyTorch loop: same network, views, loss and optimizer, in turn, in one process.

    python -m benchmarks.throughput [--steps 60] [--rounds 5]

Prints images/s of both and the median of the ratios.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch


def ours(pictures: np.ndarray, steps: int) -> float:
    from unlabeled import SimCLR

    times: list[float] = []
    learner = SimCLR(epochs=steps * 256 // len(pictures), batch_size=256)
    learner._finish = lambda items: None  # what follows training isn't part of it
    learner.fit(pictures, watch=lambda progress: times.append(time.perf_counter()) if progress.end_of_epoch else None)
    per_epoch = np.diff(times)  # the first epoch, with its start-up, is left out
    return len(pictures) // 256 * 256 / float(np.median(per_epoch))


def bare(pictures: np.ndarray, steps: int) -> float:
    from unlabeled.encoders.conv import ConvNet
    from unlabeled.parts.heads import mlp
    from unlabeled.parts.losses import nt_xent
    from unlabeled.views import ImageViews

    torch.manual_seed(0)
    data, views = torch.from_numpy(pictures), ImageViews()
    encode = ConvNet(3)
    encode.blocks[0][0].weight.requires_grad_(False)
    net = torch.nn.Sequential(encode, mlp(encode.width, 256, 128)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=2e-3, fused=True)
    times = []
    for _ in range(steps * 256 // len(pictures)):
        order = torch.randperm(len(data))
        for step in range(len(data) // 256):
            a, b = views(data[order[step * 256 : (step + 1) * 256]])
            z1, z2 = net(torch.cat([a, b])).chunk(2)
            loss = nt_xent(z1, z2, 0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        times.append(time.perf_counter())
    return len(data) // 256 * 256 / float(np.median(np.diff(times)))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=60)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    torch.set_flush_denormal(True)
    pictures = np.random.default_rng(0).integers(0, 255, (2560, 32, 32, 3), dtype=np.uint8)
    ratios = []
    for _ in range(chosen.rounds):
        a, b = ours(pictures, chosen.steps), bare(pictures, chosen.steps)
        ratios.append(a / b)
        print(f"ours {a:,.0f} images/s, bare loop {b:,.0f} images/s, ratio {a / b:.3f}", flush=True)
    print(f"median ratio {np.median(ratios):.3f} ({torch.get_num_threads()} threads)")


if __name__ == "__main__":
    main()
