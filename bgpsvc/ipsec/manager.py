"""Drives the tunnels: carries out what their keepers ask for, and hands them what the driver reports.

One task waits for deadlines. What takes time goes to short-lived ones: a worker for each tunnel that has
something to do, so that tunnels do not wait for each other (what one tunnel asks for is done in order), and
one that reads the SAs. What a signal means for traffic waits for none of them: it is told within `hear`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Mapping
from functools import partial
from math import inf
from typing import Any, NoReturn

from bgpsvc.effects import Log
from bgpsvc.events import IpsecChanged
from bgpsvc.ipsec.actions import Action, BringUp, Initiate, Poll, ReadTraffic, Terminate
from bgpsvc.ipsec.keeper import Keeper
from bgpsvc.ipsec.model import Cause, DriverName, IpsecError, IpsecState, IpsecStatus, IpsecTunnel
from bgpsvc.ipsec.port import CharonDown, CharonUp, Driver, DriverError, Signal
from bgpsvc.model import SessionId

POLL_S = 5.0
POLL_AGAIN_S = 0.2
"""How soon after a reading of the SAs an event may cause another."""
BROUGHT_UP_AT_ONCE = 8
TAKE_DOWN_RETRY_S = 10.0

NO_DRIVER = "this daemon makes no tunnels here: it was started with --ipsec external"

OnChange = Callable[[IpsecChanged], None]
Note = Callable[[Log], None]

log = logging.getLogger("bgpsvc")


def steady_clock() -> Callable[[], float]:
    """A clock of Unix seconds that goes on evenly when somebody sets the time."""
    offset = time.time() - time.monotonic()
    return lambda: time.monotonic() + offset


class _Kept:
    """A tunnel's keeper, what it asked for and is not done yet, and who waits for that."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.queue: deque[BringUp | Initiate | Terminate | ReadTraffic] = deque()
        self.worker: asyncio.Task[None] | None = None
        self.free = asyncio.Event()


class Tunnels:
    """All tunnels that the service makes. `hear` is what the driver is to be given for its signals.

    Without a driver (None, or the external one) no tunnel is made, and each says so.
    """

    def __init__(
        self,
        driver: Driver | None,
        on_change: OnChange,
        note: Note,
        clock: Callable[[], float] | None = None,
        no_driver: str = NO_DRIVER,
    ) -> None:
        """`no_driver`: why there is none, if there is none."""
        self._driver = None if driver is None or driver.name == "external" else driver
        self._on_change = on_change
        self._note = note
        self._clock = clock or steady_clock()
        self._no_driver = no_driver
        self._kept: dict[SessionId, _Kept] = {}
        self._unmade: dict[SessionId, IpsecState] = {}
        """The tunnels, where there is no driver."""
        self._leaving: dict[SessionId, float] = {}
        """Tunnels that could not be taken down, and when that is tried again."""
        self._wake = asyncio.Event()
        self._poll_at = self._polled_at = 0.0
        self._sleeps_until = inf
        """When the task that waits for deadlines goes on by itself."""
        self._reading = False
        self._changing = asyncio.Lock()
        self._places = asyncio.Semaphore(BROUGHT_UP_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False
        self._broken = asyncio.Event()
        self._error: BaseException | None = None

    @property
    def driver(self) -> DriverName:
        """Name of the driver."""
        return "external" if self._driver is None else self._driver.name

    # Life -----------------------------------------------------------------------------------------

    async def start(self, tunnels: Mapping[SessionId, IpsecTunnel]) -> None:
        """Take over what a former daemon left of these tunnels, make the others, begin. OSError.

        Negotiations are not waited for; tunnels that are up already are told to be.
        """
        if self._driver is None:
            self._have_none(tunnels)
            return
        await self._driver.start(tuple(tunnels.values()))
        self._running = True
        self._spawn(self._run())
        await self.apply(tunnels)
        await self._poll()

    async def apply(self, tunnels: Mapping[SessionId, IpsecTunnel]) -> None:
        """Have these tunnels and no others; those that stay as they are are not touched.

        Returns when interfaces and connections are as wanted, or it is known why not: a tunnel that cannot be
        made does not keep the others from it, is tried again, and its state says why.
        """
        if self._driver is None:
            self._have_none(tunnels)
            return
        async with self._changing:
            # First, as a new tunnel may have the addresses or the interface of one that goes.
            gone = [ident for ident in self._kept if ident not in tunnels]
            await asyncio.gather(*(self._remove(ident) for ident in gone))
            now = self._clock()
            changed = [
                kept
                for ident, tunnel in tunnels.items()
                if (kept := self._configure(ident, tunnel, self._driver.name, now)) is not None
            ]
            await asyncio.gather(*(kept.free.wait() for kept in changed))

    async def restart(self, tunnel: SessionId) -> None:
        """End a tunnel's SAs and negotiate anew; returns when they are ended.

        KeyError if there is no such tunnel, DriverError if there is no driver.
        """
        if self._driver is None:
            raise DriverError(Cause.NO_DRIVER, self._no_driver)
        kept = self._kept[tunnel]
        kept.keeper.restart(self._clock())
        self._drain(tunnel, kept)
        await kept.free.wait()

    async def stop(self, keep: bool) -> None:
        """Stop. `keep`: SAs and interfaces stay for the next daemon; otherwise all is taken down."""
        self._running = False
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._driver is not None:
            await self._driver.stop(keep)

    async def failed(self) -> NoReturn:
        """Raises what ended a task, which is a defect: what goes wrong with a tunnel is in its state."""
        await self._broken.wait()
        assert self._error is not None
        raise self._error

    # What is known --------------------------------------------------------------------------------

    def state(self, tunnel: SessionId) -> IpsecState | None:
        """All that is known of a tunnel; None if the service does not make it."""
        kept = self._kept.get(tunnel)
        return self._unmade.get(tunnel) if kept is None else kept.keeper.state()

    def states(self) -> dict[SessionId, IpsecState]:
        """Of all tunnels."""
        return {**self._unmade, **{ident: kept.keeper.state() for ident, kept in self._kept.items()}}

    def charons(self) -> Mapping[SessionId, int]:
        """Pids of charons that are a tunnel's own."""
        return {} if self._driver is None else self._driver.charons()

    def tell_again(self, tunnels: Collection[SessionId]) -> None:
        """Tell whether these are up, as to somebody who made the record of them anew."""
        for ident in tunnels:
            kept = self._kept.get(ident)
            state = self.state(ident)
            if kept is None and state is not None:
                self._on_change(IpsecChanged(ident, False, state.reason))
            elif kept is not None and kept.keeper.told is not None:
                reason = kept.keeper.state().reason
                self._on_change(IpsecChanged(ident, kept.keeper.told, reason, kept.keeper.waits))

    def hear(self, signal: Signal) -> None:
        """A signal of the driver. What it means for traffic is told before this returns."""
        if not self._running:
            return
        idents = signal.tunnels if isinstance(signal, CharonUp | CharonDown) else (signal.tunnel,)
        mine = [(ident, self._kept[ident]) for ident in idents if ident in self._kept]
        now = self._clock()
        for ident, kept in mine:
            kept.keeper.hear(signal, now)
            self._drain(ident, kept)
        if mine and isinstance(signal, CharonUp | CharonDown):
            self._note(_charon_log(signal))

    def _have_none(self, tunnels: Mapping[SessionId, IpsecTunnel]) -> None:
        now = self._clock()
        before, self._unmade = self._unmade, {}
        for ident, tunnel in tunnels.items():
            known = before.get(ident)
            self._unmade[ident] = known or _unmade(tunnel, self._no_driver, now)
            if known is None:
                self._on_change(IpsecChanged(ident, False, self._no_driver))

    def _configure(
        self, ident: SessionId, tunnel: IpsecTunnel, driver: DriverName, now: float
    ) -> _Kept | None:
        """Have a tunnel as wanted; None if it is."""
        kept = self._kept.get(ident)
        if kept is None:
            self._leaving.pop(ident, None)
            kept = self._kept[ident] = _Kept(Keeper(tunnel, driver, now))
            kept.keeper.tick(now)
        elif kept.keeper.tunnel == tunnel:
            return None
        else:
            kept.keeper.configure(tunnel)
        self._drain(ident, kept)
        return kept

    # Work -----------------------------------------------------------------------------------------

    def _drain(self, ident: SessionId, kept: _Kept) -> None:
        """Tell what a keeper tells, and have done what it asks for."""
        for output in kept.keeper.take():
            match output:
                case IpsecChanged():
                    self._on_change(output)
                case Log():
                    self._note(output)
                case Poll():
                    self._poll_at = min(self._poll_at, self._polled_at + POLL_AGAIN_S)
                case _:
                    kept.queue.append(output)
        if kept.queue:
            kept.free.clear()
            if kept.worker is None:
                kept.worker = self._spawn(self._work(ident, kept))
        elif kept.worker is None:
            kept.free.set()
        # Most events put off what is due, and looking at all tunnels takes long where there are many.
        times = (kept.keeper.deadline, None if self._reading else self._poll_at)
        if any(at is not None and at < self._sleeps_until for at in times):
            self._wake.set()

    async def _work(self, ident: SessionId, kept: _Kept) -> None:
        try:
            while kept.queue:
                action = kept.queue.popleft()
                try:
                    answer = await self._carry_out(ident, kept, action)
                except (DriverError, OSError) as error:
                    answer = partial(kept.keeper.failed, action, _cause(error), str(error))
                answer(self._clock())
                if self._kept.get(ident) is not kept:
                    return  # it is being removed
                self._drain(ident, kept)
        finally:
            kept.worker = None
            kept.free.set()

    async def _carry_out(self, ident: SessionId, kept: _Kept, action: Action) -> Callable[[float], None]:
        """Do it; how to report that to the keeper. DriverError."""
        assert self._driver is not None, "without a driver there are no keepers"
        keeper = kept.keeper
        match action:
            case BringUp():
                async with self._places:
                    return partial(keeper.made, await self._driver.bring_up(keeper.tunnel))
            case Initiate():
                await self._driver.initiate(ident)
            case Terminate(ike_id=ike_id):
                await self._driver.terminate(ident, True, ike_id)
                if ike_id is None:
                    return keeper.terminated
            case ReadTraffic():
                return partial(keeper.traffic, await self._driver.traffic(ident))
        return keeper.tick

    async def _remove(self, ident: SessionId) -> None:
        kept = self._kept.pop(ident)
        kept.queue.clear()
        # Whoever wants it again by now was told what it was before.
        self._on_change(IpsecChanged(ident, False, "not negotiated yet"))
        if kept.worker is not None:
            # What is half done cannot be undone safely: it ends, and then all of it is taken down.
            await kept.free.wait()
        await self._take_down(ident)

    async def _take_down(self, ident: SessionId) -> None:
        assert self._driver is not None, "without a driver there is nothing to take down"
        try:
            await self._driver.take_down(ident)
        except (DriverError, OSError) as error:
            self._leaving[ident] = self._clock() + TAKE_DOWN_RETRY_S
            text = f"could not be taken down, tried again: {error}"
            self._note(Log("ipsec.error", "error", ident, text, {"cause": _cause(error).value}))

    async def _take_down_again(self, ident: SessionId) -> None:
        async with self._changing:
            if ident not in self._kept:
                await self._take_down(ident)

    async def _run(self) -> None:
        while True:
            await self._until_due()
            now = self._clock()
            for ident, kept in list(self._kept.items()):
                deadline = kept.keeper.deadline
                if deadline is not None and now >= deadline:
                    kept.keeper.tick(now)
                    self._drain(ident, kept)
            for ident in [ident for ident, at in self._leaving.items() if now >= at]:
                del self._leaving[ident]
                self._spawn(self._take_down_again(ident))
            if now >= self._poll_at and not self._reading:
                self._spawn(self._poll())

    async def _until_due(self) -> None:
        self._wake.clear()
        deadlines = [kept.keeper.deadline for kept in self._kept.values()]
        polls = [] if self._reading else [self._poll_at]
        times = [*polls, *self._leaving.values(), *(at for at in deadlines if at is not None)]
        self._sleeps_until = min(times, default=inf)
        try:
            async with asyncio.timeout(max(self._sleeps_until - self._clock(), 0) if times else None):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _poll(self) -> None:
        """Read the SAs. What an event made outdated meanwhile is read again."""
        assert self._driver is not None, "without a driver nothing is read"
        self._reading = True
        versions = {ident: kept.keeper.version for ident, kept in self._kept.items()}
        self._polled_at = self._clock()
        self._poll_at = self._polled_at + POLL_S
        try:
            found = await self._driver.sas()
        except OSError as error:
            log.warning("the SAs cannot be read: %s", error)
            return
        finally:
            self._reading = False
            self._wake.set()
        now = self._clock()
        for ident, sas in found.items():
            kept = self._kept.get(ident)
            if kept is None:
                continue
            if versions.get(ident) != kept.keeper.version:
                self._poll_at = now + POLL_AGAIN_S
                continue
            kept.keeper.seen(sas, now)
            self._drain(ident, kept)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.critical("a task of the tunnels failed", exc_info=error)
        if self._error is None:
            self._error = error
            self._broken.set()


def _cause(error: DriverError | OSError) -> Cause:
    """A full disk, or no more processes or descriptors, has no cause of its own, and is no defect."""
    return error.cause if isinstance(error, DriverError) else Cause.OTHER


def _unmade(tunnel: IpsecTunnel, why: str, now: float) -> IpsecState:
    return IpsecState(
        tunnel=tunnel.id,
        driver="external",
        interface=tunnel.interface,
        status=IpsecStatus.IKE_SA_NOT_ESTABLISHED,
        reason=why,
        since=now,
        seen_at=now,
        last_error=IpsecError(now, Cause.NO_DRIVER, why),
    )


def _charon_log(signal: CharonUp | CharonDown) -> Log:
    subject = signal.tunnels[0] if len(signal.tunnels) == 1 else "charon"
    data = {"tunnels": list(signal.tunnels)}
    if isinstance(signal, CharonUp):
        return Log("charon.up", "info", subject, "charon answers", data)
    return Log("charon.down", "error", subject, signal.reason, data)
