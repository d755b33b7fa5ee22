"""What the service says about itself: request counts and latencies, an id for every request, and the faults in the log."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import to_response
from swath.domain.errors import SwathError
from swath.store.rows import ClusterRow

LATENCIES_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

log = structlog.get_logger()


class Metrics:
    """The service's own numbers, in a registry of their own: a process may hold several services."""

    def __init__(self, read_cluster: Callable[[], ClusterRow]) -> None:
        """`read_cluster` gives the cluster's numbers; it is asked at every scrape."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "swath_api_requests", "Requests answered", ("method", "route", "status"), registry=self.registry
        )
        self.latency = Histogram(
            "swath_api_request_seconds",
            "Time until a response began",
            ("method", "route"),
            buckets=LATENCIES_S,
            registry=self.registry,
        )
        self.registry.register(_ClusterNumbers(read_cluster))


class _ClusterNumbers(Collector):
    def __init__(self, read_cluster: Callable[[], ClusterRow]) -> None:
        self._read_cluster = read_cluster

    def collect(self) -> Iterable[Metric]:
        """The gauges, read from the database now."""
        row = self._read_cluster()
        yield GaugeMetricFamily("swath_open_jobs", "Jobs that have not ended", value=row.open_jobs)
        yield GaugeMetricFamily("swath_open_attempts", "Attempts that have not ended", value=row.open_attempts)
        yield GaugeMetricFamily("swath_agents", "Active agents", value=row.agents)
        yield GaugeMetricFamily("swath_scheduler_connected", "1 while subscribed to a master", value=int(row.connected))

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry that asks must not reach for the database."""
        return ()


class Observation:
    """ASGI middleware, the outermost: measures, names and, where nobody else did, answers for what went wrong."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(scope, send, self._metrics)
        try:
            await self._app(scope, receive, request.send)
        except SwathError as error:  # out of a stream that had begun: all that can be done is to break it off
            if not request.answered:
                raise
            log.warning("stream broken off", path=scope["path"], reason=str(error))
        except Exception as error:
            if request.answered:
                raise
            await to_response(error, scope)(scope, receive, request.send)


class _Request:
    def __init__(self, scope: Scope, send: Send, metrics: Metrics) -> None:
        self._scope = scope
        self._send = send
        self._metrics = metrics
        self._began = time.perf_counter()
        self.answered = False  # the response has begun
        scope["swath.request_id"] = secrets.token_hex(8)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.answered = True
            self._count(message["status"])
            headers = MutableHeaders(raw=message["headers"])
            headers["x-request-id"] = self._scope["swath.request_id"]
            headers["x-content-type-options"] = "nosniff"
        await self._send(message)

    def _count(self, status: int) -> None:
        # the route's template, never the path: anybody may invent paths, and each would become a series
        route = getattr(self._scope.get("route"), "path", "none")
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.latency.labels(method, route).observe(time.perf_counter() - self._began)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
