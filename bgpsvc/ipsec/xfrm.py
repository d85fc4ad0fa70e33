"""The driver for a kernel with ESP: one charon that the system runs, one XFRM interface per tunnel.

The kernel sends a packet that is routed to the interface through the policies and SAs with the interface's
if_id, and takes what such an SA decrypts for received there; so all tunnels have selectors of their own,
however much they overlap, and routes alone decide which tunnel a packet takes.

charon is not ours. Others have connections there: only names with our prefix are loaded, ended, removed or
read. It may end and begin at any time; as it comes, our connections are loaded into it, and as it goes, the
manager is told. What must survive the daemon does: connections and SAs in charon and the kernel, interfaces
in the kernel, and of our own only a secret and fingerprints, which say what is loaded without telling keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bgpsvc.ipsec import codec
from bgpsvc.ipsec.model import Cause, DriverName, IkeSa, IpsecTunnel
from bgpsvc.ipsec.nat import refuse_ambiguous
from bgpsvc.ipsec.port import CharonDown, CharonUp, DriverError, Made, OnSignal
from bgpsvc.ipsec.probe import answers
from bgpsvc.ipsec.refusals import driver_error
from bgpsvc.ipsec.shared_charon import SharedCharon
from bgpsvc.ipsec.vici import CharonError, CharonLost, CharonRefused
from bgpsvc.ipsec.xfrm_links import XfrmLinks
from bgpsvc.model import SessionId

RETRY_FIRST_S, RETRY_MOST_S = 0.5, 5.0
"""From one attempt to reach charon to the next: doubled each time. Trying costs one connect()."""
CHECK_S = 10.0
"""How often it is looked whether the MSS clamp and our connections are still there."""
log = logging.getLogger(__name__)


class Xfrm:
    """Implements `ipsec.port.Driver`."""

    def __init__(self, charon_socket: Path, state_dir: Path, on_signal: OnSignal) -> None:
        """`charon_socket`: charon's vici socket; ValueError if its path is too long for one.

        `state_dir`: where it is remembered what charon was given.
        """
        self._charon = SharedCharon(charon_socket, state_dir / "xfrm.json")
        self._links = XfrmLinks()
        self._on_signal = on_signal
        self._wanted: dict[SessionId, IpsecTunnel] = {}
        self._placed: dict[SessionId, codec.Placing] = {}
        self._ascriber = codec.Ascriber()
        self._locks: defaultdict[SessionId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._attending: asyncio.Task[None] | None = None
        self._why_down: str | None = "charon was not asked yet"
        """None while charon answers."""

    @property
    def name(self) -> DriverName:
        return "xfrm"

    # The port ---------------------------------------------------------------------------------

    async def start(self, tunnels: Collection[IpsecTunnel]) -> None:
        """Adopt what a former daemon left of these tunnels, remove what it left of others. OSError."""
        for tunnel in tunnels:
            self._want(tunnel)
        try:
            await self._links.start(frozenset(self._wanted))
        except DriverError as error:
            raise OSError(str(error)) from error
        if self._attending is not None:
            return
        first = asyncio.get_running_loop().create_future()
        self._attending = asyncio.create_task(self._attend(first), name="charon of the system")
        await first

    async def bring_up(self, tunnel: IpsecTunnel) -> Made:
        """Interface (addresses, MTU, up), charon's connection and key; negotiates nothing. DriverError."""
        if tunnel.ike.pre_shared_key is None:
            raise DriverError(Cause.NO_PRE_SHARED_KEY, f"{tunnel.id} has no pre-shared key")
        async with self._locks[tunnel.id]:
            self._want(tunnel)
            link = await self._links.make(tunnel)
            any_local = not await self._links.has_address(tunnel.local)
            if any_local:
                refuse_ambiguous(tunnel, [self._wanted[ident] for ident in self._any_local()])
            placing = codec.Placing(if_id=link.if_id, trap=not tunnel.immediately, any_local=any_local)
            self._placed[tunnel.id] = placing
            self._ascribe()
            if self._why_down is not None:
                raise DriverError(Cause.CHARON_DOWN, self._why_down)
            try:
                renewed = await self._charon.load(tunnel, placing, self._wanted.values())
            except CharonError as error:
                raise driver_error(error) from error
            return Made(tunnel.interface, link.mtu, renewed)

    async def take_down(self, tunnel: SessionId) -> None:
        """End its SAs (telling the peer), remove connection, key and interface. Unknown ones are ignored."""
        async with self._locks[tunnel]:
            self._wanted.pop(tunnel, None)
            self._placed.pop(tunnel, None)
            self._ascribe()
            try:
                with contextlib.suppress(CharonLost):  # what it still has is removed when it answers
                    await self._charon.remove(tunnel)
                    await self._charon.share_keys(self._wanted.values())
            except CharonRefused as error:
                raise driver_error(error) from error
            finally:
                await self._links.remove(tunnel)
        self._locks.pop(tunnel, None)

    async def initiate(self, tunnel: SessionId) -> None:
        """Have charon negotiate. Returns when it has begun; what comes of it are signals. DriverError."""
        name = codec.connection_name(tunnel)
        try:
            await self._charon.vici.initiate(name, name)
        except CharonError as error:
            raise driver_error(error) from error

    async def terminate(self, tunnel: SessionId, force: bool, ike_id: int | None = None) -> None:
        """End the IKE SAs of a tunnel; `force`: without waiting for the peer's answer. DriverError."""
        try:
            await self._charon.end(tunnel, wait=not force, ike_id=ike_id)
        except CharonError as error:
            raise driver_error(error) from error

    async def sas(self) -> Mapping[SessionId, tuple[IkeSa, ...]]:
        """The IKE SAs of all tunnels, newest last; of none while charon does not answer."""
        if self._why_down is not None:
            return {}
        try:
            entries = await self._charon.vici.list_sas()
        except CharonError as error:
            log.warning("the SAs cannot be read: %s", error)
            return {}
        found = codec.sas(entries, time.time())
        return {tunnel: found.get(tunnel, ()) for tunnel in self._wanted}

    async def traffic(self, tunnel: SessionId) -> int:
        """Packets that were sent into the tunnel's interface so far, whether there was an SA or not."""
        return await self._links.sent(tunnel)

    def charons(self) -> dict[SessionId, int]:
        """None: all tunnels share one that others run."""
        return {}

    async def stop(self, keep: bool) -> None:
        """`keep`: leave everything to the next daemon. Otherwise end SAs, remove all that was made."""
        if self._attending is not None:
            self._attending.cancel()
            await asyncio.gather(self._attending, return_exceptions=True)
            self._attending = None
        problems: list[BaseException | None] = []
        if not keep:
            tunnels = tuple(self._wanted)
            problems += await asyncio.gather(*map(self.take_down, tunnels), return_exceptions=True)
            await self._links.stop()
        await self._charon.vici.close()
        for problem in problems:
            # One that could not be removed kept none of the others.
            if problem is not None:
                raise problem

    def _want(self, tunnel: IpsecTunnel) -> None:
        self._wanted[tunnel.id] = tunnel
        self._ascribe()

    def _any_local(self) -> set[SessionId]:
        """Tunnels whose public address is not on this machine."""
        return {ident for ident, placing in self._placed.items() if placing.any_local}

    def _ascribe(self) -> None:
        self._ascriber.set_tunnels(tuple(self._wanted.values()), self._any_local())

    # charon comes and goes --------------------------------------------------------------------

    async def _attend(self, first: asyncio.Future[None]) -> None:
        """Be connected to charon for as long as it runs, for ever. `first`: done after the first attempt."""
        pause = RETRY_FIRST_S
        while True:
            lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            try:
                await self._meet(lost)
            except (OSError, CharonError) as error:
                reason = str(error)
            else:
                pause = RETRY_FIRST_S
                self._settled(first)
                reason = await self._until(lost)
            await self._charon.vici.close()
            self._down(reason)
            self._settled(first)
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_MOST_S)

    async def _until(self, lost: asyncio.Future[str]) -> str:
        while not lost.done():
            await asyncio.wait((lost,), timeout=CHECK_S)
            try:
                await self._links.check()
                await self._mend()
            except (DriverError, CharonError) as error:
                log.warning("%s", error)
        return lost.result()

    async def _mend(self) -> None:
        """Load again what others had charon unload. The SAs that stand are not touched."""
        for ident in await self._charon.missing(tuple(self._placed)):
            async with self._locks[ident]:
                tunnel, placing = self._wanted.get(ident), self._placed.get(ident)
                if tunnel is not None and placing is not None:
                    await self._load_again(tunnel, placing)

    @staticmethod
    def _settled(first: asyncio.Future[None]) -> None:
        if not first.done():
            first.set_result(None)

    async def _meet(self, lost: asyncio.Future[str]) -> None:
        """Subscribe, remove what is unwanted, load what is missing, and tell. CharonError, OSError."""

        def on_lost(reason: str) -> None:
            if not lost.done():
                lost.set_result(reason)

        finding = await answers(self._charon.vici)
        if not finding.ok:
            raise CharonLost(finding.text)
        await self._charon.vici.listen(self._heard, on_lost)
        await self._charon.survey(frozenset(self._wanted))
        for ident, placing in tuple(self._placed.items()):
            async with self._locks[ident]:
                if self._placed.get(ident) is placing:
                    await self._load_again(self._wanted[ident], placing)
        self._why_down = None
        log.info("%s", finding.text)
        self._on_signal(CharonUp(tuple(self._wanted)))

    async def _load_again(self, tunnel: IpsecTunnel, placing: codec.Placing) -> None:
        try:
            await self._charon.load(tunnel, placing, self._wanted.values())
        except CharonRefused as error:
            # bring_up, which follows CharonUp, meets the same and tells whom it concerns.
            log.warning("%s: %s", tunnel.id, error)

    def _down(self, reason: str) -> None:
        if reason != self._why_down:
            self._why_down = reason
            log.warning("%s", reason)
            self._on_signal(CharonDown(tuple(self._wanted), reason))

    def _heard(self, event: str, message: Mapping[str, Any]) -> None:
        mine = self._ascriber.tunnel_of(message) if event == "log" else None
        try:
            signals = codec.signals(event, message, time.time(), mine)
        except (KeyError, ValueError) as error:
            log.warning("an event %s of charon was not understood: %r", event, error)
            return
        for signal in signals:
            if not isinstance(signal, CharonUp | CharonDown) and signal.tunnel in self._wanted:
                self._on_signal(signal)
