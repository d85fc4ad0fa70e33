"""Small parts of the output: durations, colours, clipping."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest

from bgpsvc.cli import output, show
from bgpsvc.cli.client import Json
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.options import parse_asn
from bgpsvc.cli.output import Column, Table, duration, listed, may_colour, plain, raw, times


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(seconds=1), "00:00:01"),
        (timedelta(hours=23, minutes=59, seconds=59), "23:59:59"),
        (timedelta(days=1, hours=2, minutes=3), "1d02h03m"),
        (timedelta(days=17, hours=4), "2w3d04h"),
        (timedelta(seconds=-5), "00:00:00"),
    ],
)
def test_durations_as_routers_show_them(ago: timedelta, text: str) -> None:
    moment = datetime.now(UTC) - ago - timedelta(milliseconds=200)
    assert duration(moment.isoformat().replace("+00:00", "Z")) == text


@pytest.mark.parametrize(
    ("value", "for_people", "for_programs"),
    [
        (None, "-", ""),
        ([], "-", ""),
        ("", "-", ""),
        (True, "yes", "true"),
        (False, "no", "false"),
        (0, "0", "0"),
        (["a", "b"], "a b", "a b"),
        ({"a": 1}, "{'a': 1}", '{"a": 1}'),
    ],
)
def test_words_for_values(value: object, for_people: str, for_programs: str) -> None:
    assert plain(value) == for_people
    assert raw(value) == for_programs


def test_words_for_numbers_and_lists() -> None:
    assert raw([{}, {}]) == "2"
    assert listed("abcd") == "a b c d"
    assert listed("abcde") == "a b c and more"
    assert [times(n) for n in (0, 1, 2)] == ["never", "once", "2 times"]
    assert duration(None) == "never"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_only_on_a_terminal_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert may_colour(Terminal())
    assert not may_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not may_colour(Terminal())
    monkeypatch.setenv("NO_COLOR", "")
    assert may_colour(Terminal()), "an empty NO_COLOR does not count"
    monkeypatch.setenv("TERM", "dumb")
    assert not may_colour(Terminal())


def test_colours_change_no_width() -> None:
    columns = (Column("STATE", "s", good=("up",)), Column("N", "n", right=True))
    rows: list[Json] = [
        {"s": "up", "n": 1},
        {"s": "pending", "n": 10},
        {"s": "down", "n": 100},
        {"s": None, "n": 0},
    ]
    with_colour, without = io.StringIO(), io.StringIO()
    Table(columns, with_colour, colour=True).write(rows)
    Table(columns, without, colour=False).write(rows)
    assert without.getvalue() == "STATE      N\nup         1\npending   10\ndown     100\n-          0\n"
    stripped = with_colour.getvalue()
    for code in (output.GREEN, output.YELLOW, output.RED, "\x1b[0m"):
        stripped = stripped.replace(code, "")
    assert stripped == without.getvalue()
    lines = with_colour.getvalue().splitlines()
    assert [output.GREEN in lines[1], output.YELLOW in lines[2], output.RED in lines[3]] == [True] * 3
    assert "\x1b" not in lines[0] + lines[4]


def test_later_pages_widen_a_table() -> None:
    out = io.StringIO()
    table = Table((Column("A", "a"), Column("B", "b")), out, colour=False)
    table.write([{"a": "x", "b": 1}])
    table.write([{"a": "longer", "b": 2}])
    assert out.getvalue() == "A  B\nx  1\nlonger  2\n"


def test_a_watched_picture_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "5")
    monkeypatch.setenv("COLUMNS", "80")
    assert output._clipped("1\n2\n3\n4\n") == "1\n2\n3\n4\n"
    assert output._clipped("1\n2\n3\n4\n5\n6\n") == "1\n2\n3\n... and 3 more lines\n"


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("65530", 65530), ("1.10", 65546), ("65535.65535", 4294967295)]
)
def test_as_numbers_plain_and_asdot(text: str, number: int) -> None:
    assert parse_asn(text) == number
    assert parse_asn(None) is None


@pytest.mark.parametrize("text", ["4294967296", "1.65536", "65536.0", "-1", "1.", "1.2.3", "AS1", "１"])
def test_what_is_no_as_number(text: str) -> None:
    with pytest.raises(CliError, match="is not an AS number"):
        parse_asn(text)


def test_a_notification_is_named_once() -> None:
    error = {"time": "2025-10-09T08:53:20.000Z", "text": "peer closed", "code": 6, "subcode": 2}
    assert "peer closed (NOTIFICATION 6/2 received), " in show._error(error | {"direction": "received"})
    told = error | {"text": "notification sent (6,2): shutdown", "direction": "sent"}
    assert "NOTIFICATION" not in show._error(told)
