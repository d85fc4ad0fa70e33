"""Where each nexthop group goes when its tunnel dies: the plan that the guard follows by itself. Pure.

It says what the engine would do if it heard of the death: `choose` asked again and again, each time without
the tunnel that it took before. A plan is made anew only for groups that the engine pointed anew, which a
million prefixes that are loaded do a few times.
"""

from __future__ import annotations

from bgpsvc.engine import Engine
from bgpsvc.forwarding import Forwarding
from bgpsvc.guard.model import Candidate, GroupPlan, Plan
from bgpsvc.rib import ForwardingClass


class SwitchPlans:
    """The plans that the guard has, and what has to be told for it to have those of now."""

    def __init__(self) -> None:
        self._told: dict[Forwarding, dict[int, GroupPlan]] = {}

    @property
    def whole(self) -> Plan:
        """All plans told so far."""
        return Plan(tuple(plan for plans in self._told.values() for plan in plans.values()), whole=True)

    def changes(self, engine: Engine) -> Plan | None:
        """What became different since the last call; None if nothing did."""
        groups: list[GroupPlan] = []
        gone: list[int] = []
        present = [gateway.forwarding for gateway in engine.gateways.values()]
        for forwarding in self._told.keys() - set(present):
            gone += self._told.pop(forwarding)
        for forwarding in present:
            told = self._told.setdefault(forwarding, {})
            for ident, altered in forwarding.altered().items():
                plan = None if altered is None else group_plan(forwarding, altered)
                if plan == told.get(ident):
                    continue
                if plan is None:
                    del told[ident]
                    gone.append(ident)
                else:
                    told[ident] = plan
                    groups.append(plan)
        # A group that moved from a removed gateway to another keeps its plan.
        kept = {plan.group for plan in groups}
        gone = [ident for ident in gone if ident not in kept]
        return Plan(tuple(groups), tuple(gone)) if groups or gone else None


def group_plan(forwarding: Forwarding, group: ForwardingClass) -> GroupPlan | None:
    """The plan of one group; None if there is nowhere else for it to go."""
    candidates = tuple(Candidate(*candidate) for candidate in forwarding.candidates(group))
    return GroupPlan(group.ident, candidates) if len(candidates) > 1 else None
