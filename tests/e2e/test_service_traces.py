"""What a daemon tells collectors: traces by OTLP as an OpenTelemetry collector takes them, and JSON logs."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bgpsvc import logs
from bgpsvc.otel import OtelTracer
from tests.e2e.service import END, LONG, REPOSITORY, Site, configuration, prefixes, table_of
from tests.netns.namespaces import Namespace, wait_until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET = "a-secret-of-the-collector"


class Collector:
    """Takes what comes to `POST /v1/traces`."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.headers: list[str | None] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    collector.headers.append(self.headers.get("x-key"))
                    collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for found in request.resource_spans:
            self.resources.append({a.key: a.value.string_value for a in found.resource.attributes})
            for scope in found.scope_spans:
                self.spans.extend(scope.spans)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@contextmanager
def collecting(site: Site) -> Iterator[Collector]:
    with site.gateway.entered():
        collector = Collector()
    try:
        yield collector
    finally:
        collector.close()


def about(span: Span) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    # Sent as soon as there is something, not in five seconds.
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-key={SECRET}")
    with Site(stored=True) as made:
        yield made


def test_a_write_and_a_switchover_are_traced_and_the_log_names_the_trace(site: Site) -> None:
    with collecting(site) as collector:
        site.start("--otlp-endpoint", collector.url, "--log-format", "json", "--log-requests")
        context = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        answer = site.rest.http.post("/v1/configuration/apply", json=configuration(), headers=context)
        assert answer.status_code == 200, answer.text
        wait_until(lambda: collector.named("change.settle"), "the change's span", LONG)

        wait_until(lambda: collector.named("POST /v1/configuration/apply"), "the request's span", LONG)
        (request,) = collector.named("POST /v1/configuration/apply")
        assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
        assert request.kind == Span.SPAN_KIND_SERVER
        assert about(request) | {
            "http.request.method": "POST",
            "http.route": "/v1/configuration/apply",
            "http.response.status_code": 200,
            "enduser.id": "unix socket",
        } == about(request)
        for name in ("store.write", "change.settle"):
            (span,) = collector.named(name)
            assert (span.trace_id.hex(), span.parent_span_id) == (TRACE, request.span_id), name
        for found in collector.resources:
            assert (found["service.name"], found["deployment.environment.name"]) == ("bgpsvc", "test")
        assert set(collector.headers) == {SECRET}

        # The line of the request is the log's end of the same trace.
        lines = [json.loads(line) for line in site.log_path.read_text().splitlines()]
        (line,) = [li for li in lines if li.get("request", {}).get("path") == "/v1/configuration/apply"]
        assert (line["trace_id"], line["span_id"]) == (TRACE, request.span_id.hex())
        assert line["request"]["status"] == 200
        (told,) = [li for li in lines if li.get("event", {}).get("kind") == "config.changed"]
        assert told["trace_id"] == TRACE

        # A move of traffic has a trace of its own.
        with site.peer(1) as one, site.peer(2) as two:
            for number, peer in enumerate((one, two), start=1):
                peer.wait_established()
                peer.send(table_of(number, prefixes(3)) + END)
            wait_until(lambda: site.rest.connection()["carrying"] == "conn1-tunnel1", "tunnel 1", LONG)
            site.gateway.ip("link set t1 down")
            wait_until(lambda: collector.named("connection.switchover"), "the move's span", LONG)
        (moved,) = collector.named("connection.switchover")
        assert moved.parent_span_id == b""
        assert moved.trace_id.hex() != TRACE
        assert moved.start_time_unix_nano <= moved.end_time_unix_nano
        assert about(moved)["bgpsvc.subject"] == "conn1"
        assert about(moved)["bgpsvc.to"] == "conn1-tunnel2"
        assert SECRET not in site.log_path.read_text()


def test_a_collector_that_is_away_harms_nothing(site: Site) -> None:
    with collecting(site) as collector:
        url = collector.url
    site.start("--otlp-endpoint", url)
    assert site.rest.get("/v1/whoami")["name"] == "unix socket"
    wait_until(lambda: "opentelemetry" in site.log_path.read_text(), "the log says so", LONG)
    assert site.stop() < 20
    assert site.daemon is not None
    assert site.daemon.returncode == 0
    assert SECRET not in site.log_path.read_text()


def test_spans_leave_from_where_the_daemon_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve --netns` goes elsewhere, where the collector is not; the last spans too come from here."""
    monkeypatch.setattr(logs, "trace_ids", logs.trace_ids)
    with Namespace() as here, Namespace() as there:
        with here.entered():
            collector = Collector()
            tracer = OtelTracer(collector.url, "0.1.0", "gw1")
        try:
            with there.entered():
                with tracer.span("last"):
                    pass
                tracer.close()
            wait_until(lambda: collector.named("last"), "the span", LONG)
        finally:
            collector.close()


@pytest.mark.parametrize("url", ["collector:4318", "ftp://collector", "http://"])
def test_an_address_that_is_none_is_refused(site: Site, url: str) -> None:
    child = site.spawn(site.gateway.command(*site.argv("--otlp-endpoint", url)), REPOSITORY)
    assert child.wait(LONG) == 2
    # The help's frame breaks lines where it likes.
    assert "is no URL of a collector" in " ".join(site.log_path.read_text().replace("│", " ").split())
