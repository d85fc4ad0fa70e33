"""`bgpsvc top`: tunnels, traffic and events as they are now, in the whole terminal."""

from __future__ import annotations

import dataclasses
import os
import select
import shutil
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
from bgpsvc.cli.top_picture import SORTS, Look, Rates, View, counters, ordered, picture, rates, rows_of

EVENTS = 40
COUNTERS_PATIENCE = 12.0
"""Seconds that `--once` waits for newer counters."""
UP, DOWN = b"\x1b[A", b"\x1b[B"
"""What terminals send for the arrow keys (ECMA-48 CUU and CUD)."""


def top(
    ctx: typer.Context,
    interval: Annotated[
        float, typer.Option("--interval", "-i", min=0.2, max=60, help="Seconds between two looks.")
    ] = 1.0,
    sort: Annotated[
        str, typer.Option("--sort", help=f"How tunnels are ordered: {', '.join(SORTS)}.")
    ] = SORTS[0],
    once: Annotated[
        bool, typer.Option("--once", help="Look twice, print one picture with rates, and end.")
    ] = False,
    server: Server = None,
) -> None:
    """A live view of tunnels, traffic and events, drawn again every second.

    Keys: q quits, s changes the order, p stops and goes on, the arrow keys scroll.

    IN and OUT are rates of the IPsec SA, from the peer and to it. `--once` needs no terminal.

    Examples:

      bgpsvc top

      bgpsvc top --sort trouble --interval 5
    """
    if sort not in SORTS:
        raise CliError(f"--sort {sort!r} is not known: choose one of {', '.join(SORTS)}", 2)
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


def _print(client: Client, interval: float, sort: str) -> None:
    before = _look(client)
    time.sleep(interval)  # a rate needs two looks some time apart
    now = _look(client)
    deadline = time.monotonic() + COUNTERS_PATIENCE
    while _unread_since(before, now) and time.monotonic() < deadline:
        time.sleep(interval)
        now = _look(client)
    lines = len(now.tunnels) + EVENTS
    console = Console(width=_width(), no_color=bool(os.environ.get("NO_COLOR")), highlight=False)
    view = View(console.width, 2 * lines, sort)
    console.print(picture(client.server, now, rates(before, now, {}), view))


def _unread_since(before: Look, now: Look) -> bool:
    """True while the daemon has not read every counter again: it does so every few seconds."""
    was = {tunnel["id"]: counters(tunnel) for tunnel in before.tunnels}
    return any(
        found is not None and found == was.get(t["id"]) for t in now.tunnels for found in [counters(t)]
    )


def _width() -> int | None:
    return None if sys.stdout.isatty() else 160


def _live(client: Client, interval: float, sort: str) -> None:
    state = _State(client, sort)
    state.look()
    console = Console(no_color=bool(os.environ.get("NO_COLOR")), highlight=False)
    with _keys() as fd, Live(console=console, screen=True, auto_refresh=False) as live:
        due = time.monotonic() + interval
        while True:
            live.update(state.picture(), refresh=True)
            wait = max(0.0, due - time.monotonic())
            if select.select([fd], [], [], wait)[0]:
                if not state.press(os.read(fd, 64)):
                    return
                continue
            due = time.monotonic() + interval
            if not state.view.paused:
                state.look()


class _State:
    """The looks, and what was pressed."""

    def __init__(self, client: Client, sort: str) -> None:
        self._client = client
        self._now: Look | None = None
        self._rates: Rates = {}
        self.view = View(0, 0, sort)

    def look(self) -> None:
        """Look again. The first look must succeed; later failures are shown, and the next may do better."""
        try:
            now = _look(self._client)
        except CliError as error:
            if self._now is None:
                raise
            trouble = str(error).splitlines()[0]
            self.view = dataclasses.replace(self.view, trouble=f"{trouble}; what you see is old")
            return
        self._rates = rates(self._now, now, self._rates)
        self._now = now
        self.view = dataclasses.replace(self.view, trouble="")

    def press(self, keys: bytes) -> bool:
        """False: it is to end."""
        view = self.view
        if keys in (b"q", b"Q", b"\x03", b""):  # nothing: the terminal is gone
            return False
        if keys in (b"s", b"S"):
            following = SORTS[(SORTS.index(view.sort) + 1) % len(SORTS)]
            self.view = dataclasses.replace(view, sort=following, offset=0)
        elif keys in (b"p", b"P", b" "):
            self.view = dataclasses.replace(view, paused=not view.paused)
        elif keys in (UP, DOWN, b"k", b"j"):
            step = -1 if keys in (UP, b"k") else 1
            self.view = dataclasses.replace(view, offset=max(0, view.offset + step))
        return True

    def picture(self) -> RenderableType:
        """For the terminal as large as it is now."""
        assert self._now is not None, "the first look has succeeded"
        width, height = shutil.get_terminal_size()
        view = dataclasses.replace(self.view, width=width, height=height)
        last = max(0, len(ordered(self._now, self._rates, view.sort)) - rows_of(view))
        self.view = dataclasses.replace(view, offset=min(view.offset, last))
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
