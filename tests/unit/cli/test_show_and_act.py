"""`show`, `propagate` and `switch`."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from bgpsvc.views import GatewayView
from tests.fakes.server import RunningApi
from tests.fakes.service import ACTIVE, STANDBY, FakeService
from tests.unit.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("running")


def test_summary_has_a_line_per_neighbour(bgpsvc: Run, running: RunningApi) -> None:
    running.call(lambda service: service.session_down(STANDBY, "Hold Timer Expired"))
    result = bgpsvc("show", "bgp", "summary")
    lines = result.out.splitlines()
    assert lines[:3] == [
        "VPN gateway gw1 (198.51.100.1, 198.51.100.3), VPC vpc1, propagation on",
        "Connection conn1: local AS number 65530, mode auto, traffic over conn1-tunnel1",
        "",
    ]
    head, up, down = (line.split() for line in lines[3:6])
    assert " ".join(head) == "NEIGHBOR AS UPDATES UP/DOWN STATE/PFXRCD PFXACC PFXSNT FLAPS TUNNEL ROLE"
    assert (up[0], up[4], up[5], up[6]) == ("169.254.10.2", "5", "3", "1")
    assert (down[0], down[4], down[6], down[7]) == ("169.254.20.2", "Active", "0", "1")
    assert lines[7].startswith("169.254.20.2 last failed: Hold Timer Expired (NOTIFICATION 4/0 sent), ")
    assert lines[-1] == "Total number of neighbors 2, established 1"


def test_summary_for_programs(bgpsvc: Run) -> None:
    items = json.loads(bgpsvc("show", "bgp", "summary", "-o", "json").out)["items"]
    assert [item["id"] for item in items] == [ACTIVE, STANDBY]


def test_a_session_in_full(bgpsvc: Run, running: RunningApi) -> None:
    up = bgpsvc("show", "session", ACTIVE).out
    assert up.startswith("BGP session conn1-tunnel1, tunnel 1 (active) of conn1 at gw1\n")
    assert "  Negotiated hold time 30 s (configured 30 s), ipv4 ipv6, messages up to 4096 bytes\n" in up
    assert "  Restart    graceful, 120 s, forwarding kept for ipv4\n" in up
    assert "  Last error none\n" in up
    running.call(lambda service: service.session_down(ACTIVE))
    down = bgpsvc("show", "session", ACTIVE).out
    assert "  Negotiated nothing: not established (configured hold time 30 s)\n" in down
    assert "  History    established once, flapped once\n" in down
    assert re.search(r"Last error hold timer expired \(NOTIFICATION 4/0 sent\), \S+ ago\n", down)


def test_a_route_with_the_reason_of_every_loser(bgpsvc: Run) -> None:
    assert bgpsvc("show", "route", "192.168.0.0/16").out == (
        "Route 192.168.0.0/16 of VPN gateway gw1, VPC vpc1\n"
        "  State: installed over conn1-tunnel1, interface t1\n"
        "  Nexthop group: 536870914\n"
        "  2 paths, best first:\n"
        "    1  conn1-tunnel1 (active), in use\n"
        "       next hop 169.254.10.2, AS path 65500, origin igp, local preference 200\n"
        "       communities 65500:100\n"
        "    2  conn1-tunnel2 (standby)\n"
        "       next hop 169.254.20.2, AS path 65500, origin igp, local preference 100\n"
        "       communities 65500:100\n"
        "       not used: another path has a higher local preference (lower_local_preference)\n"
    )


def test_a_route_that_policy_refused(bgpsvc: Run) -> None:
    out = bgpsvc("show", "route", "10.0.5.9").out
    assert "State: not_installed: the prefix lies inside the VPC's own CIDRs (inside_vpc_cidr)\n" in out
    assert out.count("refused: the prefix lies inside the VPC's own CIDRs (inside_vpc_cidr)\n") == 2


def test_a_route_for_programs(bgpsvc: Run) -> None:
    found = json.loads(bgpsvc("show", "route", "192.168.0.0/16", "-o", "json").out)
    assert (found["prefix"], len(found["candidates"])) == ("192.168.0.0/16", 2)
    rows = list(csv.DictReader(io.StringIO(bgpsvc("show", "route", "192.168.0.0/16", "-o", "csv").out)))
    assert [(row["rank"], row["in_use"]) for row in rows] == [("1", "true"), ("2", "false")]


def test_a_route_that_is_not_there(bgpsvc: Run) -> None:
    result = bgpsvc("show", "route", "203.0.113.0/24")
    assert (result.status, result.out) == (1, "")
    assert result.err == (
        "bgpsvc: gw1 has learned no route to 203.0.113.0/24; "
        "`bgpsvc get routes 203.0.113.0/24 --covering` lists wider ones\n"
    )


def test_propagate(bgpsvc: Run, running: RunningApi) -> None:
    off = bgpsvc("propagate", "off", "gw1")
    assert (off.status, off.out) == (
        0,
        "gw1: propagation off: 4 prefixes learned, 0 in the VPC's route table, advertising nothing\n",
    )
    assert not running.service.auto_propagate
    on = json.loads(bgpsvc("propagate", "on", "gw1", "--wait", "5", "-o", "json").out)
    assert (on["auto_propagate"], on["status"]) == (True, "active")
    assert running.service.auto_propagate


class Busy(FakeService):
    """Its gateway never gets done."""

    def gateway(self, name: str) -> GatewayView:
        return replace(super().gateway(name), status="updating")


def test_waiting_ends(bgpsvc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunningApi(Busy()) as busy:
        monkeypatch.setenv("BGPSVC_SERVER", busy.url)
        result = bgpsvc("propagate", "on", "gw1", "--wait", "0.1")
        assert (result.status, result.err) == (1, "bgpsvc: gw1 is still updating after 0.1 s\n")
        assert ", still updating: " in bgpsvc("propagate", "on", "gw1").out


def test_switch(bgpsvc: Run, running: RunningApi) -> None:
    dry = bgpsvc("switch", "conn1", "standby", "--dry-run")
    assert dry.out == (
        "dry run: conn1: mode standby: traffic moves from conn1-tunnel1 to conn1-tunnel2 "
        "(4 prefixes would move); the peer would be asked to leave conn1-tunnel1 too\n"
    )
    assert running.service.mode == "auto"
    wet = bgpsvc("switch", "conn1", "standby")
    assert wet.out.endswith(
        "to conn1-tunnel2 (4 prefixes moved); the peer is asked to leave conn1-tunnel1 too\n"
    )
    assert running.service.mode == "standby"
    again = json.loads(bgpsvc("switch", "conn1", "standby", "-o", "json").out)
    assert (again["changed"], again["prefixes_moved"]) == (False, 0)


def test_a_tunnel_is_taken_out_of_use_with_a_reason(bgpsvc: Run, running: RunningApi) -> None:
    bgpsvc("switch", "conn1", "--to", "2", "--reason", "new router")
    assert running.service.mode == "standby"
    shown = bgpsvc("show", "bgp", "summary").out
    assert (
        "  Chosen by unix socket " in shown
        or "  Chosen by anonymous " in shown
        or "  Chosen by token" in shown
    )
    assert ": new router; until `bgpsvc switch conn1 auto`\n" in shown
    assert "new router" in bgpsvc("get", "connections", "-o", "wide").out
    bgpsvc("switch", "conn1", "--to", "auto")
    assert "Chosen" not in bgpsvc("show", "bgp", "summary").out


def test_a_restart_says_before_what_it_moves(bgpsvc: Run, running: RunningApi) -> None:
    dry = bgpsvc("restart", "tunnel", "conn1-tunnel1", "--dry-run")
    assert dry.out == ("dry run: conn1-tunnel1: traffic moves to conn1-tunnel2 (4 prefixes would move)\n")
    assert bgpsvc("restart", "tunnel", "conn1-tunnel1", "--dry-run", "-o", "csv").status == 0
    assert running.service.restarts == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["switch", "conn1", "auto", "--to", "2"], 2, "auto and --to 2 say it twice"),
        (["propagate", "on", "gw2"], 1, "there is no VPN gateway 'gw2'; there is gw1"),
        (["propagate", "up", "gw1"], 2, "'up' is not one of 'on', 'off'"),
        (["switch", "conn2", "auto"], 1, "there is no VPN connection 'conn2'; there is conn1"),
        (["switch", "conn1", "both"], 2, "'both' is not one of 'auto', 'active', 'standby'"),
        (["switch", "conn1"], 2, "Missing argument"),
        (["switch", "", "auto"], 2, "'' is not the name of anything"),
        (["propagate", "on", ""], 2, "'' is not the name of anything"),
        (["show", "session", ""], 2, "'' is not the name of anything"),
        (["show", "session", "zz"], 1, "there is no BGP session 'zz'"),
        (["show", "route", "10.0.0.1/8"], 2, "'10.0.0.1/8' is not a prefix: host bits are set"),
    ],
)
def test_what_cannot_be_done(bgpsvc: Run, arguments: list[str], status: int, message: str) -> None:
    result = bgpsvc(*arguments)
    assert (result.status, result.out) == (status, "")
    assert message in result.err
