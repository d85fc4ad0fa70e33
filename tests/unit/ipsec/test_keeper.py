"""The state machine of one tunnel, step by step."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from itertools import pairwise
from typing import Any

import pytest

from bgpsvc.effects import Log
from bgpsvc.events import IpsecChanged
from bgpsvc.ipsec.actions import BringUp, Initiate, Output, Poll, ReadTraffic, Terminate
from bgpsvc.ipsec.attempts import ANSWER_S, BACKOFF_MOST_S, YIELD_S
from bgpsvc.ipsec.complaints import SAID_MOST
from bgpsvc.ipsec.keeper import Keeper
from bgpsvc.ipsec.model import Cause, DriverName, IkeSa, IpsecStatus, IpsecTunnel
from bgpsvc.ipsec.port import CharonDown, CharonUp, Logged, Made, SaChanged, SaRekeyed
from bgpsvc.ipsec.sas import DUPLICATES_LATER_S, DUPLICATES_S
from bgpsvc.resources.models import DpdSettings
from tests.fakes.driver import established
from tests.unit.ipsec.support import tunnel

HIGHER: dict[str, Any] = {"local": IPv4Address("203.0.113.1"), "remote": IPv4Address("198.51.100.1")}
REFUSED = "received AUTHENTICATION_FAILED notify error"


class Bench:
    """A keeper with its time, and all that it asked for and told."""

    def __init__(self, driver: DriverName = "userspace", **more: Any) -> None:
        self.tunnel: IpsecTunnel = tunnel(**more)
        self.now = 1000.0
        self.keeper = Keeper(self.tunnel, driver, self.now)
        self.told: list[bool] = []
        self.waiting: list[bool] = []
        self.reasons: list[str] = []
        self.logs: list[Log] = []

    def take(self) -> list[Output]:
        """What is to be done; what is told is put aside."""
        actions: list[Output] = []
        for output in self.keeper.take():
            match output:
                case IpsecChanged():
                    self.told.append(output.up)
                    self.waiting.append(output.waiting)
                    self.reasons.append(output.reason)
                case Log():
                    self.logs.append(output)
                case _:
                    actions.append(output)
        return actions

    def made(self, renewed: bool = False) -> Bench:
        """Interface and connection are there, the SAs were read: there are none."""
        self.keeper.tick(self.now)
        assert self.take() == [BringUp()]
        self.keeper.made(Made("ipsec-1", 1400, renewed), self.now)
        if not renewed:
            assert self.take() == [Poll()]
            self.keeper.seen((), self.now)
            assert self.take() == []
        return self

    def at_deadline(self) -> list[Output]:
        """Let the time pass until something is to be done."""
        deadline = self.keeper.deadline
        assert deadline is not None
        self.now = max(self.now, deadline)
        self.keeper.tick(self.now)
        return self.take()

    def after(self, seconds: float) -> list[Output]:
        """Let the time pass, ticking whenever it is asked for."""
        end, actions = self.now + seconds, []
        while (deadline := self.keeper.deadline) is not None and deadline <= end:
            actions += self.at_deadline()
        self.now = end
        return actions

    def say(self, message: str, ike_id: int | None = None) -> list[Output]:
        self.keeper.hear(Logged(self.tunnel.id, "IKE", message, ike_id), self.now)
        return self.take()

    def changed(self, what: Any, up: bool, ike: IkeSa) -> list[Output]:
        self.keeper.hear(SaChanged(self.tunnel.id, what, up, ike), self.now)
        return self.take()

    def sa(self, number: int = 1) -> IkeSa:
        return established(self.tunnel, number, self.now)

    def up(self, number: int = 1) -> IkeSa:
        """Negotiated, whoever began."""
        ike = self.sa(number)
        self.changed("ike", True, replace(ike, children=()))
        self.changed("child", True, ike)
        assert self.told[-1] is True
        return ike

    def status(self) -> IpsecStatus:
        return self.keeper.state().status

    def told_last(self) -> bool:
        return self.told[-1]

    def kinds(self) -> list[str]:
        return [log.kind for log in self.logs]


# Coming up -------------------------------------------------------------------------------------


def test_lower_address_begins_at_once() -> None:
    bench = Bench().made()
    assert bench.at_deadline() == [Initiate(), Poll()]
    assert bench.now == 1000.0
    assert (bench.told, bench.status()) == ([False], IpsecStatus.IKE_SA_NOT_ESTABLISHED)


def test_higher_address_waits_for_the_other() -> None:
    bench = Bench(**HIGHER).made()
    assert bench.keeper.state().retry_at == 1000.0 + YIELD_S
    assert bench.at_deadline() == [Initiate(), Poll()]
    assert bench.now == 1000.0 + YIELD_S


def test_higher_address_need_not_begin_if_the_other_did() -> None:
    bench = Bench(**HIGHER).made()
    bench.now += 0.5
    bench.up()
    assert (bench.keeper.deadline, bench.told) == (None, [False, True])


def test_statuses_on_the_way_up() -> None:
    bench = Bench().made()
    bench.at_deadline()
    ike = bench.sa()
    assert bench.changed("ike", True, replace(ike, children=())) == [Poll()]
    assert bench.status() is IpsecStatus.IKE_SA_ESTABLISHED
    bench.now += 1
    bench.changed("child", True, ike)
    state = bench.keeper.state()
    assert (state.status, state.since) == (IpsecStatus.IPSEC_SA_ESTABLISHED, 1001.0)
    assert (state.ike, state.mtu, state.established_count) == (ike, 1400, 1)
    assert state.reason == "ikev2 with 203.0.113.1"
    assert (bench.told, bench.kinds()) == ([False, True], ["ipsec.up"])


def test_sas_that_stand_already_are_taken_as_they_are() -> None:
    bench = Bench()
    bench.keeper.tick(bench.now)
    bench.keeper.made(Made("ipsec-1", 1400, False), bench.now)
    assert bench.told == []
    bench.keeper.seen((bench.sa(),), bench.now)
    assert bench.take() == [BringUp(), Poll()]
    assert (bench.told, bench.kinds(), bench.keeper.deadline) == ([True], [], None)


def test_sas_that_nobody_can_read_are_none_after_a_while() -> None:
    bench = Bench()
    bench.keeper.tick(bench.now)
    bench.keeper.made(Made("ipsec-1", 1400, False), bench.now)
    bench.take()
    assert bench.after(9) == []
    assert bench.told == []
    assert Initiate() in bench.after(2)
    assert bench.told == [False]


def test_what_cannot_be_made_is_tried_again() -> None:
    bench = Bench()
    bench.keeper.tick(bench.now)
    bench.take()
    waits = []
    for _ in range(6):
        bench.keeper.failed(BringUp(), Cause.INTERFACE_FAILED, "no such device", bench.now)
        bench.take()
        before = bench.now
        assert bench.at_deadline() == [BringUp()]
        waits.append(bench.now - before)
    assert waits == [1, 2, 4, 8, 10, 10]
    state = bench.keeper.state()
    assert state.last_error is not None
    assert (state.last_error.cause, state.reason) == (Cause.INTERFACE_FAILED, "no such device")
    assert (bench.told, bench.kinds()) == ([False], ["ipsec.error"])


# Attempts that fail ----------------------------------------------------------------------------


def test_back_off_between_refusals() -> None:
    bench = Bench().made()
    begun = []
    for number in range(1, 8):
        assert Initiate() in bench.at_deadline()
        begun.append(bench.now)
        bench.say(f"initiating IKE_SA bgpsvc-x[{number}] to 203.0.113.1", number)
        assert bench.say(REFUSED, number) == [Terminate(number)]
    assert [after - before for before, after in pairwise(begun)] == [1, 2, 4, 8, 10, 10]
    assert bench.kinds() == ["ipsec.error"], "the same error is said once"
    assert bench.told == [False]


def test_a_refused_attempt_has_the_connection_loaded_again() -> None:
    bench = Bench().made()
    assert bench.at_deadline() == [Initiate(), Poll()]
    bench.keeper.failed(Initiate(), Cause.OTHER, "CHILD_SA config 'bgpsvc-x' not found", bench.now)
    assert bench.take() == [BringUp()]
    bench.keeper.made(Made("ipsec-1", 1400, False), bench.now)
    bench.keeper.seen((), bench.now)
    assert bench.take() == [Poll()]
    assert bench.after(BACKOFF_MOST_S)[:2] == [Initiate(), Poll()]
    # Without a charon there is nothing to load it into, and somebody says when there is one.
    bench.keeper.failed(Initiate(), Cause.CHARON_DOWN, "charon does not run", bench.now)
    assert BringUp() not in bench.take()


def test_success_resets_the_back_off() -> None:
    bench = Bench().made()
    for _ in range(4):
        bench.at_deadline()
        bench.say(REFUSED)
    ike = bench.up()
    bench.changed("ike", False, ike)
    assert Initiate() in bench.at_deadline()
    began = bench.now
    bench.say(REFUSED)
    bench.at_deadline()
    assert bench.now - began == 1
    assert bench.kinds() == ["ipsec.error", "ipsec.up", "ipsec.down", "ipsec.error"]


def test_another_error_is_said_too() -> None:
    bench = Bench().made()
    bench.at_deadline()
    bench.say(REFUSED)
    bench.at_deadline()
    bench.say("giving up after 5 retransmits")
    bench.at_deadline()
    bench.say(REFUSED)
    assert [log.data["cause"] for log in bench.logs] == ["authentication_failed", "peer_not_responding"]


def test_a_peer_that_makes_up_faults_fills_no_log() -> None:
    bench = Bench().made()
    for number in range(3 * SAID_MOST):
        line = f"looking for peer configs matching 198.51.100.1[%any]...203.0.113.1[id{number}]"
        bench.say(line, 1000 + number)
        bench.say("no matching peer config found", 1000 + number)
    error = bench.keeper.state().last_error
    assert error is not None
    assert error.remote == f"id{3 * SAID_MOST - 1}"
    assert bench.kinds() == ["ipsec.error"] * SAID_MOST


def test_silence_ends_an_attempt() -> None:
    bench = Bench().made()
    bench.at_deadline()
    bench.say("retransmit 1 of request with message ID 0", 1)
    assert bench.at_deadline() == [Terminate()]
    assert bench.now == 1000.0 + ANSWER_S
    bench.keeper.terminated(bench.now)
    assert Poll() in bench.take()
    assert Initiate() in bench.at_deadline()
    error = bench.keeper.state().last_error
    assert error is not None
    assert (error.cause, error.time) == (Cause.PEER_NOT_RESPONDING, 1000.0 + ANSWER_S)


def test_a_slow_peer_has_more_time() -> None:
    bench = Bench().made()
    bench.at_deadline()
    bench.now += 8
    bench.say("received packet: from 203.0.113.1[500] to 198.51.100.1[500] (464 bytes)", 1)
    assert bench.keeper.deadline == 1000.0 + 8 + ANSWER_S
    for _ in range(20):
        bench.now += 8
        bench.say("parsed IKE_SA_INIT response 0 [ SA ]", 1)
    assert bench.at_deadline() == [Terminate()]
    error = bench.keeper.state().last_error
    assert error is not None
    assert error.cause is Cause.OTHER


def test_an_attempt_of_the_peer_that_fails_is_not_ours() -> None:
    bench = Bench().made()
    bench.at_deadline()
    bench.say("initiating IKE_SA bgpsvc-conn1-tunnel1[5] to 203.0.113.1", 5)
    assert bench.say("tried 1 shared key for 'a' - 'b', but MAC mismatched", 6) == []
    assert bench.keeper.deadline == 1000.0 + ANSWER_S
    assert "pre-shared keys differ" in bench.keeper.state().reason


def test_the_reason_that_is_known_stands_for_refusals_without_one() -> None:
    bench = Bench().made()
    bench.at_deadline()
    bench.say("looking for peer configs matching 198.51.100.1[198.51.100.1]...203.0.113.1[west.example]", 6)
    bench.say("no matching peer config found", 6)
    bench.now += 1
    bench.say(REFUSED, 7)
    error = bench.keeper.state().last_error
    assert error is not None
    assert (error.cause, error.remote, error.time) == (Cause.ID_MISMATCH, "west.example", 1001.0)
    bench.now += 120
    bench.say(REFUSED, 8)
    error = bench.keeper.state().last_error
    assert error is not None
    assert error.cause is Cause.AUTHENTICATION_FAILED


def _other_id(bench: Bench) -> None:
    bench.say("looking for peer configs matching 198.51.100.1[198.51.100.1]...203.0.113.1[west.example]", 6)
    bench.say("no matching peer config found", 6)


def test_it_does_not_stand_for_refusals_at_another_step() -> None:
    bench = Bench().made()
    bench.at_deadline()
    _other_id(bench)
    bench.say("received NO_PROPOSAL_CHOSEN notify error", 7)
    error = bench.keeper.state().last_error
    assert error is not None
    assert error.cause is Cause.IKE_PROPOSAL_MISMATCH


@pytest.mark.parametrize("restarted", [True, False])
def test_nor_once_it_was_begun_anew(restarted: bool) -> None:
    bench = Bench().made()
    bench.at_deadline()
    _other_id(bench)
    if restarted:
        bench.keeper.restart(bench.now)
    else:
        bench.keeper.configure(bench.tunnel)
    bench.say(REFUSED, 8)
    error = bench.keeper.state().last_error
    assert error is not None
    assert error.cause is Cause.AUTHENTICATION_FAILED


def test_attempt_that_charon_dropped_without_a_word() -> None:
    bench = Bench().made()
    bench.at_deadline()
    bench.keeper.seen((), bench.now + 0.1)
    assert bench.keeper.state().retry_at is None, "charon has had no time for it"
    bench.now += 5
    bench.keeper.seen((), bench.now)
    assert bench.keeper.state().retry_at == bench.now + 1


def test_phase_2_fails_below_an_ike_sa() -> None:
    bench = Bench().made()
    bench.at_deadline()
    bare = replace(bench.sa(), children=())
    bench.changed("ike", True, bare)
    assert bench.say("received TS_UNACCEPTABLE notify, no CHILD_SA built", 1) == []
    assert bench.status() is IpsecStatus.IPSEC_SA_NOT_ESTABLISHED
    bench.keeper.seen((bare,), bench.now)
    assert Initiate() in bench.at_deadline()
    bench.up()
    assert bench.status() is IpsecStatus.IPSEC_SA_ESTABLISHED


def test_peer_that_was_faster_leaves_one_sa() -> None:
    bench = Bench().made()
    bench.at_deadline()
    bench.say("initiating IKE_SA bgpsvc-conn1-tunnel1[5] to 203.0.113.1", 5)
    ike = bench.sa(6)
    assert Terminate(5) in bench.changed("child", True, ike)


# Going down ------------------------------------------------------------------------------------


def test_deleted_by_the_peer() -> None:
    bench = Bench().made()
    ike = bench.up()
    bench.say("received DELETE for IKE_SA bgpsvc-conn1-tunnel1[1]", 1)
    assert bench.told == [False, True]
    bench.changed("child", False, ike)
    bench.changed("ike", False, ike)
    assert (bench.told, bench.reasons[-1]) == ([False, True, False], "the peer ended the IKE SA")
    error = bench.keeper.state().last_error
    assert error is not None
    assert error.cause is Cause.DELETED_BY_PEER
    assert Initiate() in bench.at_deadline()


def test_what_went_wrong_before_it_came_up_is_not_why_it_goes_down() -> None:
    bench = Bench().made()
    bench.at_deadline()
    bench.say("giving up after 3 retransmits")
    ike = bench.up()
    bench.say("received DELETE for IKE_SA bgpsvc-conn1-tunnel1[1]", 1)
    bench.changed("child", False, ike)
    assert bench.reasons[-1] == "the peer ended the IKE SA"


def test_events_of_charon_overtake_its_log() -> None:
    bench = Bench().made()
    ike = bench.up()
    bench.changed("ike", False, ike)
    assert bench.told_last() is False
    bench.say("received DELETE for IKE_SA bgpsvc-conn1-tunnel1[1]", 1)
    state = bench.keeper.state()
    assert state.last_error is not None
    assert (state.last_error.cause, state.reason) == (Cause.DELETED_BY_PEER, "the peer ended the IKE SA")
    assert bench.kinds() == ["ipsec.up", "ipsec.down"]


def test_child_deleted_below_a_living_ike_sa() -> None:
    bench = Bench(**HIGHER).made()
    ike = bench.up()
    bench.changed("child", False, ike)
    assert (bench.told[-1], bench.status()) == (False, IpsecStatus.IKE_SA_ESTABLISHED)
    assert Initiate() in bench.at_deadline()
    assert bench.now == 1000.0 + YIELD_S


def test_rekey_is_no_loss() -> None:
    bench = Bench().made()
    old = bench.up()
    bench.say("received DELETE for ESP CHILD_SA with SPI c1cf5164", 1)
    fresh = replace(old, children=(replace(old.children[0], unique_id=2),))
    bench.keeper.hear(SaRekeyed(bench.tunnel.id, "child"), bench.now)
    bench.changed("child", True, fresh)
    bench.changed("child", False, old)
    state = bench.keeper.state()
    assert (bench.told, state.rekey_count, state.last_error) == ([False, True], 1, None)
    assert state.ike is not None
    assert [child.unique_id for child in state.ike.children] == [2]
    assert bench.kinds() == ["ipsec.up", "ipsec.rekeyed"]


def test_ike_sa_that_takes_over_the_children() -> None:
    bench = Bench().made()
    old = bench.up()
    fresh = replace(bench.sa(2), children=())
    bench.keeper.hear(SaRekeyed(bench.tunnel.id, "ike"), bench.now)
    bench.changed("ike", True, fresh)
    bench.keeper.seen((replace(fresh, children=old.children),), bench.now)
    bench.changed("ike", False, replace(old, children=()))
    assert bench.told == [False, True]


def test_sa_that_vanished_unnoticed() -> None:
    bench = Bench().made()
    bench.up()
    bench.keeper.seen((), bench.now)
    bench.take()
    assert bench.told_last() is False
    assert Initiate() in bench.at_deadline()


@pytest.mark.parametrize("question", ["sending DPD request", "retransmit 1 of request with message ID 3"])
def test_dead_peer(question: str) -> None:
    bench = Bench(dpd=DpdSettings(timeout=30)).made()
    bench.up()
    bench.now += 60
    bench.say(question, 1)
    asked = bench.now
    bench.now += 5
    bench.say("retransmit 2 of request with message ID 3", 1)
    assert bench.at_deadline() == [Terminate()]
    # 10 s of silence came before the question.
    assert bench.now == asked + 20
    assert (bench.told[-1], "30 s" in bench.reasons[-1]) == (False, True)
    error = bench.keeper.state().last_error
    assert error is not None
    assert error.cause is Cause.DPD_TIMEOUT


def test_peer_that_answers_is_not_dead() -> None:
    bench = Bench(dpd=DpdSettings(timeout=30)).made()
    bench.up()
    bench.say("sending DPD request", 1)
    bench.now += 15
    bench.say("received packet: from 203.0.113.1[4500] to 198.51.100.1[4500] (80 bytes)", 1)
    assert bench.keeper.deadline is None


def test_what_the_peer_says_elsewhere_is_no_answer() -> None:
    """It begins anew, as it lost the SA, or somebody sends packets in its name."""
    bench = Bench(dpd=DpdSettings(timeout=30)).made()
    bench.up(1)
    bench.say("sending DPD request", 1)
    bench.now += 15
    bench.say("received packet: from 203.0.113.1[500] to 198.51.100.1[500] (464 bytes)", 2)
    assert bench.keeper.deadline == 1000.0 + 20


def test_without_detection_nobody_is_dead() -> None:
    bench = Bench(dpd=DpdSettings(enabled=False)).made()
    bench.up()
    bench.say("retransmit 1 of request with message ID 3", 1)
    assert bench.keeper.deadline is None


def test_charon_that_dies() -> None:
    bench = Bench().made()
    bench.up()
    bench.keeper.hear(CharonDown((bench.tunnel.id,), "charon was killed"), bench.now)
    assert bench.take() == []
    assert (bench.told[-1], bench.reasons[-1]) == (False, "charon was killed")
    assert bench.keeper.state().ike is None
    bench.now += 2
    bench.keeper.hear(CharonUp((bench.tunnel.id,)), bench.now)
    assert bench.take() == [BringUp()]
    bench.keeper.made(Made("ipsec-1", 1400, False), bench.now)
    bench.keeper.seen((), bench.now)
    bench.take()
    assert Initiate() in bench.at_deadline()
    bench.up()
    assert bench.told == [False, True, False, True]


def test_charon_of_which_nobody_says_that_it_is_back() -> None:
    bench = Bench().made()
    bench.keeper.hear(CharonDown((bench.tunnel.id,), "gone"), bench.now)
    assert bench.at_deadline() == [BringUp()]


# Changes ---------------------------------------------------------------------------------------


def test_changed_settings_end_what_was_negotiated_before() -> None:
    bench = Bench().made()
    old = bench.up()
    bench.keeper.configure(tunnel(ike={"pre_shared_key": "Other-Key"}))
    assert bench.take() == [BringUp()]
    assert bench.told_last() is True
    bench.keeper.made(Made("ipsec-1", 1400, True), bench.now)
    assert Terminate() in bench.take()
    assert (bench.told[-1], bench.status()) == (False, IpsecStatus.IKE_SA_NOT_ESTABLISHED)
    assert "settings changed" in bench.reasons[-1]
    bench.keeper.terminated(bench.now)
    bench.take()
    # charon ends SAs behind its answer: this one does not count any more.
    bench.keeper.seen((old,), bench.now)
    bench.take()
    assert bench.told_last() is False
    assert Initiate() in bench.at_deadline()
    bench.up(2)
    assert bench.told == [False, True, False, True]


def test_sa_that_does_not_end_is_ended_again() -> None:
    bench = Bench().made()
    old = bench.up()
    bench.keeper.restart(bench.now)
    bench.keeper.terminated(bench.now)
    bench.take()
    bench.now += 11
    bench.keeper.seen((old,), bench.now)
    assert Terminate(old.unique_id) in bench.take()


def test_change_that_charon_does_not_see_disturbs_nothing() -> None:
    bench = Bench().made()
    bench.up()
    bench.keeper.configure(tunnel(mtu=1300))
    bench.take()
    bench.keeper.made(Made("ipsec-1", 1300, False), bench.now)
    assert bench.take() == [Poll()]
    assert (bench.told, bench.keeper.state().mtu) == ([False, True], 1300)


def test_end_that_fails_is_tried_again() -> None:
    bench = Bench().made()
    bench.up()
    bench.keeper.restart(bench.now)
    assert bench.take() == [Terminate()]
    bench.keeper.failed(Terminate(), Cause.CHARON_DOWN, "charon does not answer", bench.now)
    bench.take()
    assert bench.at_deadline() == [Terminate()]
    bench.keeper.terminated(bench.now)
    assert Initiate() in bench.at_deadline()


def test_restart() -> None:
    bench = Bench().made()
    bench.up()
    bench.keeper.restart(bench.now)
    assert bench.take() == [Terminate()]
    assert (bench.told[-1], bench.reasons[-1]) == (False, "restarted by the operator")
    bench.keeper.terminated(bench.now)
    bench.take()
    assert Initiate() in bench.at_deadline()


# Several SAs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("addresses", "patience"), [({}, DUPLICATES_S), (HIGHER, DUPLICATES_LATER_S)])
def test_of_two_ike_sas_the_newest_with_a_child_is_kept(addresses: dict[str, Any], patience: float) -> None:
    bench = Bench(**addresses).made()
    bench.up(1)
    bench.now += 1
    bench.up(2)
    bare = replace(bench.sa(3), children=())
    bench.changed("ike", True, bare)
    came = bench.now
    actions = bench.at_deadline()
    assert actions == [Terminate(1), Terminate(3), Poll()]
    assert bench.now == came + patience
    state = bench.keeper.state()
    assert state.ike is not None
    assert state.ike.unique_id == 2
    assert bench.told == [False, True]


def test_an_ike_sa_that_is_being_replaced_is_none_too_many() -> None:
    bench = Bench().made()
    old = bench.up(1)
    bench.keeper.seen((replace(old, state="DELETING"), bench.sa(2)), bench.now)
    assert bench.keeper.deadline is None


# On traffic ------------------------------------------------------------------------------------


def test_userspace_waits_for_packets() -> None:
    bench = Bench(immediately=False).made()
    assert bench.keeper.state().reason == "waits for traffic"
    assert bench.at_deadline() == [ReadTraffic()]
    bench.keeper.traffic(10, bench.now)
    for _ in range(5):
        assert bench.at_deadline() == [ReadTraffic()]
        bench.keeper.traffic(10, bench.now)
    bench.keeper.traffic(11, bench.now)
    assert Initiate() in bench.at_deadline()
    bench.up()
    assert bench.keeper.deadline is None


def test_packets_do_not_shorten_the_back_off() -> None:
    bench = Bench(immediately=False).made()
    bench.at_deadline()
    bench.keeper.traffic(1, bench.now)
    bench.keeper.traffic(2, bench.now)
    assert Initiate() in bench.at_deadline()
    bench.say(REFUSED)
    due = bench.keeper.state().retry_at
    bench.keeper.traffic(3, bench.now)
    assert bench.keeper.state().retry_at == due == bench.now + 1


def test_that_only_traffic_is_missing_is_told_until_an_attempt_fails() -> None:
    bench = Bench(immediately=False).made()
    assert (bench.told, bench.waiting) == ([False], [True])
    bench.at_deadline()
    for packets in (1, 2):
        bench.keeper.traffic(packets, bench.now)
    assert Initiate() in bench.at_deadline()
    assert bench.waiting == [True]
    bench.say(REFUSED)
    assert (bench.told, bench.waiting) == ([False, False], [True, False])


def test_what_was_up_once_is_negotiated_without_traffic() -> None:
    bench = Bench(immediately=False).made()
    ike = bench.up()
    bench.changed("ike", False, ike)
    assert (bench.told, bench.waiting) == ([False, True, False], [True, False, False])
    assert Initiate() in bench.after(YIELD_S)


def test_kernel_tells_of_traffic_by_itself() -> None:
    bench = Bench("xfrm", immediately=False).made()
    assert bench.keeper.deadline is None
    bench.up()
    assert bench.told == [False, True]


def test_back_off_has_a_limit() -> None:
    bench = Bench().made()
    for _ in range(30):
        before = bench.now
        bench.at_deadline()
        assert bench.now - before <= BACKOFF_MOST_S
        bench.say(REFUSED)
