"""Counts and times for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client import generate_latest as written

from unlabeled.web.opened import Runs

SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """One server's own registry, so that two in one process don't meet."""

    def __init__(self, runs: Runs):
        self.registry = CollectorRegistry()
        PlatformCollector(registry=self.registry)
        ProcessCollector(registry=self.registry)
        self.requests = Counter("unlabeled_requests", "Requests answered", ["method", "route", "status"], registry=self.registry)
        self.seconds = Histogram("unlabeled_request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=self.registry)
        self.now = Gauge("unlabeled_requests_now", "Requests being worked on", registry=self.registry)
        self.embedded = Counter("unlabeled_embedded_items", "Items embedded for /v1/embeddings", ["run"], registry=self.registry)
        items = Gauge("unlabeled_items", "Items of the open runs", ["run"], registry=self.registry)
        labels = Gauge("unlabeled_labels", "Items that have a label", ["run"], registry=self.registry)
        for name, one in runs.by_name.items():
            items.labels(name).set(len(one))
            labels.labels(name).set_function(lambda one=one: float(len(one.labels)))  # type: ignore[misc]

    def answer(self) -> Response:
        return Response(written(self.registry), media_type=CONTENT_TYPE_LATEST)

    def around(self, app: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def measured(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            status, started = "500", time.perf_counter()

            async def noted(message: MutableMapping[str, Any]) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = str(message["status"])
                await send(message)

            self.now.inc()
            try:
                await app(scope, receive, noted)
            finally:
                self.now.dec()
                route = getattr(scope.get("route"), "path", "other")  # the pattern, not the address: ids must not become metrics
                self.requests.labels(scope["method"], route, status).inc()
                self.seconds.labels(route).observe(time.perf_counter() - started)

        return measured
