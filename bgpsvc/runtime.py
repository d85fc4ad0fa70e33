"""The running gateway: engine, kernel and speakers of one network namespace, and the pump that drives them.

Two asyncio tasks do everything that takes time, a few milliseconds at a time, so that REST and new events
get their turn: the pump works off what the engine has in the background, and the programmer
(`bgpsvc/programmer.py`) sends routes to the kernel, a batch at a time. What moves traffic waits for neither:
an event that can switch a tunnel is followed at once by the nexthop groups that it changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from bgpsvc import repair
from bgpsvc.effects import Advertise, Effect, Log, Refresh, Reset
from bgpsvc.engine import Engine
from bgpsvc.events import (
    Announced,
    ConnectedChanged,
    Event,
    IpsecChanged,
    LinkChanged,
    OperatorSwitch,
    Withdrawn,
)
from bgpsvc.exabgp.channel import ChannelClosed
from bgpsvc.exabgp.config import sessions_of
from bgpsvc.exabgp.reloader import ReloadFailed
from bgpsvc.exabgp.speaker import Speakers
from bgpsvc.fib.netlink import Kernel
from bgpsvc.fib.port import KernelPort
from bgpsvc.fib.prepare import prepare
from bgpsvc.guardian import Guardian, Heard
from bgpsvc.ipsec.choose import Choice
from bgpsvc.journal import Journal
from bgpsvc.model import SessionId, SwitchMode
from bgpsvc.netns import claim_namespace
from bgpsvc.programmer import Programmer
from bgpsvc.resources import Intent
from bgpsvc.settling import Settling
from bgpsvc.surroundings import Surroundings
from bgpsvc.tap import Tap
from bgpsvc.tunnelling import Tunnelling

TURNS_BETWEEN_PIECES = 3
"""Turns of the loop that a line of a speaker needs from its socket to the engine."""
UNUSED_SECONDS = 10.0
"""How long an interface that is to go waits for its routes to leave; the kernel would take them with it."""
RETRY_INTERVAL = 5.0
"""Seconds between attempts at operations that the kernel refused."""

log = logging.getLogger("bgpsvc")


class Runtime:
    """The gateway of one network namespace. Construct it inside that namespace."""

    def __init__(
        self,
        intent: Intent,
        modes: Mapping[str, SwitchMode],
        state_dir: Path,
        journal: Journal,
        choice: Choice,
        charon_socket: Path,
    ) -> None:
        kernel = Kernel()
        self._monitor = kernel.monitor
        self._close_kernel = kernel.close
        self._kernel: KernelPort = kernel
        now = time.monotonic()
        self.wall = time.time() - now
        """What to add to the engine's clock for Unix time."""
        self.engine = Engine(intent, now)
        self.tap = Tap(self.engine)
        self.journal = journal
        self.speakers = Speakers(state_dir, self._on_bgp_events)
        self.tunnelling = Tunnelling(choice, charon_socket, state_dir, self.operator, self._note)
        self.guardian = Guardian(self.engine, state_dir, self._on_guard, self._note)
        self.guardian.ports_changed = self._watch_kernel
        self._modes = dict(modes)
        self._wake = asyncio.Event()
        self._namespace: socket.socket | None = None
        self._connected_stale = False
        self._pump_task: asyncio.Task[None] | None = None
        self._settle_task: asyncio.Task[None] | None = None
        self._program_task: asyncio.Task[None] | None = None
        self._speaking: frozenset[SessionId] = frozenset()
        """Sessions that the speakers know."""
        self._commands: set[asyncio.Task[None]] = set()
        self._surroundings = Surroundings(self.engine, self._note)
        self._programmer = Programmer(kernel, self.engine.fib, self._note, self._surroundings.found)
        self.fib_counters = self._programmer.counters
        self._custom_due = False
        self._settling = Settling(RETRY_INTERVAL)
        self._named_missing: set[SessionId] = set()
        """Tunnels whose missing interface was named already."""

    # Life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take over the kernel's state, start or adopt the speakers. OSError or StateDirInUse if it cannot.

        May be cancelled; `stop` afterwards.
        """
        self.speakers.claim()  # before anything of the daemon that runs there is touched
        self._namespace = claim_namespace()
        for name, value in prepare().items():
            log.info("set %s to %s", name, value)
        self._watch_kernel()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._monitor.fileno(), self._on_notices)
        self._read_links()
        self.engine.handle(ConnectedChanged(tuple(self._kernel.connected())), time.monotonic())
        self._tell_what_is_not_made()
        await self._take_over_kernel()
        self._apply_modes()
        await self.guardian.start()
        await self.tunnelling.start(lambda: self.engine.intent)
        self._name_missing_interfaces()
        sessions = sessions_of(self.engine.intent)
        # Before: an adopted speaker tells of its sessions while it may have to read its configuration again.
        self._speaking = frozenset(session.id for session in sessions)
        await self.speakers.start(sessions)
        self.engine.advertise_all()
        self._drain()
        self._pump_task = asyncio.create_task(self._pump(), name="pump")
        self._settle_task = asyncio.create_task(self._settle(), name="settle")
        self._program_task = asyncio.create_task(self._programmer.run(), name="program")

    def _tell_what_is_not_made(self) -> None:
        """A tunnel whose interface was there before the daemon counts as up until it is known not to be."""
        for tunnel in self.engine.tunnels.values():
            if tunnel.settings.made and not tunnel.link_up:
                event = IpsecChanged(tunnel.session, False, "not negotiated yet")
                self.engine.handle(event, time.monotonic())

    async def stop(self, keep: bool) -> None:
        """Stop. Routes stay in the kernel; with `keep` so do sessions and tunnels, and forwarding goes on."""
        if self._settle_task is not None:
            self._settle_task.cancel()
            await asyncio.gather(self._settle_task, return_exceptions=True)
        await self.speakers.stop(keep_running=keep)
        await self.guardian.stop(keep)
        for working in (self._pump_task, self._program_task):
            if working is not None:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
        for task in list(self._commands):
            task.cancel()
        # From here on nobody looks: that our own interfaces go is nothing to repair.
        asyncio.get_running_loop().remove_reader(self._monitor.fileno())
        await self.tunnelling.stop(keep)
        self.speakers.release()
        self._programmer.close()
        self._close_kernel()
        if self._namespace is not None:
            self._namespace.close()

    async def failed(self) -> None:
        """Raises what ended a task or a speaker's conversation; never returns in a healthy service."""
        assert self._pump_task is not None, "started"
        assert self._settle_task is not None, "started"
        assert self._program_task is not None, "started"
        others = [
            asyncio.create_task(other.failed()) for other in (self.speakers, self.guardian, self.tunnelling)
        ]
        try:
            watched = [self._pump_task, self._settle_task, self._program_task, *others]
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    @property
    def pumping(self) -> bool:
        """The pump runs, and so does the programmer."""
        working = (self._pump_task, self._program_task)
        return all(task is not None and not task.done() for task in working)

    # Another intent ---------------------------------------------------------------------------

    def adopt(self, intent: Intent) -> int:
        """Take over another intent: the engine at once, policy rules and speakers behind it.

        Sessions that it does not change stay as they are. Returns the number of this change; `settled`
        says when kernel and speakers have taken it, `problem` why they have not yet.
        """
        made_anew = self.engine.reconfigure(intent, time.monotonic())
        self.tap.reconfigured(made_anew, time.time())
        self._apply_modes()
        self._program()
        self._drain()
        self._wake.set()
        return self._settling.request(made_anew)

    @property
    def settled(self) -> int:
        """The last change that kernel and speakers have taken."""
        return self._settling.done

    @property
    def problem(self) -> str | None:
        """Why the changes behind `settled` are stuck; None if they are on their way."""
        return self._settling.problem

    async def until_settled(self, change: int) -> None:
        """Wait for a change that `adopt` numbered.

        OSError or ReloadFailed if the kernel or a speaker did not take its part; the rest is in force, and
        the part is tried again in the background.
        """
        await self._settling.wait(change)

    async def _settle(self) -> None:
        while True:
            number, made_anew = await self._settling.next()
            try:
                await self._follow(made_anew)
            except (OSError, ReloadFailed) as error:
                self._note(Log("config.incomplete", "error", "configuration", f"not taken yet: {error}"))
                self._settling.failed(number, error, made_anew)
            else:
                self._settling.succeeded(number)

    async def _follow(self, made_anew: frozenset[SessionId]) -> None:
        """Make lookup rules and speakers follow the engine's intent."""
        self._watch_kernel()
        await self._take_over_kernel()
        self._name_missing_interfaces()
        going = self.tunnelling.leaving(self.engine.intent)
        if not going:
            await self._follow_tunnels()
        try:
            await self._follow_sessions()
        finally:
            if going:
                # Last, so that the peers hear that the sessions end, and no route leads there any more.
                await self._until_left()
                await self._follow_tunnels()
        # ExaBGP keeps a session whose record here was made anew: let it say again that it is up.
        await self.speakers.forget(made_anew)

    async def _follow_sessions(self) -> None:
        sessions = sessions_of(self.engine.intent)
        known = frozenset(session.id for session in sessions)
        # One that is removed is unknown to the speakers from now on, also if it is made again meanwhile.
        self._speaking &= known
        try:
            await self.speakers.apply(sessions)
        finally:
            self._speaking = known
            self.engine.advertise_all()
            self._drain()
            self._wake.set()

    async def _follow_tunnels(self) -> None:
        await self.tunnelling.follow(self.engine.intent)
        # One that was deleted, and is wanted again before it was taken down, goes on and tells nothing.
        tunnels = self.engine.tunnels.values()
        self.tunnelling.tell_again([t.session for t in tunnels if t.settings.made and t.ipsec_up is False])

    async def _until_left(self) -> None:
        """Until no nexthop of ours leads over interfaces that are to go, or for long enough."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UNUSED_SECONDS):
                while self.engine.fib.over_links(self._indexes(self.tunnelling.leaving(self.engine.intent))):
                    await self._programmer.moved()

    def _indexes(self, interfaces: Collection[str]) -> frozenset[int]:
        return frozenset(self.engine.links[name][0] for name in interfaces if name in self.engine.links)

    def _name_missing_interfaces(self) -> None:
        """A mistyped interface is no error (it may come later), but nobody should have to search for it."""
        for tunnel in self.engine.tunnels.values():
            if tunnel.settings.made:
                continue  # what keeps the service from making it is told by the driver
            if not tunnel.link_up and tunnel.session not in self._named_missing:
                text = f"the interface {tunnel.interface} is down or missing"
                self._note(Log("tunnel.down", "warning", tunnel.session, text))
        self._named_missing = {t.session for t in self.engine.tunnels.values() if not t.link_up}

    def set_mode(
        self, connection: str, mode: SwitchMode, reason: str | None = None, by: str | None = None
    ) -> None:
        """The operator chose a tunnel; it is remembered for a connection that comes back."""
        self._modes[connection] = mode
        self.operator(OperatorSwitch(connection, mode, reason, by))

    def forget_mode(self, connection: str) -> None:
        """The connection is deleted, and the operator's choice with it."""
        self._modes.pop(connection, None)

    def _apply_modes(self) -> None:
        for name, mode in self._modes.items():
            if name in self.engine.switchboard.switches and self.engine.modes.get(name) is not mode:
                self.engine.handle(OperatorSwitch(name, mode), time.monotonic())

    async def _take_over_kernel(self) -> None:
        """What the kernel holds of ours, then the lookup order: what keeps packets out goes first."""
        if not self.engine.fib.loaded:
            # Once and all tables: what no resource names any more is found there too.
            await self._programmer.load()
        await self._surroundings.apply()
        self.engine.takeover.loaded()

    @property
    def custom_problems(self) -> Mapping[str, str]:
        """Which custom routes of VPCs are not in the kernel, and why."""
        return self._surroundings.custom.problems

    async def _custom_again(self) -> None:
        self._custom_due = False
        try:
            await self._surroundings.set_custom()
        except OSError as error:
            self._note(Log("fib.error", "error", "fib", f"custom routes: {error}"))

    def _read_links(self) -> None:
        now = time.monotonic()
        links = {link.name: link for link in self._kernel.links()}
        for name in [name for name in self.engine.links if name not in links]:
            self.engine.handle(LinkChanged(name, None, False), now)
        for link in links.values():
            if self.engine.links.get(link.name) != (link.ifindex, link.up):
                self.engine.handle(LinkChanged(link.name, link.ifindex, link.up), now)

    # Events in --------------------------------------------------------------------------------

    def _on_bgp_events(self, events: Sequence[Event]) -> None:
        now = time.monotonic()
        urgent = False
        for event in events:
            self.engine.handle(event, now)
            urgent = urgent or not isinstance(event, Announced | Withdrawn)
        if urgent:
            self._program()
        else:
            self._programmer.wake()
        self._drain()
        self._wake.set()
        self.tap.heard(events, time.time())

    def _on_guard(self, heard: Heard) -> None:
        if heard.event is not None:
            self.engine.handle(heard.event, time.monotonic())
        if heard.moved:
            # Now that the engine knows why: the groups lead where it would have them lead.
            self.engine.fib.verify(self._kernel.nexthops())
        if heard.links:
            self._take_notices()  # what the guard saw of the links is there already
            self._read_links()
        self._program()
        self._drain()
        self._wake.set()

    def _watch_kernel(self) -> None:
        self._monitor.watch(self._surroundings.tables(), self.guardian.ports)

    def _on_notices(self) -> None:
        self.guardian.read_now()  # it may have moved groups for what the notices are about to tell
        self._take_notices()

    def _take_notices(self) -> None:
        seen = repair.take(self.engine, self._monitor.read(), time.monotonic())
        if seen.links:
            seen.routes += self.engine.fib.verify(self._kernel.nexthops())
        if seen.overrun:
            self._read_links()
            self._connected_stale = True
            self._programmer.reload("notifications of the kernel were lost; its state was read again")
        if self._surroundings.noticed(seen):
            self._settling.request(frozenset())  # finds nothing to do if the deletion was ours
        if self._surroundings.concerns_custom(seen) and not self._custom_due:
            self._custom_due = True
            self._spawn(self._custom_again())
        if seen.routes or seen.nexthops:
            self._programmer.repaired(
                seen.routes,
                f"{seen.nexthops} nexthops and {seen.routes} routes were removed by somebody else",
            )
        self._connected_stale = self._connected_stale or seen.addresses
        self._program()
        self._drain()
        self._wake.set()

    # Work -------------------------------------------------------------------------------------

    async def _pump(self) -> None:
        while True:
            self._wake.clear()
            now = time.monotonic()
            if self._connected_stale:
                self._connected_stale = False
                self.engine.handle(ConnectedChanged(tuple(self._kernel.connected())), now)
            self.engine.tick(now)
            worked = self.engine.work()
            self._program()
            self._drain()
            if worked:
                for _ in range(TURNS_BETWEEN_PIECES):
                    await asyncio.sleep(0)
                continue
            due = self.engine.deadline()
            timeout = None if due is None else max(0.0, due - time.monotonic())
            try:
                await asyncio.wait_for(self._wake.wait(), timeout)
            except TimeoutError:
                continue  # a deadline of the engine is due

    def _program(self) -> None:
        """Give the kernel nexthops and groups now, and routes soon."""
        self.guardian.follow()
        self._programmer.switch()

    def _drain(self) -> None:
        outbox = self.engine.outbox
        if not outbox:
            return
        effects: list[Effect] = outbox.copy()
        outbox.clear()
        for effect in effects:
            match effect:
                case Log():
                    self._note(effect)
                case Advertise():
                    self._advertise(effect)
                case Refresh() | Reset():
                    self._spawn(self._command(effect))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    def _advertise(self, effect: Advertise) -> None:
        if effect.session in self._speaking:
            self.speakers.advertise(effect.session, effect.routes)
        self.tap.advertised(effect.session)

    async def _command(self, effect: Refresh | Reset) -> None:
        if effect.session not in self._speaking:
            return  # removed, or on its way to the speakers: it begins with all its routes anyway
        try:
            if isinstance(effect, Refresh):
                await self.speakers.refresh(effect.session)
            else:
                await self.speakers.reset(effect.session, effect.reason, effect.subcode)
        except ChannelClosed as error:
            # The speaker is gone, and its sessions with it: what they know is asked for when it is back.
            log.warning("%s: %s", effect.session, error)

    def operator(self, event: Event) -> None:
        """An operator's choice: taken, programmed and told at once."""
        self.engine.handle(event, time.monotonic())
        self._program()
        self._drain()
        self._wake.set()

    def note(self, entry: Log) -> None:
        """An entry for the event log that comes from outside the engine."""
        self._note(entry)

    def _note(self, entry: Log) -> None:
        event = self.journal.add(
            time.time(), entry.kind, entry.severity, entry.subject, entry.message, entry.data
        )
        level = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}[event.severity]
        extra = {"event": event}
        log.log(level, "%s %s: %s", event.kind, event.subject, event.message, extra=extra)
