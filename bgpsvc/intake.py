"""Intake: what a session announces goes through policy into its Adj-RIB-In and its gateway's Loc-RIB.

Every path that a session has announced and not withdrawn is in exactly one place: accepted and fresh,
accepted and stale, refused by policy, or shed over the maximum number of prefixes. Only accepted
ones are in the Loc-RIB.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice

from bgpsvc.bulk import discard, grouped
from bgpsvc.effects import Effect, Log, Refresh, Reset
from bgpsvc.events import Announced, Withdrawn
from bgpsvc.gateway import Gateway
from bgpsvc.jobs import pieces
from bgpsvc.model import Attributes, Family, Prefix, Reason, SessionId
from bgpsvc.policy import Judgement, Weighed
from bgpsvc.rib import AdjRibIn
from bgpsvc.session import Session
from bgpsvc.tunnels import Tunnel, TunnelState

CEASE_MAX_PREFIXES = 1
"""RFC 4486: Maximum Number of Prefixes Reached."""
JUDGED_AT_ONCE = 500
"""Prefixes of one piece of work; another policy may make other attributes, and a decision, of each."""


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
        weighed = session.weigh(event.attributes)
        if weighed.refused is not None:
            self._refuse(gateway, session, [(p, weighed.refused) for p in event.prefixes], event)
            return
        # A peer may name a prefix twice in one UPDATE.
        prefixes = dict.fromkeys(event.prefixes, event.attributes)
        if self._all_accepted(gateway, session, prefixes, weighed):
            self._accept(gateway, session, prefixes)
            gateway.table.mark(gateway.rib.update(session.id, weighed.uniform, prefixes))
            return
        accepted, apart, refused = self._sort(gateway, session, prefixes, weighed)
        self._accept(gateway, session, accepted)
        self._install(gateway, session, apart)
        if refused:
            self._refuse(gateway, session, refused, event)

    @staticmethod
    def _all_accepted(
        gateway: Gateway, session: Session, prefixes: Mapping[Prefix, Attributes], weighed: Weighed
    ) -> bool:
        """True only if policy, filter and maximum let all prefixes pass; False says nothing."""
        room = session.settings.max_prefixes - len(session.adj.fresh)
        return weighed.uniform is not None and len(prefixes) <= room and gateway.filter.passes(prefixes)

    @staticmethod
    def _accept(gateway: Gateway, session: Session, prefixes: Mapping[Prefix, Attributes]) -> None:
        """Put paths into the Adj-RIB-In, and out of where they were before."""
        adj = session.adj
        adj.fresh.update(prefixes)
        for others in (adj.stale, adj.refused, adj.shed):
            if others:
                discard(others, prefixes)

    @staticmethod
    def _sort(
        gateway: Gateway, session: Session, prefixes: Mapping[Prefix, Attributes], weighed: Weighed
    ) -> tuple[dict[Prefix, Attributes], list[tuple[Prefix, Attributes]], list[tuple[Prefix, Reason]]]:
        """The accepted paths as received, and as import made them; the refused prefixes."""
        fresh = session.adj.fresh
        refuse = gateway.filter.refuse
        uniform = weighed.uniform
        room = session.settings.max_prefixes - len(fresh)
        accepted: dict[Prefix, Attributes] = {}
        apart: list[tuple[Prefix, Attributes]] = []
        refused: list[tuple[Prefix, Reason]] = []
        for prefix, attributes in prefixes.items():
            reason, made = refuse(prefix), uniform
            if reason is Reason.DEFAULT_ROUTE or (reason is None and made is None):
                judgement = weighed.judge(prefix, reason)
                reason, made = judgement.reason, judgement.attributes
            if reason is None and prefix not in fresh:
                room -= 1
                if room < 0:
                    reason = Reason.MAX_PREFIXES
            if reason is not None:
                refused.append((prefix, reason))
            elif made is not None:
                accepted[prefix] = attributes
                apart.append((prefix, made))
        return accepted, apart, refused

    @staticmethod
    def _install(gateway: Gateway, session: Session, paths: Iterable[tuple[Prefix, Attributes]]) -> None:
        """Give the Loc-RIB paths as import made them; those that share their attributes in one go."""
        groups: dict[int, tuple[Attributes, list[Prefix]]] = {}
        for prefix, made in paths:
            groups.setdefault(id(made), (made, []))[1].append(prefix)
        for made, prefixes in groups.values():
            gateway.table.mark(gateway.rib.update(session.id, made, prefixes))

    def _refuse(
        self, gateway: Gateway, session: Session, refused: list[tuple[Prefix, Reason]], event: Announced
    ) -> None:
        prefixes = [prefix for prefix, _ in refused]
        self.withdraw(gateway, session, prefixes)
        self.purge_orphans(gateway, prefixes)
        for prefix, reason in refused:
            if reason is Reason.MAX_PREFIXES:
                self._shed(session, prefix, event.attributes)
            elif len(session.adj.refused) < session.settings.max_prefixes:
                session.adj.refused[prefix] = (event.attributes, reason)
            else:
                session.adj.forgotten += 1
        if session.over_limit and len(session.adj.fresh) < session.settings.max_prefixes:
            self.readmit(gateway, session)  # what was accepted before and is refused now left room

    def _over_limit(self, session: Session) -> None:
        if session.over_limit:
            return
        session.over_limit = True
        limit = session.settings.max_prefixes
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
        once = dict.fromkeys(prefixes)
        for paths in (adj.fresh, adj.stale, adj.refused, adj.shed):
            if paths:
                discard(paths, once)
        gateway.rib.version += 1
        gateway.table.mark(gateway.rib.update(session.id, None, once))

    def readmit(self, gateway: Gateway, session: Session) -> None:
        """Room below the maximum: take shed paths in, or ask for those that were forgotten."""
        adj = session.adj
        if not session.over_limit:
            return
        limit = session.settings.max_prefixes
        room = limit - len(adj.fresh)
        admitted: list[tuple[Prefix, Attributes]] = []
        while adj.shed and len(admitted) < room:
            for prefix in list(islice(adj.shed, room - len(admitted))):
                attributes = adj.shed.pop(prefix)
                # It was shed before the policy last changed, perhaps.
                judgement = self._judge(gateway, session, prefix, attributes)
                if judgement.attributes is not None:
                    adj.fresh[prefix] = attributes
                    admitted.append((prefix, judgement.attributes))
                elif judgement.reason is not None:
                    adj.refused[prefix] = (attributes, judgement.reason)
        self._install(gateway, session, admitted)
        if adj.shed or (adj.forgotten and len(adj.fresh) == limit):
            return
        session.over_limit = False
        text = "not over the maximum number of prefixes any more"
        self._outbox.append(Log("session.prefix_limit", "info", session.id, text, {"limit": limit}))
        if adj.forgotten and session.established:
            adj.forgotten = 0
            self._outbox.append(Refresh(session.id))

    def purge_orphans(self, gateway: Gateway, prefixes: Collection[Prefix]) -> None:
        """Remove stale paths that may not be used and that no usable path of another session backs."""
        losers = [
            s
            for s in self._sessions.values()
            if s.adj.stale and not s.keep_stale and s.settings.gateway == gateway.name
        ]
        if not losers:
            return
        orphans: dict[SessionId, list[Prefix]] = {s.id: [] for s in losers}
        for paths, members in grouped(prefixes, map(gateway.rib.routes.get, prefixes)).items():
            unbacked = members if paths is not None else ()
            for ident in paths.paths if paths is not None else ():
                unbacked = self._unbacked(self._sessions[ident], unbacked)
            for session in losers if unbacked else ():
                orphans[session.id] += [p for p in unbacked if p in session.adj.stale]
        for session in losers:
            if orphans[session.id]:
                self.withdraw(gateway, session, orphans[session.id])

    def _unbacked(self, session: Session, prefixes: Collection[Prefix]) -> Collection[Prefix]:
        """Those of the prefixes to which traffic may not take this session's tunnel now."""
        if self._tunnels[session.id].state is TunnelState.DOWN:
            return prefixes
        fresh, stale = session.adj.fresh, session.adj.stale if session.keep_stale else ()
        return [p for p in prefixes if p not in fresh and p not in stale]

    def purge(self, session: Session) -> Iterator[None]:
        """Remove the session's stale paths that nobody backs, in bounded pieces."""
        for piece in pieces(list(session.adj.stale)):
            # Whatever happened meanwhile, what is an orphan now must go; but not of a removed session.
            gateway = self._gateways.get(session.settings.gateway)
            if gateway is None or self._sessions.get(session.id) is not session or session.keep_stale:
                return
            self.purge_orphans(gateway, piece)
            yield

    def clear_out(
        self, gateway: Gateway, session: SessionId, departure: int, adj: AdjRibIn
    ) -> Iterator[None]:
        """Forget the paths of a removed session, and what they backed, in bounded pieces.

        Its name may be another's by now, whose paths stay.
        """
        for piece in pieces([*adj.fresh, *adj.stale]):
            if self._gateways.get(gateway.name) is not gateway:
                return
            gateway.rib.version += 1
            gateway.table.mark(gateway.rib.cleanse(piece))
            self.purge_orphans(gateway, piece)
            yield
        gateway.rib.left(session, departure)

    def sweep(self, session: Session, family: Family) -> Iterator[None]:
        """Remove the session's stale paths of a family, in bounded pieces."""
        gateway = self._gateways[session.settings.gateway]
        for piece in pieces(session.adj.stale_of(family)):
            still = [prefix for prefix in piece if prefix in session.adj.stale]
            self.withdraw(gateway, session, still)
            self.purge_orphans(gateway, still)
            yield

    def refilter(self, gateway: Gateway) -> Iterator[None]:
        """The policy changed: judge everything again, in bounded pieces.

        What arrives meanwhile is judged by the new policy, so that each piece only looks at what is there
        when its turn comes. If the policy has changed again when this begins, that change does the work.
        """
        return self._refilter(gateway, gateway.judged_by)

    def _refilter(self, gateway: Gateway, judged_by: object) -> Iterator[None]:
        if gateway.judged_by is not judged_by:
            return
        for session in [s for s in self._sessions.values() if s.settings.gateway == gateway.name]:
            yield from self._refilter_session(gateway, session)

    def _refilter_session(self, gateway: Gateway, session: Session) -> Iterator[None]:
        for piece in pieces([*session.adj.fresh, *session.adj.stale], JUDGED_AT_ONCE):
            if not self._current(gateway, session):
                return
            self._judge_accepted(gateway, session, piece)
            yield
        for piece in pieces(list(session.adj.refused), JUDGED_AT_ONCE):
            if not self._current(gateway, session):
                return
            self._judge_refused(gateway, session, piece)
            yield
        if self._current(gateway, session):
            self.readmit(gateway, session)
            self._recall(session)

    def _current(self, gateway: Gateway, session: Session) -> bool:
        return self._gateways.get(gateway.name) is gateway and self._sessions.get(session.id) is session

    def _recall(self, session: Session) -> None:
        """Refused paths that were too many to remember may be acceptable now: ask for them again."""
        adj = session.adj
        if not adj.forgotten or session.over_limit or not session.established:
            return
        if session.negotiated is not None and session.negotiated.route_refresh:
            adj.forgotten = 0
            self._outbox.append(Refresh(session.id))
            return
        # To hear everything again the session would have to go, which no policy is worth.
        text = (
            f"{adj.forgotten} refused paths were not kept and are not judged again: the peer cannot refresh"
        )
        self._outbox.append(Log("session.error", "warning", session.id, text, {"paths": adj.forgotten}))

    def _judge_accepted(self, gateway: Gateway, session: Session, prefixes: Iterable[Prefix]) -> None:
        adj = session.adj
        kept: list[tuple[Prefix, Attributes]] = []
        gone: list[tuple[Prefix, Attributes, Reason]] = []
        for prefix in prefixes:
            attributes = adj.get(prefix)
            if attributes is None:
                continue  # withdrawn meanwhile
            judgement = self._judge(gateway, session, prefix, attributes)
            if judgement.attributes is not None:
                kept.append((prefix, judgement.attributes))
            elif judgement.reason is not None:
                gone.append((prefix, attributes, judgement.reason))
        self._install(gateway, session, kept)
        if gone:
            # A stale path that is refused is not kept: it is judged when the peer announces it again.
            refused = {p: (attributes, reason) for p, attributes, reason in gone if p in adj.fresh}
            leaving = [prefix for prefix, _, _ in gone]
            self.withdraw(gateway, session, leaving)
            adj.refused.update(refused)
            self.purge_orphans(gateway, leaving)

    def _judge_refused(self, gateway: Gateway, session: Session, prefixes: Iterable[Prefix]) -> None:
        adj = session.adj
        admitted: list[tuple[Prefix, Attributes]] = []
        for prefix in prefixes:
            if prefix not in adj.refused:
                continue
            attributes, _ = adj.refused.pop(prefix)
            judgement = self._judge(gateway, session, prefix, attributes)
            if judgement.reason is not None:
                adj.refused[prefix] = (attributes, judgement.reason)
            elif len(adj.fresh) >= session.settings.max_prefixes:
                self._shed(session, prefix, attributes)
            elif judgement.attributes is not None:
                adj.fresh[prefix] = attributes
                admitted.append((prefix, judgement.attributes))
        gateway.rib.moves += 1  # some may fit nowhere any more
        gateway.rib.note(session.id, [p for p in prefixes if p not in adj.refused and p not in adj.fresh])
        self._install(gateway, session, admitted)

    def _shed(self, session: Session, prefix: Prefix, attributes: Attributes) -> None:
        if len(session.adj.shed) < session.settings.max_prefixes:
            session.adj.shed[prefix] = attributes
        else:
            session.adj.forgotten += 1
        self._over_limit(session)

    @staticmethod
    def _judge(gateway: Gateway, session: Session, prefix: Prefix, attributes: Attributes) -> Judgement:
        return session.weigh(attributes).judge(prefix, gateway.filter.refuse(prefix))
