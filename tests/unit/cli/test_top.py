"""`bgpsvc top`: rates of two looks, what the picture shows, and the keys, on a terminal of the test's own."""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from rich.console import Console

from bgpsvc.cli import top
from bgpsvc.cli.client import Client
from bgpsvc.cli.top_picture import Look, Rates, Sort, View, ordered, picture, rate, rates, rows_of
from tests.fakes.server import RunningApi
from tests.unit.cli.conftest import Run

PATIENCE = 60.0
NAMES = ("conn1-tunnel1", "conn1-tunnel2")


def tunnel(name: str, seen: int = 0, moved: int = 0, spi: str = "c0a1", **changes: Any) -> dict[str, Any]:
    child = {"spi_in": spi, "spi_out": "ffff", "bytes_in": 1000 + moved, "bytes_out": 500 + 2 * moved}
    return {
        "id": name,
        "role": "active",
        "ipsec": {
            "status": "ipsec_sa_established",
            "seen_at": f"2026-11-22T10:00:{seen:02}.000Z",
            "ike": {"children": [child]},
        },
        "session_state": "established",
        "state": "live",
        "carrying": True,
        "since": "2026-11-22T09:00:00Z",
        "detection": [{"method": "bfd", "in_force": True, "worst_case_ms": 150}],
    } | changes


def look(*tunnels: dict[str, Any], events: tuple[dict[str, Any], ...] = ()) -> Look:
    sessions = tuple(
        {"id": t["id"], "state": t["session_state"], "prefixes": {"accepted": 1234}} for t in tunnels
    )
    return Look(tunnels, sessions, ({"routes_installed": 1_000_000},), events)


def shown(now: Look, found: Rates, view: View) -> list[str]:
    console = Console(width=view.width, file=io.StringIO(), record=True, color_system=None)
    console.print(picture("unix:/x", now, found, view))
    return console.export_text().splitlines()


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (tunnel(NAMES[0], 2, 1000), {NAMES[0]: (4000.0, 8000.0)}),
        (tunnel(NAMES[0], 0, 1000), {NAMES[0]: (7.0, 7.0)}),  # not read again: the last one stays
        (tunnel(NAMES[0], 2, 0, spi="beef"), {}),  # a new SA counts from nothing
        (tunnel(NAMES[0], 2, ipsec=None), {}),
        (tunnel("another", 2, 1000), {}),
    ],
)
def test_rates_come_from_counters_of_the_same_association(after: dict[str, Any], found: Rates) -> None:
    assert rates(look(tunnel(NAMES[0])), look(after), {NAMES[0]: (7.0, 7.0)}) == found


def test_there_is_no_rate_at_the_first_look() -> None:
    assert rates(None, look(tunnel(NAMES[0])), {}) == {}


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        (None, "-"),
        (0, "0 bit/s"),
        (999, "999 bit/s"),
        (1000, "1.0 kbit/s"),
        (123_456, "123 kbit/s"),
        (9_876_543, "9.9 Mbit/s"),
        (5e12, "5000 Gbit/s"),
    ],
)
def test_rates_in_words(bits: float | None, text: str) -> None:
    assert rate(bits) == text


def test_orders() -> None:
    found = {"b": (5.0, 5.0), "c": (90.0, 0.0)}
    now = look(tunnel("c"), tunnel("a", state="down"), tunnel("b"))
    assert {by.value: [t["id"] for t in ordered(now, found, by)] for by in Sort} == {
        "name": ["a", "b", "c"],
        "traffic": ["c", "b", "a"],
        "trouble": ["a", "b", "c"],
    }


def test_the_picture() -> None:
    event = {"time": "2026-11-22T10:00:07.5Z", "kind": "bfd.down", "severity": "warning", "subject": "conn1"}
    now = look(
        tunnel(NAMES[0]), tunnel(NAMES[1], carrying=False), events=({**event, "message": "\x1b[2Jgone"},)
    )
    lines = shown(now, {NAMES[0]: (1e6, 2e3)}, View(160, 24))
    assert lines[0].startswith(
        "bgpsvc  tunnels 2/2  sessions 2/2  routes 1,000,000  in 1.0 Mbit/s  out 2.0 kbit/s"
    )
    assert "q quit" in "".join(lines)
    (first,) = [line for line in lines if line.startswith(NAMES[0])]
    assert first.split()[1:] == [
        *("active", "ipsec_sa_established", "established", "live", "yes"),
        *("1.0", "Mbit/s", "2.0", "kbit/s", "1,234", *first.split()[11:12], "bfd", "150", "ms"),
    ]
    (said,) = [line for line in lines if "bfd.down" in line]
    assert said.rstrip().endswith("?[2Jgone")  # nobody's words steer the terminal
    assert "\x1b" not in "".join(lines)


def test_a_picture_is_never_higher_than_the_terminal() -> None:
    now = look(*(tunnel(f"t{number:03}") for number in range(200)))
    for height in (10, 24, 60):
        view = View(100, height, offset=3)
        lines = shown(now, {}, view)
        assert len(lines) <= height
        assert lines[3].startswith("t003")
        assert f"4-{3 + rows_of(view)} of 200" in "\n".join(lines)


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (160, "TUNNEL ROLE IPSEC SESSION STATE TRAFFIC IN OUT PREFIXES FOR DETECTION"),
        (120, "TUNNEL IPSEC SESSION STATE TRAFFIC IN OUT PREFIXES FOR"),
        (80, "TUNNEL SESSION STATE TRAFFIC IN OUT PREFIXES"),
        (60, "TUNNEL STATE TRAFFIC IN OUT"),
        (10, "TUNNEL"),
    ],
)
def test_a_narrow_terminal_has_fewer_columns_and_none_is_cut(width: int, titles: str) -> None:
    for found in ({}, {NAMES[0]: (1.2e6, 999.0)}):  # columns do not come and go with the rates
        lines = shown(look(tunnel(NAMES[0])), found, View(width, 24))
        head = next(n for n, line in enumerate(lines) if line.startswith("TUNNEL"))
        assert lines[head].split() == titles.split()
        assert "…" not in lines[head + 1] or width == 10


def test_events_have_the_lines_that_tunnels_leave() -> None:
    event = {"time": "2026-11-22T10:00:07.5Z", "kind": "bfd.up", "severity": "info", "subject": "t"}
    events = tuple({**event, "message": f"number {n}."} for n in range(40))
    lines = shown(look(tunnel(NAMES[0]), events=events), {}, View(100, 24))
    assert len(lines) <= 24
    assert sum("bfd.up" in line for line in lines) > 10
    assert "number 39." in lines[lines.index(next(line for line in lines if "Events" in line)) + 1]


def scrolled(state: top._State, keys: bytes) -> int:
    assert state.press(keys)
    return state.view.offset


def test_keys_that_come_at_once_and_ends_of_the_list(
    running: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = look(*(tunnel(f"t{number:03}") for number in range(100)))
    monkeypatch.setattr(top, "_look", lambda client: many)
    state = top._State(Client(running.url), Sort.NAME)
    state.look(1.0)
    state.view = View(100, 24)
    page, last = rows_of(state.view), 100 - rows_of(state.view)
    assert scrolled(state, b"\x1b[B\x1b[Bj") == 3
    assert scrolled(state, b"\x1bOA") == 2
    assert scrolled(state, b"\x1b[6~") == 2 + page
    assert scrolled(state, b"\x1b[6~" * 20) == last
    assert scrolled(state, b"\x1b[B\x1b[A") == last - 1  # nothing is counted beyond the end
    assert scrolled(state, b"\x1b[H") == 0
    assert scrolled(state, b"\x1b[F") == last
    assert scrolled(state, b"\x1b[5~" * 20) == 0
    assert not state.press(b"jq")
    assert not state.press(b"")


def test_a_slow_daemon_is_left_in_peace_between_looks(
    running: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 103.0, 200.0, 200.1])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(top, "_look", lambda client: look())
    state = top._State(Client(running.url), Sort.NAME)
    assert state.look(1.0) == 103.0 + 3 * top.RESTS
    assert state.look(1.0) == 200.1 + 1.0


def test_a_daemon_that_goes_away_and_comes_back(running: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    state = top._State(Client(running.url), Sort.NAME)
    state.look(1.0)
    with monkeypatch.context() as gone:
        gone.setattr(top, "_look", lambda client: client.get("/v1/vpcs/absent"))
        state.look(1.0)
    console = Console(width=80, file=io.StringIO(), record=True, color_system=None)
    console.print(state.picture())
    said = console.export_text().splitlines()[1]
    assert said.startswith("what you see is old: ")
    state.look(1.0)
    assert not state.view.trouble


def test_once(bgpsvc: Run, running: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top, "COUNTERS_PATIENCE", 0.0)
    result = bgpsvc("top", "--once", "--interval", "0.2", "--sort", "trouble")
    assert result.status == 0, result.err
    assert result.out.startswith("bgpsvc  tunnels ")
    assert running.url in result.out
    assert "q quit" not in result.out
    assert all(name in result.out for name in NAMES)
    assert "\x1b" not in result.out


def test_what_it_refuses(bgpsvc: Run, running: RunningApi) -> None:
    wrong = bgpsvc("top", "--sort", "size")
    assert wrong.status == 2
    assert "'name', 'traffic', 'trouble'" in wrong.err
    result = bgpsvc("top")
    assert result.status == 2
    assert "use --once" in result.err


class Terminal:
    """A process on a pseudo terminal."""

    def __init__(self, *argv: str) -> None:
        self.ours, theirs = pty.openpty()
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "150", "LINES": "30"}
        self.process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.text = ""

    def until(self, words: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while words not in self.text:
            assert time.monotonic() < deadline, self.text
            if select.select([self.ours], [], [], 0.5)[0]:
                self.text += os.read(self.ours, 65536).decode(errors="replace")

    def press(self, keys: bytes) -> None:
        self.text = ""
        os.write(self.ours, keys)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)


def test_keys(running: RunningApi) -> None:
    terminal = Terminal(sys.executable, "-m", "bgpsvc", "--server", running.url, "top", "--interval", "60")
    try:
        terminal.until("by name")
        terminal.press(b"s")
        terminal.until("by traffic")
        terminal.press(b"p")
        terminal.until("paused")
        terminal.process.terminate()
        terminal.until("\x1b[?1049l")  # the terminal has its own screen again (xterm)
        assert terminal.process.wait(PATIENCE) == 128 + signal.SIGTERM
    finally:
        terminal.close()
