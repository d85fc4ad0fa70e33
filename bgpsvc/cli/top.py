"""`bgpsvc top`: tunnels, traffic and events as they are now, in the whole terminal."""

from __future__ import annotations

import dataclasses
import os
import re
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from bgpsvc.cli.client import Client
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.options import Server, make_client
from bgpsvc.cli.top_picture import (
    SORTS,
    Look,
    Rates,
    Sort,
    View,
    counters,
    picture,
    rates,
    rows_of,
)

EVENTS = 40
COUNTERS_PATIENCE = 12.0
"""Seconds that `--once` waits for newer counters."""
RESTS = 4
"""So many times as long as a look took it rests before the next: with thousands of tunnels the daemon has
better things to do than to tell of them."""
KEY = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.DOTALL)
"""One key; those without a letter are sequences (ECMA-48 5.4), of which many may come at once."""
STEPS = {b"\x1b[A": -1, b"\x1bOA": -1, b"k": -1, b"\x1b[B": 1, b"\x1bOB": 1, b"j": 1}
PAGES = {b"\x1b[5~": -1, b"\x1b[6~": 1}
HOME = (b"\x1b[H", b"\x1bOH", b"\x1b[1~", b"g")
END = (b"\x1b[F", b"\x1bOF", b"\x1b[4~", b"G")


def top(
    ctx: typer.Context,
    interval: Annotated[
        float, typer.Option("--interval", "-i", min=0.2, max=60, help="Seconds between two looks.")
    ] = 1.0,
    sort: Annotated[Sort, typer.Option("--sort", help="How tunnels are ordered.")] = Sort.NAME,
    once: Annotated[
        bool, typer.Option("--once", help="Look twice, print one picture with rates, and end.")
    ] = False,
    server: Server = None,
) -> None:
    """A live view of tunnels, traffic and events, drawn again every second.

    Keys: q quits, s changes the order, p stops and goes on; arrows, page up and down, home and end scroll.

    IN and OUT are rates of the IPsec SA, from the peer and to it; they change when the daemon has read the
    SA's counters anew, every few seconds. A narrow terminal has fewer columns. `--once` needs no terminal.

    Examples:

      bgpsvc top

      bgpsvc top --sort trouble --interval 5
    """
    client = make_client(ctx, server)
    if once:
        _print(client, interval, sort)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CliError("top draws on a terminal, and this is none: use --once, or `bgpsvc show tunnels`", 2)
    try:
        _live(client, interval, sort)
    except KeyboardInterrupt:
        return  # as usual for what runs until it is stopped


def _look(client: Client) -> Look:
    return Look(
        tunnels=tuple(client.items("/v1/tunnels")),
        sessions=tuple(client.items("/v1/bgp-sessions")),
        gateways=tuple(client.items("/v1/vpn-gateways")),
        events=tuple(client.get("/v1/events", {"limit": EVENTS})["items"]),
    )


def _print(client: Client, interval: float, sort: Sort) -> None:
    before = _look(client)
    time.sleep(interval)  # a rate needs two looks some time apart
    now = _look(client)
    deadline = time.monotonic() + COUNTERS_PATIENCE
    while _unread_since(before, now) and time.monotonic() < deadline:
        time.sleep(interval)
        now = _look(client)
    lines = len(now.tunnels) + EVENTS
    console = Console(width=_width(), no_color=bool(os.environ.get("NO_COLOR")), highlight=False)
    view = View(console.width, 2 * lines, sort, keys=False)
    console.print(picture(client.server, now, rates(before, now, {}), view))


def _unread_since(before: Look, now: Look) -> bool:
    """True while the daemon has not read every counter again: it does so every few seconds."""
    was = {tunnel["id"]: counters(tunnel) for tunnel in before.tunnels}
    return any(
        found is not None and found == was.get(t["id"]) for t in now.tunnels for found in [counters(t)]
    )


def _width() -> int | None:
    return None if sys.stdout.isatty() else 160


def _live(client: Client, interval: float, sort: Sort) -> None:
    state = _State(client, sort)
    due = state.look(interval)
    console = Console(no_color=bool(os.environ.get("NO_COLOR")), highlight=False)
    signal.signal(signal.SIGTERM, _end)
    with _keys() as fd, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(state.picture(), refresh=True)
            wait = max(0.0, due - time.monotonic())
            if select.select([fd], [], [], wait)[0]:
                if not state.press(os.read(fd, 1024)):
                    return
            elif state.view.paused:
                due = time.monotonic() + interval
            else:
                due = state.look(interval)


def _end(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)  # on its way the terminal is put right


class _State:
    """The looks, and what was pressed."""

    def __init__(self, client: Client, sort: Sort) -> None:
        self._client = client
        self._now: Look | None = None
        self._rates: Rates = {}
        self.view = View(0, 0, sort)

    def look(self, interval: float) -> float:
        """Look again; when to do so next, by the monotonic clock.

        The first look must succeed; later failures are shown, and the next may do better.
        """
        begin = time.monotonic()
        try:
            now = _look(self._client)
        except CliError as error:
            if self._now is None:
                raise
            trouble = f"what you see is old: {str(error).splitlines()[0]}"
            self.view = dataclasses.replace(self.view, trouble=trouble)
        else:
            self._rates = rates(self._now, now, self._rates)
            self._now = now
            self.view = dataclasses.replace(self.view, trouble="")
        end = time.monotonic()
        return end + max(interval, RESTS * (end - begin))

    def press(self, keys: bytes) -> bool:
        """False: it is to end. Several keys at once are what a key held down gives."""
        return bool(keys) and all(self._press(key) for key in KEY.findall(keys))  # nothing: a lost terminal

    def _press(self, key: bytes) -> bool:
        view = self.view
        if key in (b"q", b"Q", b"\x03"):
            return False
        if key in (b"s", b"S"):
            following = SORTS[(SORTS.index(view.sort) + 1) % len(SORTS)]
            self.view = dataclasses.replace(view, sort=following, offset=0)
        elif key in (b"p", b"P", b" "):
            self.view = dataclasses.replace(view, paused=not view.paused)
        elif key in HOME:
            self._scroll(0)
        elif key in END:
            self._scroll(self._count())
        else:
            self._scroll(view.offset + STEPS.get(key, 0) + PAGES.get(key, 0) * rows_of(view))
        return True

    def _scroll(self, offset: int) -> None:
        last = max(0, self._count() - rows_of(self.view))
        self.view = dataclasses.replace(self.view, offset=min(max(0, offset), last))

    def _count(self) -> int:
        return 0 if self._now is None else len(self._now.tunnels)

    def picture(self) -> RenderableType:
        """For the terminal as large as it is now."""
        assert self._now is not None, "the first look has succeeded"
        width, height = shutil.get_terminal_size()
        self.view = dataclasses.replace(self.view, width=width, height=height)
        self._scroll(self.view.offset)
        return picture(self._client.server, self._now, self._rates, self.view)


@contextmanager
def _keys() -> Iterator[int]:
    """The terminal's descriptor, giving every key at once and not showing it."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
