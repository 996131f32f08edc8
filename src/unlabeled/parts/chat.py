"""A language model asked over HTTP, behind an address that speaks as OpenAI's does."""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from unlabeled.errors import InputError
from unlabeled.parts.checks import number, whole

TRY_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)


@dataclass(kw_only=True)
class Chat:
    """`base_url`/chat/completions, with retries and a timeout.

    base_url: for example "http://localhost:8000/v1"; what is asked about is sent there. api_key: by default what OPENAI_API_KEY holds,
    if anything. InputError: base_url is no address.
    """

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    retries: int = 3
    timeout: float = 60.0
    wait: float = 1.0  # seconds before the first retry, doubled for each further one
    asked: int = field(default=0, init=False)  # requests that went out

    def __post_init__(self) -> None:
        if not str(self.base_url).startswith(("http://", "https://")):
            raise InputError(f"base_url={self.base_url!r}: wanted an address that begins with http:// or https://")
        whole("retries", self.retries, 0)
        number("timeout", self.timeout, 0, above=True)

    def ask(self, messages: list[dict[str, Any]], read: Callable[[Any], Any]) -> Any:
        """What `read` makes of the answer; where that is None the model is asked again, and at last the answer is None.

        ConnectionError: nobody answered in retries + 1 attempts. InputError: the server refuses (the key, the model, the request).
        """
        body = json.dumps({"model": self.model, "messages": messages, "temperature": 0}).encode()
        key = self.api_key or os.environ.get("OPENAI_API_KEY")
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        unread, why = False, "nobody was asked"
        for attempt in range(self.retries + 1):
            request = urllib.request.Request(f"{self.base_url.rstrip('/')}/chat/completions", body, headers)
            self.asked += 1
            pause = self.wait * 2**attempt
            try:
                with urllib.request.urlopen(request, timeout=self.timeout) as reply:
                    found = read(json.load(reply)["choices"][0]["message"]["content"])
                if found is not None:
                    return found
                unread, pause = True, 0.0
            except urllib.error.HTTPError as error:
                why = f"status {error.code}"
                if error.code not in TRY_AGAIN:
                    said = error.read(300).decode("utf-8", "replace")
                    raise InputError(f"{self.base_url} refuses with {why}: {said}") from None
                pause = max(pause, _seconds(error.headers.get("Retry-After")))
            except (ValueError, KeyError, IndexError, TypeError):  # an answer, but none of this kind
                unread, pause = True, 0.0
            except (OSError, http.client.HTTPException) as error:  # refused, reset, cut short, or too late
                why = str(getattr(error, "reason", error)) or type(error).__name__
            if attempt < self.retries and pause:
                time.sleep(min(pause, 60.0))
        if unread:
            return None
        raise ConnectionError(f"{self.base_url} gave no answer in {self.retries + 1} attempts: {why}")


def _seconds(said: str | None) -> float:
    return float(said) if said and re.fullmatch(r"\d+(\.\d+)?", said) else 0.0
