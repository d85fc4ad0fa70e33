"""The guard as the daemon has it: found or started, kept running, told what to watch and where to move.

The guard outlives the daemon. A later daemon reaches it over its socket and goes on with it; one that speaks
another protocol, or says nothing, is replaced. It tells the whole of what it sees on every connection, and
is told the whole of what it is to do, so that nothing that was lost in between matters. When its worker
ended, the keeper has a new one at once, which takes the next connection; when both are gone nobody
answers, and a guard is started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bgpsvc.effects import Log
from bgpsvc.guard import launch
from bgpsvc.guard.line import Line
from bgpsvc.guard.messages import PROTOCOL, NotUnderstood, pack, unpack
from bgpsvc.guard.model import GroupPlan, Hello, Plan, Quit, ToDaemon, Watch
from bgpsvc.processes import Process
from bgpsvc.views import EventKind, Severity

CONNECT_INTERVAL = 0.01
START_PATIENCE = 15.0
STOP_PATIENCE = 3.0
SILENT_SECONDS = 6
"""It tells figures every second. Counted in looks a second apart, so that a daemon that was late itself does
not take it for hung."""
BACKOFF_FIRST, BACKOFF_MOST = 0.1, 30.0
HEALTHY_AFTER = 60.0
GROUPS_PER_MESSAGE = 200


@dataclass(frozen=True, slots=True)
class GuardStatus:
    """The guard now. `since`: when it began or ended (Unix seconds); `restarts`: by the daemon, unplanned;
    `takeovers`: by its keeper; `realtime`: its scheduling priority, None if it may not have one."""

    pid: int | None
    keeper: int | None
    running: bool
    realtime: int | None
    restarts: int
    takeovers: int
    since: float
    last_exit: str | None


class Guarding:
    """Keeps a guard running. `on_message` hears all that it says, in order, and must not block."""

    def __init__(
        self, state_dir: Path, on_message: Callable[[ToDaemon], None], note: Callable[[Log], None]
    ) -> None:
        self._state_dir = state_dir
        self._on_message = on_message
        self._note = note
        self._line: Line | None = None
        self._process: Process | None = None
        """Only a guard that this daemon started."""
        self._hello: Hello | None = None
        self._heard = False
        self._foreign = False
        self._tried = asyncio.Event()
        """It has answered, or it is known that it can't."""
        self._tasks: list[asyncio.Task[None]] = []
        self._watch = Watch(())
        self._groups: dict[int, GroupPlan] = {}
        self._watch_due = self._flushing = False
        self._whole_due = False
        self._due: dict[int, None] = {}
        """Groups whose plan the guard does not have yet, in order."""
        self._restarts = 0
        self._started = 0
        self._since = time.time()
        self._last_exit: str | None = None

    # For the runtime --------------------------------------------------------------------------

    async def start(self, watch: Watch, plan: Plan) -> None:
        """Go on with the guard that is there, or start one, in the caller's network namespace.

        Returns when it has answered, could not be started, or after `START_PATIENCE` seconds: without a guard
        everything else goes on, and it is tried again.
        """
        self._watch = watch
        self._groups = {group.group: group for group in plan.groups}
        self._tasks = [asyncio.create_task(self._attend(), name="guard")]
        tried = asyncio.create_task(self._tried.wait())
        try:
            await asyncio.wait([tried, *self._tasks], timeout=START_PATIENCE, return_when="FIRST_COMPLETED")
        finally:
            tried.cancel()
            await asyncio.gather(tried, return_exceptions=True)

    def watch(self, watch: Watch) -> None:
        """Have it watch these tunnels and no others."""
        self._watch = watch
        self._watch_due = True
        self._flush_soon()

    def plan(self, plan: Plan) -> None:
        """Give it plans of groups. What it has not taken yet is replaced by what is newer."""
        if plan.whole:
            self._groups = {}
            self._whole_due = True
            self._due = {}
        for group in plan.gone:
            self._groups.pop(group, None)
            self._due[group] = None
        for one in plan.groups:
            self._groups[one.group] = one
            self._due[one.group] = None
        self._flush_soon()

    def status(self) -> GuardStatus:
        """How it is."""
        hello = self._hello
        return GuardStatus(
            pid=None if hello is None else hello.pid,
            keeper=None if hello is None else hello.keeper,
            running=hello is not None,
            realtime=None if hello is None else hello.realtime,
            restarts=self._restarts,
            takeovers=0 if hello is None else hello.takeovers,
            since=self._since,
            last_exit=self._last_exit,
        )

    @property
    def ports(self) -> frozenset[int]:
        """Netlink ports whose changes are its doing; empty while nobody answers."""
        return frozenset() if self._hello is None else frozenset(self._hello.netlink_ports)

    def read_now(self) -> None:
        """Handle what it has said already, before something else is judged; does not block."""
        if self._line is not None:
            self._line.read()

    async def failed(self) -> None:
        """Raises what ended the task that attends to it, which is a defect."""
        assert self._tasks, "started"
        # Not the task itself: whoever stops waiting here must not end it.
        await asyncio.wait(self._tasks)
        for task in self._tasks:
            task.result()

    async def stop(self, keep_running: bool) -> None:
        """Stop attending; unless it shall go on watching, end it: its BFD sessions are left as AdminDown."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        try:
            if not keep_running:
                await self._end()
        except OSError as error:
            self._tell("guard.error", "error", f"cannot be ended: {error}")
        finally:
            self._hello = None
            self._release()

    # Processes --------------------------------------------------------------------------------

    async def _attend(self) -> None:
        delay = 0.0
        while True:
            begun = time.monotonic()
            try:
                line = await self._reach()
                if line is not None:
                    await self._converse(line)
                else:
                    # Nobody answers, not even a keeper that is about to have a new worker.
                    await asyncio.sleep(delay)
                    delay = min(max(delay * 2, BACKOFF_FIRST), BACKOFF_MOST)
                    await self._start_one()
            except OSError as error:
                self._last_exit = str(error)
                self._tried.set()
                self._tell("guard.error", "error", f"cannot be reached or started: {error}")
                await asyncio.sleep(max(delay, BACKOFF_FIRST))
            if time.monotonic() - begun > HEALTHY_AFTER:
                delay = 0.0

    async def _reach(self) -> Line | None:
        try:
            sock = launch.reach(self._state_dir)
        except launch.Busy:
            await self._end(signal.SIGKILL)
            return None
        return None if sock is None else Line(sock, self._on_lines, self._flush)

    async def _start_one(self) -> None:
        """Start a guard and wait until it listens. OSError if it ends before that."""
        if self._started:
            self._restarts += 1
        self._started += 1
        self._release()
        process = self._process = launch.launch(self._state_dir)
        deadline = time.monotonic() + START_PATIENCE
        while process.running and time.monotonic() < deadline:
            sock = launch.reach(self._state_dir)
            if sock is not None:
                sock.close()
                return
            await asyncio.sleep(CONNECT_INTERVAL)
        if process.running:
            process.signal(signal.SIGKILL)
            await process.wait()
            raise TimeoutError(f"it did not listen within {START_PATIENCE:g} s")
        raise ChildProcessError(f"{process.how_it_ended()}: {launch.complaint(self._state_dir)}")

    def _gone(self) -> bool:
        """Nobody answers any more."""
        try:
            sock = launch.reach(self._state_dir)
        except launch.Busy:
            return False
        if sock is None:
            return True
        sock.close()
        return False

    async def _end(self, by: signal.Signals | None = None) -> None:
        """End all its processes: by a signal, or by asking; by KILL if that takes too long."""
        sock = launch.reach(self._state_dir)
        if sock is None:
            return
        try:
            if by is None:
                sock.send(pack(Quit()))
            else:
                launch.signal_all(sock, by)
            try:
                async with asyncio.timeout(STOP_PATIENCE):
                    await _closed(sock)  # not yet another connection: it would take this one's place
                    await self._until_gone()
            except TimeoutError:
                launch.signal_all(sock, signal.SIGKILL)
                await self._until_gone()
        finally:
            sock.close()

    async def _until_gone(self) -> None:
        while True:
            if self._gone():
                return
            await asyncio.sleep(CONNECT_INTERVAL)

    def _release(self) -> None:
        if self._process is not None:
            self._process.release()
            self._process = None

    # Conversation -----------------------------------------------------------------------------

    async def _converse(self, line: Line) -> None:
        """Until the connection ends: by itself, or because nothing is heard, or what is heard is foreign."""
        self._line, self._heard, self._foreign = line, False, False
        silent = 0
        try:
            while not line.closed.is_set() and silent < SILENT_SECONDS:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await line.closed.wait()
                silent = 0 if self._heard else silent + 1
                self._heard = False
            if self._foreign or not line.closed.is_set():
                why = "speaks another protocol" if self._foreign else "says nothing any more"
                self._tell("guard.error", "warning", f"{why}, so it is replaced")
                await self._end(signal.SIGTERM if self._foreign else signal.SIGKILL)
            self._lost()
        finally:
            line.close()
            self._line = None

    def _lost(self) -> None:
        if self._hello is None:
            return
        pid, self._hello = self._hello.pid, None
        self._since = time.time()
        self._last_exit = f"pid {pid} ended"
        self._tell("guard.down", "warning", self._last_exit)

    def _on_lines(self, lines: list[bytes]) -> None:
        self._heard = True
        for line in lines:
            if self._foreign:
                return
            try:
                message = unpack(line)
            except NotUnderstood as error:
                self._not_understood(line, error)
                continue
            if isinstance(message, Hello):
                self._greet(message)
            elif self._hello is None:
                self._refuse()
            if isinstance(message, ToDaemon) and not self._foreign:
                self._on_message(message)

    def _not_understood(self, line: bytes, error: NotUnderstood) -> None:
        try:
            foreign = json.loads(line).get("protocol", PROTOCOL) != PROTOCOL
        except (ValueError, AttributeError):
            foreign = self._hello is None
        if foreign:
            self._refuse()
        else:
            self._tell("guard.error", "error", str(error))

    def _refuse(self) -> None:
        self._foreign = True
        if self._line is not None:
            self._line.close()

    def _greet(self, hello: Hello) -> None:
        if hello.protocol != PROTOCOL:
            self._refuse()
            return
        first, self._hello = self._hello is None, hello
        if not first:
            return  # another keeper or another priority, nothing else
        self._since = time.time() - (time.monotonic() - hello.since)
        if hello.takeovers:
            self._last_exit = launch.takeover(self._state_dir) or self._last_exit
        self._started = max(1, self._started)
        how = (
            "its processes have no real-time priority" if hello.realtime is None else "at real-time priority"
        )
        after = f"; {self._last_exit}" if hello.takeovers else ""
        self._tell("guard.up", "info", f"pid {hello.pid}, keeper {hello.keeper}, {how}{after}")
        self._watch_due = self._whole_due = True
        self._due = dict.fromkeys(self._groups)
        self._tried.set()
        self._flush()

    def _flush_soon(self) -> None:
        if not self._flushing and self._line is not None:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Send what is due, a portion of it if that is much, as soon as all before it has been taken."""
        self._flushing = False
        line = self._line
        if line is None or self._hello is None or not line.clear:
            return
        if self._watch_due:
            self._watch_due = False
            line.send(self._watch)
        if not self._due and not self._whole_due:
            return
        portion = list(self._due)[:GROUPS_PER_MESSAGE]
        for group in portion:
            del self._due[group]
        groups = tuple(self._groups[group] for group in portion if group in self._groups)
        gone = tuple(group for group in portion if group not in self._groups)
        whole, self._whole_due = self._whole_due, False
        line.send(Plan(groups, () if whole else gone, whole))
        if self._due and line.clear:
            self._flush_soon()

    def _tell(self, kind: EventKind, severity: Severity, text: str) -> None:
        self._note(Log(kind, severity, "guard", text))


async def _closed(sock: socket.socket) -> None:
    """Until the other end has closed a connection; what it says meanwhile is not heard."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while await loop.sock_recv(sock, 1 << 16):
            pass
