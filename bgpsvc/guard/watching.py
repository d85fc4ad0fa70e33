"""All that the guard watches: tunnels with their watchers, and what has changed since somebody asked."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from bgpsvc.guard.bfd_sockets import Demultiplexer, NotOpened, Receiver
from bgpsvc.guard.loop import Loop
from bgpsvc.guard.memory import Records
from bgpsvc.guard.model import (
    BfdSettings,
    CheckVerdict,
    Detection,
    Method,
    Refused,
    Status,
    Watch,
    Watched,
)
from bgpsvc.guard.watchers import BfdWatcher, CheckWatcher, ProbeWatcher, first_run
from bgpsvc.model import SessionId

LINK_LATE_MS = 1000.0
"""The kernel tells of a lost carrier up to a second late (linkwatch)."""
_RETRY = 1.0


class Tunnel:
    """One tunnel and its watchers. `link_up` is None until links were read."""

    def __init__(self, watched: Watched, index: int) -> None:
        self.watched = watched
        self.disbelieved = set(watched.disbelieved)
        """As the engine said last, but for those that said up since then."""
        self.index = index
        """Of its record in the shared memory."""
        self.link_up: bool | None = None
        self.bfd: BfdWatcher | None = None
        self.probe: ProbeWatcher | None = None
        self.check: CheckWatcher | None = None

    def _said(self) -> dict[Method, bool | None]:
        return {
            Method.BFD: None if self.bfd is None else self.bfd.up,
            Method.PROBE: None if self.probe is None else self.probe.probe.up,
        }

    def says(self) -> list[bool | None]:
        """What BFD and probe say; nothing if there are none, or if the engine does not believe it."""
        return [up or None if m in self.disbelieved else up for m, up in self._said().items()]

    def believe(self) -> None:
        """Whoever says up is believed again, whether or not a daemon is there to say so."""
        self.disbelieved.difference_update(method for method, up in self._said().items() if up)

    @property
    def dead(self) -> bool:
        """Something says so."""
        return self.link_up is False or False in self.says()

    @property
    def alive(self) -> bool:
        """The peer answers, and nothing says that the tunnel is dead."""
        return bool(self.link_up) and True in self.says() and not self.dead


class Watching:
    """Is the `Sink` of the watchers: collects what changed until `changes`, `save` and so on are called."""

    def __init__(self, loop: Loop, records: Records) -> None:
        self.tunnels: dict[SessionId, Tunnel] = {}
        self.changes: dict[tuple[SessionId, Method], None] = {}
        self.verdicts: dict[SessionId, None] = {}
        self.refusals: list[Refused] = []
        self._loop = loop
        self._records = records
        self._kept: dict[int, dict[str, Any]] = {}
        """What an earlier worker left, by number of the record, until it was taken over."""
        self._unsaved: set[SessionId] = set()
        self._receivers: dict[tuple[socket.AddressFamily, bool], Receiver] = {}
        self._heard_peers: dict[tuple[socket.AddressFamily, bool], set[str]] = {}
        self.names: Mapping[int, str] = {}
        """Interfaces by index, as far as somebody keeps them up to date: asking the kernel takes longer."""
        self._demultiplexer: Demultiplexer[Tunnel] = Demultiplexer(self._name_of)
        self._complaints: dict[str, str] = {}
        self._links: dict[str, bool] | None = None

    # The sink ---------------------------------------------------------------------------------

    def changed(self, tunnel: SessionId, method: Method) -> None:
        self.changes[tunnel, method] = None
        self.tunnels[tunnel].believe()

    def verdict(self, tunnel: SessionId) -> None:
        self.verdicts[tunnel] = None

    def kept(self, tunnel: SessionId) -> None:
        self._unsaved.add(tunnel)

    def complain(self, subject: str, text: str | None) -> None:
        if text is None:
            if self._complaints:
                self._complaints.pop(subject, None)
        elif self._complaints.get(subject) != text:
            self._complaints[subject] = text
            self.refusals.append(Refused(subject, text))

    # What to watch ----------------------------------------------------------------------------

    def inherit(self) -> None:
        """Have what an earlier worker left ready for `follow`."""
        self._kept = dict(self._records.read())

    def follow(self, watch: Watch, now: float) -> set[SessionId]:
        """Watch these and no others; what stays the same goes on. Tunnels that are watched no more."""
        wanted = {one.tunnel: one for one in watch.tunnels}
        gone = self.tunnels.keys() - wanted.keys()
        for ident in gone:
            self._forget(ident, now)
        left = {kept["tunnel"]: (index, kept) for index, kept in self._kept.items()}
        self._kept = {}
        used = {tunnel.index for tunnel in self.tunnels.values()} | {index for index, _ in left.values()}
        free = (index for index in range(len(used) + len(wanted) + 1) if index not in used)
        for ident, watched in wanted.items():
            if ident not in self.tunnels:
                index, kept = left.pop(ident, (-1, {}))
                self.tunnels[ident] = Tunnel(watched, next(free) if index < 0 else index)
                self._begin(self.tunnels[ident], watched, kept, now)
            else:
                if self.tunnels[ident].watched != watched:
                    self._adjust(self.tunnels[ident], watched, now)
                self._doubt(self.tunnels[ident], watched)
        for index, _ in left.values():
            self._records.write(index, None)
        self.retry(now)
        return gone

    def _begin(self, tunnel: Tunnel, watched: Watched, kept: dict[str, Any], now: float) -> None:
        tunnel.watched = watched
        self.changes[watched.tunnel, Method.LINK] = None
        self._see_link(tunnel)
        if watched.bfd is not None:
            self._begin_bfd(tunnel, watched.bfd, kept.get("bfd"), now)
        self._begin_echoes(tunnel, kept, now)
        tunnel.believe()

    def _begin_bfd(
        self, tunnel: Tunnel, settings: BfdSettings, kept: dict[str, Any] | None, now: float
    ) -> None:
        ident, interface = tunnel.watched.tunnel, tunnel.watched.interface
        try:
            if kept is not None:
                bfd = BfdWatcher.go_on(ident, interface, settings, self, now, kept)
            else:
                discriminator = self._demultiplexer.unused()
                bfd = BfdWatcher.begin(ident, interface, settings, self, now, discriminator)
            self._demultiplexer.add(bfd.session.discriminator, settings, interface, tunnel)
        except ValueError as error:
            self.complain(f"{ident} bfd", str(error))
            return
        tunnel.bfd = bfd
        self.changes[ident, Method.BFD] = None
        self._loop.timers.set(bfd, bfd.run(now))

    def _begin_echoes(self, tunnel: Tunnel, kept: dict[str, Any], now: float) -> None:
        watched, timers = tunnel.watched, self._loop.timers
        ident, interface = watched.tunnel, watched.interface
        if watched.probe is not None and tunnel.probe is None:
            tunnel.probe = ProbeWatcher(ident, interface, watched.probe, self._loop, self)
            if "probe" in kept:
                tunnel.probe.probe.restore(kept["probe"])
            self.changes[ident, Method.PROBE] = None
            timers.set(tunnel.probe, first_run(now, watched.probe.interval_ms / 1000))
        if watched.check is not None and tunnel.check is None:
            tunnel.check = CheckWatcher(ident, interface, watched.check, self._loop, self)
            if kept.get("check"):
                tunnel.check.go_on(kept["check"])
            timers.set(tunnel.check, now)

    def _adjust(self, tunnel: Tunnel, watched: Watched, now: float) -> None:
        """The same tunnel is to be watched otherwise: only what differs begins anew."""
        before, moved = tunnel.watched, watched.interface != tunnel.watched.interface
        if moved or before.probe != watched.probe:
            self._end_echo(tunnel, "probe")
        if moved or before.check != watched.check:
            self._end_echo(tunnel, "check")
        bfd = tunnel.bfd
        if bfd is not None and (moved or not self._adjusted(bfd, watched.bfd, now)):
            self._end_bfd(tunnel, now)
            bfd = None
        tunnel.watched = watched
        if bfd is None and watched.bfd is not None:
            self._begin_bfd(tunnel, watched.bfd, None, now)
        self._begin_echoes(tunnel, {}, now)
        self.changes |= dict.fromkeys((watched.tunnel, method) for method in Method)
        self._see_link(tunnel)
        self._unsaved.add(watched.tunnel)

    def _doubt(self, tunnel: Tunnel, watched: Watched) -> None:
        before, tunnel.disbelieved = tunnel.disbelieved, set(watched.disbelieved)
        tunnel.believe()
        self.changes |= dict.fromkeys((watched.tunnel, method) for method in before ^ tunnel.disbelieved)

    def _adjusted(self, bfd: BfdWatcher, settings: BfdSettings | None, now: float) -> bool:
        if settings is None:
            return False
        try:
            bfd.adjust(settings, now)
        except ValueError:
            return False  # another path, or not for BFD at all, which a new session says
        self._loop.timers.set(bfd, bfd.run(now))
        return True

    def _forget(self, ident: SessionId, now: float) -> None:
        tunnel = self.tunnels.pop(ident)
        self._end_bfd(tunnel, now)
        self._end_echo(tunnel, "probe")
        self._end_echo(tunnel, "check")
        self._records.write(tunnel.index, None)
        self._unsaved.discard(ident)
        self.verdicts.pop(ident, None)
        for method in Method:
            self.changes.pop((ident, method), None)
            self._complaints.pop(f"{ident} {method.value}", None)

    def _end_bfd(self, tunnel: Tunnel, now: float) -> None:
        if tunnel.bfd is not None:
            self._loop.timers.cancel(tunnel.bfd)
            self._demultiplexer.remove(tunnel.bfd.session.discriminator)
            tunnel.bfd.leave(now)
            tunnel.bfd = None

    def _end_echo(self, tunnel: Tunnel, which: str) -> None:
        watcher = getattr(tunnel, which)
        if watcher is not None:
            self._loop.timers.cancel(watcher)
            watcher.close()
            setattr(tunnel, which, None)

    # What comes in ----------------------------------------------------------------------------

    def links(self, up: dict[str, bool]) -> None:
        """All interfaces as they are now."""
        self._links = up
        for tunnel in self.tunnels.values():
            self._see_link(tunnel)

    def _see_link(self, tunnel: Tunnel) -> None:
        if self._links is None:
            return
        up = self._links.get(tunnel.watched.interface, False)
        if up != tunnel.link_up:
            tunnel.link_up = up
            self.changes[tunnel.watched.tunnel, Method.LINK] = None

    def run(self, now: float) -> float:
        """As a task: open the receivers that could not be opened."""
        self.retry(now)
        return now + _RETRY

    def retry(self, now: float) -> None:
        """Have a receiver for each kind of session that there is, and no others."""
        wanted: dict[tuple[socket.AddressFamily, bool], set[str]] = {}
        for one in self.tunnels.values():
            if one.bfd is not None and one.watched.bfd is not None:
                wanted.setdefault(_kind(one.watched.bfd), set()).add(one.watched.bfd.peer)
        for kind in self._receivers.keys() - wanted.keys():
            receiver = self._receivers.pop(kind)
            self._heard_peers.pop(kind, None)
            self._loop.remove(receiver.fileno())
            receiver.close()
        for kind in self._receivers.keys() & wanted.keys():
            self._hear_only(kind, wanted[kind])
        for kind in wanted.keys() - self._receivers.keys():
            family, multihop = kind
            subject = f"BFD {'multihop' if multihop else 'single hop'}"
            try:
                receiver = Receiver.open(family, multihop)
            except NotOpened as error:
                self.complain(subject, str(error))
                continue
            self.complain(subject, None)
            self._receivers[kind] = receiver
            self._hear_only(kind, wanted[kind])
            self._loop.add(receiver.fileno(), partial(self._packets, receiver))

    def _hear_only(self, kind: tuple[socket.AddressFamily, bool], peers: set[str]) -> None:
        """What others send is not worth a turn of a process of real-time priority."""
        if self._heard_peers.get(kind) != peers:
            self._receivers[kind].only_from(peers)
            self._heard_peers[kind] = peers

    def _name_of(self, index: int) -> str:
        """Name of an interface. OSError if there is none."""
        return self.names.get(index) or socket.if_indextoname(index)

    def _packets(self, receiver: Receiver, _: int) -> None:
        find, multihop, timers = self._demultiplexer.find, receiver.multihop, self._loop.timers
        now = self._loop.beat()
        for datagram in receiver.read():
            tunnel = find(datagram, multihop)
            if tunnel is not None and tunnel.bfd is not None:
                timers.set(tunnel.bfd, tunnel.bfd.received(datagram.data, datagram.ttl_ok, now))

    # What is told -----------------------------------------------------------------------------

    def detection(
        self, ident: SessionId, method: Method, at: float, moved: tuple[tuple[int, int], ...] = ()
    ) -> Detection | None:
        """What a method says now; None if it is not in use."""
        tunnel = self.tunnels[ident]
        if method is Method.LINK:
            if tunnel.link_up is None:
                return None
            reason = f"{tunnel.watched.interface} is {'up' if tunnel.link_up else 'down or missing'}"
            return Detection(ident, method, tunnel.link_up, reason, at, LINK_LATE_MS, moved)
        if method is Method.BFD and tunnel.bfd is not None:
            bfd = tunnel.bfd
            milliseconds = bfd.session.detection_ms
            return Detection(ident, method, bfd.up, bfd.reason, at, milliseconds, moved, bfd.since)
        if method is Method.PROBE and tunnel.probe is not None:
            probe = tunnel.probe.probe
            milliseconds = probe.detection_ms
            return Detection(ident, method, probe.up, probe.reason, at, milliseconds, moved, probe.since)
        return None

    def check_verdict(self, ident: SessionId) -> CheckVerdict | None:
        """The verdict of a tunnel's health check, None if there is none yet."""
        tunnel = self.tunnels.get(ident)
        said = None if tunnel is None or tunnel.check is None else tunnel.check.said
        return None if said is None else CheckVerdict(ident, said.healthy, said.reason)

    def status(self, idents: Iterable[SessionId]) -> Status:
        """Figures of these tunnels' sessions and probes."""
        tunnels = [self.tunnels[ident] for ident in idents if ident in self.tunnels]
        bfd = tuple(one.bfd.session.status(one.watched.tunnel) for one in tunnels if one.bfd)
        return Status(bfd, tuple(one.probe.probe.status(one.watched.tunnel) for one in tunnels if one.probe))

    def quickest(self) -> float:
        """The shortest detection time that peers have of us, in seconds; a long one without any."""
        sent = [one.watched.bfd for one in self.tunnels.values() if one.bfd and one.watched.bfd]
        return min((one.interval_ms * one.multiplier / 1000 for one in sent), default=4.0)

    def save(self) -> None:
        """Leave to another worker what has changed."""
        for ident in self._unsaved:
            tunnel = self.tunnels.get(ident)
            if tunnel is None:
                continue
            kept: dict[str, Any] = {"tunnel": ident}
            if tunnel.bfd is not None:
                kept["bfd"] = tunnel.bfd.keep()
            if tunnel.probe is not None:
                kept["probe"] = tunnel.probe.probe.snapshot()
            if tunnel.check is not None and tunnel.check.said is not None:
                kept["check"] = [tunnel.check.said.healthy, tunnel.check.said.reason]
            self._records.write(tunnel.index, kept)
        self._unsaved.clear()

    def leave(self, now: float) -> None:
        """Tell the peers that BFD ends here."""
        for tunnel in self.tunnels.values():
            if tunnel.bfd is not None:
                tunnel.bfd.leave(now)

    def close(self) -> None:
        """Close all sockets; nobody is told."""
        for receiver in self._receivers.values():
            receiver.close()
        for tunnel in self.tunnels.values():
            for watcher in (tunnel.bfd, tunnel.probe, tunnel.check):
                if watcher is not None:
                    watcher.close()


def _kind(settings: BfdSettings | None) -> tuple[socket.AddressFamily, bool]:
    assert settings is not None
    six = ipaddress.ip_address(settings.local).version == 6
    return (socket.AF_INET6 if six else socket.AF_INET), settings.multihop
