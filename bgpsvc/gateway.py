"""One VPN gateway: its Loc-RIB, its forwarding classes and what they want of the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2s

from bgpsvc.decide import Candidate
from bgpsvc.events import Advertisement
from bgpsvc.fib.ops import SetNexthop
from bgpsvc.fib.plan import Fib
from bgpsvc.model import Attributes, Family, Prefix, Role, SessionId, SwitchMode, pack_prefix
from bgpsvc.policy import PrefixFilter, denied_networks
from bgpsvc.resources import Intent
from bgpsvc.rib import ForwardingClass, LocRib
from bgpsvc.routing_policy import ExportRules
from bgpsvc.session import Session, SessionSettings
from bgpsvc.tunnels import Hop, Tunnel, choose

MED = {Role.ACTIVE: 100, Role.STANDBY: 200}
"""Outbound: the standby's announcements are worse, so that return traffic takes the same tunnel."""
LOCAL_PREF = {Role.ACTIVE: 200, Role.STANDBY: 100}

# Both halves of fib.ops.NEXTHOP_IDS: single nexthops, and groups.
NEXTHOP_BASE, GROUP_BASE, ID_BITS = 0x20000000, 0x28000000, 27


class Ids:
    """Nexthop and group ids that follow from what they stand for.

    A restarted daemon gives the same forwarding class the same id without having stored anything,
    so its routes in the kernel are still right. A collision of two hashes takes the next free id.
    """

    def __init__(self) -> None:
        self._taken: dict[int, str] = {}

    def allocate(self, base: int, key: str) -> int:
        """The id of a key; the same key has the same id as long as it is not released."""
        mask = (1 << ID_BITS) - 1
        offset = int.from_bytes(blake2s(key.encode(), digest_size=4).digest(), "big") & mask
        while self._taken.setdefault(base + offset, key) != key:
            offset = (offset + 1) & mask
        return base + offset

    def release(self, ident: int) -> None:
        """The id is free again."""
        self._taken.pop(ident, None)


Links = Mapping[str, tuple[int, bool]]
"""Interface name to ifindex and whether it is up."""


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
    ) -> None:
        self.name = name
        self._fib = fib
        self._ids = ids
        self._links = links
        self._sessions = sessions
        self._tunnels = tunnels
        self._modes = modes
        self.rib = LocRib(self._candidate, self._new_class, self._class_unused)
        self._classes_of: dict[SessionId, dict[ForwardingClass, None]] = {}
        self._hops: dict[Hop, tuple[int, int]] = {}
        """Hop to its nexthop id and how many classes use it."""
        self.connected: tuple[Prefix, ...] = ()
        self.configure(intent)
        self.table = fib.add_table(self.vpc.route_table, self.desired)
        self.table.desired = self.desired
        self.propagate = self.config.auto_propagate

    def configure(self, intent: Intent) -> None:
        """Take over the configuration (not `auto_propagate`, which the engine sets)."""
        self.config = intent.gateway(self.name)
        self.vpc = intent.vpc(self.config.vpc)
        self._advertised: dict[object, dict[Prefix, Advertisement]] = {}
        networks = {*self.vpc.cidrs, *self.config.advertise}
        self.local_prefixes = tuple(
            sorted(pack_prefix(n.network_address.packed, n.prefixlen) for n in networks)
        )
        self.vpc_prefixes = tuple(pack_prefix(n.network_address.packed, n.prefixlen) for n in self.vpc.cidrs)
        self.rebuild_filter()

    def rebuild_filter(self) -> None:
        """Compile the prefix filter from VPC, tunnel and connected networks."""
        tunnels = [
            p
            for s in self._sessions.values()
            if s.settings.gateway == self.name
            for p in s.settings.tunnel_cidrs
        ]
        self.filter = PrefixFilter(denied_networks(self.vpc_prefixes, tunnels, self.connected))

    # Loc-RIB callbacks ------------------------------------------------------------------------

    def _candidate(self, session: SessionId, attributes: Attributes) -> Candidate:
        return self._sessions[session].candidate(attributes)

    def _new_class(self, hops: tuple[Hop, ...]) -> ForwardingClass:
        key = "|".join(f"{hop.session} {hop.next_hop.hex()}" for hop in hops)
        forwarding = ForwardingClass(self._ids.allocate(GROUP_BASE, f"{self.name}|{key}"), hops)
        for hop in hops:
            self._classes_of.setdefault(hop.session, {})[forwarding] = None
            self._use_hop(hop)
        self._point(forwarding)
        return forwarding

    def _class_unused(self, forwarding: ForwardingClass) -> None:
        for hop in forwarding.hops:
            self._classes_of[hop.session].pop(forwarding, None)
            ident, uses = self._hops[hop]
            if uses > 1:
                self._hops[hop] = (ident, uses - 1)
            else:
                del self._hops[hop]
                self._ids.release(ident)
                self._fib.forget_nexthop(ident)
        self._ids.release(forwarding.ident)
        self._fib.drop_group(forwarding.ident)

    # Hops -------------------------------------------------------------------------------------

    def _use_hop(self, hop: Hop) -> None:
        ident, uses = self._hops.get(hop, (0, 0))
        if not uses:
            ident = self._ids.allocate(NEXTHOP_BASE, f"{self.name}|{hop.session} {hop.next_hop.hex()}")
            self._want(hop, ident)
        self._hops[hop] = (ident, uses + 1)

    def _want(self, hop: Hop, ident: int) -> None:
        ifindex, up = self._links.get(self._tunnels[hop.session].interface, (0, False))
        if not up:
            self._fib.want_nexthop(None, ident)
            return
        family = Family.IPV4 if len(hop.next_hop) == 4 else Family.IPV6
        self._fib.want_nexthop(SetNexthop(ident, family, ifindex, hop.next_hop), ident)

    def nexthop_ids(self, session: SessionId) -> list[int]:
        """Ids of the nexthops over the tunnel of a session."""
        return [ident for hop, (ident, _) in self._hops.items() if hop.session == session]

    def session_of(self, nexthop: int) -> SessionId | None:
        """Session over whose tunnel a nexthop leads; None for one of a former configuration."""
        return next((hop.session for hop, (ident, _) in self._hops.items() if ident == nexthop), None)

    def link_changed(self, session: SessionId) -> None:
        """The tunnel interface of a session came, went, or has another ifindex."""
        for hop, (ident, _) in self._hops.items():
            if hop.session == session:
                self._want(hop, ident)

    # Forwarding classes -----------------------------------------------------------------------

    def _choose(self, forwarding: ForwardingClass, modes: Mapping[str, SwitchMode]) -> Hop | None:
        return choose(forwarding.hops, self._tunnels.__getitem__, lambda c: modes.get(c, SwitchMode.AUTO))

    def _point(self, forwarding: ForwardingClass) -> None:
        chosen = forwarding.chosen = self._choose(forwarding, self._modes)
        if chosen is None:
            forwarding.target = (None, None)
            self._fib.want_group(forwarding.ident, None)
        else:
            spare = self.backup_hop(forwarding)
            forwarding.target = (forwarding.ident, None if spare is None else self._hops[spare][0])
            self._fib.want_group(forwarding.ident, self._hops[chosen][0])

    def repoint(self, sessions: Iterable[SessionId]) -> list[ForwardingClass]:
        """Choose again after these tunnels' states (or the operator's switch) changed.

        Returns the classes that lost their last usable hop or got a first one: their routes come or
        go, all others just follow their group.
        """
        appeared: list[ForwardingClass] = []
        classes = {c: None for session in sessions for c in self._classes_of.get(session, ())}
        for forwarding in classes:
            before = forwarding.chosen
            self._point(forwarding)
            if (before is None) != (forwarding.chosen is None):
                appeared.append(forwarding)
        return appeared

    def moved_by(self, connection: str, modes: Mapping[str, SwitchMode]) -> tuple[int, int]:
        """How many prefixes and groups other switch modes would move."""
        prefixes = groups = 0
        sessions = [s.id for s in self._sessions.values() if s.settings.connection == connection]
        for forwarding in {c: None for s in sessions for c in self._classes_of.get(s, ())}:
            if self._choose(forwarding, modes) != forwarding.chosen:
                groups += 1
                prefixes += forwarding.count
        return prefixes, groups

    def desired(self, prefix: Prefix) -> tuple[int | None, int | None]:
        """Group of the primary route and nexthop of the floating backup (see fib.plan)."""
        paths = self.rib.routes.get(prefix)
        if paths is None or not self.propagate:
            return None, None
        return paths.forwarding.target

    def backup_hop(self, forwarding: ForwardingClass) -> Hop | None:
        """The hop of the floating backup route, None if all hops share one interface."""
        first = self._tunnels[forwarding.hops[0].session].interface
        for hop in forwarding.hops[1:]:
            if self._tunnels[hop.session].interface != first:
                return hop
        return None

    # Advertisements ---------------------------------------------------------------------------

    def advertisements(self, session: SessionSettings) -> Mapping[Prefix, Advertisement]:
        """What is to be advertised on a session: the VPC's CIDRs and published routes, or nothing."""
        if not self.propagate:
            return {}
        policy = session.export_policy
        told_apart = session.id if policy is not None and policy.names_sessions else None
        kind = (session.role, session.ebgp, session.families, policy, told_apart)
        found = self._advertised.get(kind)
        if found is None:
            found = self._advertised[kind] = self._advertise(session)
        return found

    def _advertise(self, session: SessionSettings) -> dict[Prefix, Advertisement]:
        plain = Advertisement(
            med=MED[session.role], local_pref=None if session.ebgp else LOCAL_PREF[session.role]
        )
        sizes = {5 if family is Family.IPV4 else 17 for family in session.families}
        prefixes = [p for p in self.local_prefixes if len(p) in sizes]
        if session.export_policy is None:
            return dict.fromkeys(prefixes, plain)
        rules = ExportRules(session.export_policy, session.id, session.ebgp, plain)
        shaped = ((prefix, rules.advertisement(prefix)) for prefix in prefixes)
        return {prefix: what for prefix, what in shaped if what is not None}
