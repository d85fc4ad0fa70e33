"""What the commands print: aligned tables, JSON, YAML, CSV, and the redrawing of --watch.

Lists are written page by page as they arrive. A table's widths come from its first page and only grow.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

from bgpsvc.cli.errors import CliError

Json = dict[str, Any]
WATCH_SECONDS = 2.0
LISTED = 4
"""As many members of a list are shown in a cell."""

GREEN, YELLOW, RED = "\x1b[32m", "\x1b[33m", "\x1b[31m"
PASSING = {"warming", "pending", "updating", "connect", "opensent", "openconfirm", "warning", "not_installed"}
"""States that are neither good nor bad."""


class Format(StrEnum):
    """Forms of output."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


def plain(value: Any) -> str:
    """A value for people: short lists with spaces, `-` for nothing, yes and no."""
    if value is None or value == [] or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return listed(value)
    return str(value)


def listed(values: Sequence[Any]) -> str:
    """A list for people: all of a few, the first ones of many (-o json has all)."""
    shown = values if len(values) <= LISTED else values[: LISTED - 1]
    more = " and more" if len(shown) < len(values) else ""
    return " ".join(str(value) for value in shown) + more


def raw(value: Any) -> str:
    """A value for programs: nothing is empty, true and false as in JSON, objects are counted."""
    if value is None:
        return ""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return str(len(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(str(part) for part in value)
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value)


def times(number: int) -> str:
    """How often."""
    return {0: "never", 1: "once"}.get(number, f"{number} times")


def duration(since: str | None) -> str:
    """Time since an RFC 3339 time, as routers show it: 00:12:34, 3d04h05m, 2w3d04h."""
    if since is None:
        return "never"
    return _span((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds())


def remaining(until: str) -> str:
    """Time until an RFC 3339 time, in the same form."""
    return _span((datetime.fromisoformat(until) - datetime.now(UTC)).total_seconds())


def _span(length: float) -> str:
    seconds = max(0, int(length))
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if not days:
        return f"{hour:02}:{minute:02}:{second:02}"
    if days < 7:
        return f"{days}d{hour:02}h{minute:02}m"
    return f"{days // 7}w{days % 7}d{hour:02}h"


@dataclass(frozen=True)
class Column:
    """One column: its title, the member it shows (dots lead inside), and how.

    `show` makes text of the member, `wide` columns appear with -o wide only. Columns with `good` words
    are coloured: those green, others red or yellow. CSV has every column, with the member's plain value.
    """

    title: str
    key: str
    show: Callable[[Any], str] = plain
    wide: bool = False
    right: bool = False
    good: tuple[str, ...] = ()
    of: Callable[[Json], Any] | None = None
    """Makes the value from the whole item, in place of `key`."""
    least: int = 0
    """Smallest width, for tables whose rows come one by one."""

    def value(self, item: Json) -> Any:
        """The member of an item; None where the way to it ends."""
        if self.of is not None:
            return self.of(item)
        found: Any = item
        for name in self.key.split("."):
            if isinstance(found, list):
                found = found[int(name)] if int(name) < len(found) else None
            else:
                found = None if found is None else found.get(name)
        return found


@dataclass
class Table:
    """Writes rows of text in aligned columns."""

    columns: Sequence[Column]
    out: TextIO
    colour: bool
    widths: list[int] = field(default_factory=list)

    def write(self, items: Sequence[Json]) -> None:
        """Writes some rows, and the head before the first ones."""
        rows = [[column.show(column.value(item)) for column in self.columns] for item in items]
        head = not self.widths
        if head:
            rows.insert(0, [column.title for column in self.columns])
            self.widths = [column.least for column in self.columns]
        self.widths = [max([w, *(len(row[i]) for row in rows)]) for i, w in enumerate(self.widths)]
        for number, row in enumerate(rows):
            self.out.write(self._line(row, head=head and number == 0) + "\n")

    def _line(self, row: list[str], *, head: bool) -> str:
        cells = []
        for text, column, width in zip(row, self.columns, self.widths, strict=True):
            cell = text.rjust(width) if column.right else text.ljust(width)
            if column.good and self.colour and not head and text != "-":
                cell = cell.replace(text, paint(text, column.good), 1)
            cells.append(cell)
        return "  ".join(cells).rstrip()


def paint(text: str, good: Sequence[str]) -> str:
    """A state word in its colour."""
    colour = GREEN if text in good else YELLOW if text in PASSING else RED
    return f"{colour}{text}\x1b[0m"


def may_colour(out: TextIO) -> bool:
    """True on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write_list(
    pages: Iterable[list[Json]],
    columns: Sequence[Column],
    form: Format,
    out: TextIO,
    *,
    colour: bool = False,
) -> int:
    """Writes the items of all pages in the form wanted, each page when it arrives; how many they were.

    The first page is fetched before anything is written, so that a refused request leaves nothing behind.
    """
    write, end = _writers(columns, form, out, colour)
    count = 0
    for page in pages:
        if page or (count == 0 and form in (Format.JSON, Format.YAML, Format.CSV)):
            write(page)
        count += len(page)
    end()
    return count


def _writers(
    columns: Sequence[Column], form: Format, out: TextIO, colour: bool
) -> tuple[Callable[[list[Json]], None], Callable[[], None]]:
    """A function that writes a page, and one that ends the output."""
    if form is Format.JSON:
        return _json_writers(out)
    if form is Format.YAML:
        return _yaml_writers(out)
    if form is Format.CSV:
        return _csv_writer(columns, out), lambda: None
    shown = [column for column in columns if form is Format.WIDE or not column.wide]
    return Table(shown, out, colour).write, lambda: None


def _json_writers(out: TextIO) -> tuple[Callable[[list[Json]], None], Callable[[], None]]:
    begun = False

    def write(page: list[Json]) -> None:
        nonlocal begun
        for item in page:
            text = json.dumps(item, indent=2, ensure_ascii=False).replace("\n", "\n    ")
            out.write(",\n    " if begun else '{\n  "items": [\n    ')
            out.write(text)
            begun = True

    def end() -> None:
        out.write("\n  ]\n}\n" if begun else '{\n  "items": []\n}\n')

    return write, end


def _yaml_writers(out: TextIO) -> tuple[Callable[[list[Json]], None], Callable[[], None]]:
    import yaml

    begun = False

    def write(page: list[Json]) -> None:
        nonlocal begun
        if page:
            out.write("" if begun else "items:\n")
            out.write(yaml.safe_dump(page, sort_keys=False, allow_unicode=True))
            begun = True

    def end() -> None:
        out.write("" if begun else "items: []\n")

    return write, end


def _csv_writer(columns: Sequence[Column], out: TextIO) -> Callable[[list[Json]], None]:
    writer = csv.writer(out, lineterminator="\n")
    begun = False

    def write(page: list[Json]) -> None:
        nonlocal begun
        if not begun:
            writer.writerow([column.title.lower().replace(" ", "_") for column in columns])
            begun = True
        writer.writerows([raw(column.value(item)) for column in columns] for item in page)

    return write


def write_object(item: Json, form: Format, out: TextIO) -> None:
    """Writes one object as JSON or YAML."""
    if form is Format.YAML:
        import yaml

        out.write(yaml.safe_dump(item, sort_keys=False, allow_unicode=True))
    else:
        out.write(json.dumps(item, indent=2, ensure_ascii=False) + "\n")


def write_one(
    item: Json,
    rows: list[Json],
    columns: Sequence[Column],
    form: Format,
    lines: Callable[[], Iterable[str]],
    out: TextIO,
) -> None:
    """Writes what is shown by itself: as an object, its `rows` as CSV, or in lines of text."""
    if form in (Format.JSON, Format.YAML):
        write_object(item, form, out)
    elif form is Format.CSV:
        write_list([rows], columns, form, out)
    else:
        out.writelines(line + "\n" for line in lines())


def run(draw: Callable[[TextIO], None], watch: bool) -> None:
    """Draws once, or with `watch` again and again until Ctrl-C."""
    if not watch:
        draw(sys.stdout)
        return
    try:
        _redraw(draw)
    except KeyboardInterrupt:
        # The usual way out of a watch, so it is no failure.
        sys.stdout.write("\n" if sys.stdout.isatty() else "")


def _redraw(draw: Callable[[TextIO], None]) -> None:
    """A first picture has to succeed; later failures are shown, and the next round tries again."""
    terminal = sys.stdout.isatty()
    first = True
    while True:
        picture = io.StringIO()
        try:
            draw(picture)
            text = picture.getvalue()
        except CliError as error:
            if first:
                raise
            text = f"bgpsvc: {error}\n"
        if terminal:
            sys.stdout.write("\x1b[H\x1b[2J" + _clipped(text))
        else:
            sys.stdout.write(("" if first else "\n") + text)
        sys.stdout.flush()
        first = False
        time.sleep(WATCH_SECONDS)


def _clipped(text: str) -> str:
    """As many lines as the terminal has; the last one says how many are missing."""
    height = shutil.get_terminal_size().lines
    lines = text.splitlines(keepends=True)
    if len(lines) < height:
        return text
    return "".join(lines[: height - 2]) + f"... and {len(lines) - height + 2} more lines\n"
