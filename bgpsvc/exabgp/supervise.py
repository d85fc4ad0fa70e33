"""One speaker: its process kept running, its lines turned into events, its commands sent.

Three tasks share a `Speaker`: `_supervise` keeps a process running (restart with exponential
backoff), `_converse` keeps a connection to its relay and reads, `_announce` brings ExaBGP's
Adj-RIB-Out to what is desired. On every new connection the state of all sessions is asked for
(`bgpsvc sync`), so that neither a restart of the daemon nor lost lines leave a wrong picture;
again every `SYNC_INTERVAL`, so that a line lost at the end of a burst is noticed too.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bgpsvc.events import (
    Advertisement,
    BgpEvent,
    Negotiated,
    SessionDown,
    SessionResync,
    SessionUp,
    SpeakerDown,
    SpeakerUp,
)
from bgpsvc.exabgp import config, launcher, relay
from bgpsvc.exabgp.advertise import AdjRibOut
from bgpsvc.exabgp.answers import Answers, Reloaded
from bgpsvc.exabgp.channel import Channel, ChannelClosed
from bgpsvc.exabgp.codec import Decoder
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.exabgp.failure import Failure
from bgpsvc.exabgp.process import Paths, SpeakerProcess, write_private
from bgpsvc.exabgp.refresh import Refreshes
from bgpsvc.model import Family, Prefix, Role, SessionId

OnEvents = Callable[[Sequence[BgpEvent]], Awaitable[None] | None]
RefreshOutcome = Literal["requested", "reset", "pending", "not_established"]

TURN = 0.01
BACKOFF_FIRST = 0.1
BACKOFF_MOST = 30.0
HEALTHY_AFTER = 60.0
SYNC_INTERVAL = 15.0
RELOAD_TIMEOUT = 8.0
RELOAD_RETRY_FIRST = 1.0
RELOAD_RETRY_MOST = 60.0
ANSWER_TIMEOUT = 60.0
RETRY_AFTER_ERROR = 1.0
COMMANDS_IN_FLIGHT = 40
END_OF_RIB_PATIENCE = 5.0
CEASE_ADMINISTRATIVE_RESET = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpeakerStatus:
    """A speaker now. `since`: when it started or ended (Unix seconds); `restarts`: unplanned ones."""

    pid: int | None
    running: bool
    connected: bool
    since: float
    restarts: int
    last_exit: str | None


class NoAnswer(RuntimeError):
    """ExaBGP doesn't answer, though it is connected: it is very busy, or we were stopped meanwhile."""


class ReloadFailed(RuntimeError):
    """ExaBGP did not take the configuration; it goes on with the one before."""


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
        self._out: dict[SessionId, AdjRibOut] = {}
        self._negotiated: dict[SessionId, Negotiated] = {}
        self._end_of_rib: dict[SessionId, float] = {}
        self._decoder = Decoder({})
        self._process: SpeakerProcess | None = None
        self._channel: Channel | None = None
        self._waiting = Answers()
        self._refreshes = Refreshes()
        self._tokens = (f"{os.getpid()}-{time.monotonic_ns()}-{number}" for number in itertools.count())
        self._wanted = asyncio.Event()
        self._dirty = asyncio.Event()
        self._relist = False
        self._lost = asyncio.Event()
        self._announcing = asyncio.Lock()
        self._configuring = asyncio.Lock()
        self._overdue = asyncio.Event()
        self._refresh_due = asyncio.Event()
        self._syncs: set[str] = set()
        self._synced = False
        self._tasks: list[asyncio.Task[None]] = []
        self._since = clock()
        self._restarts = 0
        self._last_exit: str | None = None
        self._unknown_logged = 0
        self._planned = False

    # For the facade -------------------------------------------------------------------------

    async def start(self, sessions: Sequence[SpeakerSession]) -> None:
        """Adopt the speaker that runs already, with its configuration brought up to date, or start one."""
        self._set_sessions(sessions)
        adopted = SpeakerProcess.adopt(self._paths)
        if adopted is not None and not self._sessions:
            await adopted.stop()
            adopted = None
        if self._sessions:
            self._write_configuration()
            self._wanted.set()
        if adopted is not None:
            self._process = adopted
            self._since = self._clock()
            log.info("adopted the %s speaker, pid %d", self.role.value, adopted.pid)
        works = (self._supervise, self._announce, self._keep_configured, self._keep_refreshing)
        self._tasks = [asyncio.create_task(work()) for work in works]
        for task in self._tasks:
            self._failure.watch(task)
        if adopted is not None:
            try:
                async with self._configuring:
                    await self._configure()
            except ReloadFailed as error:
                log.error("the %s speaker goes on as it was: %s", self.role.value, error)

    async def apply(self, sessions: Sequence[SpeakerSession]) -> None:
        """Take over a changed set of sessions. ReloadFailed if ExaBGP did not; it is tried again."""
        async with self._configuring:
            self._set_sessions(sessions)
            if self._sessions:
                await self._configure()
                # A next hop may be another one now.
                self._dirty.set()
                return
            self._overdue.clear()
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
        self._forget_established(mine)
        # Without a connection the next one asks.
        with contextlib.suppress(ChannelClosed):
            await self._sync()

    def advertise(self, session: SessionId, routes: Mapping[Prefix, Advertisement]) -> None:
        """Make this the whole set of prefixes that is announced on a session. KeyError if there is none."""
        self._out[session].desired = dict(routes)
        self._dirty.set()

    async def refresh(self, session: SessionId, family: Family | None) -> RefreshOutcome:
        """Ask the peer for its routes again (RFC 2918); a peer that can't is reset instead.

        What can't be asked for now waits until it can, or until the session goes down or comes up.
        """
        families = tuple(Family) if family is None else (family,)
        self._refreshes.want(self._sessions[session].id, families)
        # Also if it has to wait: no end of an earlier one may pass for its end.
        self._decoder.expect_refresh(session, families)
        return await self._send_refresh(session)

    async def _send_refresh(self, session: SessionId) -> RefreshOutcome:
        negotiated = self._negotiated.get(session)
        if negotiated is None:
            return "not_established"
        if not self._synced:
            return "pending"
        try:
            if not negotiated.route_refresh:
                await self.reset(session, "the peer has no route refresh")
                self._refreshes.drop([session])
                return "reset"
            now = time.monotonic()
            families, delay = self._refreshes.take(
                session, negotiated.families, self._decoder.counter(session), now
            )
            if delay is not None:
                asyncio.get_running_loop().call_later(delay, self._refresh_due.set)
            local, peer = self._sessions[session].addresses
            try:
                await self._send(
                    f"neighbor {peer} local-ip {local} announce route-refresh {family.label} unicast"
                    for family in families
                )
            except ChannelClosed:
                self._refreshes.failed(session, families)
                raise
        except ChannelClosed:
            return "pending"
        return "requested" if delay is None else "pending"

    async def _keep_refreshing(self) -> None:
        """Send what had to wait."""
        while True:
            await self._refresh_due.wait()
            self._refresh_due.clear()
            for session in self._refreshes.waiting():
                await self._send_refresh(session)

    async def reset(self, session: SessionId, reason: str, subcode: int = CEASE_ADMINISTRATIVE_RESET) -> None:
        """End the session with a Cease of this subcode (RFC 4486); it comes back by itself."""
        local, peer = self._sessions[session].addresses
        log.warning("session %s is reset: %s", session, reason)
        await self._send([f"neighbor {peer} local-ip {local} teardown {subcode}"])

    def status(self) -> SpeakerStatus:
        process = self._process
        running = process is not None and process.running
        return SpeakerStatus(
            pid=process.pid if process is not None and running else None,
            running=running,
            connected=self._channel is not None,
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
        if self._process is not None:
            if not keep_running:
                await self._process.stop()
                self._paths.record.unlink(missing_ok=True)
            self._process.release()
            self._process = None

    # Sessions and configuration -------------------------------------------------------------

    def _set_sessions(self, sessions: Sequence[SpeakerSession]) -> None:
        self._sessions = {session.id: session for session in sessions if session.role is self.role}
        outs = {}
        for name, session in self._sessions.items():
            out = self._out.get(name)
            if out is None:
                out = AdjRibOut(session)
            out.session = session
            outs[name] = out
        self._out = outs
        self._forget_established(self._negotiated.keys() - self._sessions.keys())
        self._refreshes.drop(set(self._refreshes.sessions()) - self._sessions.keys())
        self._decoder.set_sessions({session.addresses: name for name, session in self._sessions.items()})

    def _forget_established(self, ids: Collection[SessionId]) -> None:
        for name in ids:
            self._negotiated.pop(name, None)
            self._end_of_rib.pop(name, None)

    def _write_configuration(self) -> str:
        """Make the file what it shall be; its digest."""
        text = config.render(
            self.role, self._sessions.values(), sys.executable, str(Path(relay.__file__).resolve())
        )
        path = self._paths.configuration
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_private(path, text)
        return launcher.digest(text.encode())

    async def _configure(self) -> None:
        """Have ExaBGP run on the present sessions. The caller holds `_configuring`.

        The file alone says nothing: what counts is what ExaBGP said that it took. ReloadFailed if it
        took it not; then it is tried again later.
        """
        try:
            wanted = self._write_configuration()
        except OSError as error:
            self._overdue.set()
            raise ReloadFailed(f"the configuration can't be written: {error}") from error
        self._wanted.set()
        self._overdue.set()
        await self._reload(wanted)
        self._overdue.clear()

    async def _keep_configured(self) -> None:
        """Try again what ExaBGP has not taken."""
        backoff = RELOAD_RETRY_FIRST
        while True:
            await self._overdue.wait()
            await asyncio.sleep(backoff)
            async with self._configuring:
                try:
                    # Somebody else may have come first.
                    if self._overdue.is_set():
                        await self._configure()
                        log.info("the %s speaker took its configuration", self.role.value)
                    backoff = RELOAD_RETRY_FIRST
                except ReloadFailed as error:
                    backoff = min(backoff * 2, RELOAD_RETRY_MOST)
                    log.warning("%s; again in %.0f s", error, backoff)

    async def _reload(self, wanted: str) -> None:
        """Have ExaBGP read the configuration with this digest, and see what it still announces."""
        deadline = time.monotonic() + RELOAD_TIMEOUT
        async with self._announcing:
            while time.monotonic() < deadline:
                process = self._process
                if process is None or not process.running or process.taken == wanted:
                    # If it does not run it starts by itself, with the new configuration.
                    return
                if self._channel is None:
                    await asyncio.sleep(0.02)
                    continue
                try:
                    answer = await self._signal_reload(process)
                    if answer.digest != wanted:
                        # Of an earlier signal.
                        continue
                    if not answer.taken:
                        raise ReloadFailed(f"ExaBGP refused its configuration, see {self._paths.log}")
                    process.took(wanted)
                    await self._list_routes(certain=True)
                    await self._sync()
                except (ChannelClosed, NoAnswer):
                    self._relist = True
                    continue
                finally:
                    self._dirty.set()
                return
        raise ReloadFailed(f"ExaBGP did not read its configuration within {RELOAD_TIMEOUT:.0f} s")

    async def _signal_reload(self, process: SpeakerProcess) -> Reloaded:
        """USR1, and ExaBGP's answer. NoAnswer after a while: signals that come close together are lost."""
        future: asyncio.Future[Reloaded] = asyncio.get_running_loop().create_future()
        self._waiting.reload = future
        process.signal(signal.SIGUSR1)
        try:
            async with asyncio.timeout(RELOAD_TIMEOUT / 4):
                return await future
        except TimeoutError as error:
            raise NoAnswer("no answer to the signal") from error

    # Process --------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        backoff = BACKOFF_FIRST
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
        conversation = asyncio.create_task(self._converse(process))
        ended = asyncio.create_task(process.wait())
        try:
            await asyncio.wait([conversation, ended], return_when=asyncio.FIRST_COMPLETED)
            # What it wrote last is still on its way through the relay.
            await asyncio.wait([conversation], timeout=relay.LINGER)
            if conversation.done():
                conversation.result()
        finally:
            conversation.cancel()
            ended.cancel()
            await asyncio.gather(conversation, ended, return_exceptions=True)
        self._last_exit = process.exit_reason()
        self._since = self._clock()
        process.release()
        self._process = None
        self._decoder.reset()
        self._negotiated.clear()
        self._end_of_rib.clear()
        self._refreshes.drop(self._refreshes.sessions())
        log.log(
            logging.INFO if self._planned else logging.ERROR,
            "the %s speaker, pid %d, %s",
            self.role.value,
            process.pid,
            self._last_exit,
        )
        await self._deliver([SpeakerDown(self.role, self._last_exit)])

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
        self._channel = channel
        self._syncs.clear()
        greeting = asyncio.create_task(self._greet())
        self._failure.watch(greeting)
        try:
            await self._deliver([SpeakerUp(self.role)])
            async for lines in channel.lines():
                await self._handle(lines)
        finally:
            greeting.cancel()
            await asyncio.gather(greeting, return_exceptions=True)
            self._channel = None
            self._synced = False
            self._waiting.fail()
            channel.close()

    async def _greet(self) -> None:
        """Ask for the state of all sessions and what is announced, and for the state now and then."""
        with contextlib.suppress(ChannelClosed):
            await self._sync()
            self._relist = True
            self._dirty.set()
            while True:
                self._lost.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SYNC_INTERVAL):
                        await self._lost.wait()
                await self._sync()

    async def _handle(self, lines: Sequence[bytes]) -> None:
        """Decode a portion, in turns of `TURN` seconds between which everybody else may run."""
        events: list[BgpEvent] = []
        deadline = time.perf_counter() + TURN
        for line in lines:
            if line[:1] == b"{":
                events += self._decoder.feed(line)
            elif line[:1] == b"#":
                self._heard(line.decode("ascii", "replace"))
            if time.perf_counter() > deadline:
                await self._deliver(events)
                events = []
                await asyncio.sleep(0)
                deadline = time.perf_counter() + TURN
        await self._deliver(events)
        # A socket that always has data would otherwise never let anybody else run.
        await asyncio.sleep(0)
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
                self._refreshes.drop([event.session])
            if isinstance(event, SessionUp | SessionResync):
                self._refresh_due.set()
                self._negotiated[event.session] = event.negotiated
                self._end_of_rib[event.session] = time.monotonic() + END_OF_RIB_PATIENCE
                self._dirty.set()
                asyncio.get_running_loop().call_later(END_OF_RIB_PATIENCE, self._dirty.set)
            elif isinstance(event, SessionDown):
                self._negotiated.pop(event.session, None)
                self._end_of_rib.pop(event.session, None)
        waiting = self._on_events(events)
        if waiting is not None:
            await waiting

    def _heard(self, line: str) -> None:
        try:
            self._answer(line)
        except (IndexError, ValueError):
            # A relay that was killed took the first half of a line with it.
            log.warning("not an answer of the %s speaker: %r", self.role.value, line[:200])

    def _answer(self, line: str) -> None:
        """A line that the launcher or the relay wrote, not ExaBGP."""
        word, *rest = line.split(" ")
        if word == "#synced":
            if rest[0] in self._syncs:
                self._syncs.clear()
                self._synced = True
                self._refresh_due.set()
        elif word == "#lost":
            log.warning(
                "%s lines of the %s speaker did not fit into the relay's memory", rest[1], self.role.value
            )
            self._lost.set()
        else:
            self._waiting.hear(word, rest)

    # Commands -------------------------------------------------------------------------------

    async def _send(self, commands: Iterable[str]) -> None:
        if self._channel is None:
            raise ChannelClosed("the speaker is not connected")
        await self._channel.send("".join(f"{command}\n" for command in commands))

    async def _sync(self) -> None:
        """Have the state of all sessions told, between the lines of what happens."""
        token = next(self._tokens)
        self._syncs.add(token)
        await self._send([f"bgpsvc sync {token}"])

    async def _ask(self, command: str) -> int:
        """Send `bgpsvc COMMAND TOKEN` and wait for its answer: the number of failed commands, or 0."""
        token = next(self._tokens)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.tokens[token] = future
        try:
            await self._send([f"bgpsvc {command} {token}"])
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await future
        except TimeoutError as error:
            raise NoAnswer(f"no answer to {command} within {ANSWER_TIMEOUT:.0f} s") from error
        finally:
            self._waiting.tokens.pop(token, None)

    async def _list_routes(self, certain: bool) -> None:
        # Nobody else lists meanwhile: the caller holds `_announcing`.
        self._waiting.listing.clear()
        await self._ask("routes")
        for out in self._out.values():
            out.listed(self._waiting.listing.pop(out.session.addresses, set()), certain)

    async def _announce(self) -> None:
        """Whenever something is desired that ExaBGP hasn't got: bring it there."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                async with self._announcing:
                    if self._relist:
                        await self._list_routes(certain=False)
                        self._relist = False
                    failed = await self._push()
            except ChannelClosed:
                # The next connection asks what arrived.
                continue
            except NoAnswer as error:
                log.warning("the %s speaker: %s", self.role.value, error)
            else:
                if not failed:
                    continue
                log.error("%d commands failed at the %s speaker, see its log", failed, self.role.value)
            await asyncio.sleep(RETRY_AFTER_ERROR)
            self._relist = True
            self._dirty.set()

    async def _push(self) -> int:
        """Send what differs, a limited number of commands at a time; the number of those that failed."""
        failed = 0
        for out in list(self._out.values()):
            pending = False
            for count, (command, prefixes, advertisement) in enumerate(list(out.changes()), 1):
                await self._send([command])
                out.done(prefixes, advertisement)
                pending = True
                if count % COMMANDS_IN_FLIGHT == 0:
                    failed += await self._ask("mark")
                    pending = False
            if pending:
                failed += await self._ask("mark")
            await self._send_end_of_rib(out)
        return failed

    async def _send_end_of_rib(self, out: AdjRibOut) -> None:
        """RFC 4724 2: once per session, behind all routes; a peer that kept our old ones drops the rest then.

        What shall be announced may come late after a start, so it is waited for, but not for ever: peers
        wait for us meanwhile.
        """
        deadline, negotiated = self._end_of_rib.get(out.session.id), self._negotiated.get(out.session.id)
        if deadline is None or negotiated is None or (out.desired is None and time.monotonic() < deadline):
            return
        del self._end_of_rib[out.session.id]
        local, peer = out.session.addresses
        await self._send(
            f"neighbor {peer} local-ip {local} announce eor {family.label} unicast"
            for family in negotiated.families
        )
