"""The xfrm driver while charon comes and goes: what it loads, what it tells, what it says meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from bgpsvc.ipsec import xfrm
from bgpsvc.ipsec.choose import Finding
from bgpsvc.ipsec.model import Cause, IpsecTunnel
from bgpsvc.ipsec.port import CharonDown, CharonUp, DriverError, Logged, Signal
from bgpsvc.ipsec.vici import CharonLost
from bgpsvc.ipsec.xfrm_links import XfrmLink
from bgpsvc.model import SessionId
from tests.unit.ipsec.support import tunnel
from tests.unit.ipsec.test_shared_charon import FakeCharon

ONE, TWO = tunnel(1), tunnel(2)


class FakeSystem(FakeCharon):
    """A charon that can be stopped and started. Stopped, it forgets everything and nobody reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.running = True
        self.asked = 0
        self.refused_again = asyncio.Event()
        self.loaded = asyncio.Event()
        self._told: tuple[Callable[[str, dict[str, Any]], None], Callable[[str], None]] | None = None

    def stop(self) -> None:
        self.running = False
        self.conns, self.keys, self.sas = {}, {}, {}
        if self._told is not None:
            self._told[1]("charon closed the connection")
        self._told = None

    def start(self) -> None:
        self.running = True

    async def load_conn(self, name: str, connection: Mapping[str, object]) -> None:
        await super().load_conn(name, connection)
        self.loaded.set()

    def say(self, **message: str) -> None:
        self.tell("log", message)

    def tell(self, event: str, message: dict[str, Any]) -> None:
        assert self._told is not None
        self._told[0](event, message)

    async def listen(self, on_event: Any, on_lost: Any) -> None:
        if not self.running:
            raise CharonLost("charon's socket: Connection refused")
        self._told = (on_event, on_lost)

    async def close(self) -> None:
        self._told = None

    async def answers(self) -> Finding:
        self.asked += 1
        if self.asked > 3:
            self.refused_again.set()
        return Finding(self.running, "it answers" if self.running else "no charon answers: start strongSwan")


class FakeLinks:
    """Interfaces that are there."""

    def __init__(self) -> None:
        self.made: dict[SessionId, XfrmLink] = {}
        self.absent: set[IPv4Address] = set()
        """Addresses that are on no interface."""

    async def start(self, wanted: Collection[SessionId]) -> None:
        self.made = {ident: link for ident, link in self.made.items() if ident in wanted}

    async def make(self, wished: IpsecTunnel) -> XfrmLink:
        return self.made.setdefault(wished.id, XfrmLink(1000 + wished.number, 1422))

    async def has_address(self, address: IPv4Address) -> bool:
        return address not in self.absent

    async def remove(self, ident: SessionId) -> None:
        self.made.pop(ident, None)

    async def check(self) -> None:
        """Nothing removes them."""

    async def stop(self) -> None:
        self.made.clear()


class Bench:
    """The driver on its fakes, and what it told."""

    def __init__(self, path: Path, charon: FakeSystem, links: FakeLinks) -> None:
        self.charon, self.links = charon, links
        self.told: list[Signal] = []
        self._heard = asyncio.Event()
        self.driver = xfrm.Xfrm(path / "charon.vici", path, self._on_signal)
        self.driver._charon.vici = charon  # type: ignore[assignment]
        self.driver._links = links  # type: ignore[assignment]

    def _on_signal(self, signal: Signal) -> None:
        self.told.append(signal)
        self._heard.set()

    async def until_told(self, kind: type[Signal]) -> Signal:
        async with asyncio.timeout(20):
            while not (found := [signal for signal in self.told if isinstance(signal, kind)]):
                self._heard.clear()
                await self._heard.wait()
        return found[-1]


Bencher = Callable[..., tuple[FakeSystem, FakeLinks]]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bencher:
    """Runs a body with a new driver and stops that; charon and interfaces stay from one run to the next."""
    charon, links = FakeSystem(), FakeLinks()
    monkeypatch.setattr(xfrm, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(xfrm, "RETRY_MOST_S", 0.001)

    async def answers(asked: FakeSystem) -> Finding:
        return await asked.answers()

    monkeypatch.setattr(xfrm, "answers", answers)

    def run(
        body: Callable[[Bench], Awaitable[None]], *, running: bool = True, keep: bool = True
    ) -> tuple[FakeSystem, FakeLinks]:
        charon.running = running

        async def life() -> None:
            it = Bench(tmp_path, charon, links)
            try:
                await body(it)
            finally:
                await it.driver.stop(keep)

        asyncio.run(life())
        return charon, links

    return run


def ours(charon: FakeSystem) -> set[str]:
    return {name for name in charon.conns if name.startswith("bgpsvc-")}


def test_a_restarted_charon_is_given_its_connections_again(bench: Bencher) -> None:
    async def body(b: Bench) -> None:
        await b.driver.start([ONE, TWO])
        for item in (ONE, TWO):
            made = await b.driver.bring_up(item)
            assert (made.interface, made.mtu, made.renewed) == (item.interface, 1422, False)
        b.told.clear()
        b.charon.stop()
        down = await b.until_told(CharonDown)
        assert down == CharonDown((ONE.id, TWO.id), "charon closed the connection")
        with pytest.raises(DriverError, match=r"charon closed the connection|start strongSwan") as raised:
            await b.driver.bring_up(ONE)
        assert raised.value.cause is Cause.CHARON_DOWN
        assert await b.driver.sas() == {}
        b.charon.start()
        assert await b.until_told(CharonUp) == CharonUp((ONE.id, TWO.id))
        assert ours(b.charon) == {"bgpsvc-conn1-tunnel1", "bgpsvc-conn1-tunnel2"}
        assert b.charon.conns["bgpsvc-conn1-tunnel2"]["if_id_in"] == "1002"

    bench(body)


def test_connections_that_somebody_unloads_are_noticed(
    bench: Bencher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xfrm, "CHECK_S", 0.001)

    async def body(b: Bench) -> None:
        await b.driver.start([ONE, TWO])
        for item in (ONE, TWO):
            await b.driver.bring_up(item)
        b.told.clear()
        await b.charon.unload_conn("bgpsvc-conn1-tunnel1")
        await b.charon.unload_shared("bgpsvc-conn1-tunnel2")
        async with asyncio.timeout(20):
            while len(ours(b.charon)) < 2 or "bgpsvc-conn1-tunnel2" not in b.charon.keys:
                b.charon.loaded.clear()
                await b.charon.loaded.wait()
        assert b.told == []

    bench(body)


def test_a_charon_that_comes_later_is_waited_for(bench: Bencher) -> None:
    async def body(b: Bench) -> None:
        await b.driver.start([ONE])  # returns though there is no charon
        assert await b.until_told(CharonDown) == CharonDown((ONE.id,), "no charon answers: start strongSwan")
        with pytest.raises(DriverError, match="start strongSwan"):
            await b.driver.bring_up(ONE)
        assert ONE.id in b.links.made
        await b.charon.refused_again.wait()
        b.charon.start()
        await b.until_told(CharonUp)
        assert ours(b.charon) == {"bgpsvc-conn1-tunnel1"}
        assert len([signal for signal in b.told if isinstance(signal, CharonDown)]) == 1

    bench(body, running=False)


def test_an_ordinary_end_removes_what_is_ours_and_a_keeping_one_nothing(bench: Bencher) -> None:
    async def body(b: Bench) -> None:
        await b.driver.start([ONE, TWO])
        for item in (ONE, TWO):
            await b.driver.bring_up(item)
        assert len(ours(b.charon)) == 2

    charon, links = bench(body, keep=True)
    assert len(ours(charon)) == len(links.made) == 2
    charon, links = bench(body, keep=False)
    assert (set(charon.conns), set(charon.keys), links.made) == ({"office"}, {"ike-office"}, {})


def test_what_a_former_daemon_had_and_nobody_wants_is_removed(bench: Bencher) -> None:
    async def both(b: Bench) -> None:
        await b.driver.start([ONE, TWO])
        for item in (ONE, TWO):
            await b.driver.bring_up(item)

    async def one(b: Bench) -> None:
        await b.driver.start([ONE])

    bench(both, keep=True)
    charon, links = bench(one, keep=True)
    assert ours(charon) == {"bgpsvc-conn1-tunnel1"}
    assert list(links.made) == [ONE.id]


def test_what_charon_refuses_to_end_is_said_and_keeps_nothing_else(bench: Bencher) -> None:
    async def body(b: Bench) -> None:
        await b.driver.start([ONE, TWO])
        for item in (ONE, TWO):
            await b.driver.bring_up(item)
        b.charon.immortal = {"bgpsvc-conn1-tunnel1"}
        with pytest.raises(DriverError, match="not all matching SAs could be terminated"):
            await b.driver.take_down(ONE.id)
        assert list(b.links.made) == [TWO.id]
        await b.driver.take_down(ONE.id)  # what was in its way is gone by now
        await b.driver.bring_up(ONE)
        b.charon.immortal = {"bgpsvc-conn1-tunnel1"}
        with pytest.raises(DriverError, match="not all matching SAs could be terminated"):
            await b.driver.stop(keep=False)
        assert not b.links.made
        assert not ours(b.charon)
        assert set(b.charon.keys) == {"ike-office"}

    bench(body)


def test_an_sa_that_nobody_wants_and_charon_keeps_delays_no_tunnel(bench: Bencher) -> None:
    async def one(b: Bench) -> None:
        await b.driver.start([ONE])
        await b.driver.bring_up(ONE)

    async def other(b: Bench) -> None:
        b.charon.immortal = {"bgpsvc-conn1-tunnel1"}
        await b.driver.start([TWO])
        await b.driver.bring_up(TWO)

    bench(one, keep=True)
    charon, _ = bench(other, keep=True)
    assert "bgpsvc-conn1-tunnel2" in ours(charon)


def test_an_event_that_is_not_understood_ends_nothing(bench: Bencher) -> None:
    async def body(b: Bench) -> None:
        await b.driver.start([ONE])
        b.charon.tell("ike-updown", {"up": "yes", "bgpsvc-conn1-tunnel1": {"uniqueid": "x"}})
        b.charon.say(**{"group": "IKE", "msg": "heard", "ikesa-name": "bgpsvc-conn1-tunnel1"})
        assert Logged(ONE.id, "IKE", "heard") in b.told

    bench(body)


def test_lines_of_others_are_not_told_and_those_of_a_peer_that_begins_are(bench: Bencher) -> None:
    async def body(b: Bench) -> None:
        await b.driver.start([ONE])
        b.told.clear()
        b.charon.say(
            **{"group": "IKE", "msg": "of the office", "ikesa-name": "office", "ikesa-uniqueid": "1"}
        )
        b.charon.say(**{"group": "IKE", "msg": "deleted", "ikesa-name": "bgpsvc-gone-tunnel1"})
        packet = "received packet: from 203.0.113.1[500] to 198.51.100.1[500] (464 bytes)"
        b.charon.say(**{"group": "NET", "msg": packet, "ikesa-uniqueid": "2"})
        b.charon.say(**{"group": "IKE", "msg": "no proposal chosen", "ikesa-uniqueid": "2"})
        b.charon.say(**{"group": "IKE", "msg": "no proposal chosen", "ikesa-uniqueid": "3"})
        lines = [Logged(ONE.id, "NET", packet, 2), Logged(ONE.id, "IKE", "no proposal chosen", 2)]
        assert b.told == lines

    bench(body)


def test_behind_a_nat_any_address_is_taken_and_two_tunnels_to_one_peer_are_refused(bench: Bencher) -> None:
    async def body(b: Bench) -> None:
        b.links.absent = {ONE.local, TWO.local}
        await b.driver.start([ONE, TWO])
        await b.driver.bring_up(ONE)
        made = b.charon.conns["bgpsvc-conn1-tunnel1"]
        assert made["local_addrs"] == ["%any"]
        assert made["local"] == {"auth": "psk", "id": str(ONE.local)}
        same = replace(TWO, remote=ONE.remote)
        with pytest.raises(DriverError, match="cannot be told apart") as raised:
            await b.driver.bring_up(same)
        assert raised.value.cause is Cause.INTERFACE_FAILED
        assert ours(b.charon) == {"bgpsvc-conn1-tunnel1"}
        # What charon logs of the peer's own attempts has the address that the machine really has.
        b.charon.say(
            group="NET",
            msg="received packet: from 203.0.113.1[500] to 10.9.1.2[500]",
            **{"ikesa-uniqueid": "7"},
        )
        heard = await b.until_told(Logged)
        assert isinstance(heard, Logged)
        assert heard.tunnel == ONE.id
        b.links.absent = {ONE.local}
        await b.driver.bring_up(same)
        assert b.charon.conns["bgpsvc-conn1-tunnel2"]["local_addrs"] == [str(TWO.local)]

    bench(body)


def test_without_a_key_nothing_is_made(bench: Bencher) -> None:
    async def body(b: Bench) -> None:
        await b.driver.start([])
        with pytest.raises(DriverError) as raised:
            await b.driver.bring_up(tunnel(1, ike={"pre_shared_key": None}))
        assert raised.value.cause is Cause.NO_PRE_SHARED_KEY
        assert not b.links.made

    bench(body)
