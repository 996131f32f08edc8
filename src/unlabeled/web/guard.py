"""What stands before every request: who may ask, how much, and how many at once. Plain ASGI: bodies are counted as they come."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COOKIE = "unlabeled"
OPEN = {"/health", "/ready"}  # asked by machines that know no token, and say nothing of the data
CALM = ("/assets/", "/health", "/ready", "/metrics", "/openapi.json", "/docs")  # never refused: cheap, and needed to see what is wrong
LONG = re.compile(r"/(clusters|clusters/merge|topics|duplicates|outliers|suspects|predict)$|/v1/compare")
KEPT = re.compile(r"/labels(/|$)")  # a person's work: never refused
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-eval'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)  # unsafe-eval: the map's library makes its WebGL calls with Function


@dataclass(frozen=True)
class Limits:
    """What one server takes on. Beyond it answers 413 or 429, and goes on."""

    body: int = 32 << 20  # bytes of a request
    inputs: int = 2048  # texts or pictures of one request
    pixels: int = 64_000_000  # of an uploaded picture
    at_once: int = 64  # requests that are worked on at the same time
    long: int = 2  # of them long ones: clusters, topics, predictions, ...
    waiting: int = 8  # long ones that may wait for their turn


class Guard:
    """Hosts, token, size of bodies, requests at once. The limits on work are this process's own."""

    def __init__(self, app: Any, limits: Limits, token: str | None, hosts: frozenset[str] | None):
        self.app, self.limits, self.token, self.hosts = app, limits, token, hosts
        self._now = self._long_now = 0
        self._turn = asyncio.Semaphore(limits.long)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await (self.app(scope, receive, send) if scope["type"] == "lifespan" else _close(send))
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        send = _with_headers(send)
        # A page elsewhere can point a name of its own at 127.0.0.1; what it asks for then has that name here.
        if self.hosts is not None and _host(headers.get("host", "")) not in self.hosts:
            return await _refuse(send, 421, "misdirected", "this server answers to localhost only")
        if self.token is not None and scope["path"] not in OPEN:
            if (given := parse_qs(scope["query_string"].decode("latin-1")).get("token")) and scope["path"] == "/":
                if self._knows(given[0]):
                    return await _welcome(send, self.token)
            if not self._knows(_token(headers)):
                message = "a token is needed: open the address that the terminal printed, or send Authorization: Bearer TOKEN"
                return await _refuse(send, 401, "authentication_error", message, {"www-authenticate": "Bearer"})
        try:
            length = int(headers.get("content-length", 0))
        except ValueError:
            return await _refuse(send, 400, "invalid_request_error", "content-length is no number")
        if length > self.limits.body:
            return await _refuse(send, 413, "too_large", f"{length:,} bytes: at most {self.limits.body:,} are taken in one request")
        await self._in_turn(scope, _counted(receive, self.limits.body), send)

    async def _in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/" or path.startswith(CALM) or KEPT.search(path):
            return await self.app(scope, receive, send)
        if self._now >= self.limits.at_once:
            return await _refuse(send, 429, "too_many_requests", "too many requests at once: try again in a second", {"retry-after": "1"})
        self._now += 1
        try:
            if not LONG.search(path) or (scope["method"] == "GET" and path.endswith("/clusters")):
                return await self.app(scope, receive, send)
            if self._long_now >= self.limits.long + self.limits.waiting:
                return await _refuse(
                    send, 429, "too_many_requests", "too many long jobs wait already: try again soon", {"retry-after": "5"}
                )
            self._long_now += 1
            try:
                async with self._turn:
                    await self.app(scope, receive, send)
            finally:
                self._long_now -= 1
        finally:
            self._now -= 1

    def _knows(self, given: str | None) -> bool:
        return given is not None and self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())


class BodyTooLarge(HTTPException):
    """A body without a length went on for too long."""


def _counted(receive: Receive, most: int) -> Receive:
    came = 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b""))
        if came > most:
            raise BodyTooLarge(413, f"more than {most:,} bytes in one request")
        return message

    return counted


def _with_headers(send: Send) -> Send:
    async def said(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", [])}
            more = {b"x-content-type-options": b"nosniff", b"referrer-policy": b"no-referrer", b"x-frame-options": b"DENY"}
            more |= {b"content-security-policy": POLICY.encode(), b"cross-origin-resource-policy": b"same-origin"}
            message["headers"] = [*message.get("headers", []), *((name, value) for name, value in more.items() if name not in there)]
        await send(message)

    return said


def _host(header: str) -> str:
    return header[: header.rfind("]") + 1] if header.startswith("[") else header.partition(":")[0]


def _token(headers: dict[str, str]) -> str | None:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    try:
        kept = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except Exception:  # what a cookie may hold is its sender's
        return None
    return None if kept is None else kept.value


async def _welcome(send: Send, token: str) -> None:
    """The address with the token was opened: keep it as a cookie that scripts and other sites don't get."""
    cookie = f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"
    await send({"type": "http.response.start", "status": 303, "headers": [(b"location", b"/"), (b"set-cookie", cookie.encode())]})
    await send({"type": "http.response.body", "body": b""})


def error_body(status: int, kind: str, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


async def _refuse(send: Send, status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> None:
    body = json.dumps(error_body(status, kind, message)).encode()
    more = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"} | (headers or {})
    encoded = [(name.encode(), value.encode()) for name, value in more.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def _close(send: Send) -> None:
    await send({"type": "websocket.close", "code": 1008})
