"""Traces by OpenTelemetry: spans to a collector by OTLP over HTTP (the extra `otel`).

What is not said here is set as for every program with OpenTelemetry, by its environment variables:
OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_CERTIFICATE, OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, ….
Spans are sent by a thread, in batches; if the collector is away they are dropped and the log says so. The
thread stays in the network namespace in which the tracer was made, wherever its maker goes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bgpsvc import logs
from bgpsvc.tracing import Attributes

FLUSH_SECONDS = 1.0
"""How long a stop waits for a collector to take the last spans."""
REPEATED_AFTER = 600.0
"""Seconds for which the log does not say again that a collector is away."""
TRACES = "/v1/traces"
"""Where collectors take traces, below their endpoint (OTLP specification, OTLP/HTTP request)."""


class Seldom(logging.Filter):
    """Lets each thing be said once in a while: four lines come with every batch that is not taken."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to say it."""
        if record.created - self._said.get(str(record.msg), -REPEATED_AFTER) < REPEATED_AFTER:
            return False
        self._said[str(record.msg)] = record.created
        return True


_SELDOM = Seldom()


class OtelSpan:
    """`tracing.Span` over a span of OpenTelemetry."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def name(self, name: str) -> None:
        """Call it otherwise."""
        self._span.update_name(name)

    def set(self, attributes: Attributes) -> None:
        """More about it."""
        self._span.set_attributes(dict(attributes))

    def fail(self, reason: str) -> None:
        """Its status is an error."""
        self._span.set_status(Status(StatusCode.ERROR, reason))

    def end(self) -> None:
        """It is over."""
        self._span.end()


class OtelTracer:
    """`tracing.Tracer` that sends spans to `endpoint`, the base URL of a collector.

    ValueError if that is no URL with http or https.
    """

    def __init__(self, endpoint: str, version: str, instance: str) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{endpoint!r} is no URL of a collector, as http://127.0.0.1:4318")
        about = {"service.name": "bgpsvc", "service.version": version, "service.instance.id": instance}
        # What the environment says of the service (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) goes above.
        resource = Resource.create(about).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        logging.getLogger(OTLPSpanExporter.__module__).addFilter(_SELDOM)
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + TRACES)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("bgpsvc", version)
        self._propagator = TraceContextTextMapPropagator()
        logs.trace_ids = _trace_ids

    @property
    def on(self) -> bool:
        """Somebody looks."""
        return True

    @contextmanager
    def span(
        self, name: str, attributes: Attributes | None = None, parent: Mapping[str, str] | None = None
    ) -> Iterator[OtelSpan]:
        """A span around a block."""
        served = parent is not None
        context = self._propagator.extract(parent) if parent is not None else None
        kind = SpanKind.SERVER if served else SpanKind.INTERNAL
        # What an exception says may be more than a collector should know: its type is enough.
        with self._tracer.start_as_current_span(
            name, context, kind, dict(attributes or {}), record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield OtelSpan(span)
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def begin(self, name: str, attributes: Attributes | None = None) -> OtelSpan:
        """A child of the span that runs now."""
        return OtelSpan(self._tracer.start_span(name, attributes=dict(attributes or {})))

    def past(self, name: str, began: float, ended: float, attributes: Attributes) -> None:
        """A trace of its own of what is over; Unix times in seconds."""
        nothing = trace.set_span_in_context(trace.INVALID_SPAN)
        span = self._tracer.start_span(
            name, nothing, attributes=dict(attributes), start_time=int(began * 1e9)
        )
        span.end(int(ended * 1e9))

    def close(self) -> None:
        """Send what is left, for a second at most."""
        # The SDK's flush knows no limit, and sends from this thread; at a shutdown its own thread sends.
        closing = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)


def _trace_ids() -> Mapping[str, str]:
    current = trace.get_current_span()
    if not current.is_recording():  # also one that ended: tasks that it began live on, and are about others
        return {}
    span = current.get_span_context()
    return {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
