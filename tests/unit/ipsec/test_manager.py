"""The manager with a simulated charon, in simulated time."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from bgpsvc.effects import Log
from bgpsvc.events import IpsecChanged
from bgpsvc.ipsec.manager import POLL_S, TAKE_DOWN_RETRY_S, Tunnels
from bgpsvc.ipsec.model import Cause, IkeSa, IpsecStatus
from bgpsvc.ipsec.port import DriverError
from bgpsvc.model import SessionId
from tests.fakes.driver import REFUSAL, FakeDriver, clock, established, simulate
from tests.unit.ipsec.support import tunnel

T1, T2 = tunnel(1), tunnel(2)
BOTH = {T1.id: T1, T2.id: T2}


class Rig:
    """Tunnels over a fake driver, with what they told."""

    def __init__(self, driver: FakeDriver | None = None) -> None:
        self.driver = driver or FakeDriver()
        self.changes: list[IpsecChanged] = []
        self.logs: list[Log] = []
        self.tunnels = Tunnels(self.driver, self.changes.append, self.logs.append, clock)
        self.driver.on_signal = self.tunnels.hear

    def told(self, ident: SessionId) -> list[bool]:
        return [change.up for change in self.changes if change.tunnel == ident]

    def kinds(self) -> list[str]:
        return [log.kind for log in self.logs]

    async def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        end = clock() + seconds
        while not condition():
            assert clock() < end, f"not within {seconds} simulated seconds"
            await asyncio.sleep(0.05)

    def up(self, ident: SessionId) -> bool:
        state = self.tunnels.state(ident)
        return state is not None and state.status is IpsecStatus.IPSEC_SA_ESTABLISHED

    async def start(self) -> None:
        """Both tunnels made and negotiated."""
        await self.tunnels.start(BOTH)
        await self.until(lambda: self.up(T1.id) and self.up(T2.id))
        self.driver.calls.clear()


def simulated(test: Callable[[Rig], Awaitable[None]]) -> Callable[[], None]:
    """Run a test in simulated time, and stop the tunnels after it."""

    async def run() -> None:
        rig = Rig()
        try:
            await test(rig)
        finally:
            await rig.tunnels.stop(keep=False)

    def work() -> None:
        simulate(run)

    work.__name__ = test.__name__
    return work


@simulated
async def test_tunnels_come_up(rig: Rig) -> None:
    await rig.tunnels.start(BOTH)
    await rig.until(lambda: rig.up(T1.id) and rig.up(T2.id))
    assert rig.told(T1.id) == rig.told(T2.id) == [False, True]
    assert sorted(rig.kinds()) == ["ipsec.up", "ipsec.up"]
    assert set(rig.tunnels.states()) == set(BOTH)
    assert rig.tunnels.driver == "userspace"


@simulated
async def test_what_a_former_daemon_left_is_adopted_without_a_flap(rig: Rig) -> None:
    for number, wanted in enumerate(BOTH.values(), 1):
        rig.driver.made[wanted.id] = wanted
        rig.driver.held[wanted.id] = (established(wanted, number, clock()),)
    await rig.tunnels.start(BOTH)
    assert rig.told(T1.id) == rig.told(T2.id) == [True]
    assert rig.driver.count("initiate") == rig.driver.count("terminate") == 0
    await asyncio.sleep(60)
    assert (len(rig.changes), rig.logs) == (2, [])


@simulated
async def test_a_tunnel_that_cannot_be_made_stops_no_other(rig: Rig) -> None:
    rig.driver.broken[T1.id] = DriverError(Cause.INTERFACE_FAILED, "an interface of that name exists")
    await rig.tunnels.start(BOTH)
    state = rig.tunnels.state(T1.id)
    assert state is not None
    assert (state.reason, state.retry_at is not None) == ("an interface of that name exists", True)
    await rig.until(lambda: rig.up(T2.id))
    assert not rig.up(T1.id)
    del rig.driver.broken[T1.id]
    await rig.until(lambda: rig.up(T1.id))
    assert rig.told(T1.id) == [False, True]


@simulated
async def test_apply_touches_only_what_differs(rig: Rig) -> None:
    await rig.start()
    other = tunnel(1, ike={"pre_shared_key": "Other-Key"})
    await rig.tunnels.apply({T1.id: other, T2.id: T2})
    assert rig.told(T1.id) == [False, True, False], "told before apply returns"
    await rig.until(lambda: rig.up(T1.id))
    assert {whom for _, what, whom in rig.driver.calls if what != "sas"} == {T1.id}
    assert rig.driver.made[T1.id] == other
    assert rig.told(T2.id) == [False, True]


@simulated
async def test_apply_takes_down_and_brings_up(rig: Rig) -> None:
    await rig.tunnels.start({T1.id: T1})
    await rig.until(lambda: rig.up(T1.id))
    await rig.tunnels.apply({T2.id: T2})
    assert set(rig.driver.made) == {T2.id}
    assert rig.driver.held.get(T1.id) is None
    assert rig.tunnels.state(T1.id) is None
    order = [(what, whom) for _, what, whom in rig.driver.calls]
    assert order.index(("take_down", T1.id)) < order.index(("bring_up", T2.id)), "their addresses may be one"
    await rig.until(lambda: rig.up(T2.id))


@simulated
async def test_a_tunnel_that_cannot_be_taken_down_is_tried_again(rig: Rig) -> None:
    await rig.start()
    rig.driver.undead[T1.id] = DriverError(Cause.CHARON_DOWN, "charon does not answer")
    await rig.tunnels.apply({T2.id: T2})
    assert rig.kinds()[-1] == "ipsec.error"
    del rig.driver.undead[T1.id]
    await asyncio.sleep(TAKE_DOWN_RETRY_S + 1)
    assert set(rig.driver.made) == {T2.id}


@simulated
async def test_a_full_disk_or_no_more_processes_end_nothing(rig: Rig) -> None:
    await rig.start()
    full = OSError(errno.ENOSPC, "No space left on device")
    rig.driver.broken[T1.id] = rig.driver.undead[T2.id] = full
    await rig.tunnels.apply({T1.id: replace(T1, mtu=1300)})
    state = rig.tunnels.state(T1.id)
    assert state is not None
    assert state.last_error is not None
    assert "No space left" in state.last_error.text
    assert [log.subject for log in rig.logs if log.kind == "ipsec.error"] == [T2.id, T1.id]
    sas = rig.driver.sas

    async def no_more() -> dict[SessionId, tuple[IkeSa, ...]]:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    rig.driver.sas = no_more  # type: ignore[method-assign]
    await asyncio.sleep(POLL_S * 2)
    rig.driver.sas = sas  # type: ignore[method-assign]
    rig.driver.broken.clear()
    rig.driver.undead.clear()
    await asyncio.sleep(TAKE_DOWN_RETRY_S * 2)
    assert rig.driver.made == {T1.id: replace(T1, mtu=1300)}


@simulated
async def test_a_tunnel_that_comes_back_while_it_is_taken_down_again_is_made_after_that(rig: Rig) -> None:
    await rig.start()
    rig.driver.undead[T1.id] = DriverError(Cause.CHARON_DOWN, "charon does not answer")
    await rig.tunnels.apply({T2.id: T2})
    del rig.driver.undead[T1.id]
    rig.driver.slow_end = asyncio.Event()
    await asyncio.sleep(TAKE_DOWN_RETRY_S + 1)
    wanting = asyncio.create_task(rig.tunnels.apply(BOTH))
    await asyncio.sleep(1)
    rig.driver.slow_end.set()
    await wanting
    await asyncio.sleep(1)
    assert set(rig.driver.made) == set(BOTH)


@simulated
async def test_a_removed_tunnel_is_told_to_be_down_and_one_that_comes_back_to_be_up_again(rig: Rig) -> None:
    await rig.start()
    await rig.tunnels.apply({T2.id: T2})
    assert rig.told(T1.id) == [False, True, False]
    await rig.tunnels.apply(BOTH)
    await rig.until(lambda: rig.up(T1.id))
    assert rig.told(T1.id)[-1]
    assert all(rig.told(T2.id)[1:])


@simulated
async def test_a_tunnel_that_comes_back_is_not_taken_down_again(rig: Rig) -> None:
    await rig.start()
    rig.driver.undead[T1.id] = DriverError(Cause.CHARON_DOWN, "charon does not answer")
    await rig.tunnels.apply({T2.id: T2})
    del rig.driver.undead[T1.id]
    await rig.tunnels.apply(BOTH)
    await asyncio.sleep(TAKE_DOWN_RETRY_S * 2)
    assert rig.up(T1.id)
    assert rig.driver.count("take_down", T1.id) == 1


@simulated
async def test_loss_is_told_within_the_signal(rig: Rig) -> None:
    await rig.start()
    rig.driver.peer_deletes(T1.id)
    assert rig.told(T1.id)[-1] is False, "nobody had to wait"
    assert rig.changes[-1].reason == "the peer ended the IKE SA"
    await rig.until(lambda: rig.up(T1.id))
    assert rig.kinds()[-2:] == ["ipsec.down", "ipsec.up"]


@simulated
async def test_child_that_the_peer_ends_is_negotiated_again(rig: Rig) -> None:
    await rig.start()
    rig.driver.peer_deletes_child(T1.id)
    assert rig.told(T1.id)[-1] is False
    await rig.until(lambda: rig.up(T1.id))


@simulated
async def test_charon_dies_and_comes_back(rig: Rig) -> None:
    await rig.start()
    rig.driver.kill(T1.id)
    assert rig.told(T1.id)[-1] is False
    assert rig.kinds()[-2:] == ["ipsec.down", "charon.down"]
    assert rig.told(T2.id) == [False, True]
    rig.driver.revive(T1.id)
    await rig.until(lambda: rig.up(T1.id))
    assert "charon.up" in rig.kinds()


@simulated
async def test_charon_that_stays_away_is_asked_now_and_then(rig: Rig) -> None:
    await rig.start()
    rig.driver.kill(T1.id)
    await asyncio.sleep(120)
    asked = rig.driver.times("bring_up", T1.id)
    assert 5 <= len(asked) <= 20
    rig.driver.down.discard(T1.id)  # nobody tells
    await rig.until(lambda: rig.up(T1.id))


@simulated
async def test_refusals_are_told_once_and_tried_again(rig: Rig) -> None:
    rig.driver.peers[T1.id] = REFUSAL
    await rig.tunnels.start(BOTH)
    await asyncio.sleep(100)
    assert 10 <= rig.driver.count("initiate", T1.id) <= 20
    assert [log.subject for log in rig.logs if log.kind == "ipsec.error"] == [T1.id]
    state = rig.tunnels.state(T1.id)
    assert state is not None
    assert state.last_error is not None
    assert state.last_error.cause is Cause.AUTHENTICATION_FAILED
    rig.driver.peers[T1.id] = "answers"
    await rig.until(lambda: rig.up(T1.id), 11)


@simulated
async def test_silence_then_answer(rig: Rig) -> None:
    rig.driver.peers[T1.id] = "silent"
    await rig.tunnels.start({T1.id: T1})
    await asyncio.sleep(60)
    state = rig.tunnels.state(T1.id)
    assert state is not None
    assert state.last_error is not None
    assert state.last_error.cause is Cause.PEER_NOT_RESPONDING
    rig.driver.peers[T1.id] = "answers"
    await rig.until(lambda: rig.up(T1.id), 12)


@simulated
async def test_sa_that_vanished_is_noticed_by_reading(rig: Rig) -> None:
    await rig.start()
    del rig.driver.held[T1.id]
    await asyncio.sleep(POLL_S + 1)
    assert rig.told(T1.id) == [False, True, False, True]


@simulated
async def test_what_was_read_before_an_event_is_not_believed(rig: Rig) -> None:
    await rig.start()
    rig.driver.slow_read = asyncio.Event()
    rig.driver.calls.clear()
    await rig.until(lambda: rig.driver.count("sas") == 1, POLL_S + 1)
    rig.driver.peers[T1.id] = "silent"
    rig.driver.peer_deletes(T1.id)
    rig.driver.slow_read.set()
    rig.driver.slow_read = None
    await asyncio.sleep(1)
    assert rig.told(T1.id) == [False, True, False]


@simulated
async def test_a_slow_reading_delays_nothing_else(rig: Rig) -> None:
    await rig.start()
    rig.driver.slow_read = asyncio.Event()
    await asyncio.sleep(POLL_S + 1)
    rig.driver.peer_deletes(T1.id)
    await rig.until(lambda: rig.up(T1.id), 5)
    rig.driver.slow_read.set()


@simulated
async def test_restart(rig: Rig) -> None:
    await rig.start()
    await rig.tunnels.restart(T1.id)
    assert rig.told(T1.id) == [False, True, False]
    assert rig.driver.count("terminate", T1.id) == 1
    await rig.until(lambda: rig.up(T1.id))
    assert rig.told(T2.id) == [False, True]
    with pytest.raises(KeyError):
        await rig.tunnels.restart(SessionId("nobody"))


@simulated
async def test_traffic_is_waited_for(rig: Rig) -> None:
    lazy = replace(T1, immediately=False)
    await rig.tunnels.start({T1.id: lazy})
    await asyncio.sleep(30)
    assert rig.driver.count("initiate") == 0
    rig.driver.packets[T1.id] = 1
    await rig.until(lambda: rig.up(T1.id), 5)


@simulated
async def test_of_two_ike_sas_one_is_ended(rig: Rig) -> None:
    await rig.start()
    rig.driver.establish(T1.id, initiator=False)

    def several(ident: SessionId) -> tuple[IkeSa, ...]:
        return rig.driver.held[ident]

    newest = several(T1.id)[-1]
    await rig.until(lambda: several(T1.id) == (newest,))
    assert rig.told(T1.id) == [False, True]


@simulated
async def test_state_is_told_again_to_who_forgot_it(rig: Rig) -> None:
    await rig.start()
    rig.changes.clear()
    rig.tunnels.tell_again([T1.id, SessionId("nobody")])
    assert [(change.tunnel, change.up) for change in rig.changes] == [(T1.id, True)]


@simulated
async def test_what_one_tunnel_says_has_nobody_look_at_all_of_them(rig: Rig) -> None:
    await rig.start()
    looked = 0
    until_due = rig.tunnels._until_due

    async def counting() -> None:
        nonlocal looked
        looked += 1
        await until_due()

    rig.tunnels._until_due = counting  # type: ignore[method-assign]
    for _ in range(200):
        rig.driver.say(T1.id, "received packet: from 203.0.113.1[4500] to 198.51.100.1[4500] (80 bytes)")
        await asyncio.sleep(0.01)
    assert looked < 20


@simulated
async def test_rekeys_are_counted(rig: Rig) -> None:
    await rig.start()
    rig.driver.rekey(T1.id)
    state = rig.tunnels.state(T1.id)
    assert state is not None
    assert (state.rekey_count, rig.kinds()[-1], rig.told(T1.id)) == (1, "ipsec.rekeyed", [False, True])


@simulated
async def test_a_defect_is_raised(rig: Rig) -> None:
    await rig.start()

    async def broken() -> dict[SessionId, tuple[IkeSa, ...]]:
        raise ZeroDivisionError

    rig.driver.sas = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        await rig.tunnels.failed()


@pytest.mark.parametrize("keep", [True, False])
def test_stop(keep: bool) -> None:
    async def work() -> None:
        rig = Rig()
        await rig.start()
        await rig.tunnels.stop(keep)
        assert rig.driver.stopped is keep
        told = len(rig.changes)
        rig.driver.peer_deletes(T1.id)
        assert len(rig.changes) == told, "nobody listens any more"

    simulate(work)


@pytest.mark.parametrize("driver", [None, FakeDriver("external")])
def test_without_driver_every_tunnel_says_so(driver: FakeDriver | None) -> None:
    async def work() -> None:
        changes: list[IpsecChanged] = []
        why = "no tunnel can be made here: no /dev/net/tun"
        tunnels = Tunnels(driver, changes.append, lambda log: None, clock, why)
        await tunnels.start({T1.id: T1})
        await tunnels.apply(BOTH)
        await tunnels.apply(BOTH)
        assert [(change.tunnel, change.up) for change in changes] == [(T1.id, False), (T2.id, False)]
        state = tunnels.state(T1.id)
        assert state is not None
        assert state.status is IpsecStatus.IKE_SA_NOT_ESTABLISHED
        assert state.last_error is not None
        assert state.last_error.cause is Cause.NO_DRIVER
        assert state.reason == state.last_error.text == "no tunnel can be made here: no /dev/net/tun"
        assert tunnels.driver == "external"
        await tunnels.apply({T2.id: T2})
        assert set(tunnels.states()) == {T2.id}
        with pytest.raises(DriverError, match="no /dev/net/tun"):
            await tunnels.restart(T2.id)
        await tunnels.stop(keep=False)

    simulate(work)
