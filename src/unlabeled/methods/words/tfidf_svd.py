"""TF-IDF with a truncated SVD (latent semantic analysis)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

import unlabeled
from unlabeled.data import Items, as_items
from unlabeled.encoders import Inputs
from unlabeled.errors import InputError
from unlabeled.saving import plain, read_config, write_json, write_tensors


@dataclass(kw_only=True, eq=False)
class TfidfSVD(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Words weighted by rarity, then the directions in which texts differ most. A first answer in seconds, on a CPU.

    Deerwester et al., 1990, "Indexing by Latent Semantic Analysis". fit takes n texts (a list of str or Items), transform
    gives float32 [n, dim], rows of unit length (zero where a text holds no known word).
    """

    dim: int = 100  # 256 was a point better at k-NN and five worse at topics (docs/defaults.md)
    words: int = 50_000  # largest vocabulary
    min_texts: int = 2  # a word that fewer texts hold is left out, unless nothing else were left
    seed: int = 0

    def fit(self, X: Any, y: Any = None, **ignored: Any) -> Self:
        """Learn vocabulary, weights and directions; `y` is never looked at."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfTransformer

        if self.dim < 1 or self.words < 1:
            raise InputError(f"dim and words must be positive, got {self.dim} and {self.words}")
        texts = self._texts(X)
        counter = _counter(max_features=self.words, min_df=self.min_texts)
        try:
            counts = counter.fit_transform(texts)
        except ValueError:  # few or short texts: no word is in several of them
            counter = _counter(max_features=self.words, stop_words=None)
            try:
                counts = counter.fit_transform(texts)
            except ValueError:
                raise InputError("the texts hold no words: nothing to learn from") from None
        self.vocabulary_ = [str(word) for word in counter.get_feature_names_out()]
        weigh = TfidfTransformer(sublinear_tf=True).fit(counts)
        self.idf_ = weigh.idf_.astype(np.float32)
        dim = min(self.dim, min(counts.shape) - 1)
        if dim < 1:
            self.components_ = np.ones((1, counts.shape[1]), np.float32)
        else:
            svd = TruncatedSVD(dim, random_state=self.seed).fit(weigh.transform(counts).astype(np.float32))
            self.components_ = svd.components_.astype(np.float32)
        self._n_features_out = len(self.components_)
        self.inputs_ = Inputs("text")
        return self

    def transform(self, X: Any, out: np.ndarray | None = None, progress: Any = None) -> np.ndarray:
        """float32 [n, dim]. out: an array to write to. progress: called with (done, n)."""
        check_is_fitted(self, "components_")
        from sklearn.feature_extraction.text import TfidfTransformer

        texts = self._texts(X)
        counter = _counter(vocabulary=self.vocabulary_)
        weigh = TfidfTransformer(sublinear_tf=True)
        weigh.idf_ = self.idf_.astype(np.float64)
        out = np.empty((len(texts), len(self.components_)), np.float32) if out is None else out
        for start in range(0, len(texts), 8192):
            rows = weigh.transform(counter.transform(texts[start : start + 8192])).astype(np.float32) @ self.components_.T
            norm = np.linalg.norm(rows, axis=1, keepdims=True)
            out[start : start + 8192] = rows / np.where(norm > 0, norm, 1)
            if progress:
                progress(min(start + 8192, len(texts)), len(texts))
        return out

    def untrained(self, X: Any) -> Self:
        """There is no such thing as an untrained TF-IDF: the same as fit."""
        return self.fit(X)

    def description(self) -> dict[str, Any]:
        """Class, parameters and inputs: what config.json says of the model."""
        return {
            "class": f"{type(self).__module__}.{type(self).__qualname__}",
            "version": unlabeled.__version__,
            "parameters": {name: plain(value) for name, value in self.get_params().items()},
            "inputs": asdict(self.inputs_),
            "encoder": None,
            "loss_curve": [],
        }

    def save(self, folder: str | Path, **more: Any) -> Path:
        """Write config.json, model.safetensors and vocabulary.json to a folder."""
        import torch

        check_is_fitted(self, "components_")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / "model.safetensors", {"idf": torch.from_numpy(self.idf_), "components": torch.from_numpy(self.components_)})
        write_json(folder / "vocabulary.json", self.vocabulary_)
        write_json(folder / "config.json", self.description() | more)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open what `save` wrote."""
        from safetensors.numpy import load_file

        config = read_config(folder)
        model = cls(**config["parameters"])
        arrays = load_file(Path(folder) / "model.safetensors")
        model.idf_, model.components_ = arrays["idf"], arrays["components"]
        model.vocabulary_ = json.loads((Path(folder) / "vocabulary.json").read_text(encoding="utf-8"))
        model.inputs_, model._n_features_out = Inputs("text"), len(model.components_)
        return model

    def _texts(self, X: Any) -> list[str]:
        items = X if isinstance(X, Items) else as_items(list(X) if isinstance(X, tuple | np.ndarray) else X)
        if items.kind != "text":
            raise InputError(f"TfidfSVD reads texts, the data are {items.kind}s: give a list of str")
        return items.take(np.arange(len(items)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _counter(stop_words: str | None = "english", **options: Any) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(stop_words=stop_words, dtype=np.float32, **options)
