"""The driver `userspace`: a charon for each tunnel, with ESP in user space over a TUN device.

For kernels and containers without ESP of their own. Each charon has a pair of UDP ports of its own, which the
rules in `firewall` translate to 500 and 4500, so that any number of tunnels fit and any peer can be at the
other end. ESP is always encapsulated in UDP (RFC 3948): libipsec knows no other way.

charons outlive the daemon. Whether one was loaded with the connection and key that are wanted now is asked of
itself: the id of its key ends with a fingerprint of both.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path

from bgpsvc.ipsec import anchors, codec, interfaces, loading
from bgpsvc.ipsec.charon import (
    CharonProcess,
    Home,
    can_have_own_run,
    find_program,
    plugins_of,
    recorded_ports,
)
from bgpsvc.ipsec.firewall import IKE_PORT, NAT_PORT, Clamp, Firewall, Translation
from bgpsvc.ipsec.instance import Instance, Launcher
from bgpsvc.ipsec.leftovers import sweep
from bgpsvc.ipsec.model import Cause, DriverName, IkeSa, IpsecTunnel
from bgpsvc.ipsec.mtu import tunnel_mtu
from bgpsvc.ipsec.nat import refuse_ambiguous
from bgpsvc.ipsec.port import CharonDown, CharonUp, DriverError, Made, OnSignal, SaChanged
from bgpsvc.ipsec.ports import Ports, free_ports, unused
from bgpsvc.ipsec.refusals import driver_error
from bgpsvc.ipsec.vici import CharonError, Message
from bgpsvc.model import SessionId

LARGEST_PACKET = 1400
"""What charon reads of its TUN at most, in bytes, whatever MTU that has later: the rest would be cut off."""
FAREWELL_S = 1.0
"""How long a peer has to answer that it deleted an SA."""
MEND_S = 10.0
"""How often it is looked whether somebody removed an interface or the rules."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Kept:
    """A tunnel and its charon."""

    tunnel: IpsecTunnel
    instance: Instance
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    any_local: bool = False
    mtu: int | None = None
    outdated: bool = False
    """There may be SAs that were negotiated with former settings."""


class Userspace:
    """See `ipsec.port.Driver`. `state_dir` is the daemon's; what is kept there is in its folder `ipsec`."""

    def __init__(self, state_dir: Path, on_signal: OnSignal) -> None:
        self._base = state_dir / "ipsec"
        self._on_signal = on_signal
        self._kept: dict[SessionId, _Kept] = {}
        self._firewall = Firewall()
        self._launcher: Launcher | None = None
        self._secret = b""
        self._mend_at = 0.0
        self._looking = asyncio.Lock()

    @property
    def name(self) -> DriverName:
        return "userspace"

    # The port -------------------------------------------------------------------------------

    async def start(self, tunnels: Collection[IpsecTunnel]) -> None:
        """See `ipsec.port.Driver.start`."""
        wanted = {tunnel.id: tunnel for tunnel in tunnels}
        try:
            await sweep(self._base.parent, wanted.keys())
            await self._get_launcher()
            for tunnel in wanted.values():
                kept = self._kept.get(tunnel.id) or self._keep(tunnel)
                if kept.instance.running:
                    kept.any_local = not await interfaces.has_address(tunnel.local)
                    kept.mtu = await _mtu(tunnel)
                    kept.instance.begin()
            await self._apply_firewall()
        except DriverError as error:
            # Each tunnel will be told when it is brought up.
            log.error("the tunnels cannot be made: %s", error)

    async def bring_up(self, tunnel: IpsecTunnel) -> Made:
        """See `ipsec.port.Driver.bring_up`."""
        await self._get_launcher()
        kept = self._kept.get(tunnel.id) or self._keep(tunnel)
        async with kept.busy:
            kept.tunnel = tunnel
            kept.any_local = not await interfaces.has_address(tunnel.local)
            self._refuse_ambiguous(kept)
            kept.instance.begin()
            await kept.instance.ready()
            kept.mtu = await _mtu(tunnel)
            await interfaces.configure(tunnel.interface, tunnel.addresses, kept.mtu)
            if kept.instance.tun is not None:
                await anchors.keep(kept.instance.tun, anchors.anchors(tunnel))
            await self._apply_firewall()
            try:
                renewed = await self._load(kept)
            except CharonError as error:
                raise driver_error(error) from error
            return Made(tunnel.interface, kept.mtu, renewed)

    async def take_down(self, tunnel: SessionId) -> None:
        """See `ipsec.port.Driver.take_down`. DriverError."""
        kept = self._kept.get(tunnel)
        if kept is None:
            return
        async with kept.busy:
            # It is kept until nothing of it is left: this is tried again if something stays.
            await self._end(kept)
            self._kept.pop(tunnel, None)
        await self._apply_firewall()

    async def initiate(self, tunnel: SessionId) -> None:
        """See `ipsec.port.Driver.initiate`."""
        kept = self._get(tunnel)
        await self._firewall.restore()
        name = codec.connection_name(tunnel)
        try:
            await kept.instance.charon.initiate(name, name)
        except CharonError as error:
            raise driver_error(error) from error

    async def terminate(self, tunnel: SessionId, force: bool, ike_id: int | None = None) -> None:
        """See `ipsec.port.Driver.terminate`."""
        kept = self._get(tunnel)
        name = None if ike_id is not None else codec.connection_name(tunnel)
        try:
            await kept.instance.charon.terminate(ike=name, ike_id=ike_id, force=force)
            if ike_id is None and kept.outdated:
                await loading.ended(kept.instance.charon, tunnel)
                kept.outdated = False
        except CharonError as error:
            raise driver_error(error) from error

    async def sas(self) -> Mapping[SessionId, tuple[IkeSa, ...]]:
        """See `ipsec.port.Driver.sas`. Asked again and again, so what somebody broke is mended here."""
        await self._mend()
        asked = [kept for kept in self._kept.values() if kept.instance.up]
        found = await asyncio.gather(*(self._sas_of(kept) for kept in asked))
        return {
            kept.tunnel.id: several for kept, several in zip(asked, found, strict=True) if several is not None
        }

    async def traffic(self, tunnel: SessionId) -> int:
        """See `ipsec.port.Driver.traffic`."""
        link = await interfaces.find(self._get(tunnel).tunnel.interface)
        return 0 if link is None else link.packets_sent

    def charons(self) -> dict[SessionId, int]:
        """Pid of each tunnel's charon."""
        pids = {ident: kept.instance.pid for ident, kept in self._kept.items()}
        return {ident: pid for ident, pid in pids.items() if pid is not None}

    async def stop(self, keep: bool) -> None:
        """See `ipsec.port.Driver.stop`. DriverError, OSError."""
        all_kept = list(self._kept.values())
        if keep:
            await asyncio.gather(*(kept.instance.release() for kept in all_kept))
            self._kept = {}
            return
        ended = await asyncio.gather(*(self._end(kept) for kept in all_kept), return_exceptions=True)
        # What a former daemon left goes too, if the start did not come to that.
        ended += await asyncio.gather(sweep(self._base.parent, ()), return_exceptions=True)
        self._kept = {}
        await self._firewall.remove()
        (self._base / "secret").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._base.rmdir()
        self._launcher = None
        for error in ended:
            # One that could not be removed kept none of the others.
            if error is not None:
                raise error

    # Charons --------------------------------------------------------------------------------

    async def _get_launcher(self) -> Launcher:
        """How charons are started; looked for until there is a way."""
        async with self._looking:
            if self._launcher is None:
                program = find_program()
                plugins_of(program)
                if not interfaces.TUN_DEVICE.exists():
                    text = "is missing: load the module tun, or give it to the container"
                    raise DriverError(Cause.INTERFACE_FAILED, f"{interfaces.TUN_DEVICE} {text}")
                Home.of(self._base, SessionId("")).check()
                self._base.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._secret = loading.read_secret(self._base / "secret")
                self._launcher = Launcher(program, await can_have_own_run(self._base))
            return self._launcher

    def _keep(self, tunnel: IpsecTunnel) -> _Kept:
        """Of a tunnel that is new here: its charon, with the ports it had before, adopted if it runs."""
        if self._launcher is None:
            raise RuntimeError("not started")
        ident = tunnel.id
        home = Home.of(self._base, ident)
        process = CharonProcess.adopt(home)
        ports = recorded_ports(home.read())
        taken = {kept.instance.ports for kept in self._kept.values()}
        if ports is None or (process is None and (ports in taken or not unused(ports))):
            ports = free_ports(taken)
        if process is not None:
            log.info("adopted the charon of %s, pid %d", ident, process.pid)
        instance = Instance(
            ident,
            home,
            ports,
            self._launcher,
            process,
            prepare=lambda process: self._prepare(ident, process),
            on_event=lambda event, message: self._heard(ident, event, message),
            on_up=lambda: self._on_signal(CharonUp((ident,))),
            on_down=lambda reason: self._on_signal(CharonDown((ident,), f"charon {reason}")),
        )
        kept = self._kept[ident] = _Kept(tunnel, instance)
        return kept

    async def _prepare(self, ident: SessionId, process: CharonProcess) -> None:
        """Give a charon's TUN the tunnel's name and addresses, and keep the name that charon knows it by."""
        tunnel = self._kept[ident].tunnel
        present = interfaces.tun_of(process.pid)
        if present not in (None, tunnel.interface):
            # Before it has the other one: nobody could find out any more.
            process.has_tun(present)
        await interfaces.take_over(process.pid, tunnel.interface, ident)
        if process.tun is not None and process.tun != tunnel.interface:
            stale = [
                link
                for link in await interfaces.ours()
                if link.placeholder and link.tunnel == ident and link.name != process.tun
            ]
            await interfaces.remove(stale)
            await interfaces.keep_name(process.tun, ident)
        await interfaces.configure(tunnel.interface, tunnel.addresses, await _mtu(tunnel))

    def _heard(self, ident: SessionId, event: str, message: Message) -> None:
        kept = self._kept.get(ident)
        if kept is None:
            return
        try:
            signals = codec.signals(event, message, time.time(), ident)
        except (KeyError, ValueError) as error:
            log.warning("an event %s of the charon of %s was not understood: %r", event, ident, error)
            return
        for signal in signals:
            if isinstance(signal, SaChanged):
                signal = replace(signal, ike=_on_wire(signal.ike, kept.instance.ports))
            self._on_signal(signal)

    async def _load(self, kept: _Kept) -> bool:
        """Give charon connection and key; whether it had others before. CharonError, DriverError."""
        placing = codec.Placing(
            local_port=kept.instance.ports.ike, remote_port=IKE_PORT, encap=True, any_local=kept.any_local
        )
        kept.outdated = await loading.load(kept.instance.charon, kept.tunnel, placing, self._secret)
        return kept.outdated

    async def _mend(self) -> None:
        """Make anew what somebody removed from under a charon, which does not notice."""
        if time.monotonic() < self._mend_at:
            return
        self._mend_at = time.monotonic() + MEND_S
        try:
            await self._firewall.restore()
            names = {link.name for link in await interfaces.ours()}
            for kept in list(self._kept.values()):
                if not kept.instance.up or kept.busy.locked():
                    continue
                if kept.tunnel.interface not in names:
                    log.error("the interface %s was removed", kept.tunnel.interface)
                    kept.instance.replace()
                elif kept.instance.tun is not None and kept.instance.tun not in names:
                    await interfaces.keep_name(kept.instance.tun, kept.tunnel.id)
        except DriverError as error:
            log.warning("%s", error)
        made = [kept for kept in self._kept.values() if kept.mtu is not None]
        await asyncio.gather(*(self._load_again(kept) for kept in made))

    async def _load_again(self, kept: _Kept) -> None:
        """Give charon what others had it unload, as `swanctl --load-all` does; SAs are not touched."""
        if not kept.instance.up or kept.busy.locked():
            return
        charon, ident = kept.instance.charon, kept.tunnel.id
        async with kept.busy:
            try:
                if await loading.is_loaded(charon, ident):
                    return
                log.warning("others had charon unload the connection or key of %s: loading it again", ident)
                await self._load(kept)
            except (CharonError, DriverError) as error:
                log.warning("the connection of %s cannot be looked after: %s", ident, error)

    async def _sas_of(self, kept: _Kept) -> tuple[IkeSa, ...] | None:
        try:
            entries = await kept.instance.charon.list_sas()
        except CharonError as error:
            log.warning("the SAs of %s cannot be read: %s", kept.tunnel.id, error)
            return None
        found = codec.sas(entries, time.time()).get(kept.tunnel.id, ())
        return tuple(_on_wire(ike, kept.instance.ports) for ike in found)

    async def _end(self, kept: _Kept) -> None:
        instance, ident = kept.instance, kept.tunnel.id
        if instance.up:
            # One that does not answer is ended all the same.
            with contextlib.suppress(CharonError, TimeoutError):
                async with asyncio.timeout(3 * FAREWELL_S):
                    await instance.charon.terminate(
                        ike=codec.connection_name(ident), force=True, wait=FAREWELL_S
                    )
        await instance.stop()
        await interfaces.remove_of(ident)
        instance.home.remove()

    def _get(self, tunnel: SessionId) -> _Kept:
        kept = self._kept.get(tunnel)
        if kept is None:
            raise DriverError(Cause.OTHER, f"tunnel {tunnel} was not brought up")
        if not kept.instance.up:
            raise DriverError(Cause.CHARON_DOWN, f"the charon of {tunnel} does not run")
        return kept

    # Firewall -------------------------------------------------------------------------------

    def _refuse_ambiguous(self, kept: _Kept) -> None:
        """Behind a NAT our public address is not here, and packets are told apart by the peer's alone."""
        if not kept.any_local:
            return
        others = [other.tunnel for other in self._kept.values() if other is not kept and other.any_local]
        try:
            refuse_ambiguous(kept.tunnel, others)
        except DriverError:
            kept.mtu = None  # its packets are translated no more: rules for both would be refused
            raise

    async def _apply_firewall(self) -> None:
        await self._firewall.apply(list(self._translations()), list(self._clamps()))

    def _translations(self) -> Iterator[Translation]:
        for kept in self._kept.values():
            if kept.mtu is not None:
                local: IPv4Address | None = None if kept.any_local else kept.tunnel.local
                ports = kept.instance.ports
                yield Translation(kept.tunnel.remote, local, ports.ike, ports.nat)

    def _clamps(self) -> Iterator[Clamp]:
        for kept in self._kept.values():
            if kept.mtu is not None:
                yield Clamp(kept.tunnel.interface, kept.mtu)


async def _mtu(tunnel: IpsecTunnel) -> int:
    """MTU of a tunnel's interface, in bytes. DriverError if the way to the peer leaves none."""
    if tunnel.mtu is not None:
        return min(tunnel.mtu, LARGEST_PACKET)
    try:
        mtu = tunnel_mtu(await interfaces.path_mtu(tunnel.remote), tunnel.ipsec, encapsulated=True)
        return min(mtu, LARGEST_PACKET)
    except ValueError as error:
        raise DriverError(Cause.INTERFACE_FAILED, str(error)) from error


def _on_wire(ike: IkeSa, ports: Ports) -> IkeSa:
    """An SA with the port that its peer sees, not the one that charon has of its own."""
    port = {ports.ike: IKE_PORT, ports.nat: NAT_PORT}.get(ike.local_port, ike.local_port)
    return replace(ike, local_port=port)
