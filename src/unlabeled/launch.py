"""Several processes that train one model: started here, on one machine or on more, watched, and ended together.

`unlabeled learn ... --devices 4` starts four processes that run the same command with torchrun's environment variables; torchrun may
start them as well. The first of them is the run: it reads, trains, embeds, indexes and reports. The others only train with it. On
several machines the same command is given on each, with its own --node-rank.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unlabeled.errors import InputError

PORT = 29500  # of the first machine, where several meet; on one machine a free port is taken
GRACE = 3.0  # seconds that processes have to end by themselves after one of them failed
ENDING = 10.0  # seconds after SIGTERM; then SIGKILL
SAVING = 120.0  # seconds to write a checkpoint after Ctrl-C
REPORTS = "UNLABELED_LAUNCH"  # folder in which processes say why they ended
STRATEGY = "UNLABELED_STRATEGY"  # read by learner.py
FAILED = 2
LOST = ("gloo", "nccl", "tcpstore", "connection closed", "connection reset", "socket timeout")  # in the messages of a torn connection


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of `learn` that say how many processes train, and where."""
    command.add_argument(
        "--devices", type=int, metavar="N", help="processes that train together on this machine; one GPU each where there are GPUs"
    )
    command.add_argument(
        "--strategy", choices=("ddp", "fsdp"), default="ddp", help="each process has the whole model (ddp, default) or a part of it"
    )
    command.add_argument("--num-nodes", type=int, metavar="M", help="machines; the same command is given on each (--nodes M says the same)")
    command.add_argument("--node-rank", type=int, default=0, metavar="R", help="which of the machines this is, from 0")
    command.add_argument("--main-address", metavar="HOST[:PORT]", help=f"of several machines: where machine 0 is reached (port {PORT})")


def wanted(options: argparse.Namespace) -> bool:
    """Whether the command asks for several processes, or for a strategy that needs them."""
    _read_nodes(options)
    return options.devices not in (None, 1) or options.num_nodes != 1 or options.strategy != "ddp"


def _read_nodes(options: argparse.Namespace) -> None:
    """--nodes 2 means two machines; --nodes FILE is a graph's table of nodes."""
    if options.num_nodes is None and options.nodes and options.nodes.isdigit() and not Path(options.nodes).exists():
        options.num_nodes, options.nodes = int(options.nodes), None
    options.num_nodes = 1 if options.num_nodes is None else options.num_nodes


def among_several() -> bool:
    """Whether this process is one of several that were started to train together."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


# The process that starts the others ---------------------------------------------------------------------------------
def start(options: argparse.Namespace, arguments: list[str]) -> None:
    """Run the command `unlabeled *arguments` in options.devices processes and wait for them; what they print comes through.

    InputError, in one sentence: the options don't fit together, the method can't be shared, or one of the processes ended.
    """
    devices = _checked(options)
    world, first = devices * options.num_nodes, devices * options.node_rank
    host, port = _meeting_place(options)
    options.out = _out(options)
    reports = Path(tempfile.mkdtemp(prefix="unlabeled-launch-"))
    common = os.environ | {
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(devices),
        "GROUP_RANK": str(options.node_rank),
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
        REPORTS: str(reports),
        STRATEGY: options.strategy,
    }
    common.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    common.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # one message at the end, not each process's own
    common.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")
    command = [sys.executable, "-m", "unlabeled", *arguments, "--out", str(options.out)]
    group: dict[int, subprocess.Popen] = {}
    why = ""
    try:
        for local in range(devices):
            rank = first + local
            environment = common | {"RANK": str(rank), "LOCAL_RANK": str(local)}
            with (reports / f"{rank}.log").open("wb") as log:
                output: dict[str, Any] = {} if rank == 0 else {"stdout": log, "stderr": log}
                # stdin is a pipe that closes when this process ends, however it does. A session of their own: Ctrl-C comes through here.
                group[rank] = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True, **output)
        try:
            ended = _watch(group)
        except KeyboardInterrupt:
            _interrupt(group)
            raise SystemExit(FAILED) from None
        if any(ended.values()):
            why = _cause(ended, reports, world)
            raise InputError(f"{why}; {_kept(options)}")
    finally:
        _end(group)
        if str(reports) not in why:  # the user isn't sent there
            shutil.rmtree(reports, ignore_errors=True)


def _checked(options: argparse.Namespace) -> int:
    """Processes on this machine."""
    devices = 1 if options.devices is None else options.devices
    for name, value in (("--devices", devices), ("--num-nodes", options.num_nodes)):
        if value < 1:
            raise InputError(f"{name} must be 1 or more, got {value}")
    if not 0 <= options.node_rank < options.num_nodes:
        raise InputError(f"--node-rank {options.node_rank} of {options.num_nodes} machines: wanted 0 to {options.num_nodes - 1}")
    if options.num_nodes > 1 and (not options.main_address or not options.out):
        raise InputError(
            "several machines need --main-address HOST[:PORT], where machine 0 is reached, and the same --out on storage they share"
        )
    if options.method == "tournament":
        raise InputError("a tournament runs in one process: leave out --devices, then train its winner with them")
    if options.method != "auto":
        from unlabeled.methods import method

        check_shared(method(options.method), options.method)
    import torch

    gpus = 0 if "device=cpu" in options.set else torch.cuda.device_count()
    if options.strategy == "fsdp" and devices * options.num_nodes == 1:
        raise InputError("--strategy fsdp needs several processes: give --devices")
    if gpus and devices > gpus:
        raise InputError(f"--devices {devices} on a machine with {gpus} GPUs: wanted at most one process a GPU, or --set device=cpu")
    return devices


def check_shared(kind: type, name: str) -> None:
    """InputError where a method has no part in the shared loop: every process would train all of it by itself."""
    from unlabeled.learner import Learner

    if name == "none" or not issubclass(kind, Learner):
        why = "trains nothing" if name == "none" else "has a training loop of its own, which one process runs on all its cores"
        raise InputError(f"{name} {why}: leave out --devices")


def _meeting_place(options: argparse.Namespace) -> tuple[str, int]:
    host, _, port = (options.main_address or "").partition(":")
    if options.num_nodes == 1 and not port:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return "127.0.0.1", free.getsockname()[1]
    if port and not port.isdigit():
        raise InputError(f"--main-address wants HOST or HOST:PORT, got {options.main_address!r}")
    return host, int(port or PORT)


def _out(options: argparse.Namespace) -> Path:
    from unlabeled.run import _folder_for

    return _folder_for(options.path, options.out, options.resume)


def _watch(group: dict[int, subprocess.Popen]) -> dict[int, int]:
    """How the processes ended, by rank: until all have, or, once one has failed, those that ended within GRACE seconds of it."""
    deadline = None
    while True:
        ended = {rank: code for rank, process in group.items() if (code := process.poll()) is not None}
        if len(ended) == len(group) or (deadline is not None and time.monotonic() > deadline):
            return ended
        if deadline is None and any(ended.values()):
            deadline = time.monotonic() + GRACE
        time.sleep(0.05)


def _interrupt(group: dict[int, subprocess.Popen]) -> None:
    """Ctrl-C: the first process keeps what was learned, with the others still there to finish its step; then all end."""
    if 0 in group and group[0].poll() is None:
        group[0].send_signal(signal.SIGINT)
        try:
            group[0].wait(SAVING)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            return


def _end(group: dict[int, subprocess.Popen]) -> None:
    for process in group.values():
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + ENDING
    for process in group.values():
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()


def _cause(ended: dict[int, int], reports: Path, world: int) -> str:
    """One sentence: a process that was killed, else what a process said, else that the connection was lost."""
    for rank, code in ended.items():
        if code < 0:
            return f"process {rank} of {world} was killed ({signal.Signals(-code).name}), so the training stopped"
    said = {rank: json.loads(path.read_text("utf-8")) for rank in sorted(ended) if (path := reports / f"{rank}.json").exists()}
    for report in said.values():
        if report["kind"] == "input":
            return str(report["message"])
    for rank, report in said.items():
        if report["kind"] == "other":
            return f"process {rank} of {world} failed ({report['message']}; more in {reports / f'{rank}.json'})"
    if said:
        return "the connection to the other processes was lost, so the training stopped"
    rank = next(rank for rank, code in ended.items() if code)
    return f"process {rank} of {world} ended with status {ended[rank]} ({reports / f'{rank}.log'} has what it printed)"


def _kept(options: argparse.Namespace) -> str:
    if (options.out / "checkpoint.safetensors").exists():
        return f"the last checkpoint is kept: the same command with --out {options.out} --resume goes on"
    return "nothing was learned yet"


# The processes that are started ------------------------------------------------------------------------------------
def take_part(options: argparse.Namespace, settings: dict[str, Any], lead: Callable[[argparse.Namespace], None]) -> None:
    """This process's part of the run: the first does all of it by `lead`, the others train with it and leave nothing behind."""
    rank, reports = int(os.environ["RANK"]), os.environ.get(REPORTS)
    _read_nodes(options)
    if reports:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        signal.signal(signal.SIGTERM, _terminated)
        if rank:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    if options.method == "tournament":
        raise InputError("a tournament runs in one process: start it without torchrun, then train its winner")
    try:
        lead(options) if rank == 0 else _follow(options, settings)
    except Exception as error:
        if not reports:
            raise
        _report(error, Path(reports) / f"{rank}.json")
        raise SystemExit(FAILED) from None
    _leave()


def _follow(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Train with the first process, on the same items and from the same checkpoint, and leave the rest to it."""
    from unlabeled.data import read
    from unlabeled.run import _folder_for, _name_of, _picture_size, choose

    size = _picture_size(options.encoder)
    items = read(options.path, kind=options.kind, column=options.column, nodes=options.nodes, size=size)
    model, _, _ = choose(items, options.method, options.encoder, settings, options.epochs, options.seed)
    check_shared(type(model), _name_of(model))
    model.fit(items, checkpoint=_folder_for(options.path, options.out, options.resume), resume=options.resume)


def _report(error: Exception, path: Path) -> None:
    message = " ".join(str(error).split())
    lost = isinstance(error, RuntimeError) and any(word in message.lower() for word in LOST)
    kind = "input" if isinstance(error, InputError) else "lost" if lost else "other"
    message = message if kind == "input" else f"{type(error).__name__}: {message[:300]}"
    path.write_text(json.dumps({"kind": kind, "message": message, "traceback": traceback.format_exc()}), encoding="utf-8")


def _leave() -> None:
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _terminated(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


def _end_with_parent() -> None:
    """End when the process that started this one is gone, even by SIGKILL: its end of the pipe closes."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ENDING)
    os._exit(1)
