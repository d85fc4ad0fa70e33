"""`show tunnels`, `show tunnel ID`, `get tunnels` and `restart tunnel ID`."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from bgpsvc.views import Cause, IpsecError
from tests.fakes.server import RunningApi
from tests.fakes.service import ACTIVE, STANDBY, FakeService
from tests.unit.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("running")


def fail(service: FakeService) -> None:
    text = "the peer proposes nothing that we take"
    error = IpsecError(service.now, Cause.IKE_PROPOSAL_MISMATCH, text, "aes256-sha256", "aes128-sha1")
    service.ipsec_errors[ACTIVE] = error


def make_external(service: FakeService) -> None:
    service.external = frozenset({STANDBY})


def test_the_summary_has_a_line_per_tunnel_and_what_is_wrong(bgpsvc: Run, running: RunningApi) -> None:
    running.call(fail)
    lines = bgpsvc("show", "tunnels").out.splitlines()
    head, down, up = (re.split(r"  +", line.strip()) for line in lines[:3])
    assert head == [
        *("TUNNEL", "ROLE", "REMOTE", "IPSEC", "FOR", "BYTES IN", "BYTES OUT"),
        *("SESSION", "STATE", "TRAFFIC", "DETECTION"),
    ]
    assert (down[-1], up[-1]) == ("bfd 150 ms", "bfd 150 ms")
    assert (down[0], down[3], down[5], down[6]) == (ACTIVE, "ike_sa_not_established", "-", "-")
    assert (up[0], up[3], up[5], up[6]) == (STANDBY, "ipsec_sa_established", "8400", "9240")
    assert re.fullmatch(
        r"conn1-tunnel1: the peer proposes nothing that we take \(ike_proposal_mismatch\), "
        r"here aes256-sha256, there aes128-sha1, \S+ ago; next attempt in 00:00:0\d",
        lines[4],
    )
    assert lines[-1] == "Total number of tunnels 2, established 1"


def test_a_tunnel_of_somebody_else_is_told_apart(bgpsvc: Run, running: RunningApi) -> None:
    running.call(make_external)
    lines = bgpsvc("show", "tunnels", "-o", "wide").out.splitlines()
    assert re.split(r"  +", lines[1])[11:13] == ["aes256-sha256-group14", "aes256-sha256-group14"]
    assert re.split(r"  +", lines[2])[3:5] == ["external", "-"]
    assert lines[-1] == "Total number of tunnels 2, established 1, external 1"
    assert (
        "  IPsec      external: somebody else makes it, to 198.51.100.4\n"
        in bgpsvc("show", "tunnel", STANDBY).out
    )


def test_a_tunnel_in_full(bgpsvc: Run, running: RunningApi) -> None:
    shown = bgpsvc("show", "tunnel", ACTIVE).out
    for line in (
        "Tunnel conn1-tunnel1, tunnel 1 (active) of conn1 at gw1",
        "  Interface  t1, up, 169.254.10.1 to 169.254.10.2",
        "  Detection  bfd, up, within 150 ms: 3 packets, one every 50 ms",
        "             hold_time, up, within 30000 ms: the BGP session",
        "    Timers   sends every 50 ms, hears every 50 ms",
        "    Packets  900 sent, 890 received, 1 refused, the last: TTL 64",
        "  Failback   after 5 s",
        "  Made by    userspace, MTU 1422; the peer is 198.51.100.2",
        "  History    established once, SAs replaced never",
        "  IKE SA     ikev2 #1, ESTABLISHED, begun by us, aes256-sha256-group14",
        "    Local    198.51.100.1:4500, id 198.51.100.1",
        "    SPIs     0000000000000001 initiator, f000000000000001 responder",
        "  IPsec SA   #1, INSTALLED, ESP in UDP, aes256-sha256-group14",
        "    SPIs     c0a10001 in, c0b20001 out",
        "    Networks 0.0.0.0/0 to 0.0.0.0/0",
        "    Traffic  in 8400 bytes, 100 packets; out 9240 bytes, 110 packets",
        "  Last error none",
    ):
        assert f"{line}\n" in shown
    running.call(fail)
    down = bgpsvc("show", "tunnel", ACTIVE).out
    assert "  IKE SA     none\n" in down
    assert ", here aes256-sha256, there aes128-sha1, " in down
    assert re.search(r"  Next       attempt in 00:00:0\d\n", down)


def test_lists_for_programs_have_the_status(bgpsvc: Run) -> None:
    assert json.loads(bgpsvc("show", "tunnel", ACTIVE, "-o", "json").out)["ipsec"]["driver"] == "userspace"
    for command in (("get", "tunnels"), ("show", "tunnels")):
        rows = list(csv.DictReader(io.StringIO(bgpsvc(*command, "-o", "csv").out)))
        assert [row["ipsec"] for row in rows] == ["ipsec_sa_established"] * 2
    assert "IPSEC" in bgpsvc("get", "tunnels").out


def test_restart(bgpsvc: Run, running: RunningApi) -> None:
    result = bgpsvc("restart", "tunnel", ACTIVE)
    assert (result.status, result.out) == (
        0,
        "conn1-tunnel1: negotiated anew; `bgpsvc show tunnel conn1-tunnel1` says how far it is\n",
    )
    assert running.service.restarts == [ACTIVE]
    running.call(make_external)
    refused = bgpsvc("restart", "tunnel", STANDBY)
    assert (refused.status, refused.out) == (1, "")
    assert "is external" in refused.err
    assert bgpsvc("restart", "session", ACTIVE).status == 2
