"""`bgpsvc show history TUNNEL`: what a tunnel carried lately, as lines of a chart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, TextIO

import typer

from bgpsvc.cli import complete
from bgpsvc.cli.client import Json, path_to
from bgpsvc.cli.options import Output, Server, Watch, make_client
from bgpsvc.cli.output import Column, Format, plain, run, write_list, write_object
from bgpsvc.cli.top_picture import rate

LEVELS = "▁▂▃▄▅▆▇█"
UNKNOWN = "·"
Values = Sequence[float | None]
COLUMNS = tuple(
    Column(name.replace("_", " ").upper(), name)
    for name in (
        *("time", "bytes_in", "bytes_out", "packets_in", "packets_out", "carrying", "session_up"),
        *("prefixes_received", "prefixes_accepted", "prefixes_advertised"),
    )
)


class Window(StrEnum):
    """How far back."""

    QUARTER = "15m"
    HOUR = "1h"
    DAY = "24h"


def history(
    ctx: typer.Context,
    tunnel: Annotated[
        str,
        typer.Argument(metavar="TUNNEL", help="Id, as conn1-tunnel1.", autocompletion=complete.tunnels),
    ],
    window: Annotated[Window, typer.Option("--window", help="How far back.")] = Window.HOUR,
    output: Output = Format.TABLE,
    watch: Watch = False,
    server: Server = None,
) -> None:
    """What a tunnel carried lately: traffic in and out, whether it was the one in use, prefixes.

    The daemon remembers a day, from its start on. Bytes are those of the network interface.

    Examples:

      bgpsvc show history conn1-tunnel1 --window 15m --watch

      bgpsvc show history conn1-tunnel1 --window 24h -o csv
    """
    client = make_client(ctx, server)

    def draw(out: TextIO) -> None:
        found = client.get(path_to("tunnels", tunnel, "history"), {"window": window.value})
        if output in (Format.JSON, Format.YAML):
            write_object(found, output, out)
        elif output is Format.CSV:
            write_list([rows(found)], COLUMNS, output, out)
        else:
            out.writelines(f"{line}\n" for line in chart(found))

    run(draw, watch)


def rows(found: Json) -> list[Json]:
    """One for each interval, with the time at which it began."""
    begin = datetime.fromisoformat(found["start"])
    names = [column.key for column in COLUMNS[1:]]
    return [
        {
            "time": _text(begin + timedelta(seconds=i * found["interval"])),
            **dict(zip(names, values, strict=True)),
        }
        for i, values in enumerate(zip(*(found[name] for name in names), strict=True))
    ]


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def chart(found: Json) -> Iterator[str]:
    """A line for each figure, oldest on the left; then the times."""
    count = len(found["bytes_in"])
    each = count // (72 if count % 72 == 0 else 60)
    seconds = each * found["interval"]
    yield f"{found['tunnel']}, the last {found['window']}; a character is {_span(seconds)}"
    yield ""
    for label, name in (("in", "bytes_in"), ("out", "bytes_out")):
        bits = [None if value is None else 8 * value for value in found[name]]
        said = f"{rate(_last(bits))}, at most {rate(max(_known(bits), default=None))}"
        yield f"{label:<8} {bars(merged(bits, each), top=max(_known(bits), default=0.0))} {said}"
    for label, name in (("in use", "carrying"), ("session", "session_up")):
        said = {None: "unknown", 0.0: "no", 1.0: "yes"}.get(_last(found[name]), "at times")
        yield f"{label:<8} {bars(merged(found[name], each), top=1.0)} {said}"
    yield f"prefixes {_prefixes(found)}"
    yield _axis(found, count, seconds, each)


def merged(values: Values, each: int) -> list[float | None]:
    """Averages over so many intervals each, of what is known."""
    parts = [_known(values[i : i + each]) for i in range(0, len(values), each)]
    return [sum(part) / len(part) if part else None for part in parts]


def bars(values: Values, top: float) -> str:
    """A character for each value; nothing at all is a space, not known a dot."""
    return "".join(UNKNOWN if value is None else _bar(value, top) for value in values)


def _bar(value: float, top: float) -> str:
    if value <= 0 or top <= 0:
        return " "
    return LEVELS[min(int(value / top * len(LEVELS)), len(LEVELS) - 1)]


def _known(values: Values) -> list[float]:
    return [value for value in values if value is not None]


def _last(values: Values) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _prefixes(found: Json) -> str:
    now = {name: plain(_last(found[f"prefixes_{name}"])) for name in ("received", "accepted", "advertised")}
    return ", ".join(f"{number} {name}" for name, number in now.items())


def _axis(found: Json, count: int, seconds: int, each: int) -> str:
    """Begin, middle and end in local time, below the characters that they belong to."""
    begin = datetime.fromisoformat(found["start"]).astimezone()
    width = count // each
    times = [f"{begin + timedelta(seconds=i * seconds):%H:%M}" for i in (0, width // 2, width)]
    gap = " " * (width // 2 - 5)
    return " " * 9 + gap.join(times[:2]) + gap + times[2]


def _span(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
