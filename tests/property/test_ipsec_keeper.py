"""Whatever charon, the driver and the peer do, in whatever order: the keeper of a tunnel stays sane."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bgpsvc.effects import Log
from bgpsvc.events import IpsecChanged
from bgpsvc.ipsec.actions import Action, BringUp, Initiate, Poll, ReadTraffic, Terminate
from bgpsvc.ipsec.attempts import ATTEMPT_MOST_S, BACKOFF_MOST_S
from bgpsvc.ipsec.keeper import Keeper
from bgpsvc.ipsec.model import Cause, IkeSa, IpsecStatus
from bgpsvc.ipsec.port import CharonDown, CharonUp, Logged, Made, SaChanged, SaRekeyed
from tests.fakes.driver import established
from tests.unit.ipsec.support import tunnel

LINES = (
    "received packet: from 203.0.113.1[500] to 198.51.100.1[500] (464 bytes)",
    "received AUTHENTICATION_FAILED notify error",
    "received NO_PROPOSAL_CHOSEN notify error",
    "received TS_UNACCEPTABLE notify, no CHILD_SA built",
    "received DELETE for IKE_SA bgpsvc-conn1-tunnel1[1]",
    "sending DPD request",
    "retransmit 1 of request with message ID 3",
    "giving up after 5 retransmits",
    "initiating IKE_SA bgpsvc-conn1-tunnel1[9] to 203.0.113.1",
)
STATES = ("CONNECTING", "ESTABLISHED", "ESTABLISHED", "REKEYING", "DELETING")


class Keeping(RuleBasedStateMachine):
    """Draws what happens; SAs come and go, answers are given late, out of order, or badly."""

    @initialize(leads=st.booleans(), immediately=st.booleans())
    def begin(self, leads: bool, immediately: bool) -> None:
        addresses = [IPv4Address("198.51.100.1"), IPv4Address("203.0.113.1")]
        local, remote = addresses if leads else reversed(addresses)
        self.tunnel = tunnel(local=local, remote=remote, immediately=immediately)
        self.now = 1000.0
        self.ids = 0
        self.held: dict[int, IkeSa] = {}
        self.pending: list[Action] = []
        self.told: list[tuple[bool, bool]] = []
        self.keeper = Keeper(self.tunnel, "userspace", self.now)
        self.drain()

    def drain(self) -> None:
        for output in self.keeper.take():
            match output:
                case IpsecChanged():
                    assert output.reason
                    self.told.append((output.up, output.waiting))
                case Log():
                    assert output.message
                case Poll():
                    pass
                case _:
                    self.pending.append(output)

    # What the driver answers --------------------------------------------------------------------

    @precondition(lambda self: self.pending)
    @rule(fails=st.booleans(), renewed=st.booleans())
    def answer(self, fails: bool, renewed: bool) -> None:
        action = self.pending.pop(0)
        if fails:
            self.keeper.failed(action, Cause.OTHER, "it did not work", self.now)
        elif isinstance(action, BringUp):
            self.keeper.made(Made("ipsec-1", 1400, renewed), self.now)
        elif isinstance(action, Terminate):
            self.terminate(action)
        elif isinstance(action, ReadTraffic):
            self.keeper.traffic(self.ids, self.now)
        self.drain()

    def terminate(self, action: Terminate) -> None:
        if action.ike_id is None:
            self.held.clear()
            self.keeper.terminated(self.now)
        else:
            self.held.pop(action.ike_id, None)

    @rule()
    def read(self) -> None:
        self.keeper.seen(tuple(self.held.values()), self.now)
        self.drain()

    # What happens -------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 20.0]))
    def wait(self, seconds: float) -> None:
        end, at_once = self.now + seconds, 0
        while (deadline := self.keeper.deadline) is not None and deadline <= end and not self.pending:
            at_once = at_once + 1 if deadline <= self.now else 0
            assert at_once < 5, "it would spin"
            self.now = max(self.now, deadline)
            self.keeper.tick(self.now)
            self.drain()
        self.now = end

    @rule(line=st.sampled_from(LINES), ike=st.sampled_from([None, 1, 2, 9]))
    def log(self, line: str, ike: int | None) -> None:
        self.keeper.hear(Logged(self.tunnel.id, "IKE", line, ike), self.now)
        self.drain()

    @rule(state=st.sampled_from(STATES), children=st.booleans(), told=st.booleans())
    def comes(self, state: str, children: bool, told: bool) -> None:
        self.ids += 1
        ike = replace(established(self.tunnel, self.ids, self.now), state=state)
        if not children:
            ike = replace(ike, children=())
        self.held[self.ids] = ike
        if told:
            self.keeper.hear(SaChanged(self.tunnel.id, "child" if children else "ike", True, ike), self.now)
            self.drain()

    @precondition(lambda self: self.held)
    @rule(child=st.booleans(), told=st.booleans(), data=st.data())
    def goes(self, child: bool, told: bool, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.held)))
        ike = self.held.pop(number)
        if child:
            self.held[number] = replace(ike, children=())
        if told:
            self.keeper.hear(SaChanged(self.tunnel.id, "child" if child else "ike", False, ike), self.now)
            self.drain()

    @rule(what=st.sampled_from(["ike", "child"]))
    def rekeyed(self, what: str) -> None:
        self.keeper.hear(SaRekeyed(self.tunnel.id, what), self.now)  # type: ignore[arg-type]
        self.drain()

    @rule()
    def charon_dies(self) -> None:
        self.held.clear()
        self.ids = 0
        self.keeper.hear(CharonDown((self.tunnel.id,), "charon was killed"), self.now)
        self.drain()

    @rule()
    def charon_comes(self) -> None:
        self.keeper.hear(CharonUp((self.tunnel.id,)), self.now)
        self.drain()

    @rule(key=st.sampled_from(["One-Key", "Other-Key"]))
    def configured(self, key: str) -> None:
        self.tunnel = replace(self.tunnel, ike=self.tunnel.ike.model_copy(update={"local_id": key.lower()}))
        self.keeper.configure(self.tunnel)
        self.drain()

    @rule()
    def restarted(self) -> None:
        self.keeper.restart(self.now)
        self.drain()

    # What always holds --------------------------------------------------------------------------

    @invariant()
    def nothing_is_told_twice(self) -> None:
        assert all(before != after for before, after in pairwise(self.told))
        assert (True, True) not in self.told

    @invariant()
    def what_is_told_is_what_is_shown(self) -> None:
        up = self.keeper.state().status is IpsecStatus.IPSEC_SA_ESTABLISHED
        assert self.keeper.told is None or self.keeper.told == up

    @invariant()
    def a_tunnel_that_is_down_is_worked_on(self) -> None:
        """Something was asked of the driver, or is due soon."""
        if self.keeper.told or self.pending:
            return
        deadline = self.keeper.deadline
        assert deadline is not None
        assert deadline <= self.now + max(BACKOFF_MOST_S, ATTEMPT_MOST_S)

    @invariant()
    def nothing_is_negotiated_while_sas_are_being_ended(self) -> None:
        asked = [action for action in self.pending if not isinstance(action, ReadTraffic)]
        ends = [index for index, action in enumerate(asked) if action == Terminate()]
        assert not any(isinstance(action, Initiate) for index in ends for action in asked[index:])


Keeping.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestKeeping = Keeping.TestCase
