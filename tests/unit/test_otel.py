"""Traces by OpenTelemetry where the collector does not do as it should, and what the log has of them."""

from __future__ import annotations

import contextvars
import logging
import socket
import time
from collections.abc import Iterator

import pytest

from bgpsvc import logs
from bgpsvc.otel import REPEATED_AFTER, OtelTracer, Seldom

HANGS = 60
"""Seconds for which the exporter waits for an answer."""


@pytest.fixture
def tracer(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtelTracer]:
    """To a collector that takes connections, and never answers."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", str(HANGS))
    monkeypatch.setattr(logs, "trace_ids", logs.trace_ids)
    with socket.create_server(("127.0.0.1", 0)) as collector:
        made = OtelTracer(f"http://127.0.0.1:{collector.getsockname()[1]}", "0.1.0", "gw1")
        yield made
        made.close()


def test_the_end_does_not_wait_for_a_collector_that_hangs(tracer: OtelTracer) -> None:
    with tracer.span("last"):
        pass
    began = time.monotonic()
    tracer.close()
    assert time.monotonic() - began < HANGS / 2


def test_what_a_span_began_and_outlives_it_does_not_log_its_ids(tracer: OtelTracer) -> None:
    with tracer.span("request"):
        assert set(logs.trace_ids()) == {"trace_id", "span_id"}
        context = contextvars.copy_context()
    assert context.run(logs.trace_ids) == {}
    assert logs.trace_ids() == {}


def test_that_a_collector_is_away_is_not_said_with_every_batch() -> None:
    seldom, taken = Seldom(), []
    for at in (0.0, 1.0, REPEATED_AFTER - 1, REPEATED_AFTER + 1):
        for text in ("Transient error %s", "Failed to export %s"):
            record = logging.LogRecord("x", logging.WARNING, "", 1, text, ("y",), None)
            record.created = at
            if seldom.filter(record):
                taken.append((at, text.split()[0]))
    later = REPEATED_AFTER + 1
    assert taken == [(0.0, "Transient"), (0.0, "Failed"), (later, "Transient"), (later, "Failed")]
