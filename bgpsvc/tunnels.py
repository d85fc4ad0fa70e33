"""Tunnel liveness and the choice of the tunnel that carries traffic.

Liveness is not a path attribute: the decision orders the paths of a prefix whether or not their
tunnels are alive, and forwarding takes the first *usable* one. So a dying tunnel changes one
nexthop group per forwarding class and not one route per prefix.

A tunnel is assessed from levels, never from a history of edges:

    DOWN     the link is down, or the session is and forwarding state may not be kept
    SYNCING  the session is back, its table is not complete yet, and another tunnel can carry traffic
    STALE    the session is down, the peer keeps forwarding over its restart (RFC 4724 4.2)
    WARMING  in sync again after a failure; another tunnel is live until the failback hold-down is over
    LIVE     usable; the first choice

A tunnel becomes live at once when no other tunnel of its connection can carry traffic: half a table
beats none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from bgpsvc.model import Role, SessionId, SwitchMode

SELECTION_DEFERRAL_TIME = 30.0
"""Seconds after Established at which a missing End-of-RIB is no longer waited for (RFC 4724 4.1)."""
DEFERRAL_WITHOUT_END_OF_RIB = 6.0
"""The same for a peer without graceful restart, which need not send End-of-RIB at all."""


class TunnelState(IntEnum):
    """Usability for forwarding; the higher the better."""

    DOWN = 0
    SYNCING = 1
    STALE = 2
    WARMING = 3
    LIVE = 4


@dataclass(slots=True)
class Tunnel:
    """What is known of one tunnel. Times are seconds of the shell's clock.

    `established_at` and `synced_at` (End-of-RIB of every family, or no longer waited for) are None
    while not so.
    """

    session: SessionId
    connection: str
    role: Role
    interface: str
    hold_down: float
    link_up: bool = False
    established_at: float | None = None
    synced_at: float | None = None
    graceful_until: float | None = None
    failed_before: bool = False
    state: TunnelState = TunnelState.DOWN
    reason: str = "the session has not been established yet"
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Assessment:
    """State of a tunnel with the reason in words, and when to ask again (None: only after an event)."""

    state: TunnelState
    reason: str
    deadline: float | None = None


def assess(tunnel: Tunnel, best_other: TunnelState, now: float) -> Assessment:
    """Assess a tunnel at `now`; `best_other` is the best state of the connection's other tunnels."""
    if not tunnel.link_up:
        return Assessment(TunnelState.DOWN, f"the interface {tunnel.interface} is down or missing")
    if tunnel.established_at is None:
        if tunnel.graceful_until is not None and now < tunnel.graceful_until:
            return Assessment(
                TunnelState.STALE, "the peer restarts and keeps forwarding", tunnel.graceful_until
            )
        return Assessment(TunnelState.DOWN, "the session is not established")
    if tunnel.state is TunnelState.LIVE:
        return Assessment(TunnelState.LIVE, tunnel.reason)
    if best_other < TunnelState.STALE:
        return Assessment(TunnelState.LIVE, "the session is established and no other tunnel is usable")
    if tunnel.synced_at is None:
        return Assessment(TunnelState.SYNCING, "waits for End-of-RIB")
    hold_down_ends = tunnel.synced_at + tunnel.hold_down
    if tunnel.failed_before and best_other is TunnelState.LIVE and now < hold_down_ends:
        text = f"waits for the failback hold-down of {tunnel.hold_down:g} s"
        return Assessment(TunnelState.WARMING, text, hold_down_ends)
    return Assessment(TunnelState.LIVE, "the session is established and in sync")


@dataclass(frozen=True, slots=True)
class Hop:
    """A way to forward: over the tunnel of a session to a next hop (4 or 16 bytes)."""

    session: SessionId
    next_hop: bytes


def choose(
    hops: Sequence[Hop], tunnel: Callable[[SessionId], Tunnel], mode: Callable[[str], SwitchMode]
) -> Hop | None:
    """The hop that traffic takes: the first of the most usable ones, None if none is usable.

    The operator's switch of a connection (step 2 of DESIGN.md 6) moves the choice between that
    connection's own tunnels. It acts here and not on the order of candidates, so that switching a
    million prefixes is one group per forwarding class too. The wish shortens the failback hold-down
    of a tunnel, but waits while it is down or its table is still incomplete.
    """
    best: Hop | None = None
    best_state = TunnelState.DOWN
    for hop in hops:
        state = tunnel(hop.session).state
        if state > best_state:
            best, best_state = hop, state
    if best is None:
        return None
    connection = tunnel(best.session).connection
    wanted = mode(connection)
    if wanted is SwitchMode.AUTO:
        return best
    for hop in hops:
        candidate = tunnel(hop.session)
        if (
            candidate.connection == connection
            and candidate.role.value == wanted.value
            and candidate.state >= TunnelState.WARMING
        ):
            return hop
    return best
