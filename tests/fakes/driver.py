"""A driver with a simulated charon and peer, and a loop whose time is simulated too.

It refuses the impossible: what is not made cannot be negotiated, and a charon that is down does nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from bgpsvc.ipsec.model import Cause, ChildSa, DriverName, IkeSa, IpsecTunnel
from bgpsvc.ipsec.port import (
    CharonDown,
    CharonUp,
    DriverError,
    Logged,
    Made,
    SaChanged,
    SaRekeyed,
    Signal,
)
from bgpsvc.model import SessionId

T = TypeVar("T")

HANDSHAKE_S = 0.05
REFUSAL = "received AUTHENTICATION_FAILED notify error"


class _InstantSelector(selectors.DefaultSelector):
    """Waits for nothing: time goes on by as much as somebody would have waited."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("everybody waits for ever")
            self._loop.now += max(timeout, 0)
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop that never sleeps. `now` are the seconds that passed."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        super().__init__(_InstantSelector(self))

    def time(self) -> float:
        return self.now


def simulate(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run to its end; hours take moments."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(work())


def clock() -> float:
    """The simulated time."""
    return asyncio.get_running_loop().time()


class FakeDriver:
    """Driver and charon. `peers` says how each tunnel's peer behaves: answers, is silent, or refuses."""

    def __init__(self, name: DriverName = "userspace") -> None:
        self._name: DriverName = name
        self.on_signal: Callable[[Signal], None] = lambda signal: None
        self.made: dict[SessionId, IpsecTunnel] = {}
        self.held: dict[SessionId, tuple[IkeSa, ...]] = {}
        self.peers: dict[SessionId, str] = {}
        """`answers` (the default), `silent`, or a line of the log with which it refuses."""
        self.broken: dict[SessionId, DriverError | OSError] = {}
        """What `bring_up` says of them."""
        self.undead: dict[SessionId, DriverError | OSError] = {}
        """What `take_down` says of them."""
        self.down: set[SessionId] = set()
        """Tunnels whose charon is down."""
        self.packets: dict[SessionId, int] = {}
        self.calls: list[tuple[float, str, SessionId | None]] = []
        self.stopped: bool | None = None
        self.slow_read: asyncio.Event | None = None
        self.slow_end: asyncio.Event | None = None
        self._ids = itertools.count(1)
        self._timers: dict[SessionId, list[asyncio.TimerHandle]] = {}

    @property
    def name(self) -> DriverName:
        return self._name

    # The port -----------------------------------------------------------------------------------

    async def start(self, tunnels: Collection[IpsecTunnel]) -> None:
        self._called("start")
        for ident in self.made.keys() - {tunnel.id for tunnel in tunnels}:
            await self.take_down(ident)

    async def bring_up(self, tunnel: IpsecTunnel) -> Made:
        self._called("bring_up", tunnel.id)
        await asyncio.sleep(HANDSHAKE_S)
        if tunnel.id in self.broken:
            raise self.broken[tunnel.id]
        self._reachable(tunnel.id)
        before = self.made.get(tunnel.id)
        self.made[tunnel.id] = tunnel
        changed = before is not None and (before.ike, before.ipsec) != (tunnel.ike, tunnel.ipsec)
        return Made(tunnel.interface, 1400, changed)

    async def take_down(self, tunnel: SessionId) -> None:
        self._called("take_down", tunnel)
        if tunnel in self.undead:
            raise self.undead[tunnel]
        if self.slow_end is not None:
            await self.slow_end.wait()
        self._end(tunnel, None)
        self.made.pop(tunnel, None)

    async def initiate(self, tunnel: SessionId) -> None:
        self._called("initiate", tunnel)
        self._reachable(tunnel)
        if tunnel not in self.made:
            raise DriverError(Cause.OTHER, f"charon has no connection {tunnel}")
        peer = self.peers.get(tunnel, "answers")
        begun = replace(
            established(self.made[tunnel], next(self._ids), clock()),
            state="CONNECTING",
            established_at=None,
            children=(),
        )
        self.held[tunnel] = (*self.held.get(tunnel, ()), begun)
        self.on_signal(Logged(tunnel, "IKE", f"initiating IKE_SA x[{begun.unique_id}]", begun.unique_id))
        if peer == "answers":
            self._later(tunnel, lambda: self.establish(tunnel, number=begun.unique_id))
        elif peer != "silent":
            self._later(tunnel, lambda: self._refuse(tunnel, begun, peer))

    async def terminate(self, tunnel: SessionId, force: bool, ike_id: int | None = None) -> None:
        self._called("terminate", tunnel)
        self._reachable(tunnel)
        self._end(tunnel, ike_id)

    async def sas(self) -> Mapping[SessionId, tuple[IkeSa, ...]]:
        self._called("sas")
        found = {ident: self.held.get(ident, ()) for ident in self.made if ident not in self.down}
        if self.slow_read is not None:
            await self.slow_read.wait()
        return found

    async def traffic(self, tunnel: SessionId) -> int:
        self._called("traffic", tunnel)
        return self.packets.get(tunnel, 0)

    def charons(self) -> dict[SessionId, int]:
        return {}

    async def stop(self, keep: bool) -> None:
        self._called("stop")
        self.stopped = keep

    # What happens to it ---------------------------------------------------------------------------

    def establish(self, tunnel: SessionId, initiator: bool = True, number: int | None = None) -> None:
        """A negotiation comes to its good end; without `number` one that the peer began."""
        ike = established(self.made[tunnel], number or next(self._ids), clock(), initiator)
        others = (other for other in self.held.get(tunnel, ()) if other.unique_id != number)
        self.held[tunnel] = (*others, ike)
        self.say(tunnel, "received packet: from peer")
        self.on_signal(SaChanged(tunnel, "ike", True, replace(ike, children=())))
        self.on_signal(SaChanged(tunnel, "child", True, ike))

    def say(self, tunnel: SessionId, message: str) -> None:
        """charon logs."""
        self.on_signal(Logged(tunnel, "IKE", message))

    def peer_deletes(self, tunnel: SessionId) -> None:
        """The peer ends all SAs."""
        self.say(tunnel, "received DELETE for IKE_SA bgpsvc-x[1]")
        self._end(tunnel, None)

    def peer_deletes_child(self, tunnel: SessionId) -> None:
        """The peer ends the child SAs."""
        self.say(tunnel, "received DELETE for ESP CHILD_SA with SPI 11111111")
        before = self.held[tunnel]
        self.held[tunnel] = tuple(replace(ike, children=()) for ike in before)
        for ike in before:
            self.on_signal(SaChanged(tunnel, "child", False, ike))

    def rekey(self, tunnel: SessionId) -> None:
        """The child is replaced."""
        self.on_signal(SaRekeyed(tunnel, "child"))

    def kill(self, tunnel: SessionId) -> None:
        """Its charon ends, and all it had is gone."""
        self.down.add(tunnel)
        self.held.pop(tunnel, None)
        self.made.pop(tunnel, None)
        self._cancel(tunnel)
        self.on_signal(CharonDown((tunnel,), "charon was killed by signal 9"))

    def revive(self, tunnel: SessionId) -> None:
        """Its charon runs again, and knows nothing."""
        self.down.discard(tunnel)
        self.on_signal(CharonUp((tunnel,)))

    def count(self, what: str, tunnel: SessionId | None = None) -> int:
        """How often it was called, for tests that say something must not happen."""
        return sum(1 for _, name, whom in self.calls if name == what and tunnel in (None, whom))

    def times(self, what: str, tunnel: SessionId) -> list[float]:
        """When it was called."""
        return [at for at, name, whom in self.calls if (name, whom) == (what, tunnel)]

    def _refuse(self, tunnel: SessionId, begun: IkeSa, line: str) -> None:
        self.held[tunnel] = tuple(ike for ike in self.held[tunnel] if ike != begun)
        self.on_signal(Logged(tunnel, "IKE", line, begun.unique_id))

    def _end(self, tunnel: SessionId, ike_id: int | None) -> None:
        self._cancel(tunnel)
        before = self.held.pop(tunnel, ())
        kept = tuple(ike for ike in before if ike_id is not None and ike.unique_id != ike_id)
        if kept:
            self.held[tunnel] = kept
        for ike in before:
            if ike not in kept:
                self.on_signal(SaChanged(tunnel, "child", False, ike))
                self.on_signal(SaChanged(tunnel, "ike", False, ike))

    def _later(self, tunnel: SessionId, what: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._timers.setdefault(tunnel, []).append(loop.call_later(HANDSHAKE_S, what))

    def _cancel(self, tunnel: SessionId) -> None:
        for timer in self._timers.pop(tunnel, []):
            timer.cancel()

    def _reachable(self, tunnel: SessionId) -> None:
        if tunnel in self.down:
            raise DriverError(Cause.CHARON_DOWN, "charon does not answer")

    def _called(self, what: str, tunnel: SessionId | None = None) -> None:
        self.calls.append((clock(), what, tunnel))


def established(tunnel: IpsecTunnel, unique_id: int, now: float, initiator: bool = True) -> IkeSa:
    """An IKE SA with an installed child."""
    child = ChildSa(
        unique_id=unique_id,
        state="INSTALLED",
        encapsulated=True,
        spi_in=f"{unique_id:08x}",
        spi_out=f"{unique_id + 1:08x}",
        encryption="aes256",
        authentication="sha256",
        pfs=None,
        bytes_in=0,
        bytes_out=0,
        packets_in=0,
        packets_out=0,
        installed_at=now,
        rekey_at=None,
        expires_at=None,
        local_selectors=("0.0.0.0/0",),
        remote_selectors=("0.0.0.0/0",),
    )
    return IkeSa(
        unique_id=unique_id,
        version=tunnel.ike.version,
        state="ESTABLISHED",
        initiator=initiator,
        local_address=str(tunnel.local),
        local_port=4500,
        local_id=tunnel.local_id,
        remote_address=str(tunnel.remote),
        remote_port=4500,
        remote_id=tunnel.remote_id,
        spi_initiator=f"{unique_id:016x}",
        spi_responder=f"{unique_id + 1:016x}",
        nat_local=False,
        nat_remote=False,
        encryption="aes256",
        authentication="sha256",
        group="group14",
        established_at=now,
        rekey_at=None,
        children=(child,),
    )
