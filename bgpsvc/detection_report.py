"""Which detection is in force at a tunnel, and within which time it notices that the path is dead. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bgpsvc.engine import Engine
from bgpsvc.guard.model import BfdStatus, ProbeStatus
from bgpsvc.model import SessionId
from bgpsvc.resources.models import BfdSettings, DpdSettings, ProbeSettings
from bgpsvc.tunnels import Tunnel
from bgpsvc.views import BfdView, DetectionMethod, DetectionView, Span

LINK_MS = 1000
"""The kernel tells of a lost carrier at once, or within a second if there was another one just before."""

_State = Literal["admin_down", "down", "init", "up"]
_STATES: Mapping[str, _State] = {"AdminDown": "admin_down", "Down": "down", "Init": "init", "Up": "up"}


@dataclass(frozen=True, slots=True)
class GuardSeen:
    """What the daemon knows of the guard: whether it answers, and the figures that it last told."""

    running: bool = False
    bfd: Mapping[SessionId, BfdStatus] = field(default_factory=dict)
    probes: Mapping[SessionId, ProbeStatus] = field(default_factory=dict)


def detections(engine: Engine, tunnel: Tunnel, guard: GuardSeen) -> tuple[DetectionView, ...]:
    """All ways in which a tunnel's death is noticed, the fastest first, those that are not in force last.

    The link comes last in any case: it says nothing of the path behind this side's interface.
    """
    found = [*_path(engine, tunnel, guard)]
    found.sort(key=lambda one: (not one.in_force, one.worst_case_ms or 0))
    return (*found, _link(tunnel))


def _path(engine: Engine, tunnel: Tunnel, guard: GuardSeen) -> Iterator[DetectionView]:
    connection = engine.intent.connection(tunnel.connection)
    resource = connection.tunnels[tunnel.settings.number - 1]
    for method in tunnel.settings.detected_by:
        assert resource.bgp is not None, "only a section for BGP has these"
        asked = resource.bgp.bfd if method == "bfd" else resource.bgp.probe
        assert asked is not None, "detected_by names what is there"
        yield _of_guard("bfd" if method == "bfd" else "probe", asked, tunnel, guard)
    if tunnel.settings.made:
        yield _dpd(resource.dpd or DpdSettings(), tunnel)
    if tunnel.settings.bgp:
        yield _hold_time(tunnel)
    check = connection.health_check
    if check is not None:
        # Worst: the path dies right after a reply.
        yield _check(tunnel, guard, round(1000 * check.interval * (check.retries + 1)))


def _of_guard(
    method: Literal["bfd", "probe"], asked: BfdSettings | ProbeSettings, tunnel: Tunnel, guard: GuardSeen
) -> DetectionView:
    said = tunnel.detections.get(method)
    if not guard.running:
        return _waiting(method, "the guard does not run")
    if said is None:
        return _waiting(method, "the guard has not told yet")
    if said.up is None:
        return _waiting(method, said.reason)
    if method in tunnel.disbelieved:
        return _waiting(method, f"{said.reason}; but {tunnel.why_disbelieved}")
    milliseconds = said.detection_ms or asked.interval_ms * asked.multiplier
    return DetectionView(method, True, math.ceil(milliseconds), "up" if said.up else "down", said.reason)


def _waiting(method: DetectionMethod, reason: str) -> DetectionView:
    return DetectionView(method, False, None, "waiting", reason)


def _dpd(dpd: DpdSettings, tunnel: Tunnel) -> DetectionView:
    if not dpd.enabled:
        return _waiting("dpd", "dead peer detection is off")
    if tunnel.ipsec_up is not True:
        return DetectionView("dpd", False, None, "down", tunnel.ipsec_reason or "no IKE SA")
    # A third of the timeout without a packet, then questions for the rest of it (ipsec.sas).
    return DetectionView("dpd", True, 1000 * dpd.timeout, "up", "the peer answers on its IKE SA")


def _hold_time(tunnel: Tunnel) -> DetectionView:
    if tunnel.established_at is None:
        return DetectionView("hold_time", False, None, "down", "the BGP session is not established")
    if not tunnel.hold_time:
        return _waiting("hold_time", "the peer wants no KEEPALIVE: the hold time is 0")
    return DetectionView(
        "hold_time", True, round(1000 * tunnel.hold_time), "up", "the hold time of the BGP session"
    )


def _check(tunnel: Tunnel, guard: GuardSeen, milliseconds: int) -> DetectionView:
    if not guard.running:
        return _waiting("health_check", "the guard does not run")
    if tunnel.healthy is None:
        return _waiting("health_check", "no verdict yet")
    state: Literal["up", "down"] = "up" if tunnel.healthy else "down"
    return DetectionView("health_check", True, milliseconds, state, tunnel.health_reason or "")


def _link(tunnel: Tunnel) -> DetectionView:
    reason = f"the kernel tells when {tunnel.interface} goes down; of the path behind it, it knows nothing"
    return DetectionView("link", True, LINK_MS, "up" if tunnel.link_up else "down", reason)


def bfd_view(status: BfdStatus | None, wall: float) -> BfdView | None:
    """A BFD session; `wall` is what to add to the engine's clock for Unix time."""
    if status is None:
        return None
    return BfdView(
        state=_STATES[status.state],
        remote_state=_STATES[status.remote_state],
        diagnostic=status.diagnostic,
        remote_diagnostic=status.remote_diagnostic,
        local_discriminator=status.local_discriminator,
        remote_discriminator=status.remote_discriminator,
        transmit_ms=Span(status.transmit_ms),
        receive_ms=Span(status.receive_ms),
        detection_ms=Span(status.detection_ms),
        sent=status.sent,
        received=status.received,
        rejected=status.rejected,
        last_rejected=status.last_rejected,
        since=status.since + wall,
        flaps=status.flaps,
    )
