"""Prometheus metrics of the tunnels that the service makes, computed when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bgpsvc.engine import Engine
from bgpsvc.ipsec.model import ChildSa, IpsecState, IpsecStatus
from bgpsvc.model import SessionId
from bgpsvc.tunnel_metrics import TUNNEL

_STATUS = {status: number for number, status in enumerate(IpsecStatus)}


class IpsecCollector(Collector):
    """Reads the states of tunnels; `driver` is the name of whoever makes them."""

    def __init__(self, engine: Engine, states: Mapping[SessionId, IpsecState], driver: str) -> None:
        self._engine = engine
        self._states = states
        self._driver = driver

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        info = GaugeMetricFamily(
            "bgpsvc_ipsec_driver_info", "Always 1; who makes tunnels is a label", labels=("driver",)
        )
        info.add_metric((self._driver,), 1)
        yield info
        yield from self._levels()
        yield from self._ages()
        yield from self._counts()

    def _tunnels(self) -> Iterable[tuple[tuple[str, str, str], IpsecState]]:
        for ident, state in self._states.items():
            tunnel = self._engine.tunnels.get(ident)
            if tunnel is not None:
                yield (ident, tunnel.connection, tunnel.role.value), state

    def _levels(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("bgpsvc_ipsec_up", "1 if the IPsec SA is established", labels=TUNNEL)
        status = GaugeMetricFamily(
            "bgpsvc_ipsec_status",
            "0 ike_sa_not_established, 1 ike_sa_established, 2 ipsec_sa_not_established, "
            "3 ipsec_sa_established",
            labels=TUNNEL,
        )
        error = GaugeMetricFamily(
            "bgpsvc_ipsec_last_error_timestamp_seconds",
            "When the last error happened; its cause is a label",
            labels=(*TUNNEL, "cause"),
        )
        for labels, state in self._tunnels():
            up.add_metric(labels, state.status is IpsecStatus.IPSEC_SA_ESTABLISHED)
            status.add_metric(labels, _STATUS[state.status])
            if state.last_error is not None:
                error.add_metric((*labels, state.last_error.cause.value), state.last_error.time)
        yield from (up, status, error)

    def _ages(self) -> Iterable[Metric]:
        since = _time("status", "When the tunnel entered its status")
        ike = _time("ike_sa_established", "When the IKE SA in use was established")
        ike_rekey = _time("ike_sa_rekey", "When the IKE SA in use is to be replaced")
        child = _time("child_sa_installed", "When the IPsec SA in use was installed")
        child_rekey = _time("child_sa_rekey", "When the IPsec SA in use is to be replaced")
        expiry = _time("child_sa_expiry", "When the IPsec SA in use ends unless it was replaced")
        retry = _time("retry", "When the next attempt to negotiate begins; absent if none is due")
        for labels, state in self._tunnels():
            since.add_metric(labels, state.since)
            sa, child_sa = state.ike, _child(state)
            times = [(retry, state.retry_at)]
            if sa is not None:
                times += [(ike, sa.established_at), (ike_rekey, sa.rekey_at)]
            if child_sa is not None:
                times += [
                    (child, child_sa.installed_at),
                    (child_rekey, child_sa.rekey_at),
                    (expiry, child_sa.expires_at),
                ]
            for family, at in times:
                if at is not None:
                    family.add_metric(labels, at)
        yield from (since, ike, ike_rekey, child, child_rekey, expiry, retry)

    def _counts(self) -> Iterable[Metric]:
        established = CounterMetricFamily("bgpsvc_ipsec_established", "Times both SAs came up", labels=TUNNEL)
        rekeys = CounterMetricFamily("bgpsvc_ipsec_rekeys", "SAs replaced by fresh ones", labels=TUNNEL)
        # Of an SA, so they begin again with each: that is what counters may do.
        size = CounterMetricFamily(
            "bgpsvc_ipsec_bytes", "Bytes of the IPsec SA in use", labels=(*TUNNEL, "direction")
        )
        packets = CounterMetricFamily(
            "bgpsvc_ipsec_packets", "Packets of the IPsec SA in use", labels=(*TUNNEL, "direction")
        )
        for labels, state in self._tunnels():
            established.add_metric(labels, state.established_count)
            rekeys.add_metric(labels, state.rekey_count)
            child = _child(state)
            if child is not None:
                size.add_metric((*labels, "in"), child.bytes_in)
                size.add_metric((*labels, "out"), child.bytes_out)
                packets.add_metric((*labels, "in"), child.packets_in)
                packets.add_metric((*labels, "out"), child.packets_out)
        yield from (established, rekeys, size, packets)


def _time(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"bgpsvc_ipsec_{name}_timestamp_seconds", text, labels=TUNNEL)


def _child(state: IpsecState) -> ChildSa | None:
    """The newest one that carries packets."""
    children = state.ike.children if state.ike is not None else ()
    return next((child for child in reversed(children) if child.established), None)
