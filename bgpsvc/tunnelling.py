"""The tunnels that the service makes, beside everything else: which driver, when they are begun and followed.

Interfaces and SAs outlive the daemon as the speakers do, so a start adopts them. It takes as long as charon
takes; the rest of the daemon goes on meanwhile, and a start that fails is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from bgpsvc.effects import Log
from bgpsvc.events import IpsecChanged
from bgpsvc.ipsec.choose import Choice, Wish, choose
from bgpsvc.ipsec.leftovers import dismantle, dismantle_xfrm
from bgpsvc.ipsec.manager import NO_DRIVER, Tunnels
from bgpsvc.ipsec.model import IpsecState, IpsecStatus
from bgpsvc.ipsec.port import Driver, DriverError, OnSignal
from bgpsvc.ipsec.probe import examine
from bgpsvc.ipsec.userspace import Userspace
from bgpsvc.ipsec.wanted import ipsec_tunnels
from bgpsvc.ipsec.xfrm import Xfrm
from bgpsvc.model import SessionId
from bgpsvc.resources import Intent

RETRY_SECONDS = 5.0
STARTED_SECONDS = 10.0
"""How long the start of the rest waits for the tunnels: most are there by then, and nothing has to retry."""

log = logging.getLogger("bgpsvc")


async def chosen(wish: Wish, charon_socket: Path) -> Choice:
    """The driver for this network namespace. CannotChoose if it is one that cannot work here."""
    if wish == "external":
        return Choice("external", "asked for: tunnels are made by somebody else")
    return choose(wish, await examine(charon_socket))


def _driver(choice: Choice, charon_socket: Path, state_dir: Path, on_signal: OnSignal) -> Driver | None:
    if choice.name == "xfrm":
        return Xfrm(charon_socket, state_dir, on_signal)
    return Userspace(state_dir, on_signal) if choice.name == "userspace" else None


class Tunnelling:
    """All tunnels of an intent that the service makes; `on_change` is told what moves traffic."""

    def __init__(
        self,
        choice: Choice,
        charon_socket: Path,
        state_dir: Path,
        on_change: Callable[[IpsecChanged], None],
        note: Callable[[Log], None],
    ) -> None:
        self.choice = choice
        self._state_dir = state_dir
        self._charon_socket = charon_socket
        driver = _driver(choice, charon_socket, state_dir, lambda signal: self._tunnels.hear(signal))
        # What was asked for needs no other reason than that.
        why = choice.why if choice.missing else NO_DRIVER
        self._tunnels = Tunnels(driver, on_change, note, no_driver=why)
        self._note = note
        self._problem: str | None = "being begun"
        self._since = time.time()
        self._started = False
        self._tried = asyncio.Event()
        """Set while no attempt to begin is under way."""
        self._starting: asyncio.Task[None] | None = None

    async def start(self, intent: Callable[[], Intent]) -> None:
        """Adopt and make the tunnels of what `intent` returns; in the background if that takes long."""
        log.info("tunnels: %s (%s)", self.choice.name, self.choice.why)
        self._starting = asyncio.create_task(self._start(intent), name="tunnels")
        await asyncio.wait([self._starting], timeout=STARTED_SECONDS)

    async def _start(self, intent: Callable[[], Intent]) -> None:
        while not self._started:
            self._tried.clear()
            try:
                if self.choice.name != "userspace":
                    await dismantle(self._state_dir)
                if self.choice.name != "xfrm":
                    await dismantle_xfrm(self._charon_socket, self._state_dir)
                await self._tunnels.start(ipsec_tunnels(intent()))
            except (OSError, DriverError) as error:
                self._problem = f"cannot be begun, tried again: {error}"
                self._note(Log("ipsec.error", "error", "ipsec", f"the tunnels {self._problem}"))
                self._tried.set()
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._problem = None
                self._started = True
                self._tried.set()

    async def follow(self, intent: Intent) -> None:
        """Make the tunnels those of an intent; those that stay as they are are not touched.

        If they cannot be begun at all, the next attempt takes what is wanted then.
        """
        await self._tried.wait()
        if self._started:
            await self._tunnels.apply(ipsec_tunnels(intent))

    def tell_again(self, tunnels: Collection[SessionId]) -> None:
        """Tell `on_change` whether these are up, though that did not change."""
        self._tunnels.tell_again(tunnels)

    def leaving(self, intent: Intent) -> frozenset[str]:
        """Interfaces that `follow` with this intent would take away."""
        states, wanted = self._tunnels.states(), ipsec_tunnels(intent)
        return frozenset(state.interface for ident, state in states.items() if ident not in wanted)

    async def restart(self, tunnel: SessionId) -> None:
        """End the SAs of a tunnel and negotiate anew. KeyError, DriverError."""
        await self._tunnels.restart(tunnel)

    def state(self, tunnel: SessionId, interface: str) -> IpsecState:
        """All that is known of the IPsec of a tunnel that the service makes, also before it has begun to."""
        return self._tunnels.state(tunnel) or IpsecState(
            tunnel=tunnel,
            driver=self.choice.name,
            interface=interface,
            status=IpsecStatus.IKE_SA_NOT_ESTABLISHED,
            reason="not made yet",
            since=self._since,
            seen_at=self._since,
        )

    def states(self) -> Mapping[SessionId, IpsecState]:
        """The same of all."""
        return self._tunnels.states()

    def charons(self) -> Mapping[SessionId, int]:
        """Pids of charons that are a tunnel's own."""
        return self._tunnels.charons()

    def ready(self, intent: Intent) -> tuple[bool, str]:
        """Whether the tunnels of this intent can be made, and by whom, or why not."""
        said = f"{self.choice.name}: {self.choice.why}"
        if ipsec_tunnels(intent) and self.choice.name == "external":
            return False, said
        if self._problem is not None:
            return False, f"{said}; {self._problem}"
        return True, said

    async def failed(self) -> None:
        """Raises what ended a task, which only a defect makes happen."""
        if self._starting is not None:
            await self._starting
        await self._tunnels.failed()

    async def stop(self, keep: bool) -> None:
        """`keep`: SAs and interfaces stay for the next daemon; otherwise all is taken down."""
        if self._starting is None:
            return  # what is there belongs to another daemon, which may run
        self._starting.cancel()
        await asyncio.gather(self._starting, return_exceptions=True)
        try:
            await self._tunnels.stop(keep)
        except (OSError, DriverError) as error:
            log.error("not every tunnel could be taken down: %s", error)
