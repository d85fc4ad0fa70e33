"""Who has a turn in a speaker's main loop: with descriptors of its own, the loop's objects are played."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from bgpsvc.exabgp import addressing, turns
from bgpsvc.exabgp.turns import TICK, Turns

LONG = 100.0


class Peer:
    """A session, with the descriptor of its connection or of the one that is being made."""

    def __init__(self, fd: int = -1, connecting: int = -1, passive: bool = False) -> None:
        self.fd = fd
        self.connecting = connecting
        self.due = LONG + time.monotonic()
        self.neighbor = {"passive": passive}
        self.leaving = False

    @property
    def proto(self) -> object | None:
        return None if self.fd == -1 else self

    def socket(self) -> int:
        return self.fd

    def stopping(self) -> bool:
        return self.leaving


class Loop:
    """As much of ExaBGP's `Reactor` as is looked at."""

    def __init__(self, **peers: Peer) -> None:
        self.turns = Turns()
        self.turns.everybody = False
        self._peers = peers
        self.processes = SimpleNamespace(fds=[])
        self.callbacks: list[object] = []
        self.asynchronous = SimpleNamespace(ready=lambda: not self.callbacks)

    def active(self) -> set[str]:
        return turns.active_peers(self)

    def wait(self, milliseconds: int = 10) -> None:
        assert list(turns.wait_for_io(self, milliseconds)) == []


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_who_has_nothing_to_do_has_no_turn(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    peer = Peer(ours.fileno())
    loop = Loop(one=peer, other=Peer(passive=True))
    loop.turns.rest(peer, LONG)
    loop.wait()
    assert loop.active() == set()
    theirs.send(b"x")
    loop.wait()
    assert loop.active() == {"one"}
    # As long as it does not read, it is asked to.
    loop.turns.rest(peer, LONG)
    loop.wait()
    assert loop.active() == {"one"}
    ours.recv(1)
    loop.turns.rest(peer, LONG)
    loop.wait()
    assert loop.active() == set()


def test_a_connection_that_ends_is_something_to_do(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    peer = Peer(ours.fileno())
    loop = Loop(one=peer)
    loop.turns.rest(peer, LONG)
    theirs.close()
    loop.wait()
    assert loop.active() == {"one"}


def test_a_connection_that_is_made_or_refused() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket() as making,
        socket.socket() as refused,
    ):
        nobody = socket.create_server(("127.0.0.1", 0))
        address = nobody.getsockname()
        nobody.close()
        peers = {}
        for name, sock, to in (("made", making, server.getsockname()), ("refused", refused, address)):
            sock.setblocking(False)
            sock.connect_ex(to)
            peers[name] = Peer(connecting=sock.fileno())
        loop = Loop(**peers)
        for peer in peers.values():
            loop.turns.rest(peer, LONG)
        found: set[str] = set()
        deadline = time.monotonic() + 20
        while len(found) < 2 and time.monotonic() < deadline:
            loop.wait()
            found |= loop.active()
        assert found == {"made", "refused"}
        # Once it is made, it is to be read.
        peers["made"].fd = making.fileno()
        loop.turns.rest(peers["made"], LONG)
        refused.close()
        loop.wait()
        assert "made" not in loop.active()


def test_the_number_of_a_closed_connection_comes_back() -> None:
    first, second = Peer(), Peer()
    loop = Loop(first=first, second=second)
    ours, theirs = socket.socketpair()
    first.fd = number = ours.fileno()
    loop.turns.rest(first, LONG)
    ours.close()
    theirs.close()
    first.fd = -1
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert ours.fileno() == number, "the lowest free number"
        second.fd = number
        loop.turns.rest(second, LONG)
        theirs.send(b"x")
        loop.wait()
        assert loop.active() == {"second"}


def test_rests_end_together() -> None:
    """500 sessions must not make 500 turns of the loop in a second."""
    loop = Loop()
    peers = [Peer() for _ in range(50)]
    for peer in peers:
        loop.turns.rest(peer, 1.0)
    due = {round(peer.due / TICK, 6) for peer in peers}
    assert all(number.is_integer() for number in due)
    assert len(due) <= 3


def test_a_command_gives_everybody_a_turn_but_those_who_wait_for_a_call() -> None:
    leaving = Peer(passive=True)
    leaving.leaving = True
    loop = Loop(one=Peer(), passive=Peer(passive=True), leaving=leaving)
    loop.turns.everybody = True
    assert turns._until_due(loop) == 0
    assert loop.active() == {"one", "leaving"}
    assert loop.active() == set()


def test_how_long_the_loop_sleeps() -> None:
    loop = Loop(one=Peer(), waiting=Peer(passive=True))
    assert turns._until_due(loop) == turns.LONGEST_SLEEP
    assert turns._until_due(Loop()) == turns.LONGEST_SLEEP
    loop._peers["waiting"].due = 0.0
    assert turns._until_due(loop) == turns.LONGEST_SLEEP, "it waits until it is called"
    loop._peers["one"].due = time.monotonic() - 1
    assert turns._until_due(loop) == 0
    loop._peers["one"].due += LONG
    loop.callbacks.append(1)
    assert turns._until_due(loop) == 0


def test_of_two_requests_for_a_refresh_the_second_follows_soon() -> None:
    """ExaBGP sends one at a time and says meanwhile that it has nothing to do. In a process of its own."""
    program = """
from collections import deque
from types import SimpleNamespace
from exabgp.reactor.peer import ACTION, Peer
from bgpsvc.exabgp import turns
Peer.run = lambda peer: ACTION.LATER
turns.give_turns()
turns.time = SimpleNamespace(monotonic=lambda: 100.0)
negotiated = SimpleNamespace(holdtime=9)
peer = SimpleNamespace(
    neighbor=SimpleNamespace(refresh=deque(["ipv6"])), fsm=None, established=lambda: True,
    proto=SimpleNamespace(negotiated=negotiated), socket=lambda: -1, connecting=-1,
    reactor=SimpleNamespace(turns=turns.Turns()),
)
for hold_time, waiting in ((90, ["ipv6"]), (90, []), (9, []), (0, [])):
    negotiated.holdtime, peer.neighbor.refresh = hold_time, deque(waiting)
    Peer.run(peer)
    print(round(peer.due - 100.0, 2), end=" ")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout.split() == ["0.01", "1.0", "0.5", "1.0"], ended.stderr


def test_listening_sockets_and_helpers_wake_the_loop(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    loop = Loop()
    loop.processes.fds = [ours.fileno()]
    loop.wait()
    theirs.send(b"a command")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as gone:
        loop.turns.listen([server, gone])
        loop.turns.listen([server])
        with (
            socket.create_connection(server.getsockname()),
            socket.create_connection(gone.getsockname()),
        ):
            loop.wait()
            assert loop.turns.called == [server]
    assert select.select([ours], [], [], 0)[0]


def test_a_caller_that_hangs_up_at_once_leaves_no_other_waiting() -> None:
    """ExaBGP forgets who was accepted beside it, and theirs is asked for nobody else. In its own process."""
    program = """
import socket, struct
from types import SimpleNamespace
from bgpsvc.exabgp import launcher
launcher.install()
from exabgp.environment import getenv
from exabgp.logger import log
log.init(getenv())
log.critical = log.warning = lambda *_, **__: None
from exabgp.reactor.listener import Listener
from bgpsvc.exabgp.turns import Turns
turns = Turns()
listener = Listener(SimpleNamespace(
    turns=turns, peers=lambda: [], asynchronous=SimpleNamespace(schedule=lambda *_: None)))
servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
listener._sockets = {server: ("127.0.0.1", 179, "", None) for server in servers}
listener.serving = True
callers = [socket.create_connection(server.getsockname()) for server in servers]
callers[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
turns.listen(servers)
turns.sleep(5)
callers[0].close()
print(listener.incoming(), end=" ")
try:
    list(listener.new_connections())
except OSError:
    print(len(listener._accepted), end=" ")
print(listener.incoming(), end=" ")
list(listener.new_connections())
print(len(listener._accepted), listener.incoming())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "True 1 True 0 False\n", ended.stderr


NAMES = [
    f"neighbor 10.0.0.{n} local-ip 10.0.1.{local} local-as 1 peer-as 2 router-id 1.1.1.1"
    for n in range(1, 20)
    for local in (1, 10)
]


@pytest.mark.parametrize(
    "descriptions",
    [
        [["neighbor 10.0.0.1", "local-ip 10.0.1.1"]],
        [["neighbor 10.0.0.1", "local-ip 10.0.1.9"]],
        [["neighbor 10.0.0.1"]],
        [["neighbor *"]],
        [["neighbor 10.0.0.1", "local-ip 10.0.1.1"], ["neighbor 10.0.0.2", "local-ip 10.0.1.1"]],
        [["neighbor 10.0.0.1", "local-as 1"]],
        [],
    ],
)
def test_a_command_finds_the_sessions_that_exabgp_would(descriptions: list[list[str]]) -> None:
    assert addressing.match_neighbors(NAMES, descriptions) == list(
        addressing._ORIGINAL_MATCH(NAMES, descriptions)
    )


def test_what_is_injected_goes_to_the_named_sessions_alone() -> None:
    """In a process of its own, as installing changes ExaBGP for good."""
    program = """
from collections import deque
from types import SimpleNamespace
from bgpsvc.exabgp import launcher
launcher.install()
from exabgp.configuration.configuration import _Configuration
configuration = _Configuration()
configuration.neighbors = {name: SimpleNamespace(eor=deque()) for name in "abc"}
done = [configuration.inject_eor(peers, "family") for peers in (["b"], ["nobody"])]
print(done, [len(n.eor) for n in configuration.neighbors.values()])
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "[True, False] [0, 1, 0]\n", ended.stderr
