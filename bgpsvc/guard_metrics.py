"""Prometheus metrics of the guard and of what it watches, computed when they are asked for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bgpsvc.damping import recent
from bgpsvc.detection_report import detections
from bgpsvc.engine import Engine
from bgpsvc.guardian import Figures
from bgpsvc.metrics import histogram
from bgpsvc.model import SessionId
from bgpsvc.tunnel_metrics import TUNNEL

S = TypeVar("S")
_STATES = {"AdminDown": 0, "Down": 1, "Init": 2, "Up": 3}


class GuardCollector(Collector):
    """Reads what the guard told."""

    def __init__(self, engine: Engine, figures: Figures) -> None:
        self._engine = engine
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        status = self._figures.status
        yield GaugeMetricFamily("bgpsvc_guard_up", "1 if the guard answers", value=status.running)
        yield CounterMetricFamily(
            "bgpsvc_guard_restarts", "Guards that the daemon had to start anew", value=status.restarts
        )
        yield GaugeMetricFamily(
            "bgpsvc_guard_takeovers",
            "Times that one process of this guard went on for another",
            value=status.takeovers,
        )
        yield CounterMetricFamily(
            "bgpsvc_guard_switches",
            "Nexthop groups that the guard moved by itself",
            value=self._figures.moved,
        )
        yield GaugeMetricFamily(
            "bgpsvc_guard_realtime", "1 if it has real-time priority", value=status.realtime is not None
        )
        yield histogram(
            "bgpsvc_guard_switch_duration_seconds",
            "From when BFD or a probe said that a tunnel is dead to when its groups were moved",
            self._figures.switches,
        )
        yield from self._bfd()
        yield from self._probes()
        yield from self._detection()

    def _bfd(self) -> Iterable[Metric]:
        state = GaugeMetricFamily("bgpsvc_bfd_state", "0 AdminDown, 1 Down, 2 Init, 3 Up", labels=TUNNEL)
        flaps = CounterMetricFamily("bgpsvc_bfd_flaps", "Times BFD went down from Up", labels=TUNNEL)
        rejected = CounterMetricFamily("bgpsvc_bfd_rejected_packets", "BFD packets refused", labels=TUNNEL)
        packets = CounterMetricFamily(
            "bgpsvc_bfd_packets", "BFD packets, the refused ones not counted", labels=(*TUNNEL, "direction")
        )
        for labels, bfd in self._of(self._figures.seen.bfd):
            state.add_metric(labels, _STATES[bfd.state])
            flaps.add_metric(labels, bfd.flaps)
            rejected.add_metric(labels, bfd.rejected)
            packets.add_metric((*labels, "received"), bfd.received)
            packets.add_metric((*labels, "sent"), bfd.sent)
        yield from (state, flaps, rejected, packets)

    def _probes(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(
            "bgpsvc_probe_up",
            "1 if the peer answers ICMP probes; absent before the first answer",
            labels=TUNNEL,
        )
        sent = CounterMetricFamily("bgpsvc_probe_sent", "ICMP probes sent", labels=TUNNEL)
        lost = CounterMetricFamily("bgpsvc_probe_lost", "ICMP probes without an answer", labels=TUNNEL)
        trip = GaugeMetricFamily(
            "bgpsvc_probe_round_trip_seconds", "Time that the last answer took", labels=TUNNEL
        )
        for labels, probe in self._of(self._figures.seen.probes):
            if probe.up is not None:
                up.add_metric(labels, probe.up)
            sent.add_metric(labels, probe.sent)
            lost.add_metric(labels, probe.lost)
            if probe.round_trip_ms is not None:
                trip.add_metric(labels, probe.round_trip_ms / 1000)
        yield from (up, sent, lost, trip)

    def _of(self, statuses: Mapping[SessionId, S]) -> Iterator[tuple[tuple[str, str, str], S]]:
        for ident, status in statuses.items():
            tunnel = self._engine.tunnels.get(ident)
            if tunnel is not None:
                yield (ident, tunnel.connection, tunnel.role.value), status

    def _detection(self) -> Iterable[Metric]:
        seconds = GaugeMetricFamily(
            "bgpsvc_tunnel_detection_seconds",
            "Within which time the death of the path is noticed, by the method in force that is fastest",
            labels=(*TUNNEL, "method"),
        )
        failures = GaugeMetricFamily(
            "bgpsvc_tunnel_recent_failures", "Failures that count for flap damping", labels=TUNNEL
        )
        now = time.monotonic()
        for tunnel in self._engine.tunnels.values():
            labels = (tunnel.session, tunnel.connection, tunnel.role.value)
            failures.add_metric(labels, len(recent(tunnel.failures, now)))
            best = detections(self._engine, tunnel, self._figures.seen)[0]
            if best.worst_case_ms is not None:
                seconds.add_metric((*labels, best.method), best.worst_case_ms / 1000)
        yield from (seconds, failures)
