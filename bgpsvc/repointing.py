"""What a change of tunnels comes to: groups lead elsewhere, routes come or go in the background. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bgpsvc.fib.plan import Fib
from bgpsvc.forwarding import StaticClass
from bgpsvc.gateway import Gateway
from bgpsvc.intake import Intake
from bgpsvc.jobs import Jobs, pieces
from bgpsvc.model import SessionId
from bgpsvc.rib import ForwardingClass
from bgpsvc.session import Session
from bgpsvc.switchboard import Switchboard
from bgpsvc.tunnels import Tunnel, TunnelState


class Repointing:
    """Carries out what the switchboard finds."""

    def __init__(
        self,
        sessions: Mapping[SessionId, Session],
        tunnels: Mapping[SessionId, Tunnel],
        gateways: Mapping[str, Gateway],
        switchboard: Switchboard,
        intake: Intake,
        jobs: Jobs,
        fib: Fib,
    ) -> None:
        self._sessions = sessions
        self._tunnels = tunnels
        self._gateways = gateways
        self._switchboard = switchboard
        self._intake = intake
        self._jobs = jobs
        self._fib = fib

    def reassess(self, connection: str, now: float) -> None:
        """Assess the tunnels of a connection anew, and act on what changed."""
        self.changed(self._switchboard.reassess(connection, now))

    def changed(self, changed: list[SessionId]) -> None:
        """Act on the states of tunnels that are others now."""
        for session in changed:
            gateway = self._gateways.get(self._tunnels[session].settings.gateway)
            if gateway is None:
                continue
            if self._tunnels[session].state is TunnelState.DOWN:
                self._fib.mark_dead(gateway.forwarding.nexthop_ids(session))
                # What this tunnel backed, stale paths of its neighbours included, must go.
                for other in self._sessions.values():
                    if other.adj.stale and other.settings.gateway == gateway.name:
                        self._jobs.add(self._intake.purge(other))
            else:
                self._fib.mark_alive(gateway.forwarding.nexthop_ids(session))
        self.repoint(changed)

    def repoint(self, sessions: Iterable[SessionId]) -> None:
        """Point the groups of these tunnels to where they lead now."""
        by_gateway: dict[str, list[SessionId]] = {}
        for session in sessions:
            by_gateway.setdefault(self._tunnels[session].settings.gateway, []).append(session)
        for name, members in by_gateway.items():
            gateway = self._gateways.get(name)
            if gateway is None:
                continue
            for forwarding in gateway.forwarding.repoint(members):
                if isinstance(forwarding, StaticClass):
                    gateway.statics.mark(forwarding)
                else:
                    self._jobs.add(self._mark_class(gateway, forwarding))

    def _mark_class(self, gateway: Gateway, forwarding: ForwardingClass) -> Iterator[None]:
        """The class became usable or unusable: its routes come or go, in bounded batches."""
        # A class without hops has no routes any more; those of a removed session are marked as they leave.
        session = self._sessions.get(forwarding.hops[0].session) if forwarding.hops else None
        if session is None:
            return
        routes = gateway.rib.routes
        for piece in pieces([*session.adj.fresh, *session.adj.stale]):
            gateway.table.mark(p for p in piece if p in routes and routes[p].forwarding is forwarding)
            yield
