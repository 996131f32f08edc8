"""MAE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.masked import decoder, hide
from unlabeled.parts.norm import batch_norms, unmeasured
from unlabeled.views import ImagePolicy, ImageViews, VectorViews


@dataclass(kw_only=True, eq=False)
class MAE(Learner):
    """Most of a picture is hidden; reconstruct the hidden patches from the rest.

    He et al., 2021, "Masked Autoencoders Are Scalable Vision Learners", arXiv:2111.06377. The target is each hidden patch's
    pixels, normalised within the patch. A `vit` sees the visible patches alone, as in the paper; a convolutional encoder
    can't leave places out, so it sees the picture with the hidden patches painted over, as in masked autoencoding with
    convnets (SimMIM, arXiv:2111.09886; ConvNeXt V2, arXiv:2301.00808). Of vectors single features are hidden.
    The paper: ViT-L/16, mask=0.75, an 8-layer decoder, AdamW lr 1.5e-4 * batch / 256, batches of 4096, 800 to 1600 epochs.
    """

    mask: float = 0.75  # share that is hidden; 0 leaves a plain autoencoder
    patch: int | None = None  # side in pixels; default: 4 for pictures up to 64 pixels, else 16; a ViT has its own
    hidden: int = 256  # width of the decoder
    depth: int = 2  # of a ViT's decoder

    def default_views(self, kind: str) -> Any:
        if kind == "image":  # crops and flips alone: the hiding is the augmentation
            return ImageViews(policy=ImagePolicy(jitter=0.0, grey=0.0), views=1, share=1.0)
        return VectorViews(views=1, noise=0.0, corruption=0.0, mixup=0.0)

    def build(self, encoder: nn.Module) -> Net:
        if self.inputs_.kind == "text":
            raise InputError("MAE hides pixels or features, the data are texts: choose simclr")
        if not 0 <= self.mask < 1:
            raise InputError(f"mask is the share that is hidden, wanted 0 <= mask < 1, got {self.mask!r}")
        net = Net(encode=encoder, decode=decoder(encoder, self.inputs_, self.patch, self.hidden, self.depth))
        net.register_buffer("steps", torch.zeros((), dtype=torch.long))
        return net

    def loss(self, net: Net, batch: Batch) -> Tensor:
        x = net.decode.fitted(batch.views[0])
        target = net.decode.target(x)  # [n, places, numbers]
        hidden, visible = hide(len(x), target.shape[1], self.mask, x.device)
        with unmeasured(net.encode):
            said = net.decode(net.encode, x, hidden, visible).float()
        error = (said - target).square().mean(dim=2)
        return error[hidden].mean() if hidden.any() else error.mean()

    def after_step(self, net: Net, batch: Batch) -> None:
        # Batch norm must know whole pictures: what is embedded later has nothing hidden. Now and then is enough, and cheap.
        net.steps += 1
        if int(net.steps) % 4 == 0 and batch_norms(net.encode):
            net.encode(net.decode.fitted(batch.views[0]))
