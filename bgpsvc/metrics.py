"""Prometheus metrics, computed from the engine when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bgpsvc import __version__
from bgpsvc.engine import Engine
from bgpsvc.model import SessionState
from bgpsvc.report import prefix_counts

SESSION = ("session", "connection", "role", "peer")


@dataclass(slots=True)
class FibCounters:
    """Operations on the kernel since the daemon started, by kind."""

    operations: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    repairs: int = 0

    def count(self, kind: str, number: int) -> None:
        """Note operations that were sent."""
        self.operations[kind] = self.operations.get(kind, 0) + number

    def fail(self, kind: str) -> None:
        """Note one that the kernel refused."""
        self.errors[kind] = self.errors.get(kind, 0) + 1


class EngineCollector(Collector):
    """Reads the engine. `clock` gives the engine's time."""

    def __init__(self, engine: Engine, fib: FibCounters, restarts: Mapping[str, int], now: float) -> None:
        self._engine = engine
        self._fib = fib
        self._restarts = restarts
        self._now = now

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        yield from self._sessions()
        yield from self._tunnels()
        yield from self._gateways()
        yield from self._kernel()

    def _sessions(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("bgpsvc_session_up", "1 if the BGP session is Established", labels=SESSION)
        uptime = GaugeMetricFamily(
            "bgpsvc_session_uptime_seconds", "Time since Established, 0 if it is not", labels=SESSION
        )
        flaps = CounterMetricFamily(
            "bgpsvc_session_flaps", "Times the session left Established", labels=SESSION
        )
        prefixes = GaugeMetricFamily(
            "bgpsvc_session_prefixes",
            "Prefixes by direction and what became of them",
            labels=(*SESSION, "kind"),
        )
        messages = CounterMetricFamily(
            "bgpsvc_session_updates_received", "UPDATE messages received", labels=SESSION
        )
        lost = CounterMetricFamily(
            "bgpsvc_session_messages_lost", "Messages of the speaker that never arrived", labels=SESSION
        )
        for session in self._engine.sessions.values():
            s = session.settings
            labels = (s.id, s.connection, s.role.value, _text(s.peer_address))
            established = session.state is SessionState.ESTABLISHED
            up.add_metric(labels, established)
            uptime.add_metric(labels, self._now - session.since if established else 0)
            flaps.add_metric(labels, session.flap_count)
            counts = prefix_counts(session)
            for kind in ("received", "accepted", "rejected", "shed", "stale", "advertised"):
                prefixes.add_metric((*labels, kind), getattr(counts, kind))
            messages.add_metric(labels, session.counters.updates)
            lost.add_metric(labels, session.counters.lost)
        yield from (up, uptime, flaps, prefixes, messages, lost)

    def _tunnels(self) -> Iterable[Metric]:
        carrying = GaugeMetricFamily(
            "bgpsvc_tunnel_carrying",
            "1 for the tunnel that carries its connection's traffic",
            labels=SESSION[:3],
        )
        state = GaugeMetricFamily(
            "bgpsvc_tunnel_state",
            "0 down, 1 syncing, 2 stale, 3 warming (failback hold-down), 4 live",
            labels=SESSION[:3],
        )
        for tunnel in self._engine.tunnels.values():
            labels = (tunnel.session, tunnel.connection, tunnel.role.value)
            switch = self._engine.switchboard.switches.get(tunnel.connection)
            carrying.add_metric(labels, switch is not None and switch.carrying == tunnel.session)
            state.add_metric(labels, tunnel.state)
        switchovers = CounterMetricFamily(
            "bgpsvc_connection_switchovers", "Moves of traffic between tunnels", labels=("connection",)
        )
        for name, switch in self._engine.switchboard.switches.items():
            switchovers.add_metric((name,), switch.switchovers)
        yield from (carrying, state, switchovers)

    def _gateways(self) -> Iterable[Metric]:
        learned = GaugeMetricFamily("bgpsvc_gateway_routes", "Prefixes in the Loc-RIB", labels=("gateway",))
        installed = GaugeMetricFamily(
            "bgpsvc_vpc_routes_installed", "Routes in the VPC's kernel table", labels=("vpc", "kind")
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
            learned.add_metric((gateway.name,), len(gateway.rib.routes))
            installed.add_metric((gateway.vpc.name, "primary"), len(gateway.table.primary))
            installed.add_metric((gateway.vpc.name, "backup"), len(gateway.table.backup))
            propagate.add_metric((gateway.name,), gateway.propagate)
            classes.add_metric((gateway.name,), len(gateway.rib.every_class()) + len(gateway.statics.classes))
        yield from (learned, installed, propagate, classes)

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
        restarts = CounterMetricFamily("bgpsvc_speaker_restarts", "Restarts of a speaker", labels=("role",))
        for role, number in self._restarts.items():
            restarts.add_metric((role,), number)
        yield restarts
        info = GaugeMetricFamily("bgpsvc_build_info", "Always 1; the version is a label", labels=("version",))
        info.add_metric((__version__,), 1)
        yield info


def _text(address: bytes) -> str:
    return ".".join(map(str, address))


def exposition(*collectors: Collector) -> bytes:
    """Prometheus text format."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)
