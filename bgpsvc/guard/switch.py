"""Where each nexthop group goes when tunnels die. Pure.

A group stays where it is as long as the tunnel that it leads over is not dead. If that one is dead, the group
goes to the first candidate that the engine holds for usable and that is not dead; if there is none, to
the first other one that the guard itself sees alive; if there is none either, it stays: the kernel's
floating backup and the engine decide. So nothing ever leads back by itself: the way back is the engine's.

Only what is now counts, not the order in which it came about. Whoever moved a group, the guard or the
engine, it is judged by where the kernel says that it leads. That makes every rule idempotent, and right
after a daemon, a worker or a message was lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bgpsvc.guard.model import Candidate, GroupPlan, Plan
from bgpsvc.model import SessionId


@dataclass(frozen=True, slots=True)
class Move:
    """A group that must lead elsewhere: its new nexthop, and the tunnel that it leaves."""

    group: int
    nexthop: int
    leaves: SessionId


def place(
    candidates: Iterable[Candidate],
    present: int | None,
    dead: Collection[SessionId],
    alive: Collection[SessionId],
) -> Candidate | None:
    """Where a group that leads to nexthop `present` must go; None if it stays."""
    candidates = tuple(candidates)
    here = next((one for one in candidates if one.nexthop == present), None)
    if here is None or here.tunnel not in dead:
        return None
    usable = (one for one in candidates if one.usable and one.tunnel not in dead)
    last_resort = (one for one in candidates if one.tunnel in alive and one.tunnel not in dead)
    return next(usable, None) or next(last_resort, None)


class Switch:
    """Plans of all groups, where they lead, and which tunnels are dead or alive."""

    def __init__(self) -> None:
        self.plans: dict[int, GroupPlan] = {}
        self.dead: set[SessionId] = set()
        self.alive: set[SessionId] = set()
        self._present: dict[int, int] = {}
        self._groups: dict[SessionId, set[int]] = {}
        self._unsettled: set[int] = set()
        """Groups that may have to move."""
        self._refused: set[tuple[int, int]] = set()
        """Group and nexthop that the kernel would not have together; until there is another plan."""

    def plan(self, plan: Plan) -> frozenset[SessionId]:
        """Take over plans. Dead tunnels to which they would have groups lead: they are to be told again."""
        if plan.whole:
            for group in list(self.plans):
                self._forget(group)
        for group in plan.gone:
            self._forget(group)
        wanted = set()
        for one in plan.groups:
            self._forget(one.group)
            self.plans[one.group] = one
            self._unsettled.add(one.group)
            for candidate in one.candidates:
                self._groups.setdefault(candidate.tunnel, set()).add(one.group)
            first = _first_usable(one)
            if first is not None and first.tunnel in self.dead:
                wanted.add(first.tunnel)
        return frozenset(wanted)

    def judge(self, tunnel: SessionId, dead: bool, alive: bool) -> None:
        """What is known of a tunnel; with neither it is unknown, which moves nothing to it or away."""
        if (dead, alive) == (tunnel in self.dead, tunnel in self.alive):
            return
        (self.dead.add if dead else self.dead.discard)(tunnel)
        (self.alive.add if alive else self.alive.discard)(tunnel)
        self._unsettled |= self._groups.get(tunnel, set())

    def forget(self, tunnel: SessionId) -> None:
        """A tunnel that is not watched any more is unknown."""
        self.judge(tunnel, dead=False, alive=False)

    def seen(self, group: int, nexthop: int | None) -> None:
        """The kernel says where a group leads; None if there is no such group."""
        if nexthop is None:
            self._present.pop(group, None)
        elif self._present.get(group) != nexthop:
            self._present[group] = nexthop
            if group in self.plans:
                self._unsettled.add(group)

    def refused(self, move: Move) -> None:
        """The kernel did not carry out a move: the next place is as good as any."""
        self._refused.add((move.group, move.nexthop))
        self._unsettled.add(move.group)

    @property
    def unsettled(self) -> bool:
        """`moves` has something to look at."""
        return bool(self._unsettled)

    def moves(self, most: int = 1 << 32) -> list[Move]:
        """What has to move now, in order of group. Each is told once, until something changes.

        At most so many; while there may be others, it stays `unsettled`.
        """
        if not self._unsettled:
            return []
        found: list[Move] = []
        for group in sorted(self._unsettled):
            if len(found) == most:
                break
            self._unsettled.discard(group)
            plan = self.plans[group]
            present = self.present(group)
            candidates = [one for one in plan.candidates if (group, one.nexthop) not in self._refused]
            target = place(candidates, present, self.dead, self.alive)
            if target is not None:
                leaves = next(one.tunnel for one in plan.candidates if one.nexthop == present)
                found.append(Move(group, target.nexthop, leaves))
        return found

    def present(self, group: int) -> int | None:
        """The nexthop that a group leads to: as the kernel said, else as the engine would have it."""
        if group in self._present:
            return self._present[group]
        first = _first_usable(self.plans[group]) if group in self.plans else None
        return None if first is None else first.nexthop

    def led(self, tunnel: SessionId) -> tuple[tuple[int, int], ...]:
        """Groups that the engine would have lead over a tunnel and that do not: each with its nexthop."""
        found = []
        for group in sorted(self._groups.get(tunnel, ())):
            first, present = _first_usable(self.plans[group]), self.present(group)
            if (
                first is not None
                and first.tunnel == tunnel
                and present is not None
                and present != first.nexthop
            ):
                found.append((group, present))
        return tuple(found)

    def _forget(self, group: int) -> None:
        plan = self.plans.pop(group, None)
        self._unsettled.discard(group)
        for candidate in plan.candidates if plan is not None and self._refused else ():
            self._refused.discard((group, candidate.nexthop))
        for candidate in plan.candidates if plan is not None else ():
            groups = self._groups.get(candidate.tunnel)
            if groups is not None:
                groups.discard(group)
                if not groups:
                    del self._groups[candidate.tunnel]


def _first_usable(plan: GroupPlan) -> Candidate | None:
    return next((one for one in plan.candidates if one.usable), None)
