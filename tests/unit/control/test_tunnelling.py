"""The tunnels beside the rest of the daemon: begun in the background, tried again, followed, measured."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import pytest

from bgpsvc import tunnelling
from bgpsvc.effects import Log
from bgpsvc.engine import Engine
from bgpsvc.events import IpsecChanged
from bgpsvc.ipsec.choose import CannotChoose, Choice, Finding, Findings
from bgpsvc.ipsec.model import Cause, IpsecTunnel
from bgpsvc.ipsec.port import DriverError
from bgpsvc.ipsec_metrics import IpsecCollector
from bgpsvc.metrics import exposition
from bgpsvc.tunnelling import RETRY_SECONDS, STARTED_SECONDS, Tunnelling, chosen
from tests.fakes.driver import REFUSAL, FakeDriver, clock, simulate
from tests.unit.core.made import made_intent
from tests.unit.support import T1, T2, intent

CHOICE = Choice("userspace", "it is there")
NOTHING = intent().model_copy(update={"vpn_connections": ()})


class Driver(FakeDriver):
    """Its start fails as often as `refusals` has errors, and takes `seconds`."""

    def __init__(self) -> None:
        super().__init__("userspace")
        self.refusals: list[Exception] = []
        self.seconds = 0.0

    async def start(self, tunnels: Collection[IpsecTunnel]) -> None:
        await asyncio.sleep(self.seconds)
        if self.refusals:
            raise self.refusals.pop(0)
        await super().start(tunnels)


class Rig:
    """Tunnels of a daemon, with what they told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, choice: Choice = CHOICE) -> None:
        self.driver = Driver()
        monkeypatch.setattr(
            tunnelling, "_driver", lambda choice, *_: None if choice.name == "external" else self.driver
        )
        self.told: list[IpsecChanged] = []
        self.logs: list[Log] = []
        here = Path("/nowhere")
        self.tunnels = Tunnelling(choice, here / "charon.vici", here, self.told.append, self.logs.append)
        self.driver.on_signal = self.tunnels._tunnels.hear

    async def until_up(self) -> None:
        end = clock() + 60
        while {change.tunnel for change in self.told if change.up} != {T1, T2}:
            assert clock() < end, "both tunnels are up"
            await asyncio.sleep(0.1)


def run(monkeypatch: pytest.MonkeyPatch, story: Callable[[Rig], Awaitable[None]], **more: Choice) -> None:
    """In simulated time; the tunnels are stopped at the end."""

    async def life() -> None:
        rig = Rig(monkeypatch, **more)
        try:
            await story(rig)
        finally:
            await rig.tunnels.stop(keep=False)

    simulate(life)


def test_a_start_makes_the_tunnels_and_following_an_intent_changes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(rig: Rig) -> None:
        await rig.tunnels.start(made_intent)
        await rig.until_up()
        assert rig.tunnels.ready(made_intent()) == (True, "userspace: it is there")
        assert rig.tunnels.leaving(made_intent()) == frozenset()
        assert rig.tunnels.leaving(NOTHING) == {"conn1-tunnel1", "conn1-tunnel2"}
        await rig.tunnels.follow(NOTHING)
        assert rig.driver.made == {}
        assert rig.tunnels.states() == {}

    run(monkeypatch, story)


@pytest.mark.parametrize("error", [OSError("no disk"), DriverError(Cause.CHARON_DOWN, "install charon")])
def test_a_start_that_fails_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def story(rig: Rig) -> None:
        rig.driver.refusals = [error]
        began = clock()
        await rig.tunnels.start(made_intent)
        assert clock() - began >= RETRY_SECONDS
        assert [log.message for log in rig.logs if log.kind == "ipsec.error"] == [
            f"the tunnels cannot be begun, tried again: {error}"
        ]
        await rig.until_up()
        assert rig.tunnels.ready(made_intent())[0]

    run(monkeypatch, story)


def test_a_change_does_not_wait_for_tunnels_that_cannot_be_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(rig: Rig) -> None:
        wanted = made_intent()
        rig.driver.refusals = [OSError("no disk")] * 20
        await rig.tunnels.start(lambda: wanted)
        began = clock()
        await rig.tunnels.follow(NOTHING)
        assert clock() - began < RETRY_SECONDS
        wanted = NOTHING
        end = clock() + 60 * RETRY_SECONDS
        while not rig.tunnels.ready(NOTHING)[0]:
            assert clock() < end, "they are begun when they can be"
            await asyncio.sleep(RETRY_SECONDS)
        assert rig.driver.made == {}

    run(monkeypatch, story)


def test_a_tunnel_that_was_deleted_and_made_again_at_once_is_as_up_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(rig: Rig) -> None:
        await rig.tunnels.start(made_intent)
        await rig.until_up()
        engine = Engine(made_intent(), 0.0)
        for wanted in (NOTHING, made_intent()):
            engine.reconfigure(wanted, 1.0)
        rig.told.clear()
        await rig.tunnels.follow(engine.intent)
        assert rig.told == []
        rig.tunnels.tell_again([ident for ident, t in engine.tunnels.items() if t.ipsec_up is False])
        assert {change.tunnel: change.up for change in rig.told} == {T1: True, T2: True}

    run(monkeypatch, story)


def test_the_rest_of_the_daemon_does_not_wait_for_ever_but_a_change_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(rig: Rig) -> None:
        rig.driver.seconds = 60
        began = clock()
        await rig.tunnels.start(made_intent)
        assert clock() - began == STARTED_SECONDS
        assert rig.tunnels.ready(made_intent()) == (False, "userspace: it is there; being begun")
        state = rig.tunnels.state(T1, "conn1-tunnel1")
        assert (state.driver, state.interface, state.reason) == ("userspace", "conn1-tunnel1", "not made yet")
        await rig.tunnels.follow(NOTHING)
        assert clock() - began >= 60
        assert rig.driver.made == {}

    run(monkeypatch, story)


def test_what_was_not_begun_is_not_taken_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(rig: Rig) -> None:
        await rig.tunnels.stop(keep=False)
        assert rig.driver.stopped is None, "another daemon may have it"
        await rig.tunnels.start(made_intent)
        await rig.tunnels.stop(keep=False)
        assert rig.driver.stopped is False

    run(monkeypatch, story)


def test_a_stop_that_leaves_something_behind_is_still_a_stop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(keep: bool) -> None:
        raise DriverError(Cause.INTERFACE_FAILED, "the interface is busy")

    async def story(rig: Rig) -> None:
        await rig.tunnels.start(made_intent)
        rig.driver.stop = refuse  # type: ignore[method-assign]

    run(monkeypatch, story)
    assert "not every tunnel could be taken down: the interface is busy" in caplog.text


def test_a_daemon_that_makes_no_tunnels_says_so_where_some_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(rig: Rig) -> None:
        await rig.tunnels.start(made_intent)
        assert rig.tunnels.ready(made_intent()) == (False, "external: no charon")
        assert rig.tunnels.ready(intent()) == (True, "external: no charon")
        assert rig.tunnels.state(T1, "conn1-tunnel1").driver == "external"
        assert rig.tunnels.leaving(intent()) == {"conn1-tunnel1", "conn1-tunnel2"}
        await rig.tunnels.follow(intent())
        assert rig.tunnels.states() == {}

    run(monkeypatch, story, choice=Choice("external", "no charon", ("no charon",)))


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        (Choice("external", "asked for"), "it was started with --ipsec external"),
        (Choice("external", "no tunnel can be made here: no charon", ("no charon",)), "here: no charon"),
    ],
)
def test_who_makes_no_tunnels_says_why(monkeypatch: pytest.MonkeyPatch, choice: Choice, reason: str) -> None:
    async def story(rig: Rig) -> None:
        await rig.tunnels.start(made_intent)
        assert rig.tunnels.state(T1, "conn1-tunnel1").reason.endswith(reason)

    run(monkeypatch, story, choice=choice)


def test_metrics_of_the_tunnels(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(rig: Rig) -> None:
        rig.driver.peers[T2] = REFUSAL
        await rig.tunnels.start(made_intent)
        end = clock() + 60
        while not any(log.kind == "ipsec.error" for log in rig.logs) or not any(c.up for c in rig.told):
            assert clock() < end
            await asyncio.sleep(0.1)
        engine = Engine(made_intent(), 0.0)
        text = exposition(IpsecCollector(engine, rig.tunnels.states(), "userspace")).decode()
        one = f'connection="conn1",role="active",session="{T1}"'
        two = f'connection="conn1",role="standby",session="{T2}"'
        for line in (
            'bgpsvc_ipsec_driver_info{driver="userspace"} 1.0',
            f"bgpsvc_ipsec_up{{{one}}} 1.0",
            f"bgpsvc_ipsec_status{{{one}}} 3.0",
            f"bgpsvc_ipsec_established_total{{{one}}} 1.0",
            f"bgpsvc_ipsec_up{{{two}}} 0.0",
            f"bgpsvc_ipsec_status{{{two}}} 0.0",
        ):
            assert f"{line}\n" in text
        assert f'cause="authentication_failed",{two}' in text
        counted = 'bgpsvc_ipsec_bytes_total{connection="conn1",direction="in",role='
        assert f'{counted}"active"' in text
        assert f'{counted}"standby"' not in text

    run(monkeypatch, story)


def test_the_driver_is_chosen_by_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    no, yes = Finding(False, "the kernel has none"), Finding(True, "found")
    findings = Findings(no, no, yes, no, yes, yes, yes)

    async def examine(_socket: Path) -> Findings:
        return findings

    monkeypatch.setattr(tunnelling, "examine", examine)
    socket = Path("/run/charon.vici")
    assert asyncio.run(chosen("auto", socket)).name == "userspace"
    assert asyncio.run(chosen("external", socket)).name == "external"
    with pytest.raises(CannotChoose, match="the kernel has none"):
        asyncio.run(chosen("xfrm", socket))
