"""Watches over one speaker's process: asks it when it is silent, and ends it or its relay when it hangs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from bgpsvc.exabgp import relay
from bgpsvc.exabgp.channel import ChannelClosed
from bgpsvc.exabgp.dialogue import Dialogue
from bgpsvc.exabgp.process import SpeakerProcess
from bgpsvc.exabgp.vigil import TURN, Step, Vigil
from bgpsvc.processes import Activity, children, kill_child

RELAY = Path(relay.__file__).name
ASK = "version"
"""A command of ExaBGP's own that it answers at once, with one line and whatever else is waiting."""


class Watch:
    """`tell` is told what was done and why: `its relay said nothing for 13 s and was ended`.

    `ended` is why the speaker itself was ended; "" if it was not by us.
    """

    def __init__(
        self, process: SpeakerProcess, dialogue: Dialogue, tell: Callable[[str], Awaitable[None]]
    ) -> None:
        self.ended = ""
        self._process = process
        self._dialogue = dialogue
        self._tell = tell
        self._vigil = Vigil()
        self._asking: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def working_on_what_was_heard(self) -> Iterator[None]:
        """Something came, and takes us a while: meanwhile nobody listens."""
        self._vigil.heard()
        self._vigil.listening = False
        try:
            yield
        finally:
            self._vigil.listening = True

    def connected(self) -> None:
        """A relay answered, which is not heard otherwise."""
        self._vigil.heard()

    async def run(self) -> None:
        """Until it was we who ended the speaker."""
        try:
            await self._look()
        finally:
            if self._asking is not None:
                self._asking.cancel()
                await asyncio.gather(self._asking, return_exceptions=True)

    async def _look(self) -> None:
        before = time.monotonic()
        activity: dict[int, Activity] = {}
        while not self.ended:
            await asyncio.sleep(TURN)
            now = time.monotonic()
            last, activity = activity, self._activity() if self._vigil.waiting else {}
            working = any(one.works_since(last.get(pid), now - before) for pid, one in activity.items())
            step = self._vigil.passed(now - before, working)
            before = now
            await self._do(step)

    def _activity(self) -> dict[int, Activity]:
        pids = (self._process.pid, *children(self._process.pid, RELAY))
        return {pid: found for pid in pids if (found := Activity.of(pid)) is not None}

    async def _ask(self) -> None:
        with contextlib.suppress(ChannelClosed):
            await self._dialogue.send([ASK])

    async def _do(self, step: Step) -> None:
        silent = f"said nothing for {self._vigil.silent:.0f} s"
        if step is Step.ASK:
            # Not awaited: to a relay that reads nothing any more nothing can be sent in the end.
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
        elif step is Step.END_RELAY:
            for pid in children(self._process.pid, RELAY):
                kill_child(self._process.pid, pid)
                await self._tell(f"its relay, pid {pid}, {silent} and was ended")
        elif step is Step.END_SPEAKER:
            self.ended = f"it {silent} and was ended"
            self._process.signal(signal.SIGKILL)
