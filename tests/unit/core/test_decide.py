"""One row per step of the decision, compared both ways round; then MED and order of arrival."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from bgpsvc.decide import Candidate, decide
from bgpsvc.model import Attributes, Origin, Reason, Role, Segment, SegmentType, SessionId


def sequence(*asns: int) -> tuple[Segment, ...]:
    return (Segment(SegmentType.SEQUENCE, asns),)


BASE = Candidate(
    session=SessionId("conn2-tunnel2"),
    connection="conn2",
    role=Role.STANDBY,
    ebgp=False,
    peer_address=b"\xa9\xfe\x14\x02",
    local_pref=100,
    attributes=Attributes(
        next_hop=b"\xa9\xfe\x14\x02", origin=Origin.INCOMPLETE, as_path=sequence(65500, 65501), med=200
    ),
)
LONGER = sequence(65500, 65501, 65502)

STEPS = [
    # What makes the winner better at this step, and what makes it worse at every later one.
    (Reason.LOCAL_PREF, {"local_pref": 200}, {"as_path": LONGER}),
    (Reason.AS_PATH_LENGTH, {}, {"as_path": sequence(65500)}),
    (Reason.ORIGIN, {}, {"origin": Origin.IGP, "med": 999}),
    (Reason.MED, {}, {"med": 100}),
    (Reason.EBGP_OVER_IBGP, {"ebgp": True}, {}),
    (Reason.TUNNEL_ROLE, {"role": Role.ACTIVE, "connection": "conn9"}, {}),
    (Reason.CONNECTION_ID, {"connection": "conn1", "peer_address": b"\xff\xff\xff\xff"}, {}),
    (Reason.PEER_ADDRESS, {"peer_address": b"\xa9\xfe\x0a\x02"}, {}),
]


@pytest.mark.parametrize(("reason", "better", "attributes"), STEPS, ids=[s[0].value for s in STEPS])
def test_step_decides_both_ways_round(
    reason: Reason, better: dict[str, object], attributes: dict[str, object]
) -> None:
    winner = replace(
        BASE,
        session=SessionId("zzz-tunnel1"),
        attributes=replace(BASE.attributes, **attributes),  # type: ignore[arg-type]
        **better,  # type: ignore[arg-type]
    )
    for pair in ((winner, BASE), (BASE, winner)):
        best, loser = decide(pair)
        assert best.candidate is winner
        assert best.reason is None
        assert loser.candidate is BASE
        assert loser.reason is reason


def with_med(name: str, asn: int, med: int | None, peer: int) -> Candidate:
    return replace(
        BASE,
        session=SessionId(name),
        peer_address=bytes((10, 0, 0, peer)),
        attributes=replace(BASE.attributes, as_path=sequence(asn), med=med),
    )


def test_med_only_compares_paths_of_the_same_neighbour() -> None:
    # a beats b by MED, b beats c and c beats a by peer address: no fold over pairs gets this right.
    a, b, c = with_med("a", 1, 10, 3), with_med("b", 1, 20, 1), with_med("c", 2, 5, 2)
    for order in permutations((a, b, c)):
        assert [r.candidate.session for r in decide(order)] == ["c", "a", "b"]
    reasons = {r.candidate.session: r.reason for r in decide((a, b, c))}
    assert reasons == {"c": None, "a": Reason.PEER_ADDRESS, "b": Reason.MED}


def test_missing_med_is_the_lowest() -> None:
    missing, zero, one = with_med("m", 1, None, 1), with_med("z", 1, 0, 2), with_med("o", 1, 1, 3)
    assert [r.candidate.session for r in decide((one, zero, missing))] == ["m", "z", "o"]


def test_as_set_counts_one_and_confederations_nothing() -> None:
    path = (
        Segment(SegmentType.CONFED_SEQUENCE, (1, 2)),
        Segment(SegmentType.SEQUENCE, (3, 4)),
        Segment(SegmentType.SET, (5, 6, 7)),
        Segment(SegmentType.CONFED_SET, (8,)),
    )
    assert Attributes(next_hop=b"\0" * 4, as_path=path).as_path_length == 3


def test_nothing_to_decide() -> None:
    assert decide(()) == ()
