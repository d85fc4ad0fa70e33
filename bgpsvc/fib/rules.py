"""Policy rules that put learned routes behind the system's own. Pure: which rules there should be.

    31990  to a customer gateway's address: main   the tunnels' own packets never follow learned routes
    32000  main, without its default route         connected networks and the system's routes first
    32001… kept free for policy-based routes, 32200 for static destinations
    32300  the VPC's table                         routes learned over BGP
    32766  main                                    the system's default route (the kernel's own rule)

Rules of ours carry protocol 201; others are left alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bgpsvc.model import Family

RT_TABLE_MAIN = 254
PREFERENCE_ENDPOINT = 31990
PREFERENCE_SYSTEM = 32000
PREFERENCE_POLICY = range(32001, 32101)
PREFERENCE_STATIC = 32200
PREFERENCE_BGP = 32300


@dataclass(frozen=True, slots=True)
class Rule:
    """Look into a table; routes no longer than `suppress` bits do not count. Only for `to` (packed)."""

    family: Family
    preference: int
    table: int
    suppress: int | None = None
    to: bytes | None = None


def wanted(tables: Collection[int], endpoints: Collection[bytes]) -> list[Rule]:
    """All rules for these tables of learned routes and far ends of tunnels, to be added in this order.

    The order never lets a learned route capture a connected network or an endpoint.
    """
    own = sorted(set(tables))
    if not own:
        return []
    rules = [
        Rule(Family.IPV4 if len(a) == 4 else Family.IPV6, PREFERENCE_ENDPOINT, RT_TABLE_MAIN, to=a)
        for a in sorted(set(endpoints))
    ]
    for family in Family:
        rules.append(Rule(family, PREFERENCE_SYSTEM, RT_TABLE_MAIN, suppress=0))
        rules += [Rule(family, PREFERENCE_BGP, table) for table in own]
    return rules


def changes(wished: list[Rule], present: Collection[Rule]) -> tuple[list[Rule], list[Rule]]:
    """Rules to add and then rules to delete, each in a safe order."""
    superfluous = [rule for rule in present if rule not in wished]
    return (
        [rule for rule in wished if rule not in present],
        sorted(superfluous, key=lambda r: (-r.preference, r.family, r.table, r.to or b"")),
    )
