"""Tunnel liveness and the choice of the tunnel that carries traffic.

Liveness is not a path attribute: the decision orders the paths of a prefix whether or not their
tunnels are alive, and forwarding takes the first *usable* one. So a dying tunnel changes one
nexthop group per forwarding class and not one route per prefix.

A tunnel is assessed from levels, never from a history of edges:

    DOWN     the link or the IPsec SA is down, or BFD or the probe of the peer is (detecting.py), or the
             session is and forwarding state may not be kept, or the health check fails and revokes the routes
    SYNCING  the session is back, its table is not complete yet, and another tunnel can carry traffic
    STALE    the session is down, the peer keeps forwarding over its restart (RFC 4724 4.2); or BFD has just
             failed on the last tunnel left
    WARMING  in sync again after a failure; another tunnel is live until the failback hold-down is over
    LIVE     usable; the first choice

A tunnel without BGP has neither session nor table: it is in sync from the moment its link is up.

The hold-down grows while a tunnel keeps failing (damping.py).

A tunnel becomes live at once when no other tunnel of its connection can carry traffic: half a table
beats none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from bgpsvc import damping
from bgpsvc.detecting import NAMES, Said, Standing, disbelieved_from, failing, good_since, hear, not_believed
from bgpsvc.effects import Log
from bgpsvc.events import DetectionChanged
from bgpsvc.model import Prefix, Role, SessionId, SwitchMode, pack_prefix, session_id
from bgpsvc.resources import Intent
from bgpsvc.resources.interfaces import interface_of
from bgpsvc.resources.models import HealthCheck, VpnConnection
from bgpsvc.resources.models import Tunnel as TunnelResource

SELECTION_DEFERRAL_TIME = 30.0
"""Seconds after Established at which a missing End-of-RIB is no longer waited for (RFC 4724 4.1)."""
DEFERRAL_WITHOUT_END_OF_RIB = 6.0
"""The same for a peer without graceful restart, which need not send End-of-RIB at all."""
LAST_ONE_STAYS = 2.0
"""Seconds that the last tunnel of a connection keeps its routes when only BFD or a probe says it is dead."""


class TunnelState(IntEnum):
    """Usability for forwarding; the higher the better."""

    DOWN = 0
    SYNCING = 1
    STALE = 2
    WARMING = 3
    LIVE = 4


@dataclass(frozen=True, slots=True)
class TunnelSettings:
    """A tunnel as configured, with BGP or without; addresses packed.

    The addresses are those of the tunnel's `bgp` section, which a tunnel without BGP may have too: then its
    static routes go to the peer's address, and else to the device alone.
    """

    id: SessionId
    connection: str
    gateway: str
    number: int
    role: Role
    interface: str
    remote_address: str
    bgp: bool
    hold_down: float
    hold_down_max: float = 0.0
    local_address: bytes | None = None
    peer_address: bytes | None = None
    peer_address6: bytes | None = None
    cidrs: tuple[Prefix, ...] = ()
    health_check: HealthCheck | None = None
    detected_by: tuple[str, ...] = ()
    """Which of `bfd` and `probe` watch it."""
    made: bool = False
    """The service makes interface and IPsec; else the interface is somebody else's."""

    def same_tunnel(self, other: TunnelSettings | None) -> bool:
        """True if a tunnel of these settings goes on with the other ones, keeping its state."""
        return other is not None and (
            (self.gateway, self.interface, self.made, self.bgp)
            == (other.gateway, other.interface, other.made, other.bgp)
        )

    def same_check(self, other: TunnelSettings) -> bool:
        """True if the health check asks the same; what its verdict leads to may differ."""
        mine, theirs = self.health_check, other.health_check
        if mine is None or theirs is None:
            return mine is theirs
        return mine == theirs.model_copy(update={"on_failure": mine.on_failure})


def tunnel_settings(intent: Intent, gateway: str | None = None) -> tuple[TunnelSettings, ...]:
    """All tunnels of an intent, or of one VPN gateway, in order of connection and tunnel."""
    return tuple(
        _settings(intent, connection, number, tunnel)
        for connection in (intent.vpn_connections if gateway is None else intent.connections_of(gateway))
        for number, tunnel in enumerate(connection.tunnels, start=1)
    )


def _settings(
    intent: Intent, connection: VpnConnection, number: int, tunnel: TunnelResource
) -> TunnelSettings:
    bgp = tunnel.bgp
    ipv6 = None if bgp is None else bgp.ipv6
    networks = [section.tunnel_cidr for section in (bgp, ipv6) if section is not None]
    return TunnelSettings(
        id=session_id(connection.name, number),
        connection=connection.name,
        gateway=connection.vpn_gateway,
        number=number,
        role=Role.ACTIVE if number == 1 else Role.STANDBY,
        interface=interface_of(connection.name, number, tunnel),
        made=tunnel.interface is None,
        remote_address=str(intent.customer_gateway(tunnel.customer_gateway).address),
        bgp=connection.enable_bgp,
        hold_down=connection.failback_hold_down,
        hold_down_max=connection.failback_hold_down_max,
        detected_by=() if bgp is None else tuple(m for m in ("bfd", "probe") if getattr(bgp, m) is not None),
        local_address=None if bgp is None else bgp.local_ip.packed,
        peer_address=None if bgp is None else bgp.peer_ip.packed,
        peer_address6=None if ipv6 is None else ipv6.peer_ip.packed,
        cidrs=tuple(pack_prefix(n.network_address.packed, n.prefixlen) for n in networks),
        health_check=connection.health_check,
    )


@dataclass(slots=True)
class Tunnel:
    """What is known of one tunnel. Times are seconds of the shell's clock.

    `established_at` and `synced_at` (End-of-RIB of every family, or no longer waited for) are None
    while not so. Without BGP `synced_at` is when the link came up. `healthy` is the health check's
    verdict: None without a check and before its first verdict, which counts as passed, so that a
    restart of the daemon takes no traffic away. For the same reason `ipsec_up` is None, and counts as up,
    after a restart until the driver has told; so it stays for an external tunnel. `detections` are what BFD
    (`bfd`) and the probe of the peer (`probe`) said, nothing before the guard's first word; those that say it
    is dead while the session proves otherwise are `disbelieved`. `failures` are times at which the tunnel
    failed while it was live. Until `graceful_until` stale routes are used, as the peer restarts, or as
    `we_restart`. `witnessed`: we saw the session become Established; `hold_time` is the session's negotiated
    one.
    """

    settings: TunnelSettings
    link_up: bool = False
    established_at: float | None = None
    synced_at: float | None = None
    graceful_until: float | None = None
    we_restart: bool = False
    failed_before: bool = False
    healthy: bool | None = None
    health_reason: str | None = None
    ipsec_up: bool | None = None
    ipsec_reason: str | None = None
    witnessed: bool = False
    hold_time: float = 0.0
    detections: dict[str, Said] = field(default_factory=dict)
    disbelieved: frozenset[str] = frozenset()
    failures: tuple[float, ...] = ()
    state: TunnelState = TunnelState.DOWN
    reason: str = "the session has not been established yet"
    since: float = 0.0

    @property
    def session(self) -> SessionId:
        """Id of the tunnel and of its session."""
        return self.settings.id

    @property
    def connection(self) -> str:
        """Name of its connection."""
        return self.settings.connection

    @property
    def role(self) -> Role:
        """Its role."""
        return self.settings.role

    @property
    def interface(self) -> str:
        """Name of its interface."""
        return self.settings.interface

    @property
    def revoked(self) -> bool:
        """The health check fails and says that static routes shall not use the tunnel."""
        check = self.settings.health_check
        return self.healthy is False and check is not None and check.on_failure == "revoke_route"

    def link_changed(self, up: bool, now: float) -> None:
        """Its link came up or went down."""
        if up and not self.link_up and (self.synced_at is not None or not self.settings.bgp):
            self.synced_at = now  # the failback hold-down counts from the link's return
        if not up:
            self.failed_before |= self.established_at is not None or (not self.settings.bgp and self.link_up)
        self.link_up = up

    def inherit_ipsec(self, former: Tunnel | None) -> None:
        """What is known of the SAs: they outlive the record of a tunnel whose BGP was changed."""
        if former is not None and former.settings.made:
            self.ipsec_up, self.ipsec_reason = former.ipsec_up, former.ipsec_reason
        else:
            self.ipsec_up, self.ipsec_reason = False, "not negotiated yet"

    def ipsec_changed(self, up: bool, reason: str, now: float) -> None:
        """Its IPsec SAs came up, or wait for the first packet, or went down."""
        if up and self.ipsec_up is False and (self.synced_at is not None or not self.settings.bgp):
            self.synced_at = now  # as for the link
        if not up:
            in_use = not self.settings.bgp and self.link_up and self.ipsec_up is not False
            self.failed_before |= self.established_at is not None or in_use
        self.ipsec_up, self.ipsec_reason = up, reason

    def detection_changed(self, event: DetectionChanged, now: float) -> None:
        """BFD or the probe of its peer says something else."""
        self.detections = self.detections | {
            event.method: hear(self.detections.get(event.method), event, now)
        }
        if event.up is False:
            in_use = not self.settings.bgp and self.link_up
            self.failed_before |= self.established_at is not None or in_use

    @property
    def standing(self) -> Standing:
        """Its session, as far as the word of BFD and the probe is judged by it."""
        return Standing(self.established_at, self.witnessed, self.hold_time)

    def failing(self, now: float) -> str | None:
        """The method that says, and is believed, that the tunnel is dead.

        BFD may go with a peer that restarts and keeps forwarding (RFC 5882 4.3.2.1), so it says nothing then.
        """
        return next(iter(self._kept_down_by(now)), None)

    def _kept_down_by(self, now: float) -> list[str]:
        standing, restarts = self.standing, self.restarts
        return [
            method
            for method, said in self.detections.items()
            if failing(said, standing, now) and not (restarts and method == "bfd")
        ]

    @property
    def restarts(self) -> bool:
        """The peer restarts and keeps forwarding meanwhile (RFC 4724)."""
        return self.established_at is None and self.graceful_until is not None and not self.we_restart

    def review(self, now: float) -> list[Log]:
        """What the event log says of methods that are no longer believed since the last review."""
        dead = {method for method, said in self.detections.items() if said.up is False}
        before, self.disbelieved = self.disbelieved, frozenset(dead.difference(self._kept_down_by(now)))
        new = sorted(self.disbelieved - before)
        return [not_believed(self.session, method, self.why_disbelieved) for method in new]

    @property
    def answering(self) -> bool:
        """The peer answers over it, and nothing says that it is dead: the guard's last resort."""
        said = [one.up for method, one in self.detections.items() if method not in self.disbelieved]
        return self.link_up and True in said and False not in said

    @property
    def why_disbelieved(self) -> str:
        """Why a method that says that the tunnel is dead is not believed, if it is not."""
        return (
            "the peer restarts and keeps forwarding" if self.restarts else "its BGP session proves otherwise"
        )

    def good_since(self) -> float | None:
        """Since when session, table, link, IPsec, BFD and probe are all good; None while they are not.

        A method that is not believed counts as good from then on.
        """
        if self.synced_at is None:
            return None
        standing = self.standing
        times = (good_since(said, standing) for said in self.detections.values())
        return max([self.synced_at, *(time for time in times if time is not None)])

    def hold_down(self, now: float) -> float:
        """Seconds that it has to be good before traffic returns to it, flap damping included."""
        settings = self.settings
        return damping.hold_down(settings.hold_down, settings.hold_down_max, self.failures, now)

    def failed(self, now: float) -> None:
        """It went down while it was live."""
        self.failures = (*damping.recent(self.failures, now), now)

    def health_changed(self, healthy: bool, reason: str, now: float) -> None:
        """Its health check came to another verdict."""
        if healthy and self.healthy is False and not self.settings.bgp:
            self.synced_at = now
        if not healthy:
            self.failed_before = True
        self.healthy, self.health_reason = healthy, reason


def tunnels_of(tunnels: Mapping[SessionId, Tunnel], connection: str) -> list[Tunnel]:
    """The tunnels of a connection, active first; by their names, as there may be thousands of others."""
    idents = (session_id(connection, number) for number in (1, 2))
    return [tunnels[ident] for ident in idents if ident in tunnels]


@dataclass(frozen=True, slots=True)
class Assessment:
    """State of a tunnel with the reason in words, and when to ask again (None: only after an event)."""

    state: TunnelState
    reason: str
    deadline: float | None = None


def assess(tunnel: Tunnel, best_other: TunnelState, now: float, alone: bool = True) -> Assessment:
    """Assess a tunnel at `now`; `best_other` is the best state of the connection's other tunnels.

    `alone`: the peer answers over none of these.
    """
    if not tunnel.link_up:
        return Assessment(TunnelState.DOWN, f"the interface {tunnel.interface} is down or missing")
    if tunnel.ipsec_up is False:
        return Assessment(TunnelState.DOWN, f"IPsec is down: {tunnel.ipsec_reason}")
    dead = tunnel.failing(now)
    if dead is not None:
        return _dead(tunnel, dead, alone and best_other < TunnelState.STALE, now)
    if not tunnel.settings.bgp:
        return _without_bgp(tunnel, best_other, now)
    if tunnel.established_at is None:
        if tunnel.graceful_until is not None and now < tunnel.graceful_until:
            who = "our speaker" if tunnel.we_restart else "the peer"
            return Assessment(
                TunnelState.STALE, f"{who} restarts and keeps forwarding", tunnel.graceful_until
            )
        return Assessment(TunnelState.DOWN, "the session is not established")
    if tunnel.state is TunnelState.LIVE:
        return Assessment(TunnelState.LIVE, tunnel.reason)
    if best_other < TunnelState.STALE:
        return Assessment(TunnelState.LIVE, "the session is established and no other tunnel is usable")
    if tunnel.synced_at is None:
        return Assessment(TunnelState.SYNCING, "waits for End-of-RIB")
    return _held_down(tunnel, best_other, now) or Assessment(
        TunnelState.LIVE, "the session is established and in sync"
    )


def _dead(tunnel: Tunnel, method: str, last: bool, now: float) -> Assessment:
    """Down, unless it is the last one left, of which the session still speaks well.

    Machines stall, and then BFD of all tunnels fails at once. To withdraw a table for that, and to set it
    again, takes far longer than the stall: so the last tunnel keeps its routes for a moment.
    """
    said = tunnel.detections[method]
    reason = f"{NAMES[method]} is down: {said.reason}"
    ends = said.since + LAST_ONE_STAYS
    stands = tunnel.established_at is not None or not tunnel.settings.bgp
    if last and stands and tunnel.state >= TunnelState.STALE and now < ends:
        return Assessment(TunnelState.STALE, f"{reason}; no other tunnel is left, so its routes stay", ends)
    return Assessment(TunnelState.DOWN, reason, disbelieved_from(said, tunnel.standing))


def _without_bgp(tunnel: Tunnel, best_other: TunnelState, now: float) -> Assessment:
    if tunnel.revoked:
        return Assessment(TunnelState.DOWN, f"the health check fails: {tunnel.health_reason}")
    live = f"the interface {tunnel.interface} is up"
    if tunnel.healthy:
        live += " and the health check is answered"
    elif tunnel.healthy is False:
        live += f"; the health check fails, and its routes stay (reserve_route): {tunnel.health_reason}"
    if tunnel.state is not TunnelState.LIVE and best_other >= TunnelState.STALE:
        return _held_down(tunnel, best_other, now) or Assessment(TunnelState.LIVE, live)
    return Assessment(TunnelState.LIVE, live)


def _held_down(tunnel: Tunnel, best_other: TunnelState, now: float) -> Assessment | None:
    """WARMING while a tunnel that failed before has not been in sync for long enough beside a live one."""
    since = tunnel.good_since()
    if since is None or not tunnel.failed_before or best_other is not TunnelState.LIVE:
        return None
    seconds = tunnel.hold_down(now)
    if now >= since + seconds:
        return None
    text = f"waits for the failback hold-down of {seconds:g} s"
    if seconds > tunnel.settings.hold_down:
        text += f", as it failed {len(damping.recent(tunnel.failures, now))} times lately"
    return Assessment(TunnelState.WARMING, text, since + seconds)


@dataclass(frozen=True, slots=True)
class Hop:
    """A way to forward: over the tunnel of a session to a next hop.

    4 or 16 bytes; all of them zero (the unspecified address) stand for the tunnel's device alone.
    """

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
