"""Forwarding classes of one VPN gateway and what they want of the kernel: nexthops, and a group for each.

Learned and static routes share it: both are lists of hops, of which the group points at the first that can
be used. The routes themselves are none of its business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from bgpsvc.fib.ops import SetNexthop
from bgpsvc.fib.plan import Fib
from bgpsvc.fib.table import NOTHING
from bgpsvc.ids import GROUP_BASE, NEXTHOP_BASE, Ids
from bgpsvc.model import Family, SessionId, SwitchMode
from bgpsvc.rib import ForwardingClass
from bgpsvc.tunnels import Hop, Tunnel, choose, tunnels_of

Links = Mapping[str, tuple[int, bool]]
"""Interface name to ifindex and whether it is up."""


class StaticClass(ForwardingClass):
    """The forwarding class of static routes: it leaves out tunnels whose health check revokes them."""

    __slots__ = ()


class Forwarding:
    """The forwarding classes of a gateway."""

    def __init__(
        self,
        owner: str,
        fib: Fib,
        ids: Ids,
        links: Links,
        tunnels: Mapping[SessionId, Tunnel],
        modes: Mapping[str, SwitchMode],
    ) -> None:
        self._owner = owner
        self._fib = fib
        self._ids = ids
        self._links = links
        self._tunnels = tunnels
        self._modes = modes
        self._classes_of: dict[SessionId, dict[ForwardingClass, None]] = {}
        self._altered: dict[int, ForwardingClass | None] = {}
        self._hops: dict[Hop, tuple[int, int]] = {}
        """Hop to its nexthop id and how many classes use it."""
        self.observer: Callable[[], None] | None = None
        """Hears that prefixes lead elsewhere although their paths are the same."""

    # Classes ----------------------------------------------------------------------------------

    def learned_class(self, hops: tuple[Hop, ...]) -> ForwardingClass:
        """A class of learned routes with these hops, in order of preference."""
        return self._begin(ForwardingClass(self._group(f"{self._owner}|{_key(hops)}"), hops))

    def static_class(self, hops: tuple[Hop, ...]) -> StaticClass:
        """A class of static routes with these hops, in order of preference."""
        made = StaticClass(self._group(f"{self._owner}|static|{_key(hops)}"), hops)
        self._begin(made)
        return made

    def _group(self, key: str) -> int:
        return self._ids.allocate(GROUP_BASE, key)

    def _begin(self, forwarding: ForwardingClass) -> ForwardingClass:
        for hop in forwarding.hops:
            self._classes_of.setdefault(hop.session, {})[forwarding] = None
            self._use_hop(hop)
        self._point(forwarding)
        return forwarding

    def drop(self, forwarding: ForwardingClass) -> None:
        """Nothing uses the class any more."""
        for hop in forwarding.hops:
            self._leave_hop(forwarding, hop)
        self._ids.release(forwarding.ident)
        self._fib.drop_group(forwarding.ident)
        self._altered[forwarding.ident] = None

    def part(self, forwarding: ForwardingClass, session: SessionId) -> bool:
        """A tunnel is removed: the class leads to its other hops at once, and never again to this one.

        False if it has no others: then it is dropped, and its routes are wanted no more.
        """
        left = tuple(hop for hop in forwarding.hops if hop.session != session)
        if not left:
            self.drop(forwarding)
            forwarding.hops, forwarding.chosen, forwarding.target = (), None, NOTHING
            return False
        for hop in forwarding.hops:
            if hop.session == session:
                self._leave_hop(forwarding, hop)
        forwarding.hops = left
        # A tunnel of that name may come back before the class is gone, and then have one with these hops.
        self._ids.disown(forwarding.ident)
        self._point(forwarding)
        return True

    def _leave_hop(self, forwarding: ForwardingClass, hop: Hop) -> None:
        self._classes_of[hop.session].pop(forwarding, None)
        ident, uses = self._hops[hop]
        if uses > 1:
            self._hops[hop] = (ident, uses - 1)
        else:
            del self._hops[hop]
            self._ids.release(ident)
            self._fib.forget_nexthop(ident)

    # Hops -------------------------------------------------------------------------------------

    def _use_hop(self, hop: Hop) -> None:
        ident, uses = self._hops.get(hop, (0, 0))
        if not uses:
            ident = self._ids.allocate(NEXTHOP_BASE, f"{self._owner}|{hop.session} {hop.next_hop.hex()}")
            self._want(hop, ident)
        self._hops[hop] = (ident, uses + 1)

    def _want(self, hop: Hop, ident: int) -> None:
        ifindex, up = self._links.get(self._tunnels[hop.session].interface, (0, False))
        if not up:
            self._fib.want_nexthop(None, ident)
            return
        family = Family.IPV4 if len(hop.next_hop) == 4 else Family.IPV6
        gateway = hop.next_hop if any(hop.next_hop) else None
        self._fib.want_nexthop(SetNexthop(ident, family, ifindex, gateway), ident)

    def nexthop_ids(self, session: SessionId) -> list[int]:
        """Ids of the nexthops over a tunnel."""
        return [ident for hop, (ident, _) in self._hops.items() if hop.session == session]

    def session_of(self, nexthop: int) -> SessionId | None:
        """The tunnel over which a nexthop leads; None for one of a former configuration."""
        return next((hop.session for hop, (ident, _) in self._hops.items() if ident == nexthop), None)

    def link_changed(self, session: SessionId) -> None:
        """The interface of a tunnel came, went, or has another ifindex."""
        for hop, (ident, _) in self._hops.items():
            if hop.session == session:
                self._want(hop, ident)

    # The choice -------------------------------------------------------------------------------

    def _allowed(self, forwarding: ForwardingClass) -> tuple[Hop, ...]:
        if isinstance(forwarding, StaticClass):
            return tuple(hop for hop in forwarding.hops if not self._tunnels[hop.session].revoked)
        return forwarding.hops

    def _choose(self, forwarding: ForwardingClass, modes: Mapping[str, SwitchMode]) -> Hop | None:
        return self._first(self._allowed(forwarding), modes)

    def _first(self, hops: tuple[Hop, ...], modes: Mapping[str, SwitchMode]) -> Hop | None:
        return choose(hops, self._tunnels.__getitem__, lambda c: modes.get(c, SwitchMode.AUTO))

    def altered(self) -> Mapping[int, ForwardingClass | None]:
        """Groups that were pointed anew since the last call, by id; None: dropped."""
        altered, self._altered = self._altered, {}
        return altered

    def candidates(self, forwarding: ForwardingClass) -> tuple[tuple[int, SessionId, bool], ...]:
        """Where traffic of the class may go: nexthop id, tunnel, and whether that is usable now.

        The present choice is first; each next one is what would be chosen if the tunnels before it died.
        Those that cannot be used now are last, in order of preference. One nexthop for each tunnel.
        """
        left = self._allowed(forwarding)
        found: list[tuple[int, SessionId, bool]] = []
        while (hop := self._first(left, self._modes)) is not None:
            found.append((self._hops[hop][0], hop.session, True))
            left = tuple(other for other in left if other.session != hop.session)
        unusable = {hop.session: hop for hop in reversed(left)}
        found += [(self._hops[h][0], h.session, False) for h in left if unusable[h.session] is h]
        return tuple(found)

    def _point(self, forwarding: ForwardingClass) -> None:
        self._altered[forwarding.ident] = forwarding
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
        moved = False
        for forwarding in classes:
            before = forwarding.chosen
            self._point(forwarding)
            moved = moved or before != forwarding.chosen
            if (before is None) != (forwarding.chosen is None):
                appeared.append(forwarding)
        if moved and self.observer is not None:
            self.observer()
        return appeared

    def moved_by(self, connection: str, modes: Mapping[str, SwitchMode]) -> tuple[int, int]:
        """How many prefixes and groups other switch modes would move."""
        prefixes = groups = 0
        sessions = [t.session for t in tunnels_of(self._tunnels, connection)]
        for forwarding in {c: None for s in sessions for c in self._classes_of.get(s, ())}:
            if self._choose(forwarding, modes) != forwarding.chosen:
                groups += 1
                prefixes += forwarding.count
        return prefixes, groups

    def moved_without(self, session: SessionId) -> dict[SessionId | None, int]:
        """Prefixes that lead over this tunnel, by where they would lead without it (None: nowhere)."""
        fates: dict[SessionId | None, int] = {}
        for forwarding in self._classes_of.get(session, ()):
            if forwarding.chosen is None or forwarding.chosen.session != session:
                continue
            left = tuple(hop for hop in self._allowed(forwarding) if hop.session != session)
            hop = self._first(left, self._modes)
            fate = None if hop is None else hop.session
            fates[fate] = fates.get(fate, 0) + forwarding.count
        return fates

    def backup_hop(self, forwarding: ForwardingClass) -> Hop | None:
        """The hop of the floating backup route, None if all hops share one interface."""
        first = self._tunnels[forwarding.hops[0].session].interface
        for hop in forwarding.hops[1:]:
            if self._tunnels[hop.session].interface != first:
                return hop
        return None


def _key(hops: tuple[Hop, ...]) -> str:
    return "|".join(f"{hop.session} {hop.next_hop.hex()}" for hop in hops)
