"""Figures of requests, and of what lets them in: metrics that the HTTP side adds to those of the service."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bgpsvc.control import TokenExpiry
from bgpsvc.measuring.histogram import Histogram

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


class Requests:
    """Counts of requests by method and route. A client cannot make more series than there are routes."""

    def __init__(self) -> None:
        self.open = 0
        """Requests whose answer is not complete; an event stream is one as long as it is watched."""
        self.codes: Counter[tuple[str, str, str]] = Counter()
        self.durations: dict[tuple[str, str], Histogram] = {}

    def answered(self, method: str, route: str, code: int, seconds: float) -> None:
        """An answer has begun."""
        self.codes[method, route, str(code)] += 1
        self.durations.setdefault((method, route), Histogram(BOUNDS)).observe(seconds)


class Measured:
    """ASGI middleware that counts. Time is up to the answer's first byte: streams have no end."""

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self.app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, begun = time.monotonic(), False

        def count(code: int) -> None:
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = scope.get("route")
            path = "none" if route is None else route.path
            self._requests.answered(method, path, code, time.monotonic() - began)

        async def counting(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                count(message["status"])
            await send(message)

        self._requests.open += 1
        try:
            await self.app(scope, receive, counting)
        finally:
            self._requests.open -= 1
            if not begun:  # an exception is on its way, of which the client will hear 500
                count(500)


class HttpCollector(Collector):
    """`certificate`: when the server's certificate expires (Unix seconds), None without TLS."""

    def __init__(
        self, requests: Requests, certificate: float | None, tokens: Mapping[str, TokenExpiry]
    ) -> None:
        self._requests = requests
        self._certificate = certificate
        self._tokens = tokens

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        labels = ("method", "route")
        total = CounterMetricFamily("bgpsvc_http_requests", "Requests answered", labels=(*labels, "code"))
        for of, number in self._requests.codes.items():
            total.add_metric(of, number)
        duration = HistogramMetricFamily(
            "bgpsvc_http_request_duration_seconds", "Time until the answer begins", labels=labels
        )
        for route, counts in self._requests.durations.items():
            duration.add_metric(route, counts.cumulative(), counts.total)
        yield from (total, duration)
        yield GaugeMetricFamily(
            "bgpsvc_http_requests_open",
            "Requests being answered, streams that are watched included",
            value=self._requests.open,
        )
        certificate = GaugeMetricFamily(
            "bgpsvc_tls_certificate_expiry_timestamp_seconds",
            "When the first certificate of the chain that the server shows expires; absent without TLS",
        )
        if self._certificate is not None:
            certificate.add_metric((), self._certificate)
        token = GaugeMetricFamily(
            "bgpsvc_token_expiry_timestamp_seconds",
            "When an API token will expire, of those used since the daemon started",
            labels=("token", "name"),
        )
        created = GaugeMetricFamily(
            "bgpsvc_token_created_timestamp_seconds", "When that token was made", labels=("token", "name")
        )
        for ident, (name, made, at) in self._tokens.items():
            token.add_metric((ident, name), at)
            created.add_metric((ident, name), made)
        yield from (certificate, token, created)

    def exposition(self) -> bytes:
        """Prometheus text format."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)
