"""What the daemon tells who watches over it: systemd, or the watchdog of `bgpsvc serve --watchdog`.

The protocol is sd_notify(3): datagrams of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names. With
`WATCHDOG_USEC` a sign of life is expected at least that often; the event loop gives it, so that a loop that
hangs is noticed and not only a process that has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, MutableMapping

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"

log = logging.getLogger(__name__)


class BadEnvironment(RuntimeError):
    """A variable of the environment is not what it has to be."""


class Notifier:
    """The way to whoever watches; without anybody it says nothing.

    `interval`: seconds from one sign of life to the next, half of what is allowed; None if nobody wants any.
    """

    def __init__(self, sock: socket.socket | None = None, interval: float | None = None) -> None:
        self._socket = sock
        self.interval = interval
        self._failed = False

    @classmethod
    def of_environment(cls, environment: MutableMapping[str, str]) -> Notifier:
        """As NOTIFY_SOCKET and WATCHDOG_USEC say, which go: no process that we start is meant by them.

        Connects at once: names of abstract sockets belong to the network namespace in which we are now.
        BadEnvironment if they are not what sd_notify(3) and sd_watchdog_enabled(3) say, OSError if nobody
        listens there.
        """
        address = environment.pop("NOTIFY_SOCKET", "")
        allowed = environment.pop("WATCHDOG_USEC", "")
        meant = environment.pop("WATCHDOG_PID", "")
        if not address:
            return cls()
        if address[0] not in "/@":
            raise BadEnvironment(
                f"NOTIFY_SOCKET is {address!r}; allowed: /PATH, or @NAME of an abstract socket"
            )
        if allowed and not (allowed.isascii() and allowed.isdigit() and int(allowed)):
            raise BadEnvironment(f"WATCHDOG_USEC is {allowed!r}; allowed: a number of microseconds above 0")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.connect("\0" + address[1:] if address[0] == "@" else address)
        except OSError as error:
            sock.close()
            raise OSError(error.errno, f"NOTIFY_SOCKET {address}: {error.strerror}") from None
        ours = allowed and meant in ("", str(os.getpid()))
        return cls(sock, int(allowed) / 2e6 if ours else None)

    def say(self, state: str) -> None:
        """Tell a state (READY, STOPPING, ALIVE). That nobody takes it is logged once and stops nothing."""
        if self._socket is None:
            return
        try:
            self._socket.send(state.encode())
        except OSError as error:
            if not self._failed:
                log.warning("%s was not taken by who watches over us: %s", state, error.strerror)
            self._failed = True
        else:
            self._failed = False

    @contextlib.asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Signs of life from the event loop as long as this is entered."""
        beat = asyncio.create_task(self._beat(), name="signs of life")
        try:
            yield
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)

    async def _beat(self) -> None:
        while self.interval is not None:
            self.say(ALIVE)
            await asyncio.sleep(self.interval)

    def close(self) -> None:
        """Say nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
