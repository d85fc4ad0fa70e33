"""Tunnel liveness and the choice of the tunnel that carries traffic.

Liveness is not a path attribute: the decision orders the paths of a prefix whether or not their
tunnels are alive, and forwarding takes the first *usable* one. So a dying tunnel changes one
nexthop group per forwarding class and not one route per prefix.

A tunnel is assessed from levels, never from a history of edges:

    DOWN     the link is down, or the session is and forwarding state may not be kept
    STALE    the session is down, the peer keeps forwarding over its restart (RFC 4724 4.2)
    WARMING  the session is back while another tunnel of the connection is live: waits until it is
             in sync (End-of-RIB, or the deferral time is over) and, after a failure, for the
             failback hold-down
    LIVE     usable; the first choice

A warming tunnel becomes live at once when no other tunnel of its connection is live: half a table
beats none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from bgpsvc.model import Role, SessionId, SwitchMode

SELECTION_DEFERRAL_TIME = 30.0
"""Seconds after Established at which a missing End-of-RIB is no longer waited for (RFC 4724 4.1)."""


class TunnelState(IntEnum):
    """Usability for forwarding; the higher the better."""

    DOWN = 0
    STALE = 1
    WARMING = 2
    LIVE = 3


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

    @property
    def in_sync(self) -> bool:
        """Warming, and only for the hold-down: its table is complete."""
        return self.state is TunnelState.WARMING and self.synced_at is not None


@dataclass(frozen=True, slots=True)
class Assessment:
    """State of a tunnel with the reason in words, and when to ask again (None: only after an event)."""

    state: TunnelState
    reason: str
    deadline: float | None = None


def assess(tunnel: Tunnel, other_live: bool, now: float) -> Assessment:
    """Assess a tunnel at `now`; `other_live` says whether another tunnel of the connection is live."""
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
    if not other_live:
        return Assessment(TunnelState.LIVE, "the session is established and no other tunnel is live")
    synced_at = tunnel.synced_at
    if synced_at is None:
        return Assessment(TunnelState.WARMING, "waits for End-of-RIB")
    if tunnel.failed_before and now < synced_at + tunnel.hold_down:
        return Assessment(
            TunnelState.WARMING,
            f"waits for the failback hold-down of {tunnel.hold_down:g} s",
            synced_at + tunnel.hold_down,
        )
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
            and (candidate.state is TunnelState.LIVE or candidate.in_sync)
        ):
            return hop
    return best
