"""The lookup order of the network namespace: policy rules (`rules.wanted`), guards of VPC CIDRs.

These are few and change with the configuration only, so pyroute2 does it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from bgpsvc.fib.ops import METRIC_GUARD, PROTOCOL
from bgpsvc.fib.prepare import IPV6
from bgpsvc.fib.rules import Rule, changes, wanted
from bgpsvc.model import Family, Prefix, format_address, format_prefix, parse_address, prefix_family

_FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_NOT_SUPPRESSED = 0xFFFFFFFF


async def set_rules(tables: Collection[int], endpoints: Collection[bytes]) -> tuple[list[Rule], list[Rule]]:
    """Make the rules of ours those for these tables and endpoints; returns what was added and deleted.

    In the namespace of the calling thread. Idempotent; OSError with the rule if the kernel refuses one.
    """
    async with AsyncIPRoute() as route:
        families = _families()
        present = [rule for family in families for rule in await _present(route, family)]
        wished = [rule for rule in wanted(tables, endpoints) if rule.family in families]
        added, deleted = changes(wished, present)
        for command, rules in (("add", added), ("del", deleted)):
            for rule in rules:
                try:
                    await route.rule(command, **_fields(rule))
                except NetlinkError as error:
                    if error.code in (errno.EEXIST, errno.ENOENT):
                        continue  # somebody made or removed the same one meanwhile
                    raise OSError(error.code, f"cannot {command} policy rule {rule}: {error}") from error
    return added, deleted


async def set_guards(table: int, wished: Collection[Prefix], present: Collection[Prefix]) -> None:
    """Make the guards of a table those for these networks.

    A guard is a `throw` route: an address of the VPC that no connected or system route covers is not
    captured by a less specific learned route, as the lookup leaves the table there. Idempotent.
    """
    families = _families()
    async with AsyncIPRoute() as route:
        for command, prefixes in (
            ("replace", [p for p in wished if p not in present]),
            ("del", [p for p in present if p not in wished]),
        ):
            for prefix in prefixes:
                if prefix_family(prefix) not in families:
                    continue
                fields = {"type": "throw", "table": table, "proto": PROTOCOL, "priority": METRIC_GUARD}
                family = _FAMILIES[prefix_family(prefix)]
                try:
                    await route.route(command, family=family, dst=format_prefix(prefix), **fields)
                except NetlinkError as error:
                    if command == "del" and error.code == errno.ESRCH:
                        continue
                    text = f"cannot {command} the guard of {format_prefix(prefix)} in table {table}: {error}"
                    raise OSError(error.code, text) from error


def _families() -> list[Family]:
    """IPv6 may be switched off for the whole machine."""
    return list(Family) if IPV6.exists() else [Family.IPV4]


async def _present(route: AsyncIPRoute, family: Family) -> list[Rule]:
    rules = []
    async for message in await route.rule("dump", family=_FAMILIES[family]):
        if message.get_attr("FRA_PROTOCOL") != PROTOCOL:
            continue
        suppress, to = message.get_attr("FRA_SUPPRESS_PREFIXLEN"), message.get_attr("FRA_DST")
        rules.append(
            Rule(
                family,
                message.get_attr("FRA_PRIORITY") or 0,
                message.get_attr("FRA_TABLE"),
                None if suppress in (None, _NOT_SUPPRESSED) else suppress,
                parse_address(to) if to is not None else None,
            )
        )
    return rules


def _fields(rule: Rule) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "family": _FAMILIES[rule.family],
        "priority": rule.preference,
        "table": rule.table,
        "FRA_PROTOCOL": PROTOCOL,
    }
    if rule.suppress is not None:
        fields["FRA_SUPPRESS_PREFIXLEN"] = rule.suppress
    if rule.to is not None:
        fields |= {"dst": format_address(rule.to), "dst_len": 8 * len(rule.to)}
    return fields
