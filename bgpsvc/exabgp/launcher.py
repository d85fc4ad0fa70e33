"""Starts ExaBGP with the changes that bgpsvc needs: `python -m bgpsvc.exabgp.launcher CONFIGURATION`.

Each function below changes one thing and says why. ExaBGP stays the BGP speaker: sessions, timers,
and parsing are its own. With another release than the one they were written for nothing is
changed and the launcher refuses to start: a silent half of these would be worse than none.

ExaBGP's API gets the commands of `api_commands`, and tells of each reload of the configuration with
`#reloaded ok DIGEST` or `#reloaded failed DIGEST`.
"""

from __future__ import annotations

import gc
import hashlib
import os
import random
import select
import socket
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from bgpsvc.diagnosing import ports

SUPPORTED = "5.0.15"
IP_FREEBIND = 15
IPV6_FREEBIND = 78
IP_MINTTL = 21
IPV6_MINHOPCOUNT = 73
LARGEST_TTL, USUAL_TTL = 255, -1
"""What a socket sends with; -1 stands for the system's default (ip(7))."""
CEASE_MAX_PREFIXES = 1
CONNECT_TIMEOUT = 5.0
CONNECT_RETRY = 1.0


def connect_patiently() -> None:
    """One connection attempt per second, with a reason (RFC 4271 8.2.1.3, 10).

    ExaBGP tries again at once, a hundred times per second, leaves sockets to the garbage collector,
    and says nowhere why the connection can't be made.
    """
    from exabgp.reactor.network.outgoing import Outgoing
    from exabgp.reactor.protocol import Protocol

    def establish(self: Any) -> Iterator[bool]:
        while True:
            started = time.monotonic()
            issue = self._connect()
            while issue is None:
                issue = _progress(self.io)
                if issue == "":
                    self.success()
                    yield True
                    return
                if issue is None and time.monotonic() - started > CONNECT_TIMEOUT:
                    issue = f"no answer within {CONNECT_TIMEOUT:.0f} s"
                if issue is None:
                    yield False
            if self.io is not None:
                self.io.close()
                self.io = None
            self.failure = str(issue)
            # RFC 4271 10: jitter, so that two ends don't keep calling each other at the same moment.
            retry_at = started + CONNECT_RETRY * random.uniform(0.75, 1.0)
            while time.monotonic() < retry_at:
                yield False

    original = Protocol.connect

    def connect(self: Any) -> Iterator[bool]:
        for connected in original(self):
            failure = getattr(self.connection, "failure", "")
            if failure and failure != getattr(self.peer, "reported_failure", ""):
                self.peer.reported_failure = failure
                _write_event(self.peer, "attempt", {"reason": failure})
            yield connected
        self.peer.reported_failure = ""

    Outgoing.establish = establish
    Protocol.connect = connect


def _progress(io: Any) -> str | None:
    """Of a connection being made: None not yet, empty text made, else why it failed."""
    poller = select.poll()
    poller.register(io, select.POLLOUT)
    if not poller.poll(0):
        return None
    error = io.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return os.strerror(error) if error else ""


def _write_event(peer: Any, kind: str, content: dict[str, str]) -> None:
    processes = peer.reactor.processes
    for process in peer.neighbor.api["neighbor-changes"]:
        encoder = processes._encoder[process]
        line = encoder._header(
            encoder._neighbor(peer.neighbor, None, encoder._kv(content)),
            "",
            "",
            peer.neighbor,
            message_type=kind,
        )
        processes.write(process, line)


def say_why_sessions_end() -> None:
    """The reason of a `down` line contains the error (`lost TCP session …`), which ExaBGP only logs.

    And the peer is told why it is torn down for too many prefixes: with graceful restart configured
    ExaBGP closes without a NOTIFICATION whatever the reason, and the peer would keep its routes.
    """
    from exabgp.bgp.message import Notify
    from exabgp.reactor.peer import Peer

    original = Peer._close

    def close(self: Any, message: str = "", error: Any = "") -> None:
        if self._teardown == CEASE_MAX_PREFIXES and message.startswith("graceful restart"):
            raise Notify(6, CEASE_MAX_PREFIXES)
        original(self, f"{message}: {error}" if error else message, error)

    Peer._close = close


def listen_before_the_address_exists() -> None:
    """Bind to a tunnel's address that comes later (IP_FREEBIND); ExaBGP would refuse to start without it."""
    from exabgp.reactor.listener import Listener

    original = Listener._new_socket

    def new_socket(self: Any, ip: Any) -> Any:
        sock = original(self, ip)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        return sock

    Listener._new_socket = new_socket


def say_why_it_cannot_listen() -> None:
    """That the port is taken, and by whom, in the last line that a speaker leaves behind.

    ExaBGP ends with status 1 then, and says why only in its log. One that runs already, and cannot listen for
    a session that came later, goes on with its others.
    """
    from exabgp.reactor.listener import Listener
    from exabgp.reactor.network.error import NetworkError

    original = Listener._listen

    def listen(self: Any, local_ip: Any, peer_ip: Any, local_port: int, *rest: Any) -> Any:
        try:
            return original(self, local_ip, peer_ip, local_port, *rest)
        except NetworkError as error:
            if not self._reactor.processes._process:
                print(_why_not_listening(local_ip.top(), local_port, error), file=sys.stderr, flush=True)
            raise

    Listener._listen = listen


def _why_not_listening(address: str, port: int, error: Exception) -> str:
    having = ports.holder(address, port)
    if having is None:
        return f"cannot listen on TCP port {port} at {address}: {error}"
    return f"TCP port {port} at {address} is held by another program ({having})"


def keep_privileges() -> None:
    """Stay the user we are: that is decided already, and port 179 has to be bound again on reloads."""
    from exabgp.reactor.daemon import Daemon

    Daemon.drop_privileges = lambda _: True


def send_only_the_latest_route() -> None:
    """One pending change per prefix, the latest.

    ExaBGP queues changes by attributes and sends the queues in the order in which they were opened.
    Announcing, changing and withdrawing one prefix quickly can so go out in the wrong order and leave
    the peer with the older route. (`del_from_rib` knows the problem, `add_to_rib` does not.)
    """
    from exabgp.rib.outgoing import OutgoingRIB

    original = OutgoingRIB._update_rib

    def update_rib(self: Any, change: Any) -> Any:
        pending = self._new_nlri.get(change.index())
        if pending is not None and pending is not change:
            queues = self._new_attr_af_nlri.get(pending.attributes.index(), {})
            queues.get(change.nlri.family().afi_safi(), {}).pop(change.index(), None)
        return original(self, change)

    OutgoingRIB._update_rib = update_rib


def inject_without_copying() -> None:
    """No deep copy of each announced route: every command names one session and a next hop of its own."""
    from exabgp.bgp.neighbor import Neighbor

    original = Neighbor.remove_self

    def remove_self(self: Any, change: Any) -> Any:
        return original(self, change) if change.nlri.nexthop.SELF else change

    Neighbor.remove_self = remove_self


def digest(configuration: bytes) -> str:
    """Names a configuration; it goes where the text with its passwords must not go."""
    return hashlib.sha256(configuration).hexdigest()


def reload_at_once() -> None:
    """A reload happens, and says so.

    ExaBGP forgets the signal while any session has routes waiting, and a session that is down with
    routes to announce has them always: the configuration would never be read again. And route refreshes
    that it was asked for and has not sent yet wait in the former configuration, with which they would go.
    """
    from exabgp.reactor.loop import Reactor

    Reactor._pending_adjribout = lambda _: False
    original = Reactor.reload

    def reload(self: Any) -> bool:
        with open(self.configuration._configurations[0], "rb") as file:
            read = digest(file.read())
        before = {key: peer.neighbor for key, peer in self._peers.items()}
        done = bool(original(self))
        for key, neighbor in before.items():
            if key in self._peers and self._peers[key].neighbor is not neighbor:
                self._peers[key].neighbor.refresh.extend(neighbor.refresh)
        for process in list(self.processes._process):
            self.processes.write(process, f"#reloaded {'ok' if done else 'failed'} {read}")
        return done

    Reactor.reload = reload


def run_callbacks_directly() -> None:
    """Without an asyncio event loop per turn, and with more than 50 routes per turn, but a bounded time."""
    from exabgp.logger import log
    from exabgp.reactor.asynchronous import ASYNC

    def run(self: Any) -> bool:
        deadline = time.monotonic() + 0.02
        while self._async:
            uid, callback = self._async[0]
            try:
                for _ in callback:
                    if time.monotonic() > deadline:
                        return True
                self._async.popleft()
            except Exception as error:  # noqa: BLE001 - as ExaBGP: a failed command must not end the speaker
                self._async.popleft()
                text = f"async | {uid} | {error!r}"
                log.error(lambda text=text: text, "reactor")
                self._notify_error(uid)
        return False

    ASYNC.run = run


def always_take_part_in_end_of_rib() -> None:
    """Announce the graceful restart capability also where it is off: then without any family.

    RFC 4724 3: that says that we send and understand End-of-RIB and keep no forwarding state. FRR sends
    End-of-RIB to nobody else, and answers no route refresh before it has sent it.
    """
    from exabgp.bgp.message.open.capability import Capabilities, Capability
    from exabgp.bgp.message.open.capability.graceful import Graceful

    original = Capabilities._graceful

    def graceful(self: Any, neighbor: Any, restarted: bool) -> None:
        original(self, neighbor, restarted)
        if Capability.CODE.GRACEFUL_RESTART not in self:
            self[Capability.CODE.GRACEFUL_RESTART] = Graceful().set(0, 0, [])

    Capabilities._graceful = graceful


def answer_only_requests_for_refresh() -> None:
    """The peer's markers of a refresh (RFC 7313 3.2: begin, end) are no requests.

    ExaBGP takes them for such and sends its whole table again, twice for each refresh that we asked for.
    """
    from exabgp.bgp.message.refresh import RouteRefresh

    class Marker(RouteRefresh):  # type: ignore[misc]
        """Goes to the API like any refresh; the peer's loop, which looks at TYPE, passes over it."""

        TYPE = RouteRefresh.TYPE + b"marker"

    original = RouteRefresh.unpack_message

    def unpack_message(data: bytes, direction: Any = None, negotiated: Any = None) -> Any:
        message = original(data, direction, negotiated)
        if message.reserved == RouteRefresh.request:
            return message
        return Marker(message.afi, message.safi, message.reserved)

    RouteRefresh.unpack_message = staticmethod(unpack_message)


def listen_with_ttl_security() -> None:
    """A listening socket answers with the TTL that GTSM wants, and takes every TTL again without it.

    The SYN+ACK leaves before ExaBGP can give the accepted socket its TTL, with the listening one's: a peer
    that connects and checks what it gets (as another bgpsvc does, RFC 5082 3) would never see it.
    """
    from exabgp.reactor.listener import Listener

    original = Listener.listen_on

    def listen_on(
        self: Any, local: Any, peer: Any, port: int, key: Any, key_is_base64: Any, ttl: Any
    ) -> bool:
        done = bool(original(self, local, peer, port, key, key_is_base64, ttl))
        for sock, (address, listened, _, _) in self._sockets.items():
            if address != local.top() or listened != port:
                continue
            sent = LARGEST_TTL if ttl else USUAL_TTL
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, sent)
                sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MINHOPCOUNT, ttl or 0)
            else:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, sent)
                sock.setsockopt(socket.IPPROTO_IP, IP_MINTTL, ttl or 0)
        return done

    Listener.listen_on = listen_on


def keep_sessions_without_relay() -> None:
    """A relay that is gone ends no session: a new one follows, and the counter tells what was lost.

    ExaBGP resets the session whose line could not be written, and none of its sessions runs again.
    """
    from exabgp.reactor.api.processes import ProcessError, Processes

    Processes.broken = lambda *_: False
    original = Processes.write

    def write(self: Any, process: str, string: Any, neighbor: Any = None) -> Any:
        try:
            return original(self, process, string, neighbor)
        except ProcessError:
            return True

    Processes.write = write


def count_seconds_that_pass() -> None:
    """Timers by a clock that nobody sets.

    ExaBGP asks for the time of day: set forward by more than the hold time it ends all sessions at once, set
    back it sends no KEEPALIVE until the hour comes again.
    """
    from exabgp.bgp import timer
    from exabgp.reactor import delay

    timer.time = delay.time = SimpleNamespace(time=time.monotonic)


def quiet_debug_log() -> None:
    """Below the configured level a log call costs nothing; there are several per prefix."""
    from exabgp.environment import getenv
    from exabgp.logger import log

    if getenv().log.level != "DEBUG":
        log.debug = lambda *_, **__: None


def tune_memory() -> None:
    """What is imported is never collected, and a table being announced is rarely searched for cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def install() -> None:
    """All changes, in the running process. RuntimeError if this ExaBGP is not the one they are for."""
    from exabgp.version import release

    if release != SUPPORTED:
        raise RuntimeError(f"ExaBGP {release} is installed, the speakers need {SUPPORTED}")
    from bgpsvc.exabgp import addressing, api_commands, fastpath, reading, treatment, turns, verbatim

    treatment.install()
    fastpath.install()
    reading.install()
    verbatim.install()
    connect_patiently()
    say_why_sessions_end()
    listen_before_the_address_exists()
    say_why_it_cannot_listen()
    keep_privileges()
    send_only_the_latest_route()
    inject_without_copying()
    reload_at_once()
    run_callbacks_directly()
    always_take_part_in_end_of_rib()
    answer_only_requests_for_refresh()
    listen_with_ttl_security()
    keep_sessions_without_relay()
    count_seconds_that_pass()
    api_commands.install()
    addressing.install()
    turns.install()
    quiet_debug_log()


def main() -> int:
    from exabgp.application import main as exabgp_main

    install()
    tune_memory()
    sys.argv = ["exabgp", "server", *sys.argv[1:]]
    return int(exabgp_main.main() or 0)


if __name__ == "__main__":
    sys.exit(main())
