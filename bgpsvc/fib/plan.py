"""The forwarding information base: what the kernel should hold, what it holds, and the way between.

Levels, not edges: the engine marks keys as dirty and answers `desired` when asked; `plan` compares
with the mirror of the kernel's state and returns operations; `applied` moves the mirror. Applying a
plan to the actual state gives the desired one, and a second plan is empty.

Order within a plan: nexthops, groups, routes that are set, routes that are deleted; floating
backups only when no primary route is waiting; unused groups and nexthops last, and only when no
route of ours names them, because the kernel deletes their routes with them.

While a table is *held* (after a start, until the sessions have told what they know), routes that
the kernel already has are neither rewritten nor deleted, unless they lead to a nexthop known to be
dead. Missing ones are added at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from errno import ENOENT

from bgpsvc.bulk import Arrivals, discard
from bgpsvc.fib.ops import (
    METRIC_BACKUP,
    METRIC_PRIMARY,
    NEXTHOP_IDS,
    DeleteNexthop,
    DeleteRoutes,
    Nexthop,
    Op,
    OpError,
    SetGroup,
    SetNexthop,
    SetRoutes,
    TableRoutes,
)
from bgpsvc.fib.table import NOTHING, UNKNOWN, Desired, RouteTable, Target
from bgpsvc.model import Prefix

LEAST_SHARE = 100
"""Routes that a plan looks at in a table, however many tables wait."""


def _nothing(prefixes: Sequence[Prefix]) -> Mapping[Target, Sequence[Prefix]]:
    return {NOTHING: prefixes}


def _ours(metric: int, ident: int) -> bool:
    return metric in (METRIC_PRIMARY, METRIC_BACKUP) and ident in NEXTHOP_IDS


class Fib:
    """Desired and actual nexthops, groups and routes of one namespace."""

    def __init__(self) -> None:
        self.tables: dict[int, RouteTable] = {}
        self.nexthops: dict[int, SetNexthop] = {}
        self.groups: dict[int, tuple[int, ...]] = {}
        self.wanted_nexthops: dict[int, SetNexthop] = {}
        self.wanted_groups: dict[int, int | None] = {}
        self.dead: set[int] = set()
        """Nexthops whose tunnel is known to be down: a held table does not protect routes over them."""
        self.failed_ids: dict[int, OpError] = {}
        self.version = 0
        """Rises whenever the mirror of the kernel's routes changes."""
        self.loaded = False
        """The kernel's state was taken over once."""
        self._groups_of: dict[int, set[int]] = {}
        """Wanted nexthop to the wanted groups that lead to it."""
        self._dirty_ids: dict[int, None] = {}
        self._uses: Counter[int] = Counter()
        self._in_doubt: set[int] | None = None
        """Nexthops and groups that were deleted while another thread was at work; None if none is."""
        self._routes_in_doubt: set[tuple[int, Prefix, int]] | None = None
        """Routes (table, prefix, metric) that others touched meanwhile."""
        self._judged_anew: set[int] = set()
        """Tables that belong to somebody else meanwhile, or to nobody."""

    # What the engine says ---------------------------------------------------------------------

    def add_table(self, number: int, desired: Desired) -> RouteTable:
        """A table to look after. One that was retired, or is somebody else's, is taken over as it is.

        Before `load` it is held until `release`; after it all routes of ours are known, and there is
        nothing to hold in a new one.
        """
        table = self.tables.get(number)
        if table is None:
            table = self.tables[number] = RouteTable(number, desired, held=not self.loaded)
        if table.retired or table.desired != desired:  # what another one left there is judged anew
            table.desired = desired
            table.retired = False
            table.mark_all()
            self._judged_anew.add(number)
        return table

    def retire(self, number: int) -> None:
        """Nobody wants the table any more: its routes go."""
        table = self.tables[number]
        table.desired = _nothing
        table.retired = True
        self.release(table)
        self._judged_anew.add(number)

    def want_nexthop(self, nexthop: SetNexthop | None, ident: int) -> None:
        """The nexthop to be had under an id; None: it cannot be had or is not needed (any more)."""
        if nexthop is None:
            self.wanted_nexthops.pop(ident, None)
        else:
            self.wanted_nexthops[ident] = nexthop
        self._dirty_ids[ident] = None
        self._dirty_ids.update(dict.fromkeys(self._groups_of.get(ident, ())))

    def want_group(self, ident: int, member: int | None) -> None:
        """The group and the nexthop it shall lead to; None leaves it as it is (its routes go)."""
        self._leave_member(ident)
        self.wanted_groups[ident] = member
        if member is not None:
            self._groups_of.setdefault(member, set()).add(ident)
        self._dirty_ids[ident] = None

    def drop_group(self, ident: int) -> None:
        """The group is not needed any more."""
        self._leave_member(ident)
        self.wanted_groups.pop(ident, None)
        self._dirty_ids[ident] = None
        for table in self.tables.values():
            table.blocked.pop(ident, None)

    def _leave_member(self, group: int) -> None:
        member = self.wanted_groups.get(group)
        if member is not None:
            groups = self._groups_of[member]
            groups.discard(group)
            if not groups:
                del self._groups_of[member]

    def release(self, table: RouteTable) -> None:
        """End the hold: from now on routes that nobody wants are deleted (the sweep)."""
        table.held = False
        table.mark_waiting()
        table.mark_all()
        self._dirty_ids.update(dict.fromkeys((*self.groups, *self.nexthops)))

    def mark_dead(self, nexthops: Iterable[int]) -> None:
        """Nexthops whose tunnel went down; routes held over them are looked at again."""
        self.dead.update(nexthops)
        for table in self.tables.values():
            if table.held:
                table.mark_waiting()

    def over_links(self, ifindexes: Collection[int]) -> list[int]:
        """Nexthops in the kernel over these interfaces, those of a former life included."""
        return [ident for ident, nexthop in self.nexthops.items() if nexthop.ifindex in ifindexes]

    def forget_nexthop(self, ident: int) -> None:
        """Nobody needs the nexthop any more; prefixes that waited for it need not."""
        self.want_nexthop(None, ident)
        for table in self.tables.values():
            table.blocked.pop(ident, None)

    def mark_alive(self, nexthops: Iterable[int]) -> None:
        """Nexthops whose tunnel is up again."""
        self.dead.difference_update(nexthops)

    def retry(self) -> None:
        """Look again at everything the kernel refused."""
        for table in self.tables.values():
            table.mark(prefix for prefix, _ in table.failed)
            table.failed.clear()
        self._dirty_ids.update(dict.fromkeys(self.failed_ids))
        self.failed_ids.clear()

    @property
    def in_flight(self) -> bool:
        """Another thread is at work: what it was given waits nowhere, and its outcome is not known."""
        return self._in_doubt is not None

    @property
    def queued(self) -> int:
        """Routes, nexthops and groups that wait to be looked at."""
        return len(self._dirty_ids) + sum(len(t.dirty) + len(t.dirty_backup) for t in self.tables.values())

    # What the kernel says ---------------------------------------------------------------------

    def load(
        self,
        nexthops: Iterable[Nexthop],
        routes: Mapping[int, TableRoutes],
        uses: Counter[int] | None = None,
    ) -> None:
        """Take over a whole dump, which is ours from now on: nexthops, and routes by table.

        Routes of ours in a table that nobody looks after were left by a former life, and go. `uses` says how
        many routes name each id, for those who have counted already.
        """
        self.version += 1
        self.loaded = True
        for number, found in routes.items():
            if number not in self.tables and any(
                _ours(metric, ident) for metric in found for ident in found[metric].values()
            ):
                self.tables[number] = RouteTable(number, _nothing, held=False, retired=True)
        self.nexthops.clear()
        self.groups.clear()
        self._uses = Counter() if uses is None else uses
        for nexthop in nexthops:
            if nexthop.id not in NEXTHOP_IDS:
                continue
            if nexthop.members:
                self.groups[nexthop.id] = nexthop.members
            elif nexthop.family is not None and nexthop.ifindex is not None:
                self.nexthops[nexthop.id] = SetNexthop(
                    nexthop.id, nexthop.family, nexthop.ifindex, nexthop.gateway
                )
        for number, table in self.tables.items():
            table.mark_all()
            table.primary = routes.get(number, {}).get(METRIC_PRIMARY, {})
            table.arrivals = Arrivals()
            table.backup = routes.get(number, {}).get(METRIC_BACKUP, {})
            if uses is None:
                self._uses.update(table.primary.values())
                self._uses.update(table.backup.values())
            if not table.held:
                table.mark_all()
        self._dirty_ids.update(
            dict.fromkeys((*self.nexthops, *self.groups, *self.wanted_nexthops, *self.wanted_groups))
        )
        self._end_reading()

    def begin(self) -> None:
        """Another thread sends routes, or reads all of them: what is heard until `end` or `load` is in doubt.

        What others delete meanwhile may have been deleted before a route was sent (or read), or after.
        """
        self._in_doubt = set()
        self._routes_in_doubt = set()
        self._judged_anew = set()

    def end(self, ops: Iterable[Op]) -> None:
        """The thread is done with operations, and `applied` has told of them."""
        idents, routes = self._in_doubt, self._routes_in_doubt
        self._in_doubt = self._routes_in_doubt = None
        for op in ops:
            if not isinstance(op, SetRoutes):
                continue
            if op.table in self._judged_anew:
                self.tables[op.table].mark(op.prefixes)
            if idents or routes:
                gone = idents is not None and op.nexthop in idents
                heard = routes or ()
                self._doubt(op, [p for p in op.prefixes if gone or (op.table, p, op.metric) in heard])
        for table in self.tables.values() if idents else ():
            table.look_again(idents or ())

    def _end_reading(self) -> None:
        # Routes were read before nexthops: those over one that is missing went with it meanwhile.
        missing = {i for i in self._uses if i in NEXTHOP_IDS and not (i in self.nexthops or i in self.groups)}
        idents, routes = missing.union(self._in_doubt or ()), self._routes_in_doubt or ()
        self._in_doubt = self._routes_in_doubt = None
        for table in self.tables.values():
            for metric in (METRIC_PRIMARY, METRIC_BACKUP):
                mirror = table.installed(metric)
                gone = [p for p, ident in mirror.items() if ident in idents] if idents else []
                gone += [p for number, p, m in routes if (number, m) == (table.table, metric)]
                self._doubt(SetRoutes(table.table, metric, UNKNOWN, tuple(gone)), gone)

    def _doubt(self, op: SetRoutes, prefixes: Sequence[Prefix]) -> None:
        table = self.tables[op.table]
        mirror = table.installed(op.metric)
        there = [prefix for prefix in prefixes if prefix in mirror]
        self._uses.subtract(Counter(mirror[prefix] for prefix in there))
        mirror.update(dict.fromkeys(there, UNKNOWN))
        table.mark(there)

    def nexthops_gone(self, idents: Iterable[int]) -> int:
        """The kernel deleted nexthops or groups, and with them every route that named them.

        Returns how many routes of ours went with them.
        """
        gone = set(idents)
        for ident in list(gone):
            self.nexthops.pop(ident, None)
            self.groups.pop(ident, None)
        for group, members in list(self.groups.items()):
            left = tuple(m for m in members if m not in gone)
            if left != members:
                if left:
                    self.groups[group] = left
                else:  # a group dies with its last member
                    del self.groups[group]
                    gone.add(group)
                self._dirty_ids[group] = None
        self._dirty_ids.update(dict.fromkeys(gone))
        if self._in_doubt is not None:
            self._in_doubt |= gone
        # Most ids that go had no routes (any more), and to look for some takes a fifth of a second.
        used = {ident for ident in gone if self._uses[ident] > 0}
        return sum(self._routes_gone(table, used) for table in self.tables.values()) if used else 0

    def _routes_gone(self, table: RouteTable, idents: set[int]) -> int:
        lost = 0
        self.version += 1
        for metric in (METRIC_PRIMARY, METRIC_BACKUP):
            mirror = table.installed(metric)
            prefixes = [prefix for prefix, ident in mirror.items() if ident in idents]
            self._uses.subtract(Counter(map(mirror.__getitem__, prefixes)))
            discard(mirror, prefixes)
            if metric == METRIC_PRIMARY:
                table.arrivals.note(prefixes)
            table.mark(prefixes)
            lost += len(prefixes)
        table.look_again(idents)
        return lost

    def verify(self, nexthops: Iterable[Nexthop]) -> int:
        """Compare with a dump of all our nexthops; returns how many routes went with missing ones.

        The kernel deletes nexthops, groups and routes silently when a device goes down.
        """
        present = {nexthop.id: nexthop for nexthop in nexthops}
        for ident, nexthop in present.items():
            spec = self.nexthops.get(ident)
            if spec is not None and (spec.ifindex, spec.gateway) != (nexthop.ifindex, nexthop.gateway):
                self.nexthop_changed(ident)
            elif ident in self.groups and self.groups[ident] != nexthop.members:
                self.groups[ident] = nexthop.members
                self._dirty_ids[ident] = None
        return self.nexthops_gone([i for i in (*self.nexthops, *self.groups) if i not in present])

    def route_gone(self, number: int, prefix: Prefix, metric: int) -> bool:
        """Somebody deleted or replaced a route of ours; False if it was not ours."""
        table = self.tables.get(number)
        if table is None or metric not in (METRIC_PRIMARY, METRIC_BACKUP):
            return False
        if self._routes_in_doubt is not None:
            self._routes_in_doubt.add((number, prefix, metric))
        ident = table.installed(metric).pop(prefix, None)
        if ident is not None:
            self.version += 1
            self._uses[ident] -= 1
            if metric == METRIC_PRIMARY:
                table.arrivals.note((prefix,))
            table.mark((prefix,))
        return ident is not None

    def nexthop_changed(self, ident: int) -> None:
        """Somebody replaced a nexthop or group in our range: set it again."""
        self.nexthops.pop(ident, None)
        self.groups.pop(ident, None)
        self._dirty_ids[ident] = None

    # The way between --------------------------------------------------------------------------

    def plan(self, budget: int = 1000) -> list[Op]:
        """Operations towards the desired state, after a look at about `budget` routes at the most.

        Nothing is left to do when it is empty and nothing is `queued`.
        """
        ops = self.plan_ids()
        planned = {op.id for op in ops if isinstance(op, SetGroup | SetNexthop)}
        ops += self._plan_routes(budget, planned)
        return ops or self.plan_garbage()

    def plan_routes(self, budget: int) -> list[SetRoutes | DeleteRoutes]:
        """The part of `plan` that is about routes: when what `plan_ids` said is in the kernel."""
        return self._plan_routes(budget, set())

    def _plan_routes(self, budget: int, planned: set[int]) -> list[SetRoutes | DeleteRoutes]:
        ops: list[SetRoutes | DeleteRoutes] = []
        busy = [table for table in self.tables.values() if table.dirty or table.dirty_backup]
        for table in busy:
            metric = METRIC_PRIMARY if table.dirty else METRIC_BACKUP
            available = planned.union(self.groups if metric == METRIC_PRIMARY else self.nexthops)
            share = min(budget, max(LEAST_SHARE, budget // len(busy)))
            ops += table.plan(metric, available, self._unprotected, share)
        return ops

    def _unprotected(self, ident: int) -> bool:
        """A held route over this may change: it leads to a dead tunnel, or nobody knows where."""
        return ident == UNKNOWN or not self.dead.isdisjoint(self.groups.get(ident, (ident,)))

    def _forget_retired(self) -> None:
        for number in [n for n, t in self.tables.items() if t.retired and not (t.primary or t.backup)]:
            del self.tables[number]

    def plan_ids(self) -> list[Op]:
        """Nexthops and groups that are to be set."""
        dirty, self._dirty_ids = self._dirty_ids, {}
        ops: list[Op] = []
        available = set(self.nexthops)
        for ident in dirty:
            wanted = self.wanted_nexthops.get(ident)
            if wanted is not None and self.nexthops.get(ident) != wanted:
                ops.append(wanted)
                available.add(ident)
        for ident in dirty:
            member = self.wanted_groups.get(ident)
            # A member that is missing will be wanted again when its link is back; that marks us too.
            if member is not None and member in available and self.groups.get(ident) != (member,):
                ops.append(SetGroup(ident, (member,), existing=ident in self.groups))
        return ops

    def plan_garbage(self) -> list[Op]:
        """Groups, and then nexthops, that nobody needs: only when nothing else is left to do."""
        if self.queued:
            return []
        self._forget_retired()
        if any(table.held for table in self.tables.values()):
            return []
        # What the kernel refused to delete waits for `retry`.
        kept = self.failed_ids
        groups = [
            i for i in self.groups if i not in self.wanted_groups and i not in kept and self._uses[i] <= 0
        ]
        if groups:
            return [DeleteNexthop(i) for i in groups]
        members = {m for group in self.groups.values() for m in group}
        return [
            DeleteNexthop(i)
            for i in self.nexthops
            if i not in self.wanted_nexthops and i not in members and i not in kept and self._uses[i] <= 0
        ]

    def failed_to_send(self, ops: Iterable[Op]) -> None:
        """The operations did not reach the kernel at all: look at everything in them again."""
        for op in ops:
            if isinstance(op, SetRoutes | DeleteRoutes):
                self.tables[op.table].mark(op.prefixes)
            else:
                self._dirty_ids[op.id] = None

    def applied(self, ops: Iterable[Op], errors: Iterable[OpError]) -> None:
        """Move the mirror by the operations that the kernel accepted and note those it refused."""
        self.version += 1
        touched = bool(self._in_doubt or self._routes_in_doubt)
        refused_routes: dict[int, set[Prefix]] = {}
        refused_ids: set[int] = set()
        for error in errors:
            if isinstance(error.op, SetRoutes | DeleteRoutes):
                assert error.prefix is not None
                refused_routes.setdefault(id(error.op), set()).add(error.prefix)
                self.tables[error.op.table].failed[error.prefix, error.op.metric] = error
            else:
                refused_ids.add(error.op.id)
                if isinstance(error.op, SetGroup) and error.op.existing and error.errno == ENOENT:
                    self.nexthops_gone([error.op.id])
                else:
                    self.failed_ids[error.op.id] = error
        for op in ops:
            if isinstance(op, SetRoutes | DeleteRoutes):
                refused = refused_routes.get(id(op), ())
                moved, before = self.tables[op.table].take_in(op, refused, touched)
                self._uses.subtract(before)
                if isinstance(op, SetRoutes):
                    self._uses[op.nexthop] += moved
            elif op.id not in refused_ids:
                self.failed_ids.pop(op.id, None)
                self._applied_id(op)

    def _applied_id(self, op: SetNexthop | SetGroup | DeleteNexthop) -> None:
        if isinstance(op, DeleteNexthop):
            self.nexthops.pop(op.id, None)
            self.groups.pop(op.id, None)
            return
        if isinstance(op, SetNexthop):
            self.nexthops[op.id] = op
        else:
            self.groups[op.id] = op.members
        for table in self.tables.values():
            table.mark(table.blocked.pop(op.id, ()))
