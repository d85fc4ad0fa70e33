"""One charon kept running: started or adopted, listened to, and started again when it has ended.

`_keep` is the whole life: launch, attend until it ends, say so, wait a little, and from the beginning.
Whoever needs the charon waits for it with `ready`, and is told why if it cannot be had.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bgpsvc.ipsec.charon import CharonProcess, Home, end_strays, free_pid_file
from bgpsvc.ipsec.model import Cause
from bgpsvc.ipsec.port import DriverError
from bgpsvc.ipsec.ports import Ports
from bgpsvc.ipsec.vici import Charon, CharonLost, CharonRefused, OnEvent
from bgpsvc.model import SessionId

BACKOFF_FIRST_S = 0.2
BACKOFF_MOST_S = 30.0
HEALTHY_AFTER_S = 60.0
START_TIMEOUT_S = 60.0
SILENT_TIMEOUT_S = 10.0
"""How long a charon may take to answer before it counts as one that hangs."""
PULSE_S = 5.0
"""How often it is asked for a sign of life."""
_POLL_S = 0.02

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Launcher:
    """How charons are started here: one after the other, so that names and pid files do not collide."""

    program: Path
    own_run: bool
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Instance:
    """The charon of one tunnel; `process` is the one that an earlier daemon left running.

    `prepare` is called with each charon that answers, new or adopted, before anybody hears of it; what it
    raises (DriverError) ends that charon. `on_up` and `on_down` say when it can be used, and no longer.
    """

    def __init__(
        self,
        tunnel: SessionId,
        home: Home,
        ports: Ports,
        launcher: Launcher,
        process: CharonProcess | None,
        prepare: Callable[[CharonProcess], Awaitable[None]],
        on_event: OnEvent,
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
    ) -> None:
        self.tunnel = tunnel
        self.home = home
        self.ports = ports
        self.charon = Charon(home.socket)
        self._launcher = launcher
        self._prepare = prepare
        self._on_event = on_event
        self._on_up = on_up
        self._on_down = on_down
        self._process = process
        self._up = False
        self._failure: DriverError | None = None
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """It runs and answers."""
        return self._up

    @property
    def running(self) -> bool:
        """There is a process, whether it answers or not."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int | None:
        """Of the process, None while there is none."""
        return self._process.pid if self._process is not None and self._process.running else None

    @property
    def tun(self) -> str | None:
        """The name that charon knows its TUN by."""
        return None if self._process is None else self._process.tun

    def replace(self) -> None:
        """Have another charon started in its place: this one can't work any more."""
        if self._process is not None:
            self._process.signal(signal.SIGTERM)

    def begin(self) -> None:
        """Keep it running from now on. Idempotent."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep())
            self._task.add_done_callback(self._left)

    async def ready(self) -> None:
        """Until it can be used; DriverError if the last attempt to start it failed.

        RuntimeError if nobody keeps it running (any more).
        """
        settling = asyncio.create_task(self._settled.wait())
        try:
            if self._task is not None:
                await asyncio.wait([settling, self._task], return_when=asyncio.FIRST_COMPLETED)
        finally:
            settling.cancel()
        if not self._settled.is_set():
            raise RuntimeError(f"the charon of {self.tunnel} is not kept running")
        if self._failure is not None:
            raise self._failure

    async def release(self) -> None:
        """Stop watching it; it goes on for the next daemon."""
        await self._leave()
        if self._process is not None:
            self._process.release()
            self._process = None

    async def stop(self) -> None:
        """End it."""
        await self._leave()
        if self._process is not None:
            await self._process.stop()
            self._process = None

    async def _leave(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._up = False
        await self.charon.close()

    def _left(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the charon of %s is not looked after any more", self.tunnel, exc_info=error)

    # Life -----------------------------------------------------------------------------------

    async def _keep(self) -> None:
        backoff = BACKOFF_FIRST_S
        while True:
            began = time.monotonic()
            self._settled.clear()
            self._failure = None
            try:
                process = await self._launch()
            except (DriverError, OSError) as error:
                await self._fail(error)
            else:
                reason = await self._attend(process)
                self._told_down(reason)
            if time.monotonic() - began > HEALTHY_AFTER_S:
                backoff = BACKOFF_FIRST_S
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, BACKOFF_MOST_S)

    async def _launch(self) -> CharonProcess:
        """A charon that answers and is prepared. DriverError, OSError."""
        adopted = self._process
        if adopted is not None:
            # Before its turn: one that hangs keeps nobody else waiting.
            await self._wait_for_answer(adopted, SILENT_TIMEOUT_S)
        async with self._launcher.turn:
            process = adopted
            if process is None:
                process = await self._start()
                await self._wait_for_answer(process, START_TIMEOUT_S)
            if not self._launcher.own_run:
                free_pid_file(process.pid)
            await self._prepare(process)
        return process

    async def _start(self) -> CharonProcess:
        launcher = self._launcher
        await end_strays(self.home)
        if not launcher.own_run:
            free_pid_file(None)
        self._process = process = CharonProcess.start(
            self.home, self.tunnel, self.ports, launcher.program, launcher.own_run
        )
        log.info("started the charon of %s, pid %d", self.tunnel, process.pid)
        return process

    async def _wait_for_answer(self, process: CharonProcess, patience: float) -> None:
        deadline = time.monotonic() + patience
        while True:
            try:
                await self.charon.request("version", limit=max(deadline - time.monotonic(), _POLL_S))
                return
            except CharonLost as error:
                if not process.running:
                    text = f"charon {process.exit_reason()}"
                    raise DriverError(Cause.CHARON_DOWN, text) from None
                if time.monotonic() > deadline:
                    raise DriverError(Cause.CHARON_DOWN, str(error)) from None
            await asyncio.sleep(_POLL_S)

    async def _attend(self, process: CharonProcess) -> str:
        """Listen until it has ended; why it is gone."""
        ended = asyncio.create_task(process.wait())
        try:
            while process.running:
                lost = asyncio.get_running_loop().create_future()
                try:
                    await self.charon.listen(self._on_event, lost.set_result)
                except (CharonLost, CharonRefused) as error:
                    return await self._silent(process, str(error), SILENT_TIMEOUT_S)
                self._told_up()
                gone: list[asyncio.Future[Any]] = [ended, lost]
                while not (await asyncio.wait(gone, timeout=PULSE_S, return_when=asyncio.FIRST_COMPLETED))[0]:
                    patience = time.monotonic() + SILENT_TIMEOUT_S
                    try:
                        await self.charon.request("version", limit=SILENT_TIMEOUT_S)
                    except CharonLost as error:
                        # One that stands still forwards nothing, and the peer's answers do not tell us.
                        return await self._silent(process, str(error), patience - time.monotonic())
                if not ended.done():
                    # The connection is lost before the process has ended, or it was the connection alone.
                    await asyncio.wait([ended], timeout=1)
            return process.exit_reason()
        finally:
            ended.cancel()
            await self.charon.close()

    async def _silent(self, process: CharonProcess, reason: str, patience: float) -> str:
        """It does not answer: nobody can use it, so it is ended unless it ends within `patience` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(patience, 0)):
                await process.wait()
        if not process.running:
            return process.exit_reason()
        process.signal(signal.SIGKILL)
        await process.wait()
        return f"did not answer ({reason})"

    def _told_up(self) -> None:
        self._up = True
        self._settled.set()
        self._on_up()

    def _told_down(self, reason: str) -> None:
        self._process = None
        self._settled.clear()
        was_up, self._up = self._up, False
        log.error("the charon of %s %s", self.tunnel, reason)
        if was_up:
            self._on_down(reason)

    async def _fail(self, error: DriverError | OSError) -> None:
        if self._process is not None:
            await self._process.stop()
            self._process = None
        if not isinstance(error, DriverError):
            error = DriverError(Cause.CHARON_DOWN, f"charon cannot be started: {error}")
        log.error("the charon of %s: %s", self.tunnel, error)
        self._failure = error
        self._settled.set()
