"""The local page and the HTTP API: `unlabeled open RUN`."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

from unlabeled.errors import InputError

PORT = 8700


def serve(
    paths: Sequence[str | Path],
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve runs until stopped. port: None takes 8700, or the next free one. token: asked of every request.

    Raises InputError for a run that can't be opened, a port that is taken, and a host that others can reach without a token.
    """
    import uvicorn

    from unlabeled.web.app import LOOPBACK, PAGE, application
    from unlabeled.web.opened import Runs

    local = _is_loopback(host)
    if token is not None and (len(token) < 8 or not token.isascii() or not all(letter.isalnum() or letter in "-_.~" for letter in token)):
        raise InputError("a token needs at least 8 letters, digits, or -_.~")
    if not local and token is None:
        suggestion = secrets.token_urlsafe(24)
        raise InputError(f"{host} can be reached by others, so a token is needed: add --token {suggestion}, or set UNLABELED_TOKEN")
    runs = Runs(paths)
    listening = _listen(host, port)
    name = "localhost" if host in ("127.0.0.1", "::1") else host
    address = f"http://{name}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else "")
    for one in runs.by_name.values():
        one.draw()
        say(f"{one.name}: {len(one):,} {one.run.kind}s, vectors of {one.run.vectors.shape[1]} numbers")
    if not (PAGE / "index.html").is_file():
        say("the page is missing from this installation: only the API is served")
    say(f"open {address} (Ctrl-C stops it; the API is described at /openapi.json)")
    if browser:
        webbrowser.open(address)
    app = application(runs, token=token, hosts=LOOPBACK if local else None)
    config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_keep_alive=30, access_log=False)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        runs.close()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens; the next free port where none was asked for."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in [port] if port is not None else range(PORT, PORT + 50):
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle on: 40 ms an answer
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, number))
            listening.listen(2048)  # before another process can take it, and so that early visitors wait and aren't refused
            return listening
        except OSError as error:
            listening.close()
            why = error.strerror or str(error)
    raise InputError(f"{host}:{port if port is not None else f'{PORT} to {PORT + 49}'} can't be listened on ({why}): give another --port")
