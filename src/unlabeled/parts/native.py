"""Compiled loops: C files of this package, made into libraries by the user's own compiler when they are first needed."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

from unlabeled.errors import MissingCompiler

FLAGS = ("-O3", "-std=c11", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros")


@functools.cache
def library(source: Path) -> ctypes.CDLL:
    """The functions of a C file. Compiled for this machine's processor; kept under ~/.cache/unlabeled/native by content.

    The compiler: $CC, or cc, gcc, clang. MissingCompiler: none there, or it fails.
    """
    compiler = os.environ.get("CC") or next((one for one in ("cc", "gcc", "clang") if shutil.which(one)), None)
    if compiler is None:
        raise MissingCompiler(f"{source.name} needs a C compiler: install gcc or clang, or name one in $CC")
    tune = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
    command = [*compiler.split(), *FLAGS, tune]
    parts = [source.read_text(encoding="utf-8"), *command, platform.machine(), _processor()]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unlabeled" / "native"
    path = folder / f"{source.stem}-{key}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        done = subprocess.run([*command, str(source), "-o", str(partial), "-lm"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise MissingCompiler(f"{compiler} could not compile {source.name}: {done.stderr.strip()[-500:]}")
        os.replace(partial, path)
    return ctypes.CDLL(str(path))


def _processor() -> str:
    """What tells processors apart that understand different instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
