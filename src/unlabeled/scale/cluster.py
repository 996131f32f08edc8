"""The Ray cluster: started here, or joined."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from unlabeled.errors import InputError, MissingExtra


@contextmanager
def cluster(address: str = "local") -> Iterator[Any]:
    """The module `ray`, connected: "local" starts a cluster on this machine and ends it, "auto" or HOST:PORT joins one and leaves it.

    A cluster that this process is connected to already is used as it is. MissingExtra: Ray isn't installed. InputError: no cluster there.
    """
    # Read when ray is imported: no reports to its makers, and on the screen errors alone, which come as exceptions.
    for name, value in (("USAGE_STATS_ENABLED", "0"), ("ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"), ("BACKEND_LOG_LEVEL", "fatal")):
        os.environ.setdefault(f"RAY_{name}", value)
    try:
        import ray
    except ImportError:
        raise MissingExtra("Ray", "ray", "a cluster") from None
    if ray.is_initialized():
        yield ray
        return
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    folder = None
    if address == "local":
        # Its sockets lie in this folder, whose name must be short; and on one machine nothing needs another address than its own.
        folder = tempfile.mkdtemp(prefix="ray-")
        common |= {"_temp_dir": folder, "_node_ip_address": "127.0.0.1", "include_dashboard": False}
    try:
        ray.init(address=address, **common)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"no Ray cluster at {address!r} ({str(error).splitlines()[0]}): start one with `ray start --head`, or say local"
        ) from None
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        with redirect_stdout(sys.stderr):  # Ray prints there that a worker was lost
            yield ray
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
