"""The worker: watches, switches, and talks to the daemon. It goes on where the one before it ended.

Every turn has one order: read what has come, move what has to move, tell of it, and write down what another
worker would need. Nothing in it waits for a daemon, a disk or the keeper.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections import deque
from collections.abc import Set
from typing import Any

from bgpsvc.guard import priority
from bgpsvc.guard.keeper import Base, Ended, Role, Signals, log, reap
from bgpsvc.guard.loop import Loop
from bgpsvc.guard.messages import PROTOCOL, pack, unpack
from bgpsvc.guard.model import Detection, Hello, Method, Plan, Quit, ToGuard, Watch
from bgpsvc.guard.server import Server
from bgpsvc.guard.switch import Move
from bgpsvc.guard.switching import Switching
from bgpsvc.guard.watching import Watching
from bgpsvc.model import SessionId

STATUS_EVERY = 1.0
STATUS_PORTION = 25
"""Sessions whose figures one message tells: few enough that packets do not wait for it."""
_TOLD_AT_ONCE = 10
_KEEPER_LATE = 3.0
_NETLINK_ALLOWANCE = 10.0
"""Seconds within which the kernel answers: it touches every IPv6 route of a group that is replaced."""
_LEAST_PATIENCE, _MOST_PATIENCE = 0.02, 1.0
_SAVE_EVERY = 0.05


class _Become(Exception):
    """Raised in a forked process: it is another one from now on."""


class _Repeating:
    """A task of the loop that calls a function, which says when it wants to be called next."""

    def __init__(self, call: Any) -> None:
        self.run = call


class Worker:
    """The loop of the worker. `run` returns only in a process that is to be a keeper."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._memory = base.memory
        self._realtime, scheduling = priority.schedule()
        self._signals = Signals()
        self._loop = Loop(base.memory)
        self._watching = Watching(self._loop, base.memory.tunnels)
        self._restore_orders()
        self._switching = Switching()
        locked = "" if priority.stay_in_memory() else ", memory not locked"
        self._scheduling = f"{scheduling}{locked}"
        self._server = Server(base.listener, self._loop.epoll)
        self._told_again: set[SessionId] = set()
        self._to_tell: deque[SessionId] = deque()
        self._status_from = 0
        self._keeper_look = time.monotonic()
        self._saved_orders = 0.0
        self._orders_due = False
        self._gave_way = False
        self._teller = _Repeating(self._tell_some)
        self._saver = _Repeating(self._save_orders)
        self._mover = _Repeating(lambda _: math.inf)  # what follows upon any task is what is wanted

    def _restore_orders(self) -> None:
        """BFD sessions go on before anything else: their peers are waiting."""
        self._watching.inherit()
        orders = self._memory.orders.read()
        self._watch, self._inherited = Watch(()), Plan((), whole=True)
        for line in orders or ():
            message = unpack(line.encode())
            if isinstance(message, Watch):
                self._watch = message
            elif isinstance(message, Plan):
                self._inherited = message
        self._watching.follow(self._watch, time.monotonic())

    def run(self) -> Role:
        """Until the guard is to end (Ended), or in a forked process."""
        memory, loop = self._memory, self._loop
        now = memory.since = time.monotonic()
        log(f"at work, {self._scheduling}; {len(self._watch.tunnels)} tunnels, takeovers {memory.takeovers}")
        self._set_patience()
        self._switching.switch.plan(self._inherited)
        self._watching.names = self._switching.links.names
        self._watching.links(self._switching.links.up())
        loop.add(self._signals.fd, self._on_signal)
        loop.add(self._base.partner, self._on_keeper_ended)
        loop.add(self._switching.links.socket.fileno(), self._on_netlink)
        loop.route(self._base.listener.fileno(), self._on_connection)
        loop.timers.set(_Repeating(self._tell_figures), now + STATUS_EVERY)
        loop.timers.set(_Repeating(self._look_after_keeper), now + STATUS_EVERY)
        loop.timers.set(_Repeating(self._look_at_priority), now + STATUS_EVERY)
        loop.timers.set(self._watching, now + STATUS_EVERY)
        try:
            self._follow_up(now)
            while not memory.quitting:
                loop.turn(self._follow_up)
            raise self._quit()
        except _Become:
            return Role.KEEPER
        finally:
            self._close()

    # What comes in ----------------------------------------------------------------------------

    def _on_signal(self, _: int) -> None:
        if self._signals.told_to_end():
            self._memory.quitting = 1

    def _on_connection(self, _: int) -> None:
        if not self._server.accept():
            return
        self._loop.route(self._server.fileno(), self._on_daemon)
        self._greet()
        self._tell_all()

    def _on_daemon(self, events: int) -> None:
        for message in self._server.ready(events):
            self._obey(message)
            self._loop.beat()

    def _obey(self, message: ToGuard) -> None:
        switch = self._switching.switch
        match message:
            case Watch():
                self._watch = message
                for gone in self._watching.follow(message, time.monotonic()):
                    switch.forget(gone)
                self._set_patience()
                # Some of them may have been made anew where the daemon keeps them: it hears all again.
                self._tell_all(known={ident for ident, _ in self._watching.changes})
            case Plan():
                self._told_again |= switch.plan(message)
            case Quit():
                self._memory.quitting = 1
        self._orders_due = True
        self._loop.timers.set(self._saver, max(time.monotonic(), self._saved_orders + _SAVE_EVERY))

    def _on_netlink(self, _: int) -> None:
        links, groups = self._switching.links.read()
        if links:
            self._watching.links(self._switching.links.up())
        self._switching.look(groups)

    # What follows from it ---------------------------------------------------------------------

    def _follow_up(self, _: float) -> None:
        """Traffic first, then words."""
        watching, switch = self._watching, self._switching.switch
        changes, watching.changes = watching.changes, {}
        for ident, _method in changes:
            tunnel = watching.tunnels[ident]
            switch.judge(ident, tunnel.dead, tunnel.alive)
        moved: list[Move] = []
        if switch.unsettled:
            self._memory.promise = time.monotonic() + _NETLINK_ALLOWANCE
            moved, refused = self._switching.move()
            watching.refusals += refused
            now = self._loop.beat()
            if switch.unsettled:
                self._loop.timers.set(self._mover, now)  # in the next turn, when packets have been read
        self._report(changes, moved)
        watching.save()
        self._server.flush()

    def _report(self, changes: dict[tuple[SessionId, Method], None], moved: list[Move]) -> None:
        watching, server, at = self._watching, self._server, time.monotonic()
        left: dict[SessionId, list[tuple[int, int]]] = {}
        for move in moved:
            left.setdefault(move.leaves, []).append((move.group, move.nexthop))
        for ident, method in changes:
            detection = watching.detection(ident, method, at, tuple(left.pop(ident, ())))
            if detection is not None:
                self._say(detection)
        # Groups that left a tunnel of which nothing new is known, or whose plan would have them there.
        for ident, groups in left.items():
            self._say_why_dead(ident, at, tuple(groups))
        for ident in self._told_again - left.keys():
            self._say_why_dead(ident, at, self._switching.switch.led(ident))
        self._told_again.clear()
        for ident in watching.verdicts:
            verdict = watching.check_verdict(ident)
            if verdict is not None:
                server.send(verdict)
        for refusal in watching.refusals:
            log(f"{refusal.subject}: {refusal.text}")
            server.send(refusal)
        watching.verdicts.clear()
        watching.refusals.clear()

    def _say(self, detection: Detection) -> None:
        if detection.moved and not self._server.connected:  # else the daemon says so
            groups = len(detection.moved)
            log(f"{detection.tunnel} {detection.method.value}: {detection.reason}; moved {groups} groups")
        self._server.send(detection)

    def _say_why_dead(self, ident: SessionId, at: float, groups: tuple[tuple[int, int], ...]) -> None:
        if ident not in self._watching.tunnels:
            return
        for method in Method:
            detection = self._watching.detection(ident, method, at, groups)
            if detection is not None and detection.up is False:
                self._say(detection)
                return

    # Telling, a bit at a time -----------------------------------------------------------------

    def _greet(self) -> None:
        memory = self._memory
        ports = self._switching.ports
        hello = Hello(
            PROTOCOL, os.getpid(), memory.keeper, memory.since, ports, self._realtime, memory.takeovers
        )
        self._server.send(hello)

    def _tell_all(self, known: Set[SessionId] = frozenset()) -> None:
        """Begin to tell everything of every tunnel, but for those that are told of anyway."""
        self._to_tell = deque(ident for ident in self._watching.tunnels if ident not in known)
        self._loop.timers.set(self._teller, time.monotonic())

    def _tell_some(self, now: float) -> float:
        for _ in range(_TOLD_AT_ONCE):
            if not self._to_tell or self._server.crowded:
                break
            ident = self._to_tell.popleft()
            if ident not in self._watching.tunnels:
                continue
            for method in Method:
                detection = self._watching.detection(ident, method, now)
                if detection is not None:
                    self._server.send(detection)
            verdict = self._watching.check_verdict(ident)
            if verdict is not None:
                self._server.send(verdict)
        return now + (0.02 if self._server.crowded else 0.001) if self._to_tell else math.inf

    def _tell_figures(self, now: float) -> float:
        if not self._server.connected or self._server.crowded:
            return now + STATUS_EVERY
        idents = list(self._watching.tunnels)
        portion = idents[self._status_from : self._status_from + STATUS_PORTION]
        self._status_from += STATUS_PORTION
        if self._status_from >= len(idents):
            self._status_from = 0
        self._server.send(self._watching.status(portion))
        return now + STATUS_EVERY / max(1, -(-len(idents) // STATUS_PORTION))

    def _save_orders(self, now: float) -> float:
        """Seldom enough that a daemon that changes its plans a lot does not keep us from packets."""
        if self._orders_due:
            self._orders_due = False
            plan = Plan(tuple(self._switching.switch.plans.values()), whole=True)
            self._memory.orders.write([pack(self._watch).decode(), pack(plan).decode()])
            self._saved_orders = self._loop.beat()
        return math.inf

    def _set_patience(self) -> None:
        """Short enough that another worker goes on before a peer misses us."""
        quarter = self._watching.quickest() / 4
        self._memory.patience = min(max(quarter, _LEAST_PATIENCE), _MOST_PATIENCE)

    # The keeper, and the end ------------------------------------------------------------------

    def _on_keeper_ended(self, _: int) -> None:
        keeper = self._memory.keeper
        self._loop.remove(self._base.partner)
        if self._memory.quitting:
            return
        log(f"keeper {keeper} {reap(keeper)[0]}; another one keeps on")
        self._memory.keeper_promise = time.monotonic() + STATUS_EVERY
        if not self._base.fork(Role.KEEPER):
            raise _Become
        self._loop.add(self._base.partner, self._on_keeper_ended)
        self._greet()

    def _look_after_keeper(self, now: float) -> float:
        """One that hangs is ended. Judged only if we ourselves are in time: see `keeper`."""
        planned = self._keeper_look
        self._keeper_look = now + STATUS_EVERY
        if now - planned < STATUS_EVERY and now - self._memory.keeper_promise > _KEEPER_LATE:
            log(f"keeper {self._memory.keeper} hung")
            signal.pidfd_send_signal(self._base.partner, signal.SIGKILL)
        return self._keeper_look

    def _look_at_priority(self, now: float) -> float:
        """Be urgent again when half of the time is free; the daemon is told of both."""
        slept, self._loop.slept = self._loop.slept, 0.0
        if self._realtime is not None and not priority.is_urgent():
            self._gave_way = True
            self._realtime = None
            self._greet()
        elif self._gave_way and slept > STATUS_EVERY / 2:
            self._gave_way = False
            self._realtime, scheduling = priority.schedule()
            log(f"goes on at {scheduling}")
            self._greet()
        return now + STATUS_EVERY

    def _quit(self) -> Ended:
        self._watching.leave(time.monotonic())
        self._server.flush()
        log("ends as it was told")
        return Ended()

    def _close(self) -> None:
        self._loop.close()
        self._server.close()
        self._watching.close()
        self._switching.close()
        self._signals.close()
