"""Speakers under test in a namespace of their own, with cables to a second namespace for the peers.

Tunnel 1 is 169.254.10.0/30 (fd00:10::/64 for IPv6 next hops), tunnel 2 169.254.20.0/30; ours is .1.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from bgpsvc.events import Announced, BgpEvent, SessionDown, SessionResync, SessionUp, Withdrawn
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.exabgp.process import Paths
from bgpsvc.exabgp.speaker import Speakers
from bgpsvc.model import Attributes, Family, Prefix, Role, SessionId, format_prefix
from tests.fakes.bgp_peer import BgpPeer, PeerConfig
from tests.netns.namespaces import Namespace

T1 = SpeakerSession(
    id=SessionId("c1-tunnel1"),
    role=Role.ACTIVE,
    local_address="169.254.10.1",
    peer_address="169.254.10.2",
    local_asn=65530,
    peer_asn=65500,
    router_id="10.0.0.1",
    hold_time=30,
    families=(Family.IPV4, Family.IPV6),
    local_address_v6="fd00:10::1",
)
T2 = dataclasses.replace(
    T1,
    id=SessionId("c1-tunnel2"),
    role=Role.STANDBY,
    local_address="169.254.20.1",
    peer_address="169.254.20.2",
    local_address_v6="fd00:20::1",
)
ASKED = ("requested", "pending")
"""What a wanted refresh is told. It may wait, as for the speaker's word that the session is up."""
E = TypeVar("E", bound=BgpEvent)


def session(base: SpeakerSession = T1, **changes: Any) -> SpeakerSession:
    return dataclasses.replace(base, **changes)


class Recorder:
    """Takes the events and keeps the routes of each session; not our own, which FRR tells back."""

    def __init__(self) -> None:
        self.events: list[BgpEvent] = []
        self.routes: dict[SessionId, dict[Prefix, Attributes]] = {}

    def __call__(self, events: Iterable[BgpEvent]) -> None:
        for event in events:
            self.events.append(event)
            if isinstance(event, Announced) and not event.attributes.has_asn(T1.local_asn):
                table = self.routes.setdefault(event.session, {})
                for prefix in event.prefixes:
                    table[prefix] = event.attributes
            elif isinstance(event, Withdrawn):
                table = self.routes.setdefault(event.session, {})
                for prefix in event.prefixes:
                    table.pop(prefix, None)

    def of(self, kind: type[E], session_id: SessionId = T1.id) -> list[E]:
        return [
            e for e in self.events if isinstance(e, kind) and getattr(e, "session", session_id) == session_id
        ]

    def up(self, session_id: SessionId = T1.id) -> bool:
        """Established now."""
        relevant = [
            event
            for event in self.events
            if isinstance(event, SessionUp | SessionResync | SessionDown) and event.session == session_id
        ]
        return bool(relevant) and not isinstance(relevant[-1], SessionDown)

    def prefixes(self, session_id: SessionId = T1.id) -> set[str]:
        return {format_prefix(prefix) for prefix in self.routes.get(session_id, {})}

    def attributes(self, prefix: str, session_id: SessionId = T1.id) -> Attributes:
        return next(a for p, a in self.routes[session_id].items() if format_prefix(p) == prefix)

    async def until(self, condition: Callable[[], object], what: str, seconds: float = 20) -> None:
        """Poll a condition; AssertionError with what was seen if it doesn't come true in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {seconds} s: {what}; last events: {self.events[-8:]}")
            await asyncio.sleep(0.01)

    async def until_up(self, *sessions: SessionId) -> None:
        for name in sessions or (T1.id,):
            await self.until(lambda name=name: self.up(name), f"{name} is Established")  # type: ignore[misc]


class Site:
    """The two namespaces, the state directory, and everything that has to be ended at the end."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        # What was made before something failed goes again.
        with ExitStack() as building:
            self.gateway = building.enter_context(Namespace())
            self.peers = building.enter_context(Namespace())
            building.callback(self._end_speakers)
            self._cables()
            self._stack = building.pop_all()

    def _cables(self) -> None:
        for name, number in (("t1", 10), ("t2", 20)):
            self.gateway.veth(name, self.peers, name, [f"169.254.{number}.1/30", f"fd00:{number}::1/64"])
            self.peers.ip(f"addr add 169.254.{number}.2/30 dev {name}")
            self.peers.ip(f"addr add fd00:{number}::2/64 dev {name} nodad")

    def close(self) -> None:
        """End speakers that a failed test (or one that kept them) left running, then the namespaces."""
        self._stack.close()

    def _end_speakers(self) -> None:
        for role in Role:
            for pid in self.pids(role):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def pids(self, role: Role) -> list[int]:
        """Processes that run on the configuration file of a role: ours alone, as the directory is."""
        name = str(Paths(self.state_dir, role).configuration).encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    arguments = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if name in arguments:
                    found.append(int(entry.name))
        return found

    def relay_pid(self, role: Role = Role.ACTIVE) -> int:
        """The helper of the speaker of a role."""
        (parent,) = self.pids(role)
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return int(children[0])

    def peer(self, number: int = 10, **options: Any) -> BgpPeer:
        """A hand-written peer at the other end of a tunnel."""
        defaults: dict[str, Any] = {
            "local": f"169.254.{number}.2",
            "remote": f"169.254.{number}.1",
            "asn": 65500,
            "router_id": "10.9.9.9",
            "families": ("ipv4", "ipv6"),
            "netns": self.peers.path,
        }
        return BgpPeer(PeerConfig(**(defaults | options)))


@contextmanager
def site(state_dir: Path) -> Iterator[Site]:
    made = Site(state_dir)
    try:
        yield made
    finally:
        made.close()


def run(
    where: Site, scenario: Callable[[Speakers, Recorder], Coroutine[Any, Any, None]], **options: Any
) -> None:
    """Run a scenario in the gateway's namespace with fresh speakers, which are ended afterwards."""

    async def main() -> None:
        recorder = Recorder()
        speakers = Speakers(where.state_dir, recorder, **options)
        try:
            async with asyncio.timeout(120):
                await scenario(speakers, recorder)
        finally:
            await speakers.stop(keep_running=False)
            speakers.release()

    inside(where.gateway, lambda: asyncio.run(main()))


def active_opens(namespace: Namespace) -> int:
    """TCP connections that a namespace has tried to open."""
    with namespace.entered():
        text = Path("/proc/thread-self/net/snmp").read_text()
    names, values = [line.split() for line in text.splitlines() if line.startswith("Tcp:")]
    return int(values[names.index("ActiveOpens")])


def inside(namespace: Namespace, work: Callable[[], None]) -> None:
    """Run something in a thread of its own that is in the namespace; its exception is raised here."""

    def target() -> None:
        with namespace.entered():
            work()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(target).result()
