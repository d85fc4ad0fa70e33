"""Policy rules in a kernel: whatever was there before, what is wished stands in the end, and only that."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from bgpsvc.fib.lookup import set_rules
from bgpsvc.fib.rules import Rule
from bgpsvc.model import Family, Prefix, parse_prefix
from tests.netns.namespaces import Namespace

NETWORKS = {
    Family.IPV4: ("10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24"),
    Family.IPV6: ("fd00::/8", "fd00:1::/32", "fd00:1::/64"),
}


def possible(family: Family) -> list[Rule]:
    """Rules of which one may say more than another, and nothing else."""
    ends: list[Prefix | None] = [None, *map(parse_prefix, NETWORKS[family])]
    found = [Rule(family, 32000, 254), Rule(family, 32000, 254, suppress=0)]
    for preference in (32010, 32011):
        for iif in (None, "lo", "t1"):
            found += [Rule(family, preference, 77, to=t, source=s, iif=iif) for t in ends for s in ends]
    return found


def printed(here: Namespace, family: str) -> set[str]:
    return {line for line in here.run("ip", family, "rule").splitlines() if "proto 201" in line}


@pytest.mark.parametrize("family", list(Family))
def test_any_rules_follow_any_others(make_namespace: Callable[[], Namespace], family: Family) -> None:
    here = make_namespace()
    name, chance = "-6" if family is Family.IPV6 else "-4", random.Random(family.value)
    here.ip(f"{name} rule add pref 32010 lookup 77 proto 99")
    for _ in range(25):
        wished = chance.sample(possible(family), chance.randint(0, 25))
        with here.entered():
            asyncio.run(set_rules(wished))
            assert asyncio.run(set_rules(wished)) == ([], [])
        assert len(printed(here, name)) == len(wished)
    assert "from all lookup 77" in here.run("ip", name, "rule", "show", "pref", "32010"), "somebody else's"
