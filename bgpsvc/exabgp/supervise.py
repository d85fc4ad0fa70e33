"""One speaker: its process kept running, its lines turned into events.

`_supervise` keeps a process running (restart with exponential backoff), `_converse` keeps a connection
to its relay and reads. On every new connection the state of all sessions is asked for (`bgpsvc sync`),
so that neither a restart of the daemon nor lost lines leave a wrong picture; again every
`SYNC_INTERVAL`, so that a line lost at the end of a burst is noticed too.

What is said to ExaBGP has modules of its own, each with its task: `reloader` its configuration,
`announcer` our routes, `refresher` the requests for the peers' routes. They share the `dialogue`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bgpsvc.events import (
    Advertisement,
    BgpEvent,
    SessionDown,
    SessionResync,
    SessionUp,
    SpeakerDown,
    SpeakerHung,
    SpeakerUp,
)
from bgpsvc.exabgp import relay
from bgpsvc.exabgp.announcer import Announcer
from bgpsvc.exabgp.channel import Channel, ChannelClosed
from bgpsvc.exabgp.codec import Decoder
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.exabgp.dialogue import CEASE_ADMINISTRATIVE_RESET, Dialogue
from bgpsvc.exabgp.failure import Failure
from bgpsvc.exabgp.packed import MARK
from bgpsvc.exabgp.process import Paths, SpeakerProcess
from bgpsvc.exabgp.refresher import Refresher, RefreshOutcome
from bgpsvc.exabgp.reloader import Reloader, ReloadFailed
from bgpsvc.exabgp.watching import Watch
from bgpsvc.model import Family, Prefix, Role, SessionId

OnEvents = Callable[[Sequence[BgpEvent]], Awaitable[None] | None]

TURN = 0.004
TURNS_OF_OTHERS = 8
"""Turns of the loop between two of a speaker's: a REST request needs dozens from its socket to its answer."""
PIECE = 1 << 14
REPLACE_PATIENCE = 6.0
"""How long a speaker of another version is left its sessions while the other role's come up."""
BACKOFF_FIRST = 0.1
BACKOFF_MOST = 30.0
HEALTHY_AFTER = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpeakerStatus:
    """A speaker now. `since`: when it started or ended (Unix seconds); `restarts`: unplanned ones, those of a
    relay that hung too; `last_exit`: why the last one was needed."""

    pid: int | None
    running: bool
    connected: bool
    since: float
    restarts: int
    last_exit: str | None


class Speaker:
    """The speaker of one role. Not running as long as it has no sessions."""

    def __init__(
        self,
        role: Role,
        state_dir: Path,
        on_events: OnEvents,
        failure: Failure,
        clock: Callable[[], float] = time.time,
        relay_limit: int = relay.DEFAULT_LIMIT,
    ) -> None:
        self.role = role
        self._failure = failure
        self._paths = Paths(state_dir, role)
        self._on_events = on_events
        self._clock = clock
        self._relay_limit = relay_limit
        self._sessions: dict[SessionId, SpeakerSession] = {}
        self._process: SpeakerProcess | None = None
        self._former: SpeakerProcess | None = None
        """One of another version, which has the sessions until it is replaced."""
        self.predecessor: Speaker | None = None
        """The speaker whose sessions have to be up before ours are reset for that."""
        self._up = asyncio.Event()
        """All sessions were Established at one time."""
        self._wanted = asyncio.Event()
        self._decoder = Decoder({})
        self._dialogue = Dialogue(role, on_synced=lambda: self._refresher.look())
        self._refresher = Refresher(self._dialogue, self._decoder)
        self._announcer = Announcer(role, self._dialogue)
        self._reloader = Reloader(
            self._paths, self._dialogue, self._announcer, lambda: self._process, self._wanted
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._since = clock()
        self._restarts = 0
        self._last_exit: str | None = None
        self._unknown_logged = 0
        self._planned = False
        self._watch: Watch
        """Over the process that runs."""

    # For the facade -------------------------------------------------------------------------

    async def start(self, sessions: Sequence[SpeakerSession]) -> None:
        """Adopt the speaker that runs already, with its configuration brought up to date, or start one."""
        self._set_sessions(sessions)
        adopted = SpeakerProcess.adopt(self._paths)
        if adopted is not None and not self._sessions:
            await adopted.stop()
            adopted = None
        if self._sessions:
            self._reloader.write()
        if adopted is not None and not adopted.understood:
            self._former, adopted = adopted, None
        if adopted is not None:
            self._process = adopted
            self._since = self._clock()
            log.info("adopted the %s speaker, pid %d", self.role.value, adopted.pid)
        works = (self._supervise, self._announcer.run, self._reloader.run, self._refresher.run)
        self._tasks = [asyncio.create_task(work()) for work in works]
        for task in self._tasks:
            self._failure.watch(task)
        if adopted is not None:
            try:
                async with self._reloader.changing:
                    await self._reloader.configure()
            except ReloadFailed as error:
                log.error("the %s speaker goes on as it was: %s", self.role.value, error)

    async def apply(self, sessions: Sequence[SpeakerSession]) -> None:
        """Take over a changed set of sessions. ReloadFailed if ExaBGP did not; it is tried again."""
        async with self._reloader.changing:
            self._set_sessions(sessions)
            if self._sessions:
                await self._reloader.configure()
                # A next hop may be another one now.
                self._announcer.look()
                return
            self._reloader.give_up()
            self._wanted.clear()
            if self._process is not None:
                self._planned = True
                await self._process.stop()

    async def forget(self, ids: Collection[SessionId]) -> None:
        """Tell the state of these sessions anew, as to somebody who knows nothing of them."""
        mine = self._sessions.keys() & ids
        if not mine:
            return
        self._decoder.forget(mine)
        self._refresher.forget(mine)
        self._announcer.ended(mine)
        # Without a connection the next one asks.
        with contextlib.suppress(ChannelClosed):
            await self._dialogue.sync()

    def advertise(self, session: SessionId, routes: Mapping[Prefix, Advertisement]) -> None:
        """Make this the whole set of prefixes that is announced on a session. KeyError if there is none."""
        self._announcer.advertise(session, routes)

    async def refresh(self, session: SessionId, family: Family | None) -> RefreshOutcome:
        """Ask the peer for its routes again (RFC 2918); a peer that can't is reset instead.

        What can't be asked for now waits until it can, or until the session goes down or comes up.
        """
        return await self._refresher.refresh(session, family)

    async def reset(self, session: SessionId, reason: str, subcode: int = CEASE_ADMINISTRATIVE_RESET) -> None:
        """End the session with a Cease of this subcode (RFC 4486); it comes back by itself."""
        await self._dialogue.reset(self._sessions[session], reason, subcode)

    def status(self) -> SpeakerStatus:
        process = self._process
        running = process is not None and process.running
        return SpeakerStatus(
            pid=process.pid if process is not None and running else None,
            running=running,
            connected=self._dialogue.connected,
            since=self._since,
            restarts=self._restarts,
            last_exit=self._last_exit,
        )

    async def stop(self, keep_running: bool) -> None:
        """Stop watching; end the process too unless it shall keep its sessions."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._former is not None:
            if not keep_running:
                await self._former.stop()
            self._former.release()
            self._former = None
        if self._process is not None:
            if not keep_running:
                await self._process.stop()
                self._paths.record.unlink(missing_ok=True)
            self._process.release()
            self._process = None

    def _set_sessions(self, sessions: Sequence[SpeakerSession]) -> None:
        self._sessions = {session.id: session for session in sessions if session.role is self.role}
        for part in (self._announcer, self._refresher, self._reloader):
            part.set_sessions(self._sessions)
        self._decoder.set_sessions({session.addresses: name for name, session in self._sessions.items()})

    # Process --------------------------------------------------------------------------------

    async def _replace(self, former: SpeakerProcess) -> None:
        """End a speaker that we don't understand, one role after the other: peers never lose both sessions.

        Without a NOTIFICATION, so that peers keep its routes until the new one is there (RFC 4724).
        """
        if self.predecessor is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPLACE_PATIENCE):
                    await self.predecessor.until_up()
        former.signal(signal.SIGKILL)
        await former.wait()
        former.release()
        self._former = None
        log.warning("ended the %s speaker, pid %d, of another version", self.role.value, former.pid)

    async def until_up(self) -> None:
        """Until all sessions have come up, at one time or another."""
        if self._sessions:
            await self._up.wait()

    async def _supervise(self) -> None:
        backoff = BACKOFF_FIRST
        if self._former is not None:
            await self._replace(self._former)
        while True:
            await self._wanted.wait()
            if self._process is None:
                try:
                    self._process = SpeakerProcess.start(self._paths, self._relay_limit)
                except OSError as error:
                    self._last_exit = f"cannot be started: {error}"
                    log.error("the %s speaker %s", self.role.value, self._last_exit)
                    await asyncio.sleep(backoff)
                    backoff = min(backoff * 2, BACKOFF_MOST)
                    continue
                self._since = self._clock()
                log.info("started the %s speaker, pid %d", self.role.value, self._process.pid)
            started = time.monotonic()
            await self._attend(self._process)
            if time.monotonic() - started > HEALTHY_AFTER:
                backoff = BACKOFF_FIRST
            if not self._planned:
                self._restarts += 1
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, BACKOFF_MOST)
            self._planned = False

    async def _attend(self, process: SpeakerProcess) -> None:
        """Converse with a process until it has ended, then say so. Raises what ended the conversation."""
        watch = self._watch = Watch(process, self._dialogue, self._relay_hung)
        conversation = asyncio.create_task(self._converse(process))
        ended = asyncio.create_task(process.wait())
        watching = asyncio.create_task(watch.run())
        self._failure.watch(watching)
        try:
            await asyncio.wait([conversation, ended], return_when=asyncio.FIRST_COMPLETED)
            # What it wrote last is still on its way through the relay.
            await asyncio.wait([conversation], timeout=relay.LINGER)
            if conversation.done():
                conversation.result()
        finally:
            conversation.cancel()
            ended.cancel()
            watching.cancel()
            await asyncio.gather(conversation, ended, watching, return_exceptions=True)
        self._last_exit = watch.ended or process.exit_reason()
        self._since = self._clock()
        process.release()
        self._process = None
        self._decoder.reset()
        self._refresher.drop_all()
        self._announcer.ended(self._sessions)
        log.log(
            logging.INFO if self._planned else logging.ERROR,
            "the %s speaker, pid %d, %s",
            self.role.value,
            process.pid,
            self._last_exit,
        )
        await self._deliver([SpeakerDown(self.role, self._last_exit, self._planned)])

    async def _relay_hung(self, what: str) -> None:
        self._restarts += 1
        self._last_exit = what
        log.error("the %s speaker: %s", self.role.value, what)
        await self._deliver([SpeakerHung(self.role, what)])

    # Conversation ---------------------------------------------------------------------------

    async def _converse(self, process: SpeakerProcess) -> None:
        """Stay connected to the relay, whichever it is: ExaBGP starts a new one when it dies."""
        while process.running:
            connecting = asyncio.create_task(Channel.connect(self._paths.socket, process.pid))
            ended = asyncio.create_task(process.wait())
            try:
                await asyncio.wait([connecting, ended], return_when=asyncio.FIRST_COMPLETED)
                if not connecting.done():
                    return
                channel = connecting.result()
            finally:
                for task in (connecting, ended):
                    task.cancel()
            await self._listen(channel)

    async def _listen(self, channel: Channel) -> None:
        self._dialogue.opened(channel)
        watch = self._watch
        watch.connected()
        greeting = asyncio.create_task(self._greet())
        self._failure.watch(greeting)
        try:
            await self._deliver([SpeakerUp(self.role)])
            async for lines in channel.lines():
                with watch.working_on_what_was_heard():
                    await self._handle(lines)
        finally:
            greeting.cancel()
            await asyncio.gather(greeting, return_exceptions=True)
            self._dialogue.closed()
            channel.close()

    async def _greet(self) -> None:
        """Ask for the state of all sessions and what is announced, and for the state now and then."""
        with contextlib.suppress(ChannelClosed):
            await self._dialogue.sync()
            self._announcer.doubt()
            await self._dialogue.keep_synced()

    async def _handle(self, lines: Sequence[bytes]) -> None:
        """Decode a portion, in turns of `TURN` seconds between which everybody else may run."""
        events: list[BgpEvent] = []
        deadline = time.perf_counter() + TURN
        for piece in _pieces(lines):
            if piece[0][:1] == b"#":
                self._dialogue.hear(piece[0].decode("ascii", "replace"))
            else:
                events += self._decoder.feed(*piece)
            if time.perf_counter() > deadline:
                await self._deliver(events)
                events = []
                await _let_others_run()
                deadline = time.perf_counter() + TURN
        await self._deliver(events)
        # A socket that always has data would otherwise never let anybody else run.
        await _let_others_run()
        if self._decoder.unknown > self._unknown_logged:
            self._log_unknown()

    def _log_unknown(self) -> None:
        count, before = self._decoder.unknown, self._unknown_logged
        # Once at first, then each time the number has doubled.
        if before == 0 or count >= 2 * before:
            self._unknown_logged = count
            log.warning(
                "%d lines of the %s speaker were not understood, the last: %r",
                count,
                self.role.value,
                self._decoder.last_unknown,
            )

    async def _deliver(self, events: Sequence[BgpEvent]) -> None:
        if not events:
            return
        for event in events:
            if isinstance(event, SessionUp | SessionDown):
                self._refresher.drop([event.session])
                self._announcer.ended([event.session])
            if isinstance(event, SessionUp | SessionResync):
                self._refresher.established(event.session, event.negotiated)
                self._announcer.established(event.session, event.negotiated)
                if self._sessions.keys() <= set(self._decoder.established()):
                    self._up.set()
        waiting = self._on_events(events)
        if waiting is not None:
            await waiting


async def _let_others_run() -> None:
    for _ in range(TURNS_OF_OTHERS):
        await asyncio.sleep(0)


def _pieces(lines: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Lines that are decoded together, up to `PIECE` bytes; each answer to a command by itself."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        kind = line[:1]
        if kind not in (b"{", MARK, b"#"):
            continue
        if piece and (kind == b"#" or size + len(line) > PIECE):
            yield piece
            piece, size = [], 0
        if kind == b"#":
            yield [line]
        else:
            piece.append(line)
            size += len(line)
    if piece:
        yield piece
