"""What others did to the kernel's forwarding state, brought into the engine and the FIB's mirror. Pure.

Repair itself is nothing special: what is gone from the mirror and still desired is planned again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bgpsvc.engine import Engine
from bgpsvc.events import LinkChanged
from bgpsvc.fib.ops import (
    METRIC_BACKUP,
    METRIC_CUSTOM,
    METRIC_GUARD,
    METRIC_PRIMARY,
    PROTOCOL,
    AddressesChanged,
    LinkGone,
    LinkSeen,
    NexthopChanged,
    NexthopGone,
    Notice,
    Overrun,
    RouteChanged,
    RouteGone,
    RuleGone,
)
from bgpsvc.model import Prefix


@dataclass(slots=True)
class Seen:
    """What a portion of notices came to.

    `routes` of ours that others deleted or replaced, `nexthops` likewise; `addresses`: the connected
    networks should be read again; `guards`: a fixed route was removed; `rules`: a policy rule was;
    `custom`: table and destination of custom routes that were; `links`: a device changed, which
    deletes nexthops silently, so the nexthops should be verified; `overrun`: only a whole dump tells
    the truth.
    """

    routes: int = 0
    nexthops: int = 0
    addresses: bool = False
    guards: bool = False
    rules: bool = False
    custom: list[tuple[int, Prefix]] = field(default_factory=list)
    links: bool = False
    overrun: bool = False


def take(engine: Engine, notices: Sequence[Notice], now: float) -> Seen:
    """Take in notices of changes that somebody else made."""
    seen = Seen()
    # Links first: a device that went down explains the nexthops that went with it, and the groups
    # shall point elsewhere before anything is put back.
    for notice in notices:
        if isinstance(notice, LinkSeen):
            seen.links = True
            _link_seen(engine, notice, now)
        elif isinstance(notice, LinkGone):
            seen.links = True
            engine.handle(LinkChanged(notice.name, None, False), now)
    gone = [notice.id for notice in notices if isinstance(notice, NexthopGone)]
    if gone:
        seen.nexthops += len(gone)
        seen.routes += engine.fib.nexthops_gone(gone)
    for notice in notices:
        _other(engine, notice, seen)
    return seen


def _link_seen(engine: Engine, notice: LinkSeen, now: float) -> None:
    link = notice.link
    if engine.links.get(link.name, (None, False))[0] != link.ifindex:
        # A device that is renamed is seen under its new name; nothing tells that the old one is gone.
        for name in [n for n, (index, _) in engine.links.items() if index == link.ifindex]:
            engine.handle(LinkChanged(name, None, False), now)
    if engine.links.get(link.name) != (link.ifindex, link.up):
        engine.handle(LinkChanged(link.name, link.ifindex, link.up), now)
        engine.fib.retry()


def _other(engine: Engine, notice: Notice, seen: Seen) -> None:
    fib = engine.fib
    match notice:
        case RouteGone() | RouteChanged() if notice.metric in (METRIC_GUARD, METRIC_CUSTOM):
            if isinstance(notice, RouteChanged) and notice.protocol == PROTOCOL:
                return  # our own: these routes are not set by the writer whose changes are filtered out
            if notice.metric == METRIC_GUARD:
                seen.guards = True
            else:
                seen.custom.append((notice.table, notice.prefix))
        case RouteGone():
            seen.routes += fib.route_gone(notice.table, notice.prefix, notice.metric)
        case RouteChanged() if notice.protocol != PROTOCOL or notice.nexthop_id != _ours(engine, notice):
            seen.routes += fib.route_gone(notice.table, notice.prefix, notice.metric)
        case RuleGone():
            seen.rules = True
        case NexthopChanged():
            seen.nexthops += 1
            fib.nexthop_changed(notice.id)
        case AddressesChanged():
            seen.addresses = True
            fib.retry()
        case Overrun():
            seen.overrun = True


def _ours(engine: Engine, notice: RouteChanged) -> int | None:
    table = engine.fib.tables.get(notice.table)
    if table is None or notice.metric not in (METRIC_PRIMARY, METRIC_BACKUP):
        return None
    return table.installed(notice.metric).get(notice.prefix)
