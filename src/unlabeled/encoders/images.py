"""Image encoders from Hugging Face: by configuration (untrained) or from a folder or an id (pretrained)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HALF = (0.5, 0.5, 0.5)


class HuggingFaceImage(nn.Module):
    """A ResNet, ViT or other vision model as an encoder: float [n, C, H, W] in [0, 1] -> pooled features [n, width].

    size: side to which pictures are resized before the model, None leaves them. mean, std: the model's own normalisation.
    """

    kind = "image"

    def __init__(self, model: nn.Module, size: int | None = None, mean: Sequence[float] = HALF, std: Sequence[float] = HALF):
        super().__init__()
        self.model, self.size = model, size
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        config: Any = getattr(model.config, "vision_config", model.config)
        self.width = int(config.hidden_sizes[-1] if hasattr(config, "hidden_sizes") else config.hidden_size)

    def pixels(self, x: Tensor) -> Tensor:
        """A batch as the model wants it: three channels, its size, its normalisation."""
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        if self.size and x.shape[-1] != self.size:
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        return (x - self.mean) / self.std

    def map(self, x: Tensor) -> Tensor:
        """Features per place, [n, width, h, w]; of a ViT the patch tokens where they belong."""
        hidden = self.model(pixel_values=self.pixels(x)).last_hidden_state
        if hidden.ndim == 4:
            return hidden
        side = int((hidden.shape[1] - 1) ** 0.5)  # the class token (and registers) come first
        return hidden[:, -side * side :].transpose(1, 2).unflatten(2, (side, side))

    def forward(self, x: Tensor) -> Tensor:
        output = self.model(pixel_values=self.pixels(x))
        pooled = getattr(output, "pooler_output", None)
        return (output.last_hidden_state[:, 0] if pooled is None else pooled).flatten(1)


def resnet(depths: Sequence[int], layer_type: str, widths: Sequence[int], small: bool) -> nn.Module:
    """An untrained ResNet. small: 3x3 stem with stride 1 and no max-pooling, as is usual for 32-pixel pictures."""
    from transformers import ResNetConfig, ResNetModel

    model = ResNetModel(ResNetConfig(depths=list(depths), layer_type=layer_type, hidden_sizes=list(widths), embedding_size=64))
    if small:
        model.embedder.embedder.convolution = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.embedder.pooler = nn.Identity()
    return model


def vit(size: int, patch: int) -> nn.Module:
    """An untrained ViT-Tiny (width 192, 12 layers, 3 heads) for pictures of `size` pixels."""
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768, image_size=size, patch_size=patch
    )
    return ViTModel(config, add_pooling_layer=False)


def preprocessing(folder: Path) -> dict[str, Any]:
    """Size, mean and standard deviation from a model folder's preprocessor_config.json, as arguments of HuggingFaceImage."""
    file = folder / "preprocessor_config.json"
    if not file.exists():
        return {"size": 224}
    config = json.loads(file.read_text())
    size = config.get("crop_size") or config.get("size") or 224
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge") or 224
    return {"size": int(size), "mean": config.get("image_mean", HALF), "std": config.get("image_std", HALF)}
