"""The world that a question supposes: tunnels that failed or recovered, propagation, another intent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy

from bgpsvc.engine import Engine
from bgpsvc.gateway import Gateway
from bgpsvc.hypothetical import Hypothetical, suppose
from bgpsvc.insight import Question
from bgpsvc.model import SessionId, SwitchMode
from bgpsvc.policy import denied_networks
from bgpsvc.rejudging import Rejudged
from bgpsvc.resources import Intent
from bgpsvc.session import Session
from bgpsvc.switchboard import Switchboard
from bgpsvc.tunnels import Hop, Tunnel, TunnelState, choose


class World:
    """What the question supposes: tunnels, propagation, and import where it may differ."""

    def __init__(self, engine: Engine, place: Gateway, question: Question, intent: Intent | None) -> None:
        self.question = question
        self.changed = intent is not None
        """Resources would be others."""
        self.hypothetical: Hypothetical | None = None
        """The gateway as it would be, where its advertisements may differ."""
        if intent is not None or question.auto_propagate is not None:
            self.hypothetical = suppose(engine, intent or engine.intent, place.name)
        supposed = self.hypothetical
        self.removed = self.changed and supposed is None
        self.propagate = place.propagate if supposed is None else supposed.gateway.propagate
        if question.auto_propagate is not None:
            self.propagate = question.auto_propagate
        if supposed is not None:
            supposed.gateway.propagate = self.propagate
        self.old = {s.id: s for s in engine.sessions.values() if s.settings.gateway == place.name}
        self.modes = dict(engine.modes)
        self.tunnels = self._tunnels(engine, place)
        self.imports = self._imports(place, engine.tunnels)

    def _tunnels(self, engine: Engine, place: Gateway) -> dict[SessionId, Tunnel]:
        if self.removed:
            return {}
        if self.changed and self.hypothetical is not None:
            tunnels = dict(self.hypothetical.tunnels)
        else:
            mine = (t for t in engine.tunnels.values() if t.settings.gateway == place.name)
            tunnels = {t.session: copy(t) for t in mine}
        now = _latest(tunnels.values())
        touched: dict[str, None] = {}
        for tunnel in tunnels.values():
            if tunnel.session in self.question.fail_tunnels:
                tunnel.link_up = False
            elif tunnel.session in self.question.recover_tunnels:
                _recover(tunnel, now)
            elif not self.changed:
                continue
            touched[tunnel.connection] = None
        board = Switchboard(tunnels, self.modes, [])
        for connection in touched:
            board.reassess(connection, now)
        return tunnels

    def _imports(
        self, place: Gateway, tunnels: Mapping[SessionId, Tunnel]
    ) -> dict[SessionId, Rejudged] | None:
        """Sessions that keep their announcements, to be judged again; None if import stays as it is."""
        if not self.changed:
            return None
        supposed = self.hypothetical
        if supposed is None:
            return {}
        new = supposed.sessions
        mine = [t for t in tunnels.values() if t.settings.gateway == place.name]
        same_filter = _denied(place, mine) == _denied(supposed.gateway, supposed.tunnels.values())
        made = {}
        for ident in sorted(supposed.kept):
            old = self.old[ident]
            same = same_filter and old.settings.accept_default == new[ident].settings.accept_default
            made[ident] = Rejudged(old, new[ident], supposed.gateway.filter.refuse, same)
        return made

    def usable(self, session: SessionId) -> bool:
        """The tunnel would carry traffic, should a route lead over it."""
        return session in self.tunnels and self.tunnels[session].state is not TunnelState.DOWN

    def choose(self, hops: Iterable[Hop]) -> SessionId | None:
        """The session whose tunnel traffic with these hops would take."""
        known = tuple(hop for hop in hops if hop.session in self.tunnels)
        hop = choose(known, self.tunnels.__getitem__, lambda c: self.modes.get(c, SwitchMode.AUTO))
        return None if hop is None else hop.session

    def keeps_stale(self, session: Session) -> bool:
        """The session's stale paths may be used: a recovered peer is taken to announce again what it did."""
        return session.keep_stale or session.id in self.question.recover_tunnels


def _latest(tunnels: Iterable[Tunnel]) -> float:
    """The latest time that is known of. A later one would end hold-downs, no consequence of the question."""
    times = (time for t in tunnels for time in (t.since, t.synced_at, t.established_at) if time is not None)
    return max(times, default=0.0)


def _recover(tunnel: Tunnel, now: float) -> None:
    tunnel.link_up = True
    tunnel.ipsec_up = None
    tunnel.established_at = now if tunnel.established_at is None else tunnel.established_at
    tunnel.synced_at = now if tunnel.synced_at is None else tunnel.synced_at
    tunnel.healthy = None
    tunnel.detections = {}
    tunnel.state = TunnelState.LIVE


def _denied(gateway: Gateway, tunnels: Iterable[Tunnel]) -> object:
    cidrs = sorted({p for t in tunnels for p in t.settings.cidrs})
    return denied_networks(sorted(gateway.vpc_prefixes), cidrs, gateway.connected)
