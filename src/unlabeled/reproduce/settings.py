"""What every reproduction is measured with, unless it says otherwise: the common settings of the arms, and the two probes."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlabeled.encoders.conv import ConvNet
from unlabeled.evaluate.probes import knn_accuracy, linear_probe
from unlabeled.views.images import ImageViews
from unlabeled.views.text import TextViews
from unlabeled.views.vectors import VectorViews

# The network of the small budget: plain, so that what an objective adds shows (the product's own `conv4` starts from whitened patches).
NETWORK = ConvNet
VIEWS = (ImageViews, TextViews, VectorViews)  # what an arm sees unless it names views
SMALL: dict[str, dict[str, Any]] = {
    "image": {"encoder": "conv5", "epochs": 12, "batch_size": 256, "lr": 2e-3, "weight_decay": 1e-4},
    "text": {"epochs": 12, "batch_size": 256, "lr": 2e-3},
    "vector": {"epochs": 40, "batch_size": 256, "lr": 1e-3},
}
# For a GPU: nobody here ran it. What a paper did otherwise stands in its reproduction's `full`.
FULL: dict[str, dict[str, Any]] = {
    "image": {"encoder": "resnet18", "epochs": 400, "batch_size": 512, "lr": 2e-3, "weight_decay": 1e-4},
    "text": {"epochs": 50, "batch_size": 512, "lr": 1e-3},
    "vector": {"epochs": 400, "batch_size": 256, "lr": 1e-3},
}


def score(Z: Any, y: np.ndarray, Z_test: Any, y_test: np.ndarray, metrics: tuple[str, ...], seed: int = 0) -> dict[str, float]:
    """knn: share of test rows that their 20 nearest training rows vote right. probe: logistic regression, its penalty by validation."""
    measures = {"knn": lambda: knn_accuracy(Z, y, Z_test, y_test, k=20), "probe": lambda: linear_probe(Z, y, Z_test, y_test, seed=seed)}
    return {name: measures[name]() for name in metrics}
