"""Routing information bases (RFC 4271 3.2).

`AdjRibIn` keeps what one session announced, `LocRib` what a gateway makes of all its sessions.
Both share three ideas that keep a million prefixes small and fast:

- Attributes are interned, and so is the *set of paths* of a prefix (`PathSet`): the decision, its
  explanation and the forwarding class are computed once per distinct set, not once per prefix.
- One UPDATE is one call; per prefix it costs two dictionary operations.
- Staleness is a dictionary of its own. When a session restarts, its table becomes the stale one
  in a single assignment, and each announcement moves a prefix back.

A session that is removed leaves in one small step (`LocRib.leave`): its paths are void from then on, no
class leads over it, and the path sets that still name it are replaced in the background (`LocRib.cleanse`).
One of the same name may come back meanwhile: what is void follows from when a path set was made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from bgpsvc.bulk import Arrivals, discard, grouped
from bgpsvc.decide import Candidate, Ranked, decide
from bgpsvc.model import Attributes, Family, Prefix, Reason, SessionId, prefix_family
from bgpsvc.tunnels import Hop

RoutesChanged = Callable[[SessionId | None, tuple[Prefix, ...]], None]
"""Told that a session's paths to prefixes may be others from now on: received, accepted, or neither."""


@dataclass(slots=True)
class AdjRibIn:
    """Paths of one session after import policy, and the refused ones beside them.

    `shed` holds paths beyond the maximum number of prefixes, itself bounded by that maximum; what
    did not fit even there is only counted in `forgotten` and comes back by route refresh.
    """

    fresh: dict[Prefix, Attributes] = field(default_factory=dict)
    stale: dict[Prefix, Attributes] = field(default_factory=dict)
    refused: dict[Prefix, tuple[Attributes, Reason]] = field(default_factory=dict)
    shed: dict[Prefix, Attributes] = field(default_factory=dict)
    forgotten: int = 0

    def mark_stale(self) -> None:
        """Everything announced so far must be announced again or will be swept."""
        if self.stale:
            self.stale.update(self.fresh)
        else:
            self.stale = self.fresh
        self.fresh = {}
        self.refused = {}
        self.shed = {}
        self.forgotten = 0

    def get(self, prefix: Prefix) -> Attributes | None:
        """The accepted path to a prefix, fresh or stale."""
        return self.fresh.get(prefix) or self.stale.get(prefix)

    def stale_of(self, family: Family) -> list[Prefix]:
        """The stale prefixes of a family."""
        return [prefix for prefix in self.stale if prefix_family(prefix) is family]


class ForwardingClass:
    """All prefixes with the same ordered hops. `count` of them; traffic takes `chosen`.

    `ident` is the id of its kernel nexthop group, `target` what a route of the class should name in
    the kernel: the group and the nexthop of the floating backup, or nothing while no hop is usable.
    """

    __slots__ = ("chosen", "count", "hops", "ident", "target")

    def __init__(self, ident: int, hops: tuple[Hop, ...]) -> None:
        self.ident = ident
        self.hops = hops
        self.count = 0
        self.chosen: Hop | None = None
        self.target: tuple[int | None, int | None] = (None, None)


class PathSet:
    """The paths that a prefix has, with the decision over them. Interned; `count` prefixes share it.

    `departures` is the Loc-RIB's: session to the number of its last departure. Paths of sessions that left
    after the set was made (`born`: how many had left by then) are in neither `paths` nor `ranked`.
    """

    __slots__ = ("_departures", "_paths", "_ranked", "born", "count", "forwarding", "key")

    def __init__(
        self, key: frozenset[tuple[SessionId, Attributes]], born: int, departures: Mapping[SessionId, int]
    ) -> None:
        self.key = key
        self.born = born
        self._departures = departures
        self._paths: Mapping[SessionId, Attributes] = dict(key)
        self._ranked: tuple[Ranked, ...] = ()
        self.forwarding: ForwardingClass
        self.count = 0

    def decided(self, ranked: tuple[Ranked, ...], forwarding: ForwardingClass) -> None:
        """Take over the outcome of a decision over all paths."""
        self._ranked = ranked
        self.forwarding = forwarding

    def _void(self, session: SessionId) -> bool:
        return self._departures.get(session, 0) > self.born

    @property
    def outlived(self) -> bool:
        """A session of it left since it was made."""
        return bool(self._departures) and any(map(self._void, self._paths))

    @property
    def paths(self) -> Mapping[SessionId, Attributes]:
        """Session to its path's attributes."""
        if not self.outlived:
            return self._paths
        return {session: a for session, a in self._paths.items() if not self._void(session)}

    @property
    def ranked(self) -> tuple[Ranked, ...]:
        """The paths in order of preference."""
        if not self.outlived:
            return self._ranked
        return tuple(r for r in self._ranked if not self._void(r.candidate.session))


class LocRib:
    """The Loc-RIB of a gateway: every prefix with its ordered paths and its forwarding class.

    `part` takes a removed session's hops from a class, and says whether any are left; a class without hops
    has nothing in the kernel, and is not told to `class_unused`.
    """

    def __init__(
        self,
        candidate: Callable[[SessionId, Attributes], Candidate],
        new_class: Callable[[tuple[Hop, ...]], ForwardingClass],
        part: Callable[[ForwardingClass, SessionId], bool],
        class_unused: Callable[[ForwardingClass], None],
    ) -> None:
        self.routes: dict[Prefix, PathSet] = {}
        """What `cleanse` has not come to yet is still here: see `get`."""
        self.classes: dict[tuple[Hop, ...], ForwardingClass] = {}
        self.version = 0
        """Rises when prefixes come or go (not when their paths change)."""
        self.moves = 0
        """Rises when the paths of prefixes change, also when some are refused or no longer are."""
        self.arrivals = Arrivals()
        self._interned: dict[frozenset[tuple[SessionId, Attributes]], PathSet] = {}
        self._departures: dict[SessionId, int] = {}
        self._departed = 0
        self._parting: dict[ForwardingClass, None] = {}
        """Classes that lost a hop with its session: they lead to the others until no prefix is in them."""
        self._candidate = candidate
        self._new_class = new_class
        self._part = part
        self._class_unused = class_unused
        self.observer: RoutesChanged | None = None
        """Hears which prefixes to look at again; None while nobody observes."""

    def get(self, prefix: Prefix) -> PathSet | None:
        """The paths to a prefix; None if there is none, or none but those of sessions that left."""
        found = self.routes.get(prefix)
        return found if found is not None and (not self._departures or found.paths) else None

    @property
    def leaving(self) -> bool:
        """Some of `routes` may have no paths but those of sessions that left."""
        return bool(self._departures)

    def every_class(self) -> list[ForwardingClass]:
        """All forwarding classes that prefixes are in, those that are about to go included."""
        return [*self.classes.values(), *self._parting]

    def leave(self, session: SessionId) -> int:
        """The session is removed: its paths are void, whatever made of them comes later.

        In the time that its classes take, not its prefixes: `cleanse` is to be called with all of those, and
        then `left` with the number that this returns.
        """
        self._departed += 1
        self.version += 1
        self.moves += 1
        self._departures[session] = self._departed
        for forwarding in self.every_class():
            if any(hop.session == session for hop in forwarding.hops):
                if self.classes.get(forwarding.hops) is forwarding:
                    del self.classes[forwarding.hops]
                if self._part(forwarding, session):
                    self._parting[forwarding] = None
                else:
                    self._parting.pop(forwarding, None)
        return self._departed

    def left(self, session: SessionId, departure: int) -> None:
        """No path set names the session as it was when it left."""
        if self._departures.get(session) == departure:
            del self._departures[session]

    def cleanse(self, prefixes: Collection[Prefix]) -> Collection[Prefix]:
        """Forget the void paths to these prefixes. Returns what `update` does."""
        self.note(None, prefixes)
        return self._move_all(prefixes, lambda old: self._intern_paths(dict(old.paths)) if old else None)

    def note(self, session: SessionId | None, prefixes: Collection[Prefix]) -> None:
        """Somebody who observes has to look at these paths of the session again; None: of no session left."""
        if self.observer is not None and prefixes:
            self.observer(session, tuple(prefixes))

    def update(
        self, session: SessionId, attributes: Attributes | None, prefixes: Collection[Prefix]
    ) -> Collection[Prefix]:
        """Set (or with None remove) the session's path to each prefix. No prefix may be given twice.

        Returns the prefixes whose forwarding class changed, that is, whose kernel routes must be
        looked at.
        """
        self.note(session, prefixes)
        return self._move_all(prefixes, lambda old: self._transition(old, session, attributes))

    def _move_all(
        self, prefixes: Collection[Prefix], transition: Callable[[PathSet | None], PathSet | None]
    ) -> Collection[Prefix]:
        changed: list[Collection[Prefix]] = []
        self.moves += 1
        before = grouped(prefixes, map(self.routes.get, prefixes))
        # All new ones first: a path set that one group leaves may be the one that another comes to.
        moves = [(old, transition(old), group) for old, group in before.items()]
        for old, new, group in moves:
            if new is not old:
                self._move(old, new, group)
                if old is None or new is None:
                    self.arrivals.note(group)
                if old is None or new is None or old.forwarding is not new.forwarding:
                    changed.append(group)
        if changed:
            self.version += 1
        for move in moves:
            for member in move[:2]:
                if member is not None and member.count == 0:
                    self._forget(member)
        if len(changed) == 1:
            return changed[0]
        return [prefix for group in changed for prefix in group]

    def _move(self, old: PathSet | None, new: PathSet | None, prefixes: Collection[Prefix]) -> None:
        if new is None:
            discard(self.routes, prefixes)
        else:
            self.routes.update(dict.fromkeys(prefixes, new))
            new.count += len(prefixes)
            new.forwarding.count += len(prefixes)
        if old is not None:
            old.count -= len(prefixes)
            old.forwarding.count -= len(prefixes)

    def _transition(
        self, old: PathSet | None, session: SessionId, attributes: Attributes | None
    ) -> PathSet | None:
        paths = dict(old.paths) if old is not None else {}
        if attributes is None:
            paths.pop(session, None)
        else:
            paths[session] = attributes
        return self._intern_paths(paths)

    def _intern_paths(self, paths: Mapping[SessionId, Attributes]) -> PathSet | None:
        if not paths:
            return None
        key = frozenset(paths.items())
        found = self._interned.get(key)
        if found is None or found.outlived:
            found = self._interned[key] = PathSet(key, self._departed, self._departures)
            self._rank(found)
        return found

    def _rank(self, path_set: PathSet) -> None:
        ranked = decide(self._candidate(s, a) for s, a in path_set.key)
        hops = tuple(Hop(r.candidate.session, r.candidate.attributes.next_hop) for r in ranked)
        forwarding = self.classes.get(hops)
        if forwarding is None:
            forwarding = self.classes[hops] = self._new_class(hops)
        path_set.decided(ranked, forwarding)

    def _forget(self, path_set: PathSet) -> None:
        if self._interned.get(path_set.key) is path_set:
            del self._interned[path_set.key]
        self._drop_unused(path_set.forwarding)

    def _drop_unused(self, forwarding: ForwardingClass) -> None:
        if forwarding.count:
            return
        if forwarding in self._parting:  # nothing comes into it any more
            del self._parting[forwarding]
            self._class_unused(forwarding)
        elif self.classes.get(forwarding.hops) is forwarding:
            if any(p.forwarding is forwarding for p in self._interned.values()):
                return  # another path set of the same class waits for its first prefix
            del self.classes[forwarding.hops]
            self._class_unused(forwarding)

    def outdate(self) -> None:
        """The policy changed: each prefix is decided again with its next `update`, which must come.

        To decide all of them at once would take seconds if there are as many path sets as prefixes.
        """
        self._interned = {}
