"""One file a system. By the names that the command line knows them by."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from unlabeled.errors import InputError

NAMED = {
    "none": "unlabeled.methods.frozen.Frozen",
    "simclr": "unlabeled.methods.contrastive.simclr.SimCLR",
    "simsiam": "unlabeled.methods.siamese.simsiam.SimSiam",
    "vicreg": "unlabeled.methods.siamese.vicreg.VICReg",
    "lejepa": "unlabeled.methods.siamese.lejepa.LeJEPA",
    "tfidf-svd": "unlabeled.methods.words.tfidf_svd.TfidfSVD",
}


def method(name: str) -> Any:
    """The estimator class of that name. InputError when there is none, with the names that there are."""
    if name not in NAMED:
        raise InputError(f'no method is called "{name}": choose one of auto, {", ".join(NAMED)}')
    module, _, attribute = NAMED[name].rpartition(".")
    return getattr(import_module(module), attribute)
