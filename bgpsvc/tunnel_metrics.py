"""Prometheus metrics of connections and tunnels: which one carries traffic, how much, and since when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bgpsvc.engine import Engine
from bgpsvc.measuring.rates import Counters
from bgpsvc.model import SessionId, SwitchMode
from bgpsvc.tunnels import Tunnel

TUNNEL = ("session", "connection", "role")


class TunnelCollector(Collector):
    """Reads the engine's tunnels and switches.

    `now` is the engine's time, `wall` what to add to it for Unix time. `traffic`: what tunnels carried since
    their interfaces were there, of those that have one. `chosen_at`: when an operator chose the tunnel of a
    connection, None if nobody did.
    """

    def __init__(
        self,
        engine: Engine,
        traffic: Mapping[SessionId, Counters],
        chosen_at: Callable[[str], float | None],
        now: float,
        wall: float,
    ) -> None:
        self._engine = engine
        self._traffic = traffic
        self._chosen_at = chosen_at
        self._now = now
        self._wall = wall

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        yield from self._connections()
        yield from self._tunnels()
        yield from self._damping()
        yield from self._carried()

    def _connections(self) -> Iterable[Metric]:
        info = GaugeMetricFamily(
            "bgpsvc_connection_info",
            "Always 1; what the connection belongs to is in labels",
            labels=("connection", "gateway", "vpc"),
        )
        mode = GaugeMetricFamily(
            "bgpsvc_connection_mode",
            "1 for the mode in force: auto, or the tunnel that an operator chose (maintenance)",
            labels=("connection", "mode"),
        )
        chosen = GaugeMetricFamily(
            "bgpsvc_connection_mode_timestamp_seconds",
            "When an operator chose the tunnel; absent in mode auto",
            labels=("connection",),
        )
        switchovers = CounterMetricFamily(
            "bgpsvc_connection_switchovers", "Moves of traffic between tunnels", labels=("connection",)
        )
        last = GaugeMetricFamily(
            "bgpsvc_connection_last_switchover_timestamp_seconds",
            "When traffic moved last; absent if it never did since the daemon started",
            labels=("connection",),
        )
        for name, switch in self._engine.switchboard.switches.items():
            connection = self._engine.intent.connection(name)
            gateway = self._engine.intent.gateway(connection.vpn_gateway)
            info.add_metric((name, gateway.name, gateway.vpc), 1)
            in_force = self._engine.modes.get(name, SwitchMode.AUTO)
            for one in SwitchMode:
                mode.add_metric((name, one.value), one is in_force)
            if (at := self._chosen_at(name)) is not None and in_force is not SwitchMode.AUTO:
                chosen.add_metric((name,), at)
            switchovers.add_metric((name,), switch.switchovers)
            if switch.last_at is not None:
                last.add_metric((name,), switch.last_at + self._wall)
        yield from (info, mode, chosen, switchovers, last)

    def _tunnels(self) -> Iterable[Metric]:
        carrying = _gauge("carrying", "1 for the tunnel that carries its connection's traffic")
        state = _gauge("state", "0 down, 1 syncing, 2 stale, 3 warming (failback hold-down), 4 live")
        since = _gauge("state_timestamp_seconds", "When the tunnel entered its state")
        link = _gauge("link_up", "1 if the tunnel's interface is there and up")
        healthy = _gauge("healthy", "1 if the health check passes; absent without one")
        for tunnel, labels in self._all():
            switch = self._engine.switchboard.switches.get(tunnel.connection)
            carrying.add_metric(labels, switch is not None and switch.carrying == tunnel.session)
            state.add_metric(labels, tunnel.state)
            since.add_metric(labels, tunnel.since + self._wall)
            link.add_metric(labels, tunnel.link_up)
            if tunnel.healthy is not None:
                healthy.add_metric(labels, tunnel.healthy)
        yield from (carrying, state, since, link, healthy)

    def _damping(self) -> Iterable[Metric]:
        hold_down = _gauge("hold_down_seconds", "Time that it must be up again before it carries traffic")
        flapping = _gauge("flapping", "1 if it failed so often that its hold-down is longer than configured")
        for tunnel, labels in self._all():
            seconds = tunnel.hold_down(self._now)
            hold_down.add_metric(labels, seconds)
            flapping.add_metric(labels, seconds > tunnel.settings.hold_down)
        yield from (hold_down, flapping)

    def _carried(self) -> Iterable[Metric]:
        carried = CounterMetricFamily(
            "bgpsvc_tunnel_carried_seconds",
            "Time for which it carried traffic",
            labels=TUNNEL,
        )
        # Of an interface, so they begin again with each: that is what counters may do.
        size = CounterMetricFamily(
            "bgpsvc_tunnel_bytes", "Bytes through the tunnel's interface", labels=(*TUNNEL, "direction")
        )
        packets = CounterMetricFamily(
            "bgpsvc_tunnel_packets", "Packets through the tunnel's interface", labels=(*TUNNEL, "direction")
        )
        for tunnel, labels in self._all():
            switch = self._engine.switchboard.switches.get(tunnel.connection)
            seconds = 0.0 if switch is None else switch.carried(tunnel.session, self._now)
            carried.add_metric(labels, seconds)
            if (counts := self._traffic.get(tunnel.session)) is not None:
                size.add_metric((*labels, "in"), counts.bytes_in)
                size.add_metric((*labels, "out"), counts.bytes_out)
                packets.add_metric((*labels, "in"), counts.packets_in)
                packets.add_metric((*labels, "out"), counts.packets_out)
        yield from (carried, size, packets)

    def _all(self) -> Iterable[tuple[Tunnel, tuple[str, str, str]]]:
        for tunnel in self._engine.tunnels.values():
            yield tunnel, (tunnel.session, tunnel.connection, tunnel.role.value)


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"bgpsvc_tunnel_{name}", text, labels=TUNNEL)
