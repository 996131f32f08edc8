"""MAE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.encoders.images import HuggingFaceImage
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.dense import feature_map
from unlabeled.parts.gather import gather_rows, own_rows, world
from unlabeled.parts.heads import mlp
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
        channels, side = self.inputs_.channels, self.inputs_.size
        patch = self.patch or (4 if side <= 64 else 16)
        if self.inputs_.kind != "image":
            decode: nn.Module = Features(encoder.width, self.inputs_.features, self.hidden)
        elif isinstance(encoder, HuggingFaceImage) and hasattr(encoder.model, "layers"):
            decode = Tokens(encoder, channels, self.hidden, self.depth)
        elif side < 2 * patch:
            raise InputError(f"patches of {patch} pixels are too large for pictures of {side}: wanted at most {side // 2}")
        else:
            decode = Painted(encoder, channels, side // patch * patch, patch, self.hidden)
        net = Net(encode=encoder, decode=decode)
        net.register_buffer("steps", torch.zeros((), dtype=torch.long))
        return net

    def loss(self, net: Net, batch: Batch) -> Tensor:
        x = net.decode.fitted(batch.views[0])
        target = net.decode.target(x)  # [n, places, numbers]
        n, places = target.shape[:2]
        hide = round(self.mask * places) if self.mask == 0 else min(places - 1, max(1, round(self.mask * places)))
        order = own_rows(torch.rand(world() * n, places, device=x.device)).argsort(dim=1)
        hidden = torch.zeros(n, places, dtype=torch.bool, device=x.device).scatter_(1, order[:, :hide], True)
        with unmeasured(net.encode):
            said = net.decode(net.encode, x, hidden, order[:, hide:]).float()
        error = (said - target).square().mean(dim=2)
        return error[hidden].mean() if hide else error.mean()

    def after_step(self, net: Net, batch: Batch) -> None:
        # Batch norm must know whole pictures: what is embedded later has nothing hidden. Now and then is enough, and cheap.
        net.steps += 1
        if int(net.steps) % 4 == 0 and _norms(net.encode):
            net.encode(net.decode.fitted(batch.views[0]))


class Features(nn.Module):
    """Of vectors: a hidden feature gets its mean, the target is standardised."""

    def __init__(self, width: int, features: int, hidden: int):
        super().__init__()
        self.layers = mlp(width, hidden, features)

    def fitted(self, x: Tensor) -> Tensor:
        return x

    def target(self, x: Tensor) -> Tensor:
        every = gather_rows(x.float())
        return ((x - every.mean(dim=0)) / every.std(dim=0, correction=0).clamp(min=1e-6))[:, :, None]

    def forward(self, encode: Any, x: Tensor, hidden: Tensor, visible: Tensor) -> Tensor:
        return self.layers(encode(torch.where(hidden, gather_rows(x).mean(dim=0), x)))[:, :, None]


class Painted(nn.Module):
    """Of pictures and any encoder with a map: hidden patches get one learned colour, a cell of the map says its block of pixels."""

    def __init__(self, encoder: nn.Module, channels: int, side: int, patch: int, hidden: int):
        super().__init__()
        self.side, self.patch = side, patch
        training = encoder.training
        with torch.no_grad():
            cells = feature_map(encoder.eval(), torch.zeros(1, channels, side, side)).shape[-1]
        encoder.train(training)
        self.factor = -(-side // cells)
        self.layers = mlp(encoder.width, hidden, channels * self.factor**2, spatial=True)
        self.colour = nn.Parameter(torch.full((channels, 1, 1), 0.5))

    def fitted(self, x: Tensor) -> Tensor:
        return _resized(x, self.side)

    def target(self, x: Tensor) -> Tensor:
        return normalised(patches(x.float(), self.patch))

    def forward(self, encode: Any, x: Tensor, hidden: Tensor, visible: Tensor) -> Tensor:
        grid = self.side // self.patch
        cover = hidden.view(-1, 1, grid, grid).repeat_interleave(self.patch, dim=2).repeat_interleave(self.patch, dim=3)
        painted = torch.where(cover, self.colour.to(x.dtype), x)
        return patches(_resized(F.pixel_shuffle(self.layers(feature_map(encode, painted)), self.factor), self.side), self.patch)


class Tokens(nn.Module):
    """Of pictures and a ViT: the encoder gets the visible patches, a small transformer fills in the others."""

    def __init__(self, encoder: HuggingFaceImage, channels: int, hidden: int, depth: int):
        super().__init__()
        config = encoder.model.config
        self.patch, self.channels = config.patch_size, channels
        self.side = encoder.size or config.image_size
        places = (config.image_size // self.patch) ** 2
        self.narrow = nn.Linear(encoder.width, hidden)
        self.token = nn.Parameter(torch.randn(hidden) * 0.02)
        self.place = nn.Parameter(torch.randn(places + 1, hidden) * 0.02)
        layer = nn.TransformerEncoderLayer(hidden, max(1, hidden // 64), 4 * hidden, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(hidden), enable_nested_tensor=False)
        self.pixels = nn.Linear(hidden, self.patch**2 * channels)

    def fitted(self, x: Tensor) -> Tensor:
        return _resized(x, self.side)

    def target(self, x: Tensor) -> Tensor:
        return normalised(patches(x.float(), self.patch))

    def forward(self, encode: Any, x: Tensor, hidden: Tensor, visible: Tensor) -> Tensor:
        model = encode.model
        every = model.embeddings(encode.pixels(x))  # the class token, then the patches, with their places
        kept = torch.cat([every.new_zeros(len(x), 1, dtype=torch.long), visible + 1], dim=1)
        tokens = every.gather(1, kept[:, :, None].expand(-1, -1, every.shape[2]))
        for layer in model.layers:
            tokens = layer(tokens)
        narrow = self.narrow(model.layernorm(tokens))
        full = self.token.to(narrow.dtype).expand(*every.shape[:2], -1)
        full = full.scatter(1, kept[:, :, None].expand(-1, -1, narrow.shape[2]), narrow)
        return self.pixels(self.layers(full + self.place)[:, 1:])


def _norms(net: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


@contextmanager
def unmeasured(net: nn.Module) -> Iterator[None]:
    """Within, batch norm keeps its running statistics as they are."""
    momenta = [(norm, norm.momentum) for norm in _norms(net)]
    for norm, _ in momenta:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in momenta:
            norm.momentum = momentum


def patches(x: Tensor, side: int) -> Tensor:
    """Pictures [n, C, H, W] as patches, row by row: [n, H / side * W / side, C * side * side]."""
    return F.unfold(x, side, stride=side).transpose(1, 2)


def normalised(x: Tensor) -> Tensor:
    """Each patch with mean 0 and variance 1. x: [..., numbers]."""
    return (x - x.mean(dim=-1, keepdim=True)) / (x.var(dim=-1, keepdim=True) + 1e-6).sqrt()


def _resized(x: Tensor, side: int) -> Tensor:
    return x if x.shape[-2:] == (side, side) else F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
