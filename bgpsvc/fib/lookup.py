"""The lookup order of the network namespace: policy rules, fixed routes and custom routes of VPCs (`rules`).

These are few and change with the configuration only, so pyroute2 does it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from pyroute2 import AsyncIPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTM_DELRULE, RTM_NEWRULE

from bgpsvc.fib.ops import METRIC_CUSTOM, METRIC_GUARD, PROTOCOL
from bgpsvc.fib.prepare import IPV6
from bgpsvc.fib.rules import CustomRoute, FixedType, Rule, changes, mistaken
from bgpsvc.model import (
    Family,
    Prefix,
    format_address,
    format_prefix,
    pack_prefix,
    parse_address,
    prefix_family,
)

_FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_NOT_SUPPRESSED = 0xFFFFFFFF
_COMMANDS = {
    # Without NLM_F_EXCL, by which the kernel takes `to D` for the same as `from S to D`, and refuses it.
    "add": (RTM_NEWRULE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE),
    "del": (RTM_DELRULE, NLM_F_REQUEST | NLM_F_ACK),
}


async def set_rules(wished: Sequence[Rule]) -> tuple[list[Rule], list[Rule]]:
    """Make the rules of ours these; returns what was added and deleted.

    In the namespace of the calling thread. Idempotent; OSError with the rule if the kernel refuses one.
    """
    async with AsyncIPRoute() as route:
        families = _families()
        present = [rule for family in families for rule in await _present(route, family)]
        added, deleted = changes([rule for rule in wished if rule.family in families], present)
        for rule in added:
            await _rule(route, "add", rule)
        standing = [*present, *added]
        for rule in deleted:
            # What the kernel would take for the rule is put behind it first, so that nothing is missing.
            others = mistaken(rule, standing)
            for other in others:
                await _rule(route, "add", other)
            for _ in (*others, rule):
                await _rule(route, "del", rule)
            for gone in (*others, rule):
                standing.remove(gone)
            standing += others
    return added, deleted


async def _rule(route: AsyncIPRoute, command: Literal["add", "del"], rule: Rule) -> None:
    try:
        await route.rule(_COMMANDS[command], **_fields(rule))
    except NetlinkError as error:
        if error.code != errno.ENOENT:  # somebody removed it meanwhile
            raise OSError(error.code, f"cannot {command} policy rule {rule}: {error}") from error


async def set_fixed(
    table: int, wished: Mapping[Prefix, FixedType], present: Mapping[Prefix, FixedType | None]
) -> None:
    """Make the fixed routes of a table these; None for one that is present: its type is not known.

    Idempotent; OSError with the route if the kernel refuses one.
    """
    families = _families()
    set_again = [(p, kind) for p, kind in wished.items() if present.get(p) != kind]
    gone = [p for p in present if p not in wished]
    async with AsyncIPRoute() as route:
        for prefix, kind in set_again:
            if prefix_family(prefix) in families:
                error = await _route(route, "replace", table, prefix, METRIC_GUARD, type=kind)
                if error is not None:
                    text = f"cannot set the {kind} route {format_prefix(prefix)} in table {table}: {error}"
                    raise OSError(error.code, text) from error
        for prefix in gone:
            if prefix_family(prefix) in families:
                await _delete(route, table, prefix, METRIC_GUARD)


class CustomRoutes:
    """Custom routes of VPCs in the kernel. `problems` says of each that is not there why, by name.

    The kernel deletes them silently with an interface, so `forget_unicast` and `apply` after a change of
    links or addresses set them again; that is also when a next hop may have become reachable.
    """

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self._standing: dict[tuple[int, Prefix], CustomRoute | None] = {}
        """Routes in the kernel; None for one of which only that is known."""
        self._busy = asyncio.Lock()

    def found(self, routes: Iterable[tuple[int, Prefix]]) -> None:
        """Table and destination of all custom routes that the kernel has; of a former life, perhaps."""
        self._standing = {key: self._standing.get(key) for key in routes}

    def gone(self, table: int, prefix: Prefix) -> None:
        """Somebody removed or replaced one."""
        self._standing.pop((table, prefix), None)

    def forget_unicast(self) -> None:
        """Links or addresses changed: all but blackholes may be gone."""
        self._standing = {
            key: None if route is not None and _leads_somewhere(route) else route
            for key, route in self._standing.items()
        }

    async def apply(self, wished: Collection[CustomRoute]) -> list[str]:
        """Make the custom routes these; returns the names of those that newly have a problem.

        In the namespace of the calling thread. Idempotent.
        """
        async with self._busy:
            before, families = self.problems, _families()
            problems: dict[str, str] = {}
            keys = {(route.table, route.prefix) for route in wished}
            superfluous = [key for key in self._standing if key not in keys]
            missing = [r for r in wished if self._standing.get((r.table, r.prefix)) != r]
            if not superfluous and not missing:
                self.problems = {}
                return []
            async with AsyncIPRoute() as netlink:
                for table, prefix in superfluous:
                    await _delete(netlink, table, prefix, METRIC_CUSTOM)
                    self._standing.pop((table, prefix), None)
                for route in missing:
                    if prefix_family(route.prefix) not in families:
                        problems[route.name] = "IPv6 is switched off on this machine"
                    elif (problem := await self._set(netlink, route)) is not None:
                        problems[route.name] = problem
            self.problems = problems
            return [name for name, problem in problems.items() if before.get(name) != problem]

    async def _set(self, netlink: AsyncIPRoute, route: CustomRoute) -> str | None:
        """Set one; why that cannot be, or None. What stood in its place goes in any case."""
        key = (route.table, route.prefix)
        fields: dict[str, Any] = {} if _leads_somewhere(route) else {"type": "blackhole"}
        if route.next_hop is not None:
            fields["gateway"] = format_address(route.next_hop)
        if route.interface is not None:
            links = await netlink.link_lookup(ifname=route.interface)
            if not links:
                await self._clear(netlink, key)
                return f"there is no interface {route.interface}"
            fields["oif"] = links[0]
        error = await _route(netlink, "replace", route.table, route.prefix, METRIC_CUSTOM, **fields)
        if error is not None:
            await self._clear(netlink, key)
            return _problem(route, error)
        self._standing[key] = route
        return None

    async def _clear(self, netlink: AsyncIPRoute, key: tuple[int, Prefix]) -> None:
        if key in self._standing:
            del self._standing[key]
            await _delete(netlink, *key, METRIC_CUSTOM)


def _leads_somewhere(route: CustomRoute) -> bool:
    return route.next_hop is not None or route.interface is not None


def _problem(route: CustomRoute, error: NetlinkError) -> str:
    hop = "" if route.next_hop is None else f"next hop {format_address(route.next_hop)}"
    over = "" if route.interface is None else f"interface {route.interface}"
    words = {
        errno.ENETUNREACH: "is not on a connected network",
        errno.EHOSTUNREACH: "is not on a connected network",
        errno.ENETDOWN: "is down",
        errno.ENODEV: "is missing",
    }
    what = (over or hop) if error.code in (errno.ENETDOWN, errno.ENODEV) else (hop or over)
    return (
        f"{what} {words[error.code]}" if error.code in words else f"the kernel refused it: {error.args[-1]}"
    )


async def _route(
    route: AsyncIPRoute, command: str, table: int, prefix: Prefix, metric: int, **fields: Any
) -> NetlinkError | None:
    """Set or delete a route of ours; the kernel's refusal, if it refused."""
    key = {"table": table, "proto": PROTOCOL, "priority": metric, "dst": format_prefix(prefix)}
    try:
        await route.route(command, family=_FAMILIES[prefix_family(prefix)], **key, **fields)
    except NetlinkError as error:
        return error
    return None


async def _delete(route: AsyncIPRoute, table: int, prefix: Prefix, metric: int) -> None:
    """Delete a route of ours; its being gone is no error."""
    error = await _route(route, "del", table, prefix, metric)
    if error is not None and error.code not in (errno.ESRCH, errno.ENOENT):
        text = f"cannot delete the route {format_prefix(prefix)} of table {table}: {error}"
        raise OSError(error.code, text) from error


def _families() -> list[Family]:
    """IPv6 may be switched off for the whole machine."""
    return list(Family) if IPV6.exists() else [Family.IPV4]


async def _present(route: AsyncIPRoute, family: Family) -> list[Rule]:
    rules = []
    try:
        messages = [message async for message in await route.rule("dump", family=_FAMILIES[family])]
    except NetlinkError as error:
        # As of somebody who changes rules at the same time: what reads them is tried again.
        raise OSError(error.code, f"cannot read the policy rules: {error}") from error
    for message in messages:
        if message.get_attr("FRA_PROTOCOL") != PROTOCOL:
            continue
        suppress, to = message.get_attr("FRA_SUPPRESS_PREFIXLEN"), message.get_attr("FRA_DST")
        source = message.get_attr("FRA_SRC")
        rules.append(
            Rule(
                family,
                message.get_attr("FRA_PRIORITY") or 0,
                message.get_attr("FRA_TABLE"),
                None if suppress in (None, _NOT_SUPPRESSED) else suppress,
                None if to is None else pack_prefix(parse_address(to), message["dst_len"]),
                None if source is None else pack_prefix(parse_address(source), message["src_len"]),
                message.get_attr("FRA_IIFNAME"),
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
    for name, prefix in (("dst", rule.to), ("src", rule.source)):
        if prefix is not None and prefix[-1] > 0:
            fields |= {name: format_address(prefix[:-1]), f"{name}_len": prefix[-1]}
    if rule.iif is not None:
        fields["iifname"] = rule.iif
    return fields
