"""Prometheus metrics of sessions, gateways and the kernel, computed from the engine when they are asked for.

What is shown is there already as a number, or as the length of something: a scrape costs the same whether
a gateway has ten routes or a million. It costs more with more tunnels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from bgpsvc import __version__
from bgpsvc.engine import Engine
from bgpsvc.measuring.histogram import Histogram
from bgpsvc.model import SessionState, format_address
from bgpsvc.report import prefix_counts
from bgpsvc.session import Session

SESSION = ("session", "connection", "role", "peer")
PREFIX_KINDS = ("received", "accepted", "rejected", "shed", "stale", "advertised")
OPERATIONS = ("set_nexthop", "set_group", "delete_nexthop", "set_route", "delete_route")
_STATES = {state: number for number, state in enumerate(SessionState, start=1)}
"""As bgpPeerState has them (RFC 4273)."""
SWITCH_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


@dataclass(slots=True)
class FibCounters:
    """Operations on the kernel since the daemon started, by kind."""

    operations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OPERATIONS, 0))
    """All kinds from the start: Prometheus sees no increase in what was not there before."""
    errors: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OPERATIONS, 0))
    repairs: int = 0
    switches: Histogram = field(default_factory=lambda: Histogram(SWITCH_BOUNDS))
    """Seconds for nexthops and groups of one step of the engine."""

    def count(self, kind: str, number: int) -> None:
        """Note operations that were sent."""
        self.operations[kind] = self.operations.get(kind, 0) + number

    def fail(self, kind: str) -> None:
        """Note one that the kernel refused."""
        self.errors[kind] = self.errors.get(kind, 0) + 1


class EngineCollector(Collector):
    """Reads the engine. `now` is the engine's time."""

    def __init__(self, engine: Engine, fib: FibCounters, restarts: Mapping[str, int], now: float) -> None:
        self._engine = engine
        self._fib = fib
        self._restarts = restarts
        self._now = now

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        yield from self._sessions()
        yield from self._messages()
        yield from self._gateways()
        yield from self._kernel()
        restarts = CounterMetricFamily("bgpsvc_speaker_restarts", "Restarts of a speaker", labels=("role",))
        for role, number in self._restarts.items():
            restarts.add_metric((role,), number)
        yield restarts
        info = GaugeMetricFamily("bgpsvc_build_info", "Always 1; the version is a label", labels=("version",))
        info.add_metric((__version__,), 1)
        yield info

    def _sessions(self) -> Iterable[Metric]:
        info = GaugeMetricFamily(
            "bgpsvc_session_info",
            "Always 1; what the session belongs to is in labels",
            labels=(*SESSION, "gateway", "interface", "local_asn", "peer_asn"),
        )
        up = GaugeMetricFamily("bgpsvc_session_up", "1 if the BGP session is Established", labels=SESSION)
        state = GaugeMetricFamily(
            "bgpsvc_session_state",
            "1 idle, 2 connect, 3 active, 4 opensent, 5 openconfirm, 6 established",
            labels=SESSION,
        )
        uptime = GaugeMetricFamily(
            "bgpsvc_session_uptime_seconds", "Time since Established, 0 if it is not", labels=SESSION
        )
        prefixes = GaugeMetricFamily(
            "bgpsvc_session_prefixes",
            "Prefixes by direction and what became of them",
            labels=(*SESSION, "kind"),
        )
        limit = GaugeMetricFamily(
            "bgpsvc_session_prefix_limit", "Prefixes that the session may have accepted", labels=SESSION
        )
        for session in self._engine.sessions.values():
            s, labels = session.settings, _labels(session)
            established = session.state is SessionState.ESTABLISHED
            info.add_metric((*labels, s.gateway, s.interface, str(s.local_asn), str(s.peer_asn)), 1)
            up.add_metric(labels, established)
            state.add_metric(labels, _STATES[session.state])
            uptime.add_metric(labels, self._now - session.since if established else 0)
            limit.add_metric(labels, s.max_prefixes)
            counts = prefix_counts(session)
            for kind in PREFIX_KINDS:
                prefixes.add_metric((*labels, kind), getattr(counts, kind))
        yield from (info, up, state, uptime, prefixes, limit)

    def _messages(self) -> Iterable[Metric]:
        def counter(name: str, text: str, *more: str) -> CounterMetricFamily:
            return CounterMetricFamily(f"bgpsvc_session_{name}", text, labels=(*SESSION, *more))

        established = counter("established", "Times the session became Established")
        flaps = counter("flaps", "Times the session left Established")
        updates = counter("updates_received", "UPDATE messages received")
        announced = counter("prefixes_announced", "Prefixes in received announcements")
        withdrawn = counter("prefixes_withdrawn", "Prefixes in received withdrawals")
        notifications = counter("notifications", "NOTIFICATION messages", "direction")
        treated = counter("treated_as_withdraw", "Malformed UPDATEs taken as withdrawals (RFC 7606)")
        lost = counter("messages_lost", "Messages of the speaker that never arrived")
        for session in self._engine.sessions.values():
            counts, labels = session.counters, _labels(session)
            established.add_metric(labels, session.established_count)
            flaps.add_metric(labels, session.flap_count)
            updates.add_metric(labels, counts.updates)
            announced.add_metric(labels, counts.announced)
            withdrawn.add_metric(labels, counts.withdrawn)
            notifications.add_metric((*labels, "sent"), counts.notifications_sent)
            notifications.add_metric((*labels, "received"), counts.notifications_received)
            treated.add_metric(labels, counts.treated_as_withdraw)
            lost.add_metric(labels, counts.lost)
        yield from (established, flaps, updates, announced, withdrawn, notifications, treated, lost)

    def _gateways(self) -> Iterable[Metric]:
        learned = GaugeMetricFamily("bgpsvc_gateway_routes", "Prefixes in the Loc-RIB", labels=("gateway",))
        installed = GaugeMetricFamily(
            "bgpsvc_vpc_routes_installed", "Routes in the VPC's kernel table", labels=("vpc", "kind")
        )
        pending = GaugeMetricFamily(
            "bgpsvc_vpc_routes_pending", "Prefixes whose kernel routes wait to be looked at", labels=("vpc",)
        )
        refused = GaugeMetricFamily(
            "bgpsvc_vpc_routes_refused", "Routes that the kernel refuses now", labels=("vpc",)
        )
        propagate = GaugeMetricFamily(
            "bgpsvc_gateway_auto_propagate", "1 if automatic propagation is on", labels=("gateway",)
        )
        classes = GaugeMetricFamily(
            "bgpsvc_gateway_forwarding_classes",
            "Forwarding classes, each one nexthop group",
            labels=("gateway",),
        )
        for gateway in self._engine.gateways.values():
            table, vpc = gateway.table, gateway.vpc.name
            learned.add_metric((gateway.name,), len(gateway.rib.routes))
            installed.add_metric((vpc, "primary"), len(table.primary))
            installed.add_metric((vpc, "backup"), len(table.backup))
            pending.add_metric((vpc,), len(table.dirty) + len(table.dirty_backup))
            refused.add_metric((vpc,), len(table.failed))
            propagate.add_metric((gateway.name,), gateway.propagate)
            classes.add_metric((gateway.name,), len(gateway.rib.every_class()) + len(gateway.statics.classes))
        yield from (learned, installed, pending, refused, propagate, classes)

    def _kernel(self) -> Iterable[Metric]:
        operations = CounterMetricFamily(
            "bgpsvc_fib_operations", "Operations sent to the kernel", labels=("kind",)
        )
        errors = CounterMetricFamily(
            "bgpsvc_fib_errors", "Operations that the kernel refused", labels=("kind",)
        )
        for kind, number in self._fib.operations.items():
            operations.add_metric((kind,), number)
        for kind, number in self._fib.errors.items():
            errors.add_metric((kind,), number)
        yield from (operations, errors)
        yield CounterMetricFamily(
            "bgpsvc_fib_repairs", "Routes set again after somebody else removed them", value=self._fib.repairs
        )
        yield GaugeMetricFamily(
            "bgpsvc_fib_queue_depth", "Routes, nexthops and groups waiting", value=self._engine.fib.queued
        )
        yield GaugeMetricFamily(
            "bgpsvc_fib_nexthops_refused",
            "Nexthops and groups that the kernel refuses now",
            value=len(self._engine.fib.failed_ids),
        )
        yield histogram(
            "bgpsvc_fib_switch_duration_seconds",
            "Time to plan and set the nexthops and groups that one event changed",
            self._fib.switches,
        )


def _labels(session: Session) -> tuple[str, ...]:
    s = session.settings
    return s.id, s.connection, s.role.value, format_address(s.peer_address)


def histogram(name: str, text: str, counts: Histogram) -> HistogramMetricFamily:
    """A histogram without labels."""
    return HistogramMetricFamily(name, text, buckets=counts.cumulative(), sum_value=counts.total)


class _Collected(Collector):
    """What a collector found, as it was then."""

    def __init__(self, collector: Collector) -> None:
        self._found = list(collector.collect())

    def collect(self) -> Iterable[Metric]:
        return self._found


def exposition(*collectors: Collector) -> bytes:
    """Prometheus text format."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)


async def exposed(collectors: Iterable[Collector]) -> bytes:
    """The same without holding up the event loop.

    A thousand tunnels have tens of thousands of lines. Most of the time goes into writing them: a thread
    does that when the figures are read, those of one collector at a time.
    """
    read = []
    for collector in collectors:
        read.append(_Collected(collector))
        await asyncio.sleep(0)
    return await asyncio.to_thread(exposition, *read)
