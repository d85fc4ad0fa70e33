"""The port of the tunnel drivers, and the signals that come from them.

A driver makes interfaces and gives charon its connections. When to negotiate, what an event means and what is
shown are not its business: `ipsec.keeper` decides, `ipsec.manager` drives both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from bgpsvc.ipsec.model import Cause, DriverName, IkeSa, IpsecTunnel
from bgpsvc.model import SessionId


class DriverError(Exception):
    """A driver could not do what was asked; tried again later. The text says what to do about it."""

    def __init__(self, cause: Cause, text: str) -> None:
        super().__init__(text)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Logged:
    """A line of charon's log about a tunnel (`group`: IKE, CFG, NET, ENC, KNL …).

    `ike_id` is the unique id of the IKE SA it is about, None where charon names none.
    """

    tunnel: SessionId
    group: str
    message: str
    ike_id: int | None = None


@dataclass(frozen=True, slots=True)
class SaChanged:
    """An IKE or child SA of a tunnel came up or went down; `ike` as it is (or was)."""

    tunnel: SessionId
    what: Literal["ike", "child"]
    up: bool
    ike: IkeSa


@dataclass(frozen=True, slots=True)
class SaRekeyed:
    """An IKE or child SA of a tunnel was replaced by a fresh one; packets went on."""

    tunnel: SessionId
    what: Literal["ike", "child"]


@dataclass(frozen=True, slots=True)
class CharonUp:
    """charon of these tunnels answers (again): their connections are to be brought up."""

    tunnels: tuple[SessionId, ...]


@dataclass(frozen=True, slots=True)
class CharonDown:
    """charon of these tunnels is gone, and their SAs with it (`userspace`), or cannot be reached (`xfrm`)."""

    tunnels: tuple[SessionId, ...]
    reason: str


Signal = Logged | SaChanged | SaRekeyed | CharonUp | CharonDown
OnSignal = Callable[[Signal], None]
"""Called in the event loop's thread, in charon's order for each tunnel."""


@dataclass(frozen=True, slots=True)
class Made:
    """What `bring_up` made, or found as it should be. `renewed`: the connection differs from before, so
    SAs that were negotiated with the former settings are to be ended."""

    interface: str
    mtu: int
    renewed: bool


class Driver(Protocol):
    """Makes tunnels. All methods are idempotent and touch nothing of another tunnel."""

    @property
    def name(self) -> DriverName: ...

    async def start(self, tunnels: Collection[IpsecTunnel]) -> None:
        """Adopt what a former daemon left of these tunnels, remove what it left of others. OSError."""

    async def bring_up(self, tunnel: IpsecTunnel) -> Made:
        """Interface (addresses, MTU, up), charon's connection and key; negotiates nothing. DriverError."""

    async def take_down(self, tunnel: SessionId) -> None:
        """End its SAs (telling the peer), remove connection, key and interface. Unknown ones are ignored."""

    async def initiate(self, tunnel: SessionId) -> None:
        """Have charon negotiate. Returns when it has begun; what comes of it are signals. DriverError."""

    async def terminate(self, tunnel: SessionId, force: bool, ike_id: int | None = None) -> None:
        """End the IKE SAs of a tunnel; `force`: without waiting for the peer's answer. DriverError.

        `ike_id`: that one alone (of several which both sides began at once). What is gone is no error.
        """

    async def sas(self) -> Mapping[SessionId, tuple[IkeSa, ...]]:
        """The IKE SAs of all tunnels, newest last. Those whose charon does not answer are left out."""

    async def traffic(self, tunnel: SessionId) -> int:
        """Packets that were sent into the tunnel's interface so far; for tunnels that wait for traffic."""

    def charons(self) -> Mapping[SessionId, int]:
        """Pids of charons that are a tunnel's own. None of a charon that others run."""

    async def stop(self, keep: bool) -> None:
        """`keep`: leave everything to the next daemon. Otherwise end SAs, remove all that was made."""
