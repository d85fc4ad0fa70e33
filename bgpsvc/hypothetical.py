"""A VPN gateway as another intent would have it, made of the engine's own parts. Pure.

It has settings, filter and advertisements by the same code as the real one, tunnels in the states of the real
ones, and nothing that it shares with the engine: whatever is tried on it stays without effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass

from bgpsvc.engine import Engine, same_peering
from bgpsvc.fib.plan import Fib
from bgpsvc.gateway import Gateway
from bgpsvc.ids import Ids, TableNumbers
from bgpsvc.model import SessionId
from bgpsvc.resources import Intent
from bgpsvc.session import Session, session_settings
from bgpsvc.tunnels import Tunnel, tunnel_settings


@dataclass(frozen=True, slots=True)
class Hypothetical:
    """A gateway and its sessions, without routes. `kept`: sessions whose peering and routes stay."""

    gateway: Gateway
    sessions: Mapping[SessionId, Session]
    tunnels: Mapping[SessionId, Tunnel]
    kept: frozenset[SessionId]


def suppose(engine: Engine, intent: Intent, name: str) -> Hypothetical | None:
    """The gateway of that name under the intent; None if it has none of that name."""
    if intent.find("vpn_gateways", name) is None:
        return None
    sessions = {s.id: Session(s, since=0.0) for s in session_settings(intent, name)}
    real = engine.gateways.get(name)
    vpc = intent.vpc(intent.gateway(name).vpc)
    same_table = real is not None and (vpc.name, vpc.route_table) == (real.vpc.name, real.vpc.route_table)
    kept = frozenset(
        ident
        for ident, session in sessions.items()
        if same_table
        and ident in engine.sessions
        and same_peering(session.settings, engine.sessions[ident].settings)
    )
    tunnels: dict[SessionId, Tunnel] = {}
    for settings in tunnel_settings(intent, name):
        known = engine.tunnels.get(settings.id)
        stays = known is not None and same_table and settings.same_tunnel(known.settings)
        if known is not None and stays and (not settings.bgp or settings.id in kept):
            tunnels[settings.id] = copy(known)
            tunnels[settings.id].settings = settings
            if known.settings.health_check != settings.health_check:
                tunnels[settings.id].healthy = None
        else:
            tunnels[settings.id] = Tunnel(settings, link_up=_link_up(engine, settings.interface))
            if settings.made:
                tunnels[settings.id].inherit_ipsec(known)
    gateway = Gateway(
        intent, name, Fib(), Ids(), dict(engine.links), sessions, tunnels, dict(engine.modes), TableNumbers()
    )
    gateway.connected = engine.connected
    gateway.rebuild_filter()
    if real is not None and engine.intent.find("vpn_gateways", name) is not None:
        before, after = engine.intent.gateway(name).auto_propagate, gateway.config.auto_propagate
        # A toggle at run time stays, unless the intent changes the flag itself.
        gateway.propagate = real.propagate if before == after else after
    return Hypothetical(gateway, sessions, tunnels, kept)


def _link_up(engine: Engine, interface: str) -> bool:
    return engine.links.get(interface, (0, False))[1]
