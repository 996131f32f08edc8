"""Three small runs for the browser tests: pictures, the same pictures as plain vectors (to compare), and texts."""

import importlib
import inspect
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import unlabeled as ul
from unlabeled.data import Items

PICTURES, TEXTS = 400, 300
MODULES = ("argparse", "csv", "datetime", "email.message", "gzip", "json", "logging", "pathlib", "statistics", "tarfile", "threading", "zipfile")


def docstrings() -> dict[str, str]:
    """Name to docstring, of the standard library: texts that lie on every machine that can run the tests."""
    found = {}
    for module in map(importlib.import_module, MODULES):
        for name, thing in sorted(vars(module).items()):
            if inspect.isclass(thing) or inspect.isfunction(thing):
                members = sorted(vars(thing).items()) if inspect.isclass(thing) else []
                for path, part in [(name, thing), *((f"{name}.{key}", member) for key, member in members if inspect.isfunction(member))]:
                    if text := inspect.cleandoc(part.__doc__ or ""):
                        found[f"{module.__name__}.{path}"] = " ".join(text.split())
    return dict(list(found.items())[:TEXTS])


def main(folder: Path) -> None:
    digits = load_digits()
    images = (digits.images[:PICTURES] * 15).astype(np.uint8)
    names = [f"digit {row}" for row in range(PICTURES)]
    columns = {"digit": [str(one) for one in digits.target[:PICTURES]], "ink": images.mean(axis=(1, 2)).tolist()}
    ul.learn(Items("image", images[..., None], names, columns=columns), method="none", encoder="conv4", out=folder / "digits")
    ul.import_vectors(images.reshape(PICTURES, -1).astype(np.float32), ids=names, path=folder / "pixels")
    texts = docstrings()
    modules = {"module": [name.rsplit(".", 1)[0] for name in texts]}
    ul.learn(Items("text", list(texts.values()), list(texts), columns=modules), method="tfidf-svd", settings={"dim": 16}, out=folder / "docs")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
