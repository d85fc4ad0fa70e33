"""What is said to a speaker and what it answers, over whichever connection there is at the moment."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterable

from bgpsvc.exabgp.answers import Answers, Reloaded
from bgpsvc.exabgp.channel import Channel, ChannelClosed
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.model import Prefix, Role

ANSWER_TIMEOUT = 60.0
SYNC_INTERVAL = 15.0
CEASE_ADMINISTRATIVE_RESET = 4

log = logging.getLogger(__name__)


class NoAnswer(RuntimeError):
    """ExaBGP doesn't answer, though it is connected: it is very busy, or we were stopped meanwhile."""


class Dialogue:
    """Commands to one speaker, each with its answer. `on_synced`: the state of all sessions was told.

    Whatever is sent raises ChannelClosed if there is no connection, or none any more.
    """

    def __init__(self, role: Role, on_synced: Callable[[], None]) -> None:
        self._role = role
        self._on_synced = on_synced
        self._channel: Channel | None = None
        self._answers = Answers()
        self._tokens = (f"{os.getpid()}-{time.monotonic_ns()}-{number}" for number in itertools.count())
        self._syncs: set[str] = set()
        self._synced = False
        self._lost = asyncio.Event()

    @property
    def connected(self) -> bool:
        return self._channel is not None

    @property
    def synced(self) -> bool:
        """The state of all sessions was told on this connection."""
        return self._synced

    def opened(self, channel: Channel) -> None:
        """Speak over this connection from now on."""
        self._channel = channel
        self._syncs.clear()

    def closed(self) -> None:
        """The connection is gone, and with it every answer that is still awaited."""
        self._channel = None
        self._synced = False
        self._answers.fail()

    # Heard ----------------------------------------------------------------------------------

    def hear(self, line: str) -> None:
        """A line that the launcher or the relay wrote, not ExaBGP: it begins with `#`."""
        try:
            self._understand(line)
        except (IndexError, ValueError):
            # A relay that was killed took the first half of a line with it.
            log.warning("not an answer of the %s speaker: %r", self._role.value, line[:200])

    def _understand(self, line: str) -> None:
        word, *rest = line.split(" ")
        if word == "#synced":
            if rest[0] in self._syncs:
                self._syncs.clear()
                self._synced = True
                self._on_synced()
        elif word == "#lost":
            log.warning(
                "%s lines of the %s speaker did not fit into the relay's memory", rest[1], self._role.value
            )
            self._lost.set()
        else:
            self._answers.hear(word, rest)

    # Said -----------------------------------------------------------------------------------

    async def send(self, commands: Iterable[str]) -> None:
        """Commands, one after the other."""
        if self._channel is None:
            raise ChannelClosed("the speaker is not connected")
        await self._channel.send("".join(f"{command}\n" for command in commands))

    async def sync(self) -> None:
        """Have the state of all sessions told, between the lines of what happens."""
        token = next(self._tokens)
        self._syncs.add(token)
        await self.send([f"bgpsvc sync {token}"])

    async def keep_synced(self) -> None:
        """Have it told now and then, and at once after a loss, as long as the connection holds."""
        while True:
            self._lost.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SYNC_INTERVAL):
                    await self._lost.wait()
            await self.sync()

    async def mark(self) -> int:
        """Wait until all commands so far are done; how many of them failed. NoAnswer if that takes long."""
        return await self._ask("mark")

    async def routes(self) -> dict[tuple[str, str], set[Prefix]]:
        """What ExaBGP announces, by (local, peer) address; one caller at a time. NoAnswer as `mark`."""
        self._answers.listing.clear()
        await self._ask("routes")
        listed = dict(self._answers.listing)
        self._answers.listing.clear()
        return listed

    async def reset(
        self, session: SpeakerSession, reason: str, subcode: int = CEASE_ADMINISTRATIVE_RESET
    ) -> None:
        """End a session with a Cease of this subcode (RFC 4486); it comes back by itself."""
        local, peer = session.addresses
        log.warning("session %s is reset: %s", session.id, reason)
        await self.send([f"neighbor {peer} local-ip {local} teardown {subcode}"])

    def next_reload(self) -> asyncio.Future[Reloaded]:
        """What ExaBGP will say about the next reload; ChannelClosed if the connection goes before."""
        future: asyncio.Future[Reloaded] = asyncio.get_running_loop().create_future()
        self._answers.reload = future
        return future

    async def _ask(self, command: str) -> int:
        """Send `bgpsvc COMMAND TOKEN` and wait for its answer: the number of failed commands, or 0."""
        token = next(self._tokens)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers.tokens[token] = future
        try:
            await self.send([f"bgpsvc {command} {token}"])
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await future
        except TimeoutError as error:
            raise NoAnswer(f"no answer to {command} within {ANSWER_TIMEOUT:.0f} s") from error
        finally:
            self._answers.tokens.pop(token, None)
