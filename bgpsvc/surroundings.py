"""What stands in the kernel around the learned routes: policy rules, fixed routes, custom routes of VPCs.

These follow from the configuration alone. Somebody else may remove them; then they are set again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from bgpsvc import repair
from bgpsvc.effects import Log
from bgpsvc.engine import Engine
from bgpsvc.fib.lookup import CustomRoutes, set_fixed, set_rules
from bgpsvc.fib.ops import METRIC_CUSTOM, METRIC_GUARD, METRIC_PRIMARY, TableRoutes
from bgpsvc.fib.rules import FixedType, Rule, custom_routes, endpoints, fixed_routes, lookups, wanted
from bgpsvc.model import Prefix

log = logging.getLogger("bgpsvc")


class Surroundings:
    """Of the namespace of the calling thread. `note` takes entries for the event log."""

    def __init__(self, engine: Engine, note: Callable[[Log], None]) -> None:
        self._engine = engine
        self._note = note
        self.custom = CustomRoutes()
        """Its `problems` say which custom routes are not in the kernel, and why."""
        self._fixed: dict[int, dict[Prefix, FixedType | None]] = {}
        """Fixed routes that stand in the kernel, by table; None: of an unknown type."""
        self._rules: list[Rule] | None = None
        """Policy rules that stand in the kernel; None if they have to be read."""
        self._rules_lost = 0
        """How often some were removed."""

    def tables(self) -> list[int]:
        """Tables that VPCs name; those of our own numbers are watched anyway."""
        return [vpc.table for vpc in lookups(self._engine.intent, self._engine.numbers)]

    def found(self, tables: Mapping[int, TableRoutes]) -> None:
        """All routes of ours that the kernel has, by table."""
        keys = [
            (number, prefix, metric)
            for number, routes in tables.items()
            for metric in routes
            if metric < METRIC_PRIMARY
            for prefix in routes[metric]
        ]
        self._fixed = {number: {} for number, _, _ in keys}
        for number, prefix, metric in keys:
            if metric == METRIC_GUARD:
                self._fixed[number][prefix] = None
        self.custom.found((number, prefix) for number, prefix, metric in keys if metric == METRIC_CUSTOM)

    def noticed(self, seen: repair.Seen) -> bool:
        """Somebody removed some of it, or a link that went down did. True if it has to be set again."""
        if seen.guards:
            self._fixed = {number: dict.fromkeys(routes) for number, routes in self._fixed.items()}
        if seen.rules or seen.overrun:
            self._rules = None
            self._rules_lost += 1
        for table, prefix in seen.custom:
            self.custom.gone(table, prefix)
        if seen.links or seen.addresses:
            self.custom.forget_unicast()
        return seen.guards or seen.rules or seen.overrun

    def concerns_custom(self, seen: repair.Seen) -> bool:
        """Custom routes may be gone, or may find now what they need."""
        return bool((seen.custom or seen.links or seen.addresses) and self._engine.intent.vpc_routes)

    async def apply(self) -> None:
        """Make the kernel follow the intent; what keeps packets out goes first. OSError."""
        await self._set_fixed()
        await self._set_rules()
        await self.set_custom()

    async def _set_rules(self) -> None:
        intent = self._engine.intent
        wished = wanted(lookups(intent, self._engine.numbers), endpoints(intent))
        if wished == self._rules:
            return  # reading thousands of rules takes long, and most writes do not concern them
        self._rules = None
        before = self._rules_lost
        added, deleted = await set_rules(wished)
        if self._rules_lost == before:
            self._rules = wished
        if added or deleted:
            log.info("policy rules: %d added, %d deleted", len(added), len(deleted))

    async def _set_fixed(self) -> None:
        tables = fixed_routes(self._engine.intent, self._engine.numbers)
        for number in {**self._fixed, **tables}:
            wished, present = tables.get(number, {}), self._fixed.get(number, {})
            if wished != present:
                await set_fixed(number, wished, present)
                self._fixed[number] = dict(wished)

    async def set_custom(self) -> None:
        """Set the custom routes that are missing. OSError."""
        for name in await self.custom.apply(custom_routes(self._engine.intent)):
            text = f"the custom route is not in the table: {self.custom.problems[name]}"
            self._note(Log("fib.error", "error", name, text))
