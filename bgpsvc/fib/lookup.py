"""The lookup order of the network namespace: brings the kernel's policy rules to `rules.wanted`."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from bgpsvc.fib.ops import PROTOCOL
from bgpsvc.fib.rules import Rule, changes, wanted
from bgpsvc.model import Family, format_address, parse_address

_FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_NOT_SUPPRESSED = 0xFFFFFFFF


async def set_rules(tables: Collection[int], endpoints: Collection[bytes]) -> tuple[list[Rule], list[Rule]]:
    """Make the rules of ours those for these tables and endpoints; returns what was added and deleted.

    In the namespace of the calling thread. Idempotent; OSError with the rule if the kernel refuses one.
    """
    async with AsyncIPRoute() as route:
        present = [rule for family in Family for rule in await _present(route, family)]
        added, deleted = changes(wanted(tables, endpoints), present)
        for command, rules in (("add", added), ("del", deleted)):
            for rule in rules:
                try:
                    await route.rule(command, **_fields(rule))
                except NetlinkError as error:
                    if error.code in (errno.EEXIST, errno.ENOENT):
                        continue  # somebody made or removed the same one meanwhile
                    raise OSError(error.code, f"cannot {command} policy rule {rule}: {error}") from error
    return added, deleted


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
