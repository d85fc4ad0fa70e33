"""Routing information bases (RFC 4271 3.2).

`AdjRibIn` keeps what one session announced, `LocRib` what a gateway makes of all its sessions.
Both share three ideas that keep a million prefixes small and fast:

- Attributes are interned, and so is the *set of paths* of a prefix (`PathSet`): the decision, its
  explanation and the forwarding class are computed once per distinct set, not once per prefix.
- One UPDATE is one call; per prefix it costs two dictionary operations.
- Staleness is a dictionary of its own. When a session restarts, its table becomes the stale one
  in a single assignment, and each announcement moves a prefix back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from bgpsvc.bulk import discard, grouped
from bgpsvc.decide import Candidate, Ranked, decide
from bgpsvc.model import Attributes, Family, Prefix, Reason, SessionId, prefix_family
from bgpsvc.tunnels import Hop


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
    """The paths that a prefix has, with the decision over them. Interned; `count` prefixes share it."""

    __slots__ = ("count", "forwarding", "key", "paths", "ranked")

    def __init__(self, key: frozenset[tuple[SessionId, Attributes]]) -> None:
        self.key = key
        self.paths: Mapping[SessionId, Attributes] = dict(key)
        self.ranked: tuple[Ranked, ...] = ()
        self.forwarding: ForwardingClass
        self.count = 0


class LocRib:
    """The Loc-RIB of a gateway: every prefix with its ordered paths and its forwarding class."""

    def __init__(
        self,
        candidate: Callable[[SessionId, Attributes], Candidate],
        new_class: Callable[[tuple[Hop, ...]], ForwardingClass],
        class_unused: Callable[[ForwardingClass], None],
    ) -> None:
        self.routes: dict[Prefix, PathSet] = {}
        self.classes: dict[tuple[Hop, ...], ForwardingClass] = {}
        self.version = 0
        """Rises when prefixes come or go (not when their paths change)."""
        self._interned: dict[frozenset[tuple[SessionId, Attributes]], PathSet] = {}
        self._candidate = candidate
        self._new_class = new_class
        self._class_unused = class_unused

    def update(
        self, session: SessionId, attributes: Attributes | None, prefixes: Collection[Prefix]
    ) -> Collection[Prefix]:
        """Set (or with None remove) the session's path to each prefix. No prefix may be given twice.

        Returns the prefixes whose forwarding class changed, that is, whose kernel routes must be
        looked at.
        """
        changed: list[Collection[Prefix]] = []
        before = grouped(prefixes, map(self.routes.get, prefixes))
        # All new ones first: a path set that one group leaves may be the one that another comes to.
        moves = [(old, self._transition(old, session, attributes), group) for old, group in before.items()]
        for old, new, group in moves:
            if new is not old:
                self._move(old, new, group)
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
        return self._intern(frozenset(paths.items())) if paths else None

    def _intern(self, key: frozenset[tuple[SessionId, Attributes]]) -> PathSet:
        found = self._interned.get(key)
        if found is None:
            found = self._interned[key] = PathSet(key)
            self._rank(found)
        return found

    def _rank(self, path_set: PathSet) -> None:
        path_set.ranked = decide(self._candidate(s, a) for s, a in path_set.key)
        hops = tuple(Hop(r.candidate.session, r.candidate.attributes.next_hop) for r in path_set.ranked)
        forwarding = self.classes.get(hops)
        if forwarding is None:
            forwarding = self.classes[hops] = self._new_class(hops)
        path_set.forwarding = forwarding

    def _forget(self, path_set: PathSet) -> None:
        if self._interned.get(path_set.key) is path_set:
            del self._interned[path_set.key]
            self._drop_unused(path_set.forwarding)

    def _drop_unused(self, forwarding: ForwardingClass) -> None:
        if forwarding.count == 0 and self.classes.get(forwarding.hops) is forwarding:
            if any(p.forwarding is forwarding for p in self._interned.values()):
                return  # another path set of the same class waits for its first prefix
            del self.classes[forwarding.hops]
            self._class_unused(forwarding)

    def rerank(self) -> list[Prefix]:
        """Decide everything again (the policy changed). Returns the prefixes whose class changed."""
        before = {p: p.forwarding for p in self._interned.values()}
        for path_set, old in before.items():
            self._rank(path_set)
            path_set.forwarding.count += path_set.count
            old.count -= path_set.count
        moved = {p for p, old in before.items() if p.forwarding is not old}
        for old in set(before.values()):
            self._drop_unused(old)
        return [prefix for prefix, p in self.routes.items() if p in moved] if moved else []
