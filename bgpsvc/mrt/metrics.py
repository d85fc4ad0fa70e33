"""Prometheus metrics of a recording."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bgpsvc.mrt.recording import Figures


class RecordingCollector(Collector):
    """Reads the figures of a recording when it is asked."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        figures = self._figures
        yield GaugeMetricFamily(
            "bgpsvc_recording_up",
            "1 while sessions are recorded (serve --mrt-dir), else 0; the event recording.failed says why.",
            value=float(figures.problem is None),
        )
        yield CounterMetricFamily(
            "bgpsvc_recording_written_bytes", "Bytes that were recorded.", value=figures.written_bytes
        )
        yield CounterMetricFamily(
            "bgpsvc_recording_failures", "Times that the disk did not take them.", value=figures.failures
        )
        yield CounterMetricFamily(
            "bgpsvc_recording_lost_events",
            "Announcements and withdrawals that were left out because too many waited for the disk.",
            value=figures.lost_events,
        )
        yield GaugeMetricFamily(
            "bgpsvc_recording_waiting_prefixes",
            "Prefixes of events that wait to be recorded.",
            value=figures.waiting_prefixes,
        )
