"""What is seen leads to which finding: a table with a row for each code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bgpsvc.diagnosing.codes import COMMON, FAULTS
from bgpsvc.diagnosing.evidence import Reply, Way
from bgpsvc.diagnosing.examine import EXAMINATIONS, STANDS_ON, examine, summarize
from bgpsvc.diagnosis import LAYERS, Check, Layer
from bgpsvc.ipsec.model import Cause, IpsecError
from tests.unit.diagnosing.cases import (
    CASES,
    DOWN,
    IKE_SA,
    NOW,
    SILENT,
    UP,
    WAITING,
    WORKS,
    Case,
    failed,
    session,
    without_ike,
)


def found(case: Case) -> Check:
    (check,) = [c for c in examine(case.evidence).checks if c.layer == case.layer]
    return check


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.layer}-{case.code}")
def test_every_code(case: Case) -> None:
    check = found(case)
    assert (check.code, check.outcome) == (case.code, case.outcome), check
    assert case.words in check.summary
    assert check.summary[-1] not in ".:;"
    assert check.remedy is not None or case.outcome in ("unknown", "skipped", "ok")
    assert "None" not in check.summary + (check.remedy or "") + str(
        [f.value for f in check.evidence if f.value]
    )


@pytest.mark.parametrize("case", [c for c in CASES if c.outcome == "failed"], ids=lambda c: c.code)
def test_what_fails_is_the_first_fault_and_hides_what_stands_on_it(case: Case) -> None:
    diagnosis = examine(case.evidence)
    assert diagnosis.fault is not None
    assert diagnosis.fault.layer == case.layer or case.code == "no_reply"
    for check in diagnosis.checks:
        if case.layer in STANDS_ON[check.layer]:
            assert (check.outcome, check.code) == ("skipped", "layer_below_failed")


def test_what_stands_on_a_skipped_layer_is_skipped_too() -> None:
    checks = examine(without_ike(Cause.AUTHENTICATION_FAILED)).checks
    skipped = [c.layer for c in checks if c.code == "layer_below_failed"]
    assert skipped == ["phase2", "bgp", "routes", "data_path", "mtu", "detection"]
    assert {c.summary for c in checks if c.layer in skipped} == {"not examined: phase 1 failed"}


def test_what_failed_before_the_sa_was_renewed_is_over() -> None:
    error = IpsecError(NOW - 500, Cause.PFS_MISMATCH, "the groups differ")
    checks = examine(replace(WORKS, ipsec=replace(UP, last_error=error))).checks
    (check,) = [c for c in checks if c.layer == "phase2"]
    assert check.outcome == "ok"


def test_who_answered_a_negotiation_is_reachable_whatever_a_firewall_says_to_echo_requests() -> None:
    prohibited = Reply("unreachable", "administratively prohibited", by="203.0.113.9")
    way = Way(True, "198.51.100.1", "wan0", None, echo=prohibited)
    evidence = without_ike(Cause.AUTHENTICATION_FAILED, way=way, udp500=SILENT, udp4500=SILENT)
    fault = examine(evidence).fault
    assert fault is not None
    assert fault.code == "authentication_failed"


def test_nothing_is_wrong_with_a_tunnel_that_waits_for_traffic() -> None:
    """Also if charon was down before, and neither BGP nor echo requests can tell anything."""
    for cause in (None, Cause.CHARON_DOWN):
        waits = failed(cause)
        evidence = replace(WORKS, ike=WAITING, ipsec=waits, waiting=True, bgp=replace(DOWN, plain=None))
        diagnosis = examine(replace(evidence, echoes=None, largest=None))
        assert diagnosis.fault is None
        codes = {c.layer: c.code for c in diagnosis.checks}
        assert codes["phase1"] == "ike_waits_for_traffic"
        assert codes["bgp"] == "waits_for_traffic"


def test_every_code_has_a_case() -> None:
    listed = {(layer, code) for layer, codes in FAULTS.items() for code in codes}
    assert listed == {(case.layer, case.code) for case in CASES} - {("routes", "ok")}
    names = [code for codes in FAULTS.values() for code in codes] + list(COMMON)
    assert len(names) == len(set(names)), "a code means one thing"


def test_layers_are_examined_in_order_and_stand_on_earlier_ones() -> None:
    assert tuple(EXAMINATIONS) == tuple(FAULTS) == LAYERS
    for layer, below in STANDS_ON.items():
        assert all(LAYERS.index(one) < LAYERS.index(layer) for one in below)


def test_nothing_is_wrong() -> None:
    diagnosis = examine(WORKS)
    assert [(c.layer, c.outcome, c.code) for c in diagnosis.checks] == [
        (layer, "ok", "ok") for layer in LAYERS
    ]
    assert diagnosis.fault is None


def test_external_tunnels_are_examined_from_the_interface_on() -> None:
    checks = examine(replace(WORKS, made=False, ipsec=None, ike=None, way=None)).checks
    assert [c.layer for c in checks if c.code == "external_tunnel"] == LAYERS_OUTSIDE
    assert {c.outcome for c in checks if c.layer not in LAYERS_OUTSIDE} == {"ok"}


LAYERS_OUTSIDE: list[Layer] = ["address", "udp", "phase1", "phase2"]


def test_the_connection_in_one_sentence() -> None:
    wrong_key = replace(without_ike(), ipsec=failed(Cause.AUTHENTICATION_FAILED, text="the keys differ"))
    standby = replace(WORKS, tunnel="c-tunnel2", number=2, role="standby")
    both = [(e, examine(e)) for e in (wrong_key, standby)]
    assert summarize(both) == (
        "tunnel 1 (active): authentication failed: the keys differ; "
        "tunnel 2 (standby) works and carries traffic"
    )
    idle = replace(standby, carrying=False, mtu=1500)
    assert summarize([(idle, examine(idle))]) == (
        "tunnel 2 (standby) works, but the interface c-tunnel1 has an MTU of 1400 bytes instead of 1500"
    )


def test_remedies_name_what_they_are_about() -> None:
    (check,) = [c for c in examine(without_ike(Cause.AUTHENTICATION_FAILED)).checks if c.layer == "phase1"]
    assert check.remedy is not None
    assert "`bgpsvc reveal vpn-connection c`" in check.remedy
    assert "{" not in check.remedy


def test_values_stand_side_by_side() -> None:
    state = failed(Cause.ESP_PROPOSAL_MISMATCH, local="aes256-sha256", remote="aes128-sha1")
    (check,) = [c for c in examine(replace(WORKS, ipsec=state)).checks if c.layer == "phase2"]
    (fact,) = [f for f in check.evidence if f.label == "ESP proposal"]
    assert (fact.local, fact.remote) == ("aes256-sha256", "aes128-sha1")


def test_a_refusal_without_a_reason_says_what_we_offer() -> None:
    (check,) = [c for c in examine(without_ike(Cause.IKE_PROPOSAL_MISMATCH)).checks if c.layer == "phase1"]
    (fact,) = [f for f in check.evidence if f.label == "IKE proposal"]
    assert fact.local == "aes256-sha256-group14"
    assert fact.remote == "not known: the peer does not say"


def test_an_established_sa_needs_no_probes() -> None:
    deaf = replace(WORKS, way=None, udp500=None, udp4500=None)
    assert [c.outcome for c in examine(deaf).checks[:4]] == ["ok"] * 4
    late = replace(UP, ike=replace(IKE_SA, state="CONNECTING"))
    assert examine(replace(deaf, ipsec=late)).checks[1].code == "udp_not_probed"


def test_a_recent_answer_of_the_peer_proves_udp() -> None:
    e = without_ike(Cause.AUTHENTICATION_FAILED, udp500=None, udp4500=None)
    assert examine(e).checks[1].outcome == "ok"
    assert examine(replace(e, now=NOW + 3600)).checks[1].code == "udp_not_probed"


def test_secrets_are_no_part_of_evidence() -> None:
    assert "secret" not in str(examine(session(password=True)))
