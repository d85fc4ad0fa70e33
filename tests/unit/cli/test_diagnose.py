"""`diagnose`."""

from __future__ import annotations

import csv
import io
import json

import pytest

from bgpsvc.cli.diagnose import NAMES, story
from bgpsvc.diagnosis import LAYERS
from tests.unit.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("running")


def test_a_fault_is_shown_with_evidence_and_remedy(bgpsvc: Run) -> None:
    result = bgpsvc("diagnose", "conn1")
    assert (result.status, result.err) == (1, "")
    assert result.out.splitlines() == [
        "conn1: tunnel 1 (active): …",
        "",
        "conn1-tunnel1 (active)",
        "  BGP            FAILED   the peer has ASN 65501 [bgp_wrong_asn]",
        "                          ASN of the peer: local 65500, remote 65501",
        "                          state: active",
        "                          -> Correct the ASN.",
        "",
        "conn1-tunnel2 (standby)",
        "  BGP            ok       the session is established",
        "",
        "Took 1.2 s",
    ]


def test_without_a_fault_the_status_is_0(bgpsvc: Run) -> None:
    assert bgpsvc("diagnose", "conn1", "--tunnel", "2").status == 0


def test_for_programs(bgpsvc: Run) -> None:
    found = bgpsvc("diagnose", "conn1", "-o", "json")
    assert found.status == 1
    assert json.loads(found.out)["tunnels"][0]["fault"]["code"] == "bgp_wrong_asn"
    rows = list(csv.DictReader(io.StringIO(bgpsvc("diagnose", "conn1", "-o", "csv").out)))
    assert [(row["tunnel"], row["outcome"]) for row in rows] == [
        ("conn1-tunnel1", "failed"),
        ("conn1-tunnel2", "ok"),
    ]


@pytest.mark.parametrize("words", [["conn1", "--tunnel", "3"], []])
def test_called_wrongly(bgpsvc: Run, words: list[str]) -> None:
    assert bgpsvc("diagnose", *words).status == 2


def test_there_is_no_such_connection(bgpsvc: Run) -> None:
    assert bgpsvc("diagnose", "conn9").status == 1


def test_every_layer_has_a_name() -> None:
    assert tuple(NAMES) == LAYERS


def test_evidence_of_what_works_is_for_those_who_ask() -> None:
    fact = {"label": "MTU", "value": "1400", "local": None, "remote": None}
    check = {
        "layer": "mtu",
        "outcome": "ok",
        "code": "ok",
        "summary": "packets pass",
        "evidence": [fact],
        "remedy": None,
    }
    found = {
        "connection": "c",
        "summary": "tunnel 1 works",
        "seconds": 1.0,
        "tunnels": [{"tunnel": "c-tunnel1", "role": "active", "fault": None, "checks": [check]}],
    }
    assert not any("1400" in line for line in story(found, wide=False, colour=False))
    assert any("MTU: 1400" in line for line in story(found, wide=True, colour=False))
    assert any("\x1b[32mok\x1b[0m" in line for line in story(found, wide=False, colour=True))
