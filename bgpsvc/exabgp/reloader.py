"""The configuration of one speaker: written, read by ExaBGP, tried again until ExaBGP took it.

The file alone says nothing. What counts is the digest of what ExaBGP said that it took.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bgpsvc.exabgp import config, launcher, relay
from bgpsvc.exabgp.announcer import Announcer
from bgpsvc.exabgp.answers import Reloaded
from bgpsvc.exabgp.channel import ChannelClosed
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.exabgp.dialogue import Dialogue, NoAnswer
from bgpsvc.exabgp.process import Paths, SpeakerProcess
from bgpsvc.model import SessionId
from bgpsvc.processes import write_private

RELOAD_TIMEOUT = 8.0
RELOAD_RETRY_FIRST = 1.0
RELOAD_RETRY_MOST = 60.0

log = logging.getLogger(__name__)


class ReloadFailed(RuntimeError):
    """ExaBGP did not take the configuration; it goes on with the one before."""


class Reloader:
    """`changing` is held by whoever changes the sessions, until ExaBGP took them or did not.

    `process` gives the speaker's process, if there is one; `written` is set as soon as there is a file to
    run on.
    """

    def __init__(
        self,
        paths: Paths,
        dialogue: Dialogue,
        announcer: Announcer,
        process: Callable[[], SpeakerProcess | None],
        written: asyncio.Event,
    ) -> None:
        self.changing = asyncio.Lock()
        self._paths = paths
        self._dialogue = dialogue
        self._announcer = announcer
        self._process = process
        self._written = written
        self._sessions: Mapping[SessionId, SpeakerSession] = {}
        self._overdue = asyncio.Event()

    def set_sessions(self, sessions: Mapping[SessionId, SpeakerSession]) -> None:
        """The sessions to be configured."""
        self._sessions = sessions

    def write(self) -> str:
        """Make the file what it shall be; its digest."""
        text = config.render(
            self._paths.role, self._sessions.values(), sys.executable, str(Path(relay.__file__).resolve())
        )
        path = self._paths.configuration
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_private(path, text)
        self._written.set()
        return launcher.digest(text.encode())

    async def configure(self) -> None:
        """Have ExaBGP run on the present sessions. The caller holds `changing`.

        ReloadFailed if ExaBGP took them not; then it is tried again later.
        """
        try:
            wanted = self.write()
        except OSError as error:
            self._overdue.set()
            raise ReloadFailed(f"the configuration can't be written: {error}") from error
        self._overdue.set()
        await self._reload(wanted)
        self._overdue.clear()

    def give_up(self) -> None:
        """There is nothing to configure any more."""
        self._overdue.clear()

    async def run(self) -> None:
        """Try again what ExaBGP has not taken."""
        backoff = RELOAD_RETRY_FIRST
        while True:
            await self._overdue.wait()
            await asyncio.sleep(backoff)
            async with self.changing:
                try:
                    # Somebody else may have come first.
                    if self._overdue.is_set():
                        await self.configure()
                        log.info("the %s speaker took its configuration", self._paths.role.value)
                    backoff = RELOAD_RETRY_FIRST
                except ReloadFailed as error:
                    backoff = min(backoff * 2, RELOAD_RETRY_MOST)
                    log.warning("%s; again in %.0f s", error, backoff)

    async def _reload(self, wanted: str) -> None:
        """Have ExaBGP read the configuration with this digest, and see what it still announces."""
        deadline = time.monotonic() + RELOAD_TIMEOUT
        async with self._announcer.paused:
            while time.monotonic() < deadline:
                process = self._process()
                if process is None or not process.running or process.taken == wanted:
                    # If it does not run it starts by itself, with the new configuration.
                    return
                if not self._dialogue.connected:
                    await asyncio.sleep(0.02)
                    continue
                try:
                    answer = await self._signal(process)
                    if answer.digest != wanted:
                        # Of an earlier signal.
                        continue
                    if not answer.taken:
                        raise ReloadFailed(f"ExaBGP refused its configuration, see {self._paths.log}")
                    process.took(wanted)
                    await self._announcer.list_routes(certain=True)
                    await self._dialogue.sync()
                except (ChannelClosed, NoAnswer):
                    self._announcer.doubt()
                    continue
                finally:
                    self._announcer.look()
                return
        raise ReloadFailed(f"ExaBGP did not read its configuration within {RELOAD_TIMEOUT:.0f} s")

    async def _signal(self, process: SpeakerProcess) -> Reloaded:
        """USR1, and ExaBGP's answer. NoAnswer after a while: signals that come close together are lost."""
        answer = self._dialogue.next_reload()
        process.signal(signal.SIGUSR1)
        try:
            async with asyncio.timeout(RELOAD_TIMEOUT / 4):
                return await answer
        except TimeoutError as error:
            raise NoAnswer("no answer to the signal") from error
