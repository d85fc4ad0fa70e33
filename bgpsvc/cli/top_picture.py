"""What `bgpsvc top` shows: a picture made of one look at the daemon and the one before it. Pure.

The rates of a tunnel come from the byte counters of its IPsec SA, which begin again with every new SA: then
there is none for one look, and never a negative one. A tunnel that others make has no counters here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bgpsvc.cli.client import Json
from bgpsvc.cli.columns import detection, ipsec_status
from bgpsvc.cli.output import PASSING, duration

GOOD = ("ipsec_sa_established", "established", "live")


class Sort(StrEnum):
    """Orders of the tunnels."""

    NAME = "name"
    TRAFFIC = "traffic"
    TROUBLE = "trouble"


SORTS = tuple(Sort)
UNITS = ("bit/s", "kbit/s", "Mbit/s", "Gbit/s")
SEVERITY = {"warning": "yellow", "error": "red"}
_FRAME_LINES = 7
"""Lines of a picture that are neither tunnels nor events."""
_EVENTS_SHARE = 3
"""One part in so many of the height belongs to events, and what tunnels leave free."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was read at a time: the items of the lists of that name."""

    tunnels: tuple[Json, ...]
    sessions: tuple[Json, ...]
    gateways: tuple[Json, ...]
    events: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class View:
    """How somebody wants to see it. `offset`: the first tunnel that is shown."""

    width: int
    height: int
    sort: Sort = Sort.NAME
    offset: int = 0
    paused: bool = False
    trouble: str = ""
    """Why the last look failed."""
    keys: bool = True
    """Whether there is a keyboard to tell about."""


Rates = dict[str, tuple[float, float]]
"""Bits per second, in and out, by tunnel."""


@dataclass(frozen=True, slots=True)
class Counters:
    """The byte counters of the SA in use, as the daemon read them at a time."""

    association: str
    seen: datetime
    bytes_in: int
    bytes_out: int


def rates(before: Look | None, now: Look, last: Rates) -> Rates:
    """Of tunnels whose SA was there at both looks; `last` stays where the daemon has not read it since."""
    was = {tunnel["id"]: counters(tunnel) for tunnel in (before.tunnels if before is not None else ())}
    found: Rates = {}
    for tunnel in now.tunnels:
        name, new = tunnel["id"], counters(tunnel)
        old = was.get(name)
        if old is None or new is None or old.association != new.association:
            continue
        seconds = (new.seen - old.seen).total_seconds()
        if seconds > 0:
            both = (new.bytes_in - old.bytes_in, new.bytes_out - old.bytes_out)
            found[name] = (both[0] * 8 / seconds, both[1] * 8 / seconds)
        elif name in last:
            found[name] = last[name]
    return found


def counters(tunnel: Json) -> Counters | None:
    """None without an SA of ours."""
    ipsec = tunnel["ipsec"]
    if ipsec is None or not ipsec["ike"] or not ipsec["ike"]["children"]:
        return None
    child = ipsec["ike"]["children"][-1]
    seen = datetime.fromisoformat(ipsec["seen_at"])
    return Counters(f"{child['spi_in']}/{child['spi_out']}", seen, child["bytes_in"], child["bytes_out"])


def rate(bits: float | None) -> str:
    """As `12.3 Mbit/s`."""
    if bits is None:
        return "-"
    unit = 0
    while bits >= 1000 and unit < len(UNITS) - 1:
        bits, unit = bits / 1000, unit + 1
    return f"{bits:.0f} {UNITS[unit]}" if unit == 0 or bits >= 100 else f"{bits:.1f} {UNITS[unit]}"


def ordered(look: Look, found: Rates, sort: Sort) -> list[Json]:
    """The tunnels by name, by traffic (most first), or by trouble (those that are not well first)."""
    tunnels = sorted(look.tunnels, key=lambda tunnel: str(tunnel["id"]))
    if sort is Sort.TRAFFIC:
        return sorted(tunnels, key=lambda tunnel: -sum(found.get(tunnel["id"], (0, 0))))
    if sort is Sort.TROUBLE:
        return sorted(tunnels, key=lambda tunnel: tunnel["state"] == "live")
    return tunnels


def rows_of(view: View) -> int:
    """How many tunnels fit into the picture."""
    return max(1, view.height - _FRAME_LINES - max(1, (view.height - _FRAME_LINES) // _EVENTS_SHARE))


def picture(server: str, look: Look, found: Rates, view: View) -> RenderableType:
    """The whole screen."""
    shown = ordered(look, found, view.sort)
    page = shown[view.offset : view.offset + rows_of(view)]
    events = max(1, view.height - _FRAME_LINES - len(page))
    return Group(
        _headline(server, look, found),
        _notice(view),
        _tunnels(page, look.sessions, found, view.width),
        Text(_position(view, len(page), len(shown)), style="dim", no_wrap=True, overflow="ellipsis"),
        Text("Events", style="bold"),
        *map(_event, look.events[-events:][::-1]),
    )


def _headline(server: str, look: Look, found: Rates) -> Text:
    up = sum(ipsec_status(tunnel) in ("ipsec_sa_established", "external") for tunnel in look.tunnels)
    established = sum(session["state"] == "established" for session in look.sessions)
    routes = sum(gateway["routes_installed"] for gateway in look.gateways)
    total = [sum(each[way] for each in found.values()) if found else None for way in (0, 1)]
    parts = [
        ("bgpsvc", "bold"),
        (f"  tunnels {up}/{len(look.tunnels)}", "" if up == len(look.tunnels) else "red"),
        (
            f"  sessions {established}/{len(look.sessions)}",
            "" if established == len(look.sessions) else "red",
        ),
        (f"  routes {routes:,}  in {rate(total[0])}  out {rate(total[1])}", ""),
        (f"  gateways {len(look.gateways)}  {server}", "dim"),
    ]
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _notice(view: View) -> Text:
    if view.trouble:
        return Text(view.trouble, style="bold red", no_wrap=True, overflow="ellipsis")
    return Text("paused: what you see is old" if view.paused else "", style="yellow")


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the tunnels. Of a narrow terminal those with the highest `rank` are left out first."""

    title: str
    rank: int
    least: int = 0
    """Width that is kept for it, so that columns do not come and go with the rates."""
    right: bool = False


_COLUMNS = (
    _Column("TUNNEL", 0),
    _Column("ROLE", 7, 7),
    _Column("IPSEC", 6, 20),
    _Column("SESSION", 3, 11),
    _Column("STATE", 1, 7),
    _Column("TRAFFIC", 1),
    _Column("IN", 2, 11, right=True),
    _Column("OUT", 2, 11, right=True),
    _Column("PREFIXES", 4, right=True),
    _Column("FOR", 5, 8, right=True),
    _Column("DETECTION", 8, 10),
)
_GAP = 2


def _tunnels(page: Sequence[Json], sessions: Sequence[Json], found: Rates, width: int) -> Table:
    prefixes = {session["id"]: session["prefixes"]["accepted"] for session in sessions}
    rows = [_row(tunnel, found, prefixes.get(tunnel["id"])) for tunnel in page]
    widths = [
        max(column.least, len(column.title), *(len(row[n]) for row in rows))
        for n, column in enumerate(_COLUMNS)
    ]
    kept = list(range(len(_COLUMNS)))
    while len(kept) > 1 and sum(widths[n] + _GAP for n in kept) - _GAP > width:
        kept.remove(max(kept, key=lambda n: _COLUMNS[n].rank))
    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold", pad_edge=False, expand=False)
    for column in (_COLUMNS[n] for n in kept):
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.title, no_wrap=True, min_width=column.least or None, justify=justify)
    for row in rows:
        table.add_row(*(row[n] for n in kept))
    return table


def _row(tunnel: Json, found: Rates, accepted: int | None) -> list[Text]:
    rate_in, rate_out = found.get(tunnel["id"], (None, None))
    return [
        Text(tunnel["id"]),
        Text(tunnel["role"]),
        _state(ipsec_status(tunnel)),
        _state(tunnel["session_state"] or "-"),
        _state(tunnel["state"]),
        Text("yes", style="bold") if tunnel["carrying"] else Text("no"),
        Text(rate(rate_in)),
        Text(rate(rate_out)),
        Text("-" if accepted is None else f"{accepted:,}"),
        Text(duration(tunnel["since"])),
        Text(detection(tunnel) or "-"),
    ]


def _state(word: str) -> Text:
    if word in ("-", "external"):
        return Text(word)
    return Text(word, style="green" if word in GOOD else "yellow" if word in PASSING else "red")


def _position(view: View, count: int, total: int) -> str:
    part = "" if count == total else f"{view.offset + 1}-{view.offset + count} of {total}, "
    keys = "  q quit  s sort  p pause  up/down scroll" if view.keys else ""
    return f"{part}by {view.sort}{keys}"


def _event(event: Json) -> Text:
    time = event["time"][11:19]
    style = SEVERITY.get(event["severity"], "")
    text = f"{time}  {event['kind']:<22}  {event['subject']:<16}  {event['message']}"
    return Text(text.translate(_NO_CONTROLS), style=style, no_wrap=True, overflow="ellipsis")


_NO_CONTROLS = dict.fromkeys((*range(32), 127, *range(128, 160)), "?")
"""A peer's words go to a terminal here: none of them may steer it."""
