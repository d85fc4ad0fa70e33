"""One VPN gateway: its Loc-RIB, its forwarding classes and what they want of the kernel."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from bgpsvc.bulk import grouped
from bgpsvc.decide import Candidate
from bgpsvc.events import Advertisement
from bgpsvc.fib.plan import Fib
from bgpsvc.fib.table import NOTHING, Target
from bgpsvc.forwarding import Forwarding, Links
from bgpsvc.ids import Ids, TableNumbers
from bgpsvc.model import (
    GRACEFUL_SHUTDOWN,
    Attributes,
    Family,
    Prefix,
    Role,
    SessionId,
    SwitchMode,
    pack_prefix,
    session_id,
)
from bgpsvc.policy import PrefixFilter, denied_networks
from bgpsvc.resources import Intent
from bgpsvc.rib import LocRib
from bgpsvc.routing_policy import ExportRules
from bgpsvc.session import Session, SessionSettings
from bgpsvc.statics import RouteIndex, StaticRoutes
from bgpsvc.tunnels import Tunnel

MED = {Role.ACTIVE: 100, Role.STANDBY: 200}
"""Outbound: the standby's announcements are worse, so that return traffic takes the same tunnel."""
LOCAL_PREF = {Role.ACTIVE: 200, Role.STANDBY: 100}
MED_DRAINED = 300
LOCAL_PREF_DRAINED = 0
"""On a tunnel that the operator took out of use: with GRACEFUL_SHUTDOWN (RFC 8326), so that return traffic
leaves it too, whether the peer knows that community or compares MED."""


class Gateway:
    """State of one VPN gateway. The engine drives it; it talks to the FIB alone."""

    def __init__(
        self,
        intent: Intent,
        name: str,
        fib: Fib,
        ids: Ids,
        links: Links,
        sessions: Mapping[SessionId, Session],
        tunnels: Mapping[SessionId, Tunnel],
        modes: Mapping[str, SwitchMode],
        numbers: TableNumbers,
        index: RouteIndex | None = None,
    ) -> None:
        self.name = name
        self._sessions = sessions
        self._tunnels = tunnels
        self._modes = modes
        self.forwarding = Forwarding(name, fib, ids, links, tunnels, modes)
        classes = self.forwarding
        self.rib = LocRib(self._candidate, classes.learned_class, classes.part, classes.drop)
        self.connected: tuple[Prefix, ...] = ()
        self.judged_by: object = None
        """What `judging` was when everything received was last judged, or is being judged by."""
        self.vpc = intent.vpc(intent.gateway(name).vpc)
        self.table = fib.add_table(self.vpc.route_table, self.targets)
        self.statics = StaticRoutes(name, fib, self.forwarding, tunnels, numbers, self.table.mark)
        self.configure(intent, index)
        self.propagate = self.config.auto_propagate

    def configure(self, intent: Intent, index: RouteIndex | None = None) -> None:
        """Take over the configuration (not `auto_propagate`, which the engine sets).

        `index`: of the intent, for those who configure many gateways by it.
        """
        index = index or intent.once(RouteIndex)
        self._tunnel_ids = [
            session_id(connection.name, number)
            for connection in intent.connections_of(self.name)
            for number in range(1, len(connection.tunnels) + 1)
        ]
        self.config = intent.gateway(self.name)
        self.vpc = intent.vpc(self.config.vpc)
        self._advertised: dict[object, dict[Prefix, Advertisement]] = {}
        custom = (route.destination for route in index.custom(self.vpc.name) if route.advertise)
        networks = {*self.vpc.cidrs, *self.config.advertise, *custom}
        self.local_prefixes = tuple(
            sorted(pack_prefix(n.network_address.packed, n.prefixlen) for n in networks)
        )
        self.vpc_prefixes = tuple(pack_prefix(n.network_address.packed, n.prefixlen) for n in self.vpc.cidrs)
        self.rebuild_filter()
        self.statics.configure(self.vpc.name, index)

    def rebuild_filter(self) -> None:
        """Compile the prefix filter from VPC, tunnel and connected networks."""
        tunnels = [p for i in self._tunnel_ids if i in self._tunnels for p in self._tunnels[i].settings.cidrs]
        self.filter = PrefixFilter(denied_networks(self.vpc_prefixes, tunnels, self.connected))

    def judging(self) -> object:
        """Everything that import judges by: while it is equal, so are the judgements."""
        settings = [s.settings for s in self._sessions.values() if s.settings.gateway == self.name]
        sessions = {s.id: (s.policy, s.accept_default, s.import_policy) for s in settings}
        return self.filter.denied, sessions

    # Loc-RIB callbacks ------------------------------------------------------------------------

    def _candidate(self, session: SessionId, attributes: Attributes) -> Candidate:
        return self._sessions[session].candidate(attributes)

    # What the kernel should hold ---------------------------------------------------------------

    def desired(self, prefix: Prefix) -> tuple[int | None, int | None]:
        """Group of the primary route and nexthop of the floating backup (see fib.plan).

        A published static route comes before a learned one while a tunnel of its connection lives.
        """
        if prefix in self.statics.published:
            target = self.statics.published[prefix].target
            if target[0] is not None:
                return target
        paths = self.rib.routes.get(prefix)
        if paths is None or not self.propagate:
            return None, None
        return paths.forwarding.target

    def targets(self, prefixes: Sequence[Prefix]) -> Mapping[Target, Collection[Prefix]]:
        """Many prefixes by what `desired` says of each."""
        if not self.statics.published.keys().isdisjoint(prefixes):
            return grouped(prefixes, map(self.desired, prefixes))
        if not self.propagate:
            return {NOTHING: prefixes}
        found = list(map(self.rib.routes.get, prefixes))
        targets = {paths: NOTHING if paths is None else paths.forwarding.target for paths in set(found)}
        if len(set(targets.values())) == 1:
            return {targets[found[0]]: prefixes}
        return grouped(prefixes, map(targets.__getitem__, found))

    def session_of(self, nexthop: int) -> SessionId | None:
        """The tunnel over which a nexthop leads; None for one of a former configuration."""
        return self.forwarding.session_of(nexthop)

    def moved_by(self, connection: str, modes: Mapping[str, SwitchMode]) -> tuple[int, int]:
        """How many prefixes and groups other switch modes would move, static ones included."""
        return self.forwarding.moved_by(connection, modes)

    # Advertisements ---------------------------------------------------------------------------

    def advertisements(self, session: SessionSettings) -> Mapping[Prefix, Advertisement]:
        """What is to be advertised on a session: the VPC's CIDRs and published routes, or nothing."""
        if not self.propagate:
            return {}
        policy = session.export_policy
        told_apart = session.id if policy is not None and policy.names_sessions else None
        drained = self._modes.get(session.connection, SwitchMode.AUTO).avoids(session.role)
        kind = (session.role, session.ebgp, session.families, policy, told_apart, drained)
        found = self._advertised.get(kind)
        if found is None:
            found = self._advertised[kind] = self._advertise(session, drained)
        return found

    def _advertise(self, session: SessionSettings, drained: bool) -> dict[Prefix, Advertisement]:
        local_pref = LOCAL_PREF_DRAINED if drained else LOCAL_PREF[session.role]
        plain = Advertisement(
            med=MED_DRAINED if drained else MED[session.role],
            local_pref=None if session.ebgp else local_pref,
            communities=(GRACEFUL_SHUTDOWN,) if drained else (),
        )
        sizes = {5 if family is Family.IPV4 else 17 for family in session.families}
        prefixes = [p for p in self.local_prefixes if len(p) in sizes]
        if session.export_policy is None:
            return dict.fromkeys(prefixes, plain)
        rules = ExportRules(session.export_policy, session.id, session.ebgp, plain)
        shaped = ((prefix, rules.advertisement(prefix)) for prefix in prefixes)
        return {prefix: what for prefix, what in shaped if what is not None}
