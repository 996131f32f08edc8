"""What all tests share: one thread each (they run side by side), no network, and the folder of real data sets where there is one."""

import os
from pathlib import Path

import pytest

# Before any test imports torch or transformers, which read these once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

REPOSITORY = Path(__file__).resolve().parents[1]
if "UNLABELED_DATA" not in os.environ and (REPOSITORY.parent / "shared" / "data").is_dir():
    os.environ["UNLABELED_DATA"] = str(REPOSITORY.parent / "shared" / "data")


@pytest.fixture
def data_folder() -> Path:
    """The folder of data sets that UNLABELED_DATA names; a test that asks for it is skipped where there is none."""
    named = os.environ.get("UNLABELED_DATA")
    if not named:
        pytest.skip("needs real data sets: set UNLABELED_DATA to their folder")
    if not Path(named).is_dir():
        pytest.skip(f"UNLABELED_DATA names {named}, which is not a folder")
    return Path(named)
