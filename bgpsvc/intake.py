"""Intake: what a session announces goes through policy into its Adj-RIB-In and its gateway's Loc-RIB.

Every path that a session has announced and not withdrawn is in exactly one place: accepted and fresh,
accepted and stale, refused by policy, or shed over the maximum number of prefixes. Only accepted
ones are in the Loc-RIB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from bgpsvc.effects import Effect, Log, Refresh, Reset
from bgpsvc.events import Announced, Withdrawn
from bgpsvc.gateway import Gateway
from bgpsvc.jobs import pieces
from bgpsvc.model import Attributes, Family, Prefix, Reason, SessionId
from bgpsvc.session import Session
from bgpsvc.tunnels import Tunnel, TunnelState

CEASE_MAX_PREFIXES = 1
"""RFC 4486: Maximum Number of Prefixes Reached."""


class Intake:
    """Takes in routes. Shares the engine's sessions, gateways and outbox."""

    def __init__(
        self,
        sessions: Mapping[SessionId, Session],
        tunnels: Mapping[SessionId, Tunnel],
        gateways: Mapping[str, Gateway],
        outbox: list[Effect],
    ) -> None:
        self._sessions = sessions
        self._tunnels = tunnels
        self._gateways = gateways
        self._outbox = outbox

    def announced(self, session: Session, event: Announced) -> None:
        """One UPDATE's reachable prefixes."""
        counters = session.counters
        counters.updates += 1
        counters.announced += len(event.prefixes)
        gateway = self._gateways[session.settings.gateway]
        attributes = event.attributes
        refused_all, _ = session.verdict(attributes)
        if refused_all is not None:
            self._refuse(gateway, session, [(p, refused_all) for p in event.prefixes], event)
            return
        adj = session.adj
        fresh = adj.fresh
        refuse = gateway.filter.refuse
        room = session.settings.max_prefixes - len(fresh)
        accepted: list[Prefix] = []
        refused: list[tuple[Prefix, Reason]] = []
        for prefix in event.prefixes:
            reason = refuse(prefix)
            if reason is Reason.DEFAULT_ROUTE and session.settings.accept_default:
                reason = None
            if reason is None and prefix not in fresh:
                room -= 1
                if room < 0:
                    reason = Reason.MAX_PREFIXES
            if reason is None:
                fresh[prefix] = attributes
                accepted.append(prefix)
            else:
                refused.append((prefix, reason))
        for others in (adj.stale, adj.refused, adj.shed):
            if others:
                for prefix in accepted:
                    others.pop(prefix, None)
        gateway.table.mark(gateway.rib.update(session.id, attributes, accepted))
        if refused:
            self._refuse(gateway, session, refused, event)

    def _refuse(
        self, gateway: Gateway, session: Session, refused: list[tuple[Prefix, Reason]], event: Announced
    ) -> None:
        adj = session.adj
        prefixes = [prefix for prefix, _ in refused]
        self.withdraw(gateway, session, prefixes)
        self.purge_orphans(gateway, prefixes)
        limit = session.settings.max_prefixes
        over = False
        for prefix, reason in refused:
            over = over or reason is Reason.MAX_PREFIXES
            if reason is Reason.MAX_PREFIXES and len(adj.shed) < limit:
                adj.shed[prefix] = event.attributes
            elif reason is not Reason.MAX_PREFIXES and len(adj.refused) < limit:
                adj.refused[prefix] = (event.attributes, reason)
            else:
                adj.forgotten += 1
        if over and not session.over_limit:
            session.over_limit = True
            if session.settings.teardown_at_max:
                text = f"over the maximum of {limit} prefixes; the session is torn down"
                self._outbox.append(Reset(session.id, CEASE_MAX_PREFIXES, text))
            else:
                text = f"over the maximum of {limit} prefixes; further ones are shed"
            self._outbox.append(Log("session.prefix_limit", "warning", session.id, text, {"limit": limit}))

    def withdrawn(self, session: Session, event: Withdrawn) -> None:
        """One UPDATE's withdrawn prefixes."""
        counters = session.counters
        counters.updates += 1
        counters.withdrawn += len(event.prefixes)
        if event.error is not None:
            counters.treated_as_withdraw += 1
            text = f"a malformed UPDATE was treated as withdraw (RFC 7606): {event.error}"
            self._outbox.append(Log("session.error", "warning", session.id, text))
        gateway = self._gateways[session.settings.gateway]
        self.withdraw(gateway, session, event.prefixes)
        self.purge_orphans(gateway, event.prefixes)
        self.readmit(gateway, session)

    def withdraw(self, gateway: Gateway, session: Session, prefixes: Iterable[Prefix]) -> None:
        """Forget the session's paths to these prefixes, wherever they are."""
        adj = session.adj
        for prefix in prefixes:
            adj.fresh.pop(prefix, None)
            adj.stale.pop(prefix, None)
            adj.refused.pop(prefix, None)
            adj.shed.pop(prefix, None)
        gateway.rib.version += 1
        gateway.table.mark(gateway.rib.update(session.id, None, prefixes))

    def readmit(self, gateway: Gateway, session: Session) -> None:
        """Room below the maximum: take shed paths in, or ask for those that were forgotten."""
        adj = session.adj
        if not session.over_limit:
            return
        limit = session.settings.max_prefixes
        room = limit - len(adj.fresh)
        for prefix in list(islice(adj.shed, max(room, 0))):
            attributes = adj.shed.pop(prefix)
            adj.fresh[prefix] = attributes
            gateway.table.mark(gateway.rib.update(session.id, attributes, (prefix,)))
        if adj.shed or (adj.forgotten and len(adj.fresh) == limit):
            return
        session.over_limit = False
        text = "not over the maximum number of prefixes any more"
        self._outbox.append(Log("session.prefix_limit", "info", session.id, text, {"limit": limit}))
        if adj.forgotten and session.established:
            adj.forgotten = 0
            self._outbox.append(Refresh(session.id))

    def purge_orphans(self, gateway: Gateway, prefixes: Iterable[Prefix]) -> None:
        """Remove stale paths that may not be used and that no usable path of another session backs."""
        losers = [
            s
            for s in self._sessions.values()
            if s.adj.stale and not s.keep_stale and s.settings.gateway == gateway.name
        ]
        if not losers:
            return
        orphans: dict[SessionId, list[Prefix]] = {s.id: [] for s in losers}
        for prefix in prefixes:
            paths = gateway.rib.routes.get(prefix)
            if paths is None or any(self._backs(self._sessions[s], prefix) for s in paths.paths):
                continue
            for session in losers:
                if prefix in session.adj.stale:
                    orphans[session.id].append(prefix)
        for session in losers:
            if orphans[session.id]:
                self.withdraw(gateway, session, orphans[session.id])

    def _backs(self, session: Session, prefix: Prefix) -> bool:
        """True if traffic to the prefix may take this session's tunnel now."""
        if self._tunnels[session.id].state is TunnelState.DOWN:
            return False
        return prefix in session.adj.fresh or (session.keep_stale and prefix in session.adj.stale)

    def purge(self, session: Session) -> Iterator[None]:
        """Remove the session's stale paths that nobody backs, in bounded pieces."""
        for piece in pieces(list(session.adj.stale)):
            # Whatever happened meanwhile, what is an orphan now must go; but not of a removed session.
            gateway = self._gateways.get(session.settings.gateway)
            if gateway is None or self._sessions.get(session.id) is not session or session.keep_stale:
                return
            self.purge_orphans(gateway, piece)
            yield

    def sweep(self, session: Session, family: Family) -> Iterator[None]:
        """Remove the session's stale paths of a family, in bounded pieces."""
        gateway = self._gateways[session.settings.gateway]
        for piece in pieces(session.adj.stale_of(family)):
            still = [prefix for prefix in piece if prefix in session.adj.stale]
            self.withdraw(gateway, session, still)
            self.purge_orphans(gateway, still)
            yield

    def refilter(self, gateway: Gateway) -> Iterator[None]:
        """The policy changed: judge everything again, in bounded pieces."""
        for session in [s for s in self._sessions.values() if s.settings.gateway == gateway.name]:
            for piece in pieces([*session.adj.fresh, *session.adj.stale]):
                if not self._current(gateway, session):
                    return
                self._refuse_again(gateway, session, piece)
                yield
            for piece in pieces(list(session.adj.refused)):
                if not self._current(gateway, session):
                    return
                self._admit_again(gateway, session, piece)
                yield

    def _current(self, gateway: Gateway, session: Session) -> bool:
        return self._gateways.get(gateway.name) is gateway and self._sessions.get(session.id) is session

    def _refuse_again(self, gateway: Gateway, session: Session, prefixes: Iterable[Prefix]) -> None:
        adj = session.adj
        for prefix in prefixes:
            attributes = adj.get(prefix)
            if attributes is None:
                continue  # withdrawn meanwhile
            reason = self._judge(gateway, session, prefix, attributes)
            if reason is not None:
                was_fresh = prefix in adj.fresh
                self.withdraw(gateway, session, (prefix,))
                if was_fresh:
                    adj.refused[prefix] = (attributes, reason)
                self.purge_orphans(gateway, (prefix,))

    def _admit_again(self, gateway: Gateway, session: Session, prefixes: Iterable[Prefix]) -> None:
        adj = session.adj
        for prefix in prefixes:
            if prefix not in adj.refused:
                continue
            attributes, _ = adj.refused[prefix]
            reason = self._judge(gateway, session, prefix, attributes)
            if reason is not None:
                adj.refused[prefix] = (attributes, reason)
            elif len(adj.fresh) < session.settings.max_prefixes:
                del adj.refused[prefix]
                adj.fresh[prefix] = attributes
                gateway.table.mark(gateway.rib.update(session.id, attributes, (prefix,)))

    @staticmethod
    def _judge(gateway: Gateway, session: Session, prefix: Prefix, attributes: Attributes) -> Reason | None:
        reason = session.verdict(attributes)[0] or gateway.filter.refuse(prefix)
        if reason is Reason.DEFAULT_ROUTE and session.settings.accept_default:
            return None
        return reason
