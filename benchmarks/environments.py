"""An environment for each peer: their pins conflict, with each other's and with ours, so none of them is installed beside us.

They are made once, under UNLABELED_PEERS or ~/.cache/unlabeled/peers, one folder for each set of requirements.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"  # as in the Makefile: asked only where it answers
READY = ".ready"  # written last: a folder without it was left by a killed pip


class NotMade(Exception):
    """The environment of a peer can't be made; says why in one line."""


def interpreter(requirements: tuple[str, ...], minutes: float = 15) -> str:
    """The Python of an environment with exactly these requirements, made if it isn't there. No requirements: the one we run in.

    Raises NotMade with pip's last line of an error.
    """
    if not requirements:
        return sys.executable
    folder = place(requirements)
    python = folder / "bin" / "python"
    if (folder / READY).exists():
        return str(python)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Our own constraints (the Makefile exports them) must not hold here, nor a package that somebody's PYTHONPATH names.
    environment = {key: value for key, value in os.environ.items() if key not in ("PIP_CONSTRAINT", "PYTHONPATH", "PYTHONHOME")}
    index = ["--extra-index-url", TORCH_INDEX] if any(one.startswith("torch") for one in requirements) and _answers(TORCH_INDEX) else []
    for command in ([sys.executable, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", "--quiet", *index, *requirements]):
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60 * minutes)
        except subprocess.TimeoutExpired:
            raise NotMade(f"installing {' '.join(requirements)} took longer than {minutes:g} minutes") from None
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()[-1:] or ["no message"]
            raise NotMade(f"pip install {' '.join(requirements)}: {errors[0].strip()[:200]}")
    (folder / READY).write_text("\n".join(requirements) + "\n")
    return str(python)


def place(requirements: tuple[str, ...]) -> Path:
    """Where the environment lies: by its requirements and the version of Python."""
    root = Path(os.environ.get("UNLABELED_PEERS") or Path.home() / ".cache" / "unlabeled" / "peers")
    asked = "\n".join((*sorted(requirements), f"{sys.version_info.major}.{sys.version_info.minor}"))
    first = "".join(c for c in requirements[0].split("==")[0] if c.isalnum() or c in "-_")
    return root / f"{first}-{hashlib.sha256(asked.encode()).hexdigest()[:10]}"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/torch/", timeout=3):
            return True
    except OSError:
        return False
