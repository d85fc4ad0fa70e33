"""Snapshots of the engine in the words of the API (`bgpsvc.views`). Pure; reads, changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2s
from itertools import islice

from bgpsvc.detection_report import GuardSeen, bfd_view, detections
from bgpsvc.engine import Engine
from bgpsvc.events import Negotiated
from bgpsvc.gateway import Gateway
from bgpsvc.model import SessionId, SwitchMode, format_address, format_prefix
from bgpsvc.session import LastError, Session
from bgpsvc.tunnels import Tunnel, TunnelState
from bgpsvc.views import (
    ConnectionView,
    GatewayView,
    IpsecState,
    MessageCounts,
    NegotiatedView,
    PrefixCounts,
    SessionError,
    SessionView,
    Span,
    TunnelView,
    VpcView,
)
from bgpsvc.views import (
    TunnelState as TunnelStateView,
)

IpsecOf = Callable[[SessionId, str], IpsecState]
"""What is known of the IPsec of a tunnel that the service makes, over that interface."""

_TUNNEL_STATES: dict[TunnelState, TunnelStateView] = {
    TunnelState.DOWN: "down",
    TunnelState.SYNCING: "warming",
    TunnelState.STALE: "down",
    TunnelState.WARMING: "warming",
    TunnelState.LIVE: "live",
}


def prefix_counts(session: Session) -> PrefixCounts:
    """Prefixes of a session by what became of them."""
    adj = session.adj
    accepted = len(adj.fresh) + len(adj.stale)
    shed = len(adj.shed) + adj.forgotten
    rejected = len(adj.refused) + shed
    return PrefixCounts(
        received=accepted + rejected,
        accepted=accepted,
        rejected=rejected,
        shed=shed,
        stale=len(adj.stale),
        advertised=session.advertised if session.established else 0,
    )


def session_view(session: Session, wall: float) -> SessionView:
    """A session. `wall` is what to add to the engine's clock for Unix time."""
    settings = session.settings
    return SessionView(
        id=session.id,
        connection=settings.connection,
        gateway=settings.gateway,
        tunnel=settings.number,
        role=settings.role,
        interface=settings.interface,
        local_address=format_address(settings.local_address),
        peer_address=format_address(settings.peer_address),
        local_asn=settings.local_asn,
        peer_asn=settings.peer_asn,
        state=session.state,
        since=session.since + wall,
        established_count=session.established_count,
        flap_count=session.flap_count,
        hold_time_configured=settings.hold_time,
        negotiated=_negotiated(session.negotiated) if session.established and session.negotiated else None,
        prefixes=prefix_counts(session),
        messages=_messages(session),
        last_error=_error(session.last_error, wall) if session.last_error else None,
        end_of_rib=session.established and session.all_families_ended,
    )


def _negotiated(n: Negotiated) -> NegotiatedView:
    return NegotiatedView(
        hold_time=n.hold_time,
        families=tuple(f.label for f in n.families),
        asn4=n.asn4,
        route_refresh=n.route_refresh,
        enhanced_refresh=n.enhanced_refresh,
        message_size=n.message_size,
        graceful_restart_time=n.graceful_restart_time,
        graceful_restart_families=tuple(f.label for f in n.graceful_restart_families),
        peer_router_id=n.peer_router_id,
        peer_asn=n.peer_asn,
        peer_capabilities=n.peer_capabilities,
    )


def _messages(session: Session) -> MessageCounts:
    c = session.counters
    return MessageCounts(
        updates_received=c.updates,
        prefixes_announced=c.announced,
        prefixes_withdrawn=c.withdrawn,
        end_of_rib_received=c.end_of_rib,
        notifications_sent=c.notifications_sent,
        notifications_received=c.notifications_received,
        treated_as_withdraw=c.treated_as_withdraw,
        lost=c.lost,
    )


def _error(error: LastError, wall: float) -> SessionError:
    note = error.notification
    if note is None:
        return SessionError(time=error.at + wall, text=error.text)
    return SessionError(
        time=error.at + wall,
        text=error.text,
        code=note.code,
        subcode=note.subcode,
        direction="sent" if note.sent else "received",
    )


@dataclass(frozen=True, slots=True)
class Beside:
    """What a view of a tunnel needs beside the engine: its clock `now` and what makes Unix time of it, what
    knows of SAs, and what the guard sees."""

    now: float
    wall: float
    ipsec: IpsecOf
    guard: GuardSeen


def tunnel_view(engine: Engine, tunnel: Tunnel, beside: Beside) -> TunnelView:
    """A tunnel, with BGP or without."""
    settings = tunnel.settings
    hold_down = tunnel.hold_down(beside.now)
    session = engine.sessions.get(settings.id)
    switch = engine.switchboard.switches.get(settings.connection)
    return TunnelView(
        id=settings.id,
        connection=settings.connection,
        gateway=settings.gateway,
        tunnel=settings.number,
        role=settings.role,
        interface=settings.interface,
        link_up=tunnel.link_up,
        session_state=None if session is None else session.state,
        state=_TUNNEL_STATES[tunnel.state],
        state_reason=tunnel.reason + _remaining(tunnel, hold_down, beside.now),
        since=tunnel.since + beside.wall,
        carrying=switch is not None and switch.carrying == settings.id,
        local_address=_address(settings.local_address),
        peer_address=_address(settings.peer_address),
        remote_address=settings.remote_address,
        health=None if tunnel.healthy is None else "healthy" if tunnel.healthy else "unhealthy",
        health_reason=tunnel.health_reason,
        ipsec=beside.ipsec(settings.id, settings.interface) if settings.made else None,
        detection=detections(engine, tunnel, beside.guard),
        bfd=bfd_view(beside.guard.bfd.get(settings.id), beside.wall),
        hold_down=Span(hold_down),
        flapping=hold_down > settings.hold_down,
    )


def _remaining(tunnel: Tunnel, hold_down: float, now: float) -> str:
    since = tunnel.good_since()
    if tunnel.state is not TunnelState.WARMING or since is None:
        return ""
    return f", {max(0, math.ceil(since + hold_down - now))} s to go"


def _address(packed: bytes | None) -> str | None:
    return None if packed is None else format_address(packed)


def connection_view(engine: Engine, name: str, beside: Beside) -> ConnectionView:
    """A connection that exists, with its tunnels and its switch."""
    connection = engine.intent.connection(name)
    switch = engine.switchboard.switches[name]
    return ConnectionView(
        name=name,
        gateway=connection.vpn_gateway,
        local_asn=connection.local_asn,
        mode=engine.modes.get(name, SwitchMode.AUTO),
        choice=None,  # who made it is known beside the engine
        carrying=switch.carrying,
        switchovers=switch.switchovers,
        last_switchover=None if switch.last_at is None else switch.last_at + beside.wall,
        last_switchover_reason=switch.last_reason if switch.last_at is not None else None,
        tunnels=tuple(tunnel_view(engine, t, beside) for t in engine.switchboard.tunnels_of(name)),
    )


def gateway_view(engine: Engine, gateway: Gateway) -> GatewayView:
    """A VPN gateway."""
    tables = [
        gateway.advertisements(session.settings)
        for session in engine.sessions.values()
        if session.settings.gateway == gateway.name and session.established
    ]
    advertised = (p for p in gateway.local_prefixes if any(p in table for table in tables))
    table = gateway.table
    return GatewayView(
        name=gateway.name,
        vpc=gateway.vpc.name,
        addresses=tuple(str(a) for a in gateway.config.addresses),
        auto_propagate=gateway.propagate,
        status="updating" if table.dirty or table.dirty_backup else "active",
        connections=tuple(c.name for c in engine.intent.connections_of(gateway.name)),
        routes_learned=len(gateway.rib.routes),
        routes_installed=len(table.primary),
        advertised=tuple(format_prefix(p) for p in islice(advertised, MAX_ADVERTISED_SHOWN)),
        etag=blake2s(f"{gateway.name} {gateway.propagate}".encode(), digest_size=8).hexdigest(),
    )


MAX_ADVERTISED_SHOWN = 1000
"""A gateway may advertise 100,000 prefixes; its view names the first of them."""


def vpc_view(engine: Engine, name: str) -> VpcView:
    """A VPC that exists."""
    vpc = engine.intent.vpc(name)
    gateway = engine.intent.gateway_of_vpc(name)
    installed = len(engine.gateways[gateway.name].table.primary) if gateway is not None else 0
    return VpcView(
        name=name,
        cidrs=tuple(str(c) for c in vpc.cidrs),
        route_table=vpc.route_table,
        gateway=None if gateway is None else gateway.name,
        routes_installed=installed,
    )
