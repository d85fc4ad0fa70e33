"""Gives a session a turn when there is something for it to do.

ExaBGP's main loop gives every session a turn a hundred times a second, asks each listening socket whether
somebody called, and each connection whether something came: with hundreds of sessions that takes a core
while nothing happens. Here the loop sleeps in one epoll over all of these. A session has a turn

- when its connection can be read, or one that is being made is made or refused;
- again at once as long as it says that it has more to do;
- `REST` seconds after its last one, for its timers, which count whole seconds; more often with a short hold
  time, before it is Established, and while requests for a refresh wait;
- whenever a command, a callback or a reload ran, which may have given any session something to do.

Only the launcher installs this, in the speaker's process.
"""

from __future__ import annotations

import math
import select
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from exabgp.bgp.fsm import FSM
from exabgp.reactor.api import API
from exabgp.reactor.asynchronous import ASYNC
from exabgp.reactor.listener import Listener
from exabgp.reactor.loop import Reactor
from exabgp.reactor.peer import ACTION, Peer
from exabgp.reactor.protocol import Protocol

REST = 1.0
REST_BEFORE_ESTABLISHED = 0.1
REST_IN_OPENCONFIRM = 0.01
REST_BETWEEN_REFRESHES = 0.01
TICK = 0.1
SHARE_OF_HOLD_TIME = 20
# Signals are looked for once per turn of the loop: a reload or the end waits no longer than this.
LONGEST_SLEEP = 0.1

_READABLE = select.EPOLLIN | select.EPOLLPRI


class Poller:
    """In place of the loop's `select.poll()`: an epoll costs by what happens, not by what is watched.

    A descriptor that was closed is forgotten by the system itself, and its number can come back.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()

    def register(self, fd: int, events: int = _READABLE) -> None:
        """Watch it, for these events from now on if it was watched before."""
        try:
            self._epoll.register(fd, events)
        except FileExistsError:
            self._epoll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Watch it no more; it may be closed already."""
        with suppress(OSError):
            self._epoll.unregister(fd)

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        """Descriptors and what happened to them."""
        return self._epoll.poll(seconds)


class Turns:
    """Who is due in one main loop: `everybody`, or those whose `due` has come."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.everybody = True
        self.peers: dict[int, Any] = {}
        self.listening: dict[int, Any] = {}
        self.called: list[Any] = []

    def rest(self, peer: Any, seconds: float) -> None:
        """The peer has nothing to do for so long, unless something happens on its connection."""
        due = time.monotonic() + seconds
        # Many who rest become due together: each time that somebody does costs a look at all of them.
        peer.due = due if seconds < TICK else TICK * math.ceil(due / TICK)
        fd, events = peer.socket(), _READABLE
        if fd == -1:
            fd, events = peer.connecting, select.EPOLLOUT
        if fd != -1:
            # Each time: under the same number there may be another connection since.
            self.peers[fd] = peer
            self.poller.register(fd, events)

    def listen(self, sockets: list[Any]) -> None:
        """Wake up when somebody calls one of these, and no others."""
        for fd in self.listening:
            self.poller.unregister(fd)
        self.listening = {sock.fileno(): sock for sock in sockets}
        for fd in self.listening:
            self.poller.register(fd)

    def sleep(self, seconds: float) -> None:
        """Until something happens, at most so long."""
        for fd, _ in self.poller.poll(seconds):
            if fd in self.listening:
                self.called.append(self.listening[fd])
            elif fd in self.peers:
                self.peers[fd].due = 0.0


def _may_run(peer: Any) -> bool:
    """A passive one waits until it is called, unless it is on its way out."""
    return peer.proto is not None or not peer.neighbor["passive"] or peer.stopping()


def active_peers(reactor: Any) -> set[str]:
    """In place of `Reactor.active_peers`: those that are due."""
    turns, now = reactor.turns, time.monotonic()
    everybody, turns.everybody = turns.everybody, False
    peers = reactor._peers.items()
    return {key for key, peer in peers if (everybody or peer.due <= now) and _may_run(peer)}


def wait_for_io(reactor: Any, milliseconds: int) -> Iterator[int]:
    """In place of `Reactor._wait_for_io`. Whom the loop should go on with `active_peers` says."""
    turns = reactor.turns
    # A helper that was started again may have the number of the one before.
    for fd in reactor.processes.fds:
        turns.poller.register(fd)
    turns.sleep(_until_due(reactor) if milliseconds else 0.0)
    yield from ()


def _until_due(reactor: Any) -> float:
    """Seconds until somebody is due; none if something is left to do."""
    if reactor.turns.everybody or not reactor.asynchronous.ready():
        return 0.0
    first = min((peer.due for peer in reactor._peers.values() if _may_run(peer)), default=None)
    return LONGEST_SLEEP if first is None else min(LONGEST_SLEEP, max(0.0, first - time.monotonic()))


def give_turns() -> None:
    """`Peer.run` says when the next turn is due."""
    original = Peer.run

    def run(peer: Any) -> Any:
        action = original(peer)
        turns = peer.reactor.turns
        if action == ACTION.NOW and peer.fsm != FSM.OPENCONFIRM:
            peer.due = 0.0
        elif peer.established() and peer.proto is not None:
            turns.rest(peer, _rest_when_established(peer))
        elif action == ACTION.NOW:
            # ExaBGP asks for the next turn at once while it waits for the peer's KEEPALIVE.
            turns.rest(peer, REST_IN_OPENCONFIRM)
            return ACTION.LATER
        else:
            turns.rest(peer, REST_BEFORE_ESTABLISHED)
        return action

    Peer.due = 0.0
    Peer.run = run


def _rest_when_established(peer: Any) -> float:
    if peer.neighbor.refresh:
        # Of several requests ExaBGP sends one in three turns, and does not say that there are more.
        return REST_BETWEEN_REFRESHES
    hold_time = int(peer.proto.negotiated.holdtime)
    return min(REST, hold_time / SHARE_OF_HOLD_TIME) if hold_time else REST


def know_connections_being_made() -> None:
    """The loop knows the descriptor of a connection only once it is made."""
    original = Protocol.connect

    def connect(protocol: Any) -> Iterator[bool]:
        try:
            for connected in original(protocol):
                protocol.peer.connecting = protocol.fd()
                yield connected
        finally:
            protocol.peer.connecting = -1

    Peer.connecting = -1
    Protocol.connect = connect


def know_callers() -> None:
    """Only sockets that somebody called are asked for connections."""
    original_incoming, original_listen = Listener.incoming, Reactor._listen_for_neighbors

    def incoming(listener: Any) -> bool:
        turns = listener._reactor.turns
        called, turns.called = turns.called, []
        if not called and not listener._accepted:
            return False
        every = listener._sockets
        listener._sockets = {sock: every[sock] for sock in called if sock in every}
        try:
            # One that hung up before it was looked at leaves those behind it where they are.
            return bool(original_incoming(listener)) or bool(listener._accepted)
        finally:
            listener._sockets = every

    def listen_for_neighbors(reactor: Any) -> bool:
        done = bool(original_listen(reactor))
        reactor.turns.listen(list(reactor.listener._sockets))
        return done

    Listener.incoming = incoming
    Reactor._listen_for_neighbors = listen_for_neighbors


def wake_everybody_after_commands() -> None:
    """Commands, callbacks and reloads may give any session something to do."""
    original_init, original_reload = Reactor.__init__, Reactor.reload
    original_process, original_run = API.process, ASYNC.run

    def init(reactor: Any, configuration: Any) -> None:
        original_init(reactor, configuration)
        reactor.turns = reactor.asynchronous.turns = Turns()
        reactor._poller = reactor.turns.poller

    def reload(reactor: Any) -> bool:
        reactor.turns.everybody = True
        return bool(original_reload(reactor))

    def process(api: Any, reactor: Any, service: str, command: str) -> Any:
        reactor.turns.everybody = True
        return original_process(api, reactor, service, command)

    def run_callbacks(asynchronous: Any) -> bool:
        if not asynchronous.ready():
            asynchronous.turns.everybody = True
        return bool(original_run(asynchronous))

    Reactor.__init__ = init
    Reactor.reload = reload
    API.process = process
    ASYNC.run = run_callbacks


def install() -> None:
    """Once per process, before ExaBGP starts and after everything else that changes the loop."""
    Reactor.active_peers = active_peers
    Reactor._wait_for_io = wait_for_io
    give_turns()
    know_connections_being_made()
    know_callers()
    wake_everybody_after_commands()
