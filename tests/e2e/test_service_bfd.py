"""BFD end to end: a path that goes silent costs its detection time, whatever the daemon is doing.

The peer is BIRD with BGP and BFD on both tunnels, which chooses the way back by itself. The hold time is
30 s: what moves traffic sooner is BFD.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.service import LOCAL_ASN, LONG, PEER_ASN, Pings, Site, configuration, tunnel_of
from tests.interop.daemons import BIRD, Bird, daemon_home, daemon_process
from tests.netns.namespaces import wait_until

REMOTE = "192.168.0.10"
INTERVAL = 0.005
HOLD_TIME = 30
BFD = {"interval_ms": 50, "multiplier": 3, "key_id": 7, "key": "of-both-sides"}
PEER = """
protocol bgp gw{n} {{
  local 169.254.{n}0.2 as {peer};
  neighbor 169.254.{n}0.1 as {ours};
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  bfd on;
  ipv4 {{ import all; export where source = RTS_STATIC; next hop self; }};
}}
"""


@contextmanager
def bird(site: Site) -> Iterator[Bird]:
    """BIRD in `far`; its kernel has the routes that it chooses, and no others to our networks."""
    for number in (1, 2):
        site.far.ip(f"route del 10.0.0.0/16 via 169.254.{number}0.1 metric {number}")
    sessions = "".join(PEER.format(n=n, peer=PEER_ASN, ours=LOCAL_ASN) for n in (1, 2))
    text = f"""
log stderr all;
router id 10.9.9.9;
protocol device {{ scan time 1; }}
protocol bfd {{
  interface "t*" {{
    interval {BFD["interval_ms"]} ms; multiplier {BFD["multiplier"]};
    authentication keyed sha1; password "{BFD["key"]}" {{ id {BFD["key_id"]}; }};
  }};
}}
protocol kernel {{ ipv4 {{ export where source = RTS_BGP; }}; }}
protocol static {{ ipv4; route 192.168.0.0/16 blackhole; }}
{sessions}
"""
    with daemon_home() as home:
        (home / "bird.conf").write_text(text)
        files = ["-c", str(home / "bird.conf"), "-s", str(home / "bird.ctl"), "-P", str(home / "pid")]
        with daemon_process(site.far, [BIRD, "-f", *files], home):
            wait_until((home / "bird.ctl").exists, "BIRD is up")
            yield Bird(home)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    content = configuration(bfd=BFD, hold_time=HOLD_TIME)
    # Whatever failed, and however often: the way back takes no longer.
    content["vpn_connections"][0] |= {"failback_hold_down": 0.5, "failback_hold_down_max": 0}
    with Site() as made, bird(made):
        made.configure(content)
        made.start()
        yield made


def tunnel(site: Site, number: int) -> dict[str, Any]:
    found: dict[str, Any] = site.rest.get(f"/v1/tunnels/conn1-tunnel{number}")
    return found


def carrying(site: Site) -> str | None:
    found: str | None = site.rest.get("/v1/vpn-connections/conn1")["carrying"]
    return found


def until_all_is_well(site: Site) -> None:
    """Both tunnels live, their BFD in force, traffic over the first."""

    def well() -> bool:
        both = [tunnel(site, number) for number in (1, 2)]
        fast = [(t["detection"][0]["method"], t["detection"][0]["worst_case_ms"]) for t in both]
        live = all(t["state"] == "live" for t in both)
        return live and both[0]["carrying"] and fast == [("bfd", 150)] * 2

    wait_until(well, "both tunnels are live, with BFD", LONG)
    wait_until(lambda: tunnel_of(site, REMOTE) == "t1", "traffic takes tunnel 1", LONG)


@contextmanager
def silent(site: Site) -> Iterator[None]:
    """The path of tunnel 1 carries nothing, in neither direction; links and sessions know nothing of it."""
    rules = (
        "add table ip silent; add chain ip silent i { type filter hook prerouting priority -400; }; "
        "add chain ip silent o { type filter hook postrouting priority 400; }; "
        'add rule ip silent i iifname "t1" drop; add rule ip silent o oifname "t1" drop'
    )
    site.far.run("nft", rules)
    try:
        yield
    finally:
        site.far.run("nft", "delete table ip silent")


def until_moved(site: Site) -> None:
    wait_until(lambda: tunnel_of(site, REMOTE) == "t2", "traffic takes tunnel 2", LONG)


@contextmanager
def outage(site: Site) -> Iterator[Pings]:
    """Pings of which so few were lost that only BFD can have been that fast."""
    with Pings(site, (REMOTE,), INTERVAL) as pings:
        wait_until(lambda: len(pings.answered) > 20, "traffic flows")
        yield pings
        before = len(pings.answered)
        wait_until(lambda: len(pings.answered) > before + 20, "traffic flows again")
    # None where the machine stood still for so long that BFD failed just before.
    assert pings.lost * INTERVAL < HOLD_TIME / 4, f"{pings.lost} of {pings.sent} were lost"


@contextmanager
def loses_nothing(site: Site, *tunnels: str) -> Iterator[None]:
    """No ping is lost, and only a few if BFD failed by itself on one of the tunnels that may carry."""
    began = datetime.now(UTC)
    with Pings(site, (REMOTE,), INTERVAL) as pings:
        yield
    downs = [event for event in site.rest.events("bfd.down") if event["subject"] in tunnels]
    failed = any(datetime.fromisoformat(event["time"]) >= began for event in downs)
    allowed = HOLD_TIME / 4 / INTERVAL if failed else 0
    assert pings.lost <= allowed, f"{pings.lost} of {pings.sent} were lost"


def guards(site: Site) -> set[int]:
    """Pids of the guard's processes."""
    return {pid for pid, command in site.gateway.processes().items() if "bgpsvc.guard" in command}


def test_a_silent_path_costs_its_detection_time_and_the_way_back_nothing(site: Site) -> None:
    until_all_is_well(site)
    with contextlib.ExitStack() as stack:
        with outage(site):
            stack.enter_context(silent(site))
            until_moved(site)
        wait_until(lambda: carrying(site) == "conn1-tunnel2", "the daemon says so", LONG)
        dead = tunnel(site, 1)
        assert (dead["state"], dead["session_state"]) == ("down", "established")
        assert dead["state_reason"].startswith("BFD is down: ")
        assert [d["state"] for d in dead["detection"] if d["method"] == "bfd"] == ["down"]
        kinds = {e["kind"]: e for e in site.rest.events("bfd.down", "guard.switched", "tunnel.down")}
        assert set(kinds) == {"bfd.down", "guard.switched", "tunnel.down"}
        assert kinds["guard.switched"]["subject"] == "conn1-tunnel1"
        assert kinds["guard.switched"]["data"]["groups"] == 1
        assert site.rest.events("fib.repair") == []
    with loses_nothing(site, "conn1-tunnel1", "conn1-tunnel2"):
        until_all_is_well(site)
    tunnel1 = 'connection="conn1",role="active",session="conn1-tunnel1"'
    by_bfd = tunnel1.replace(",role", ',method="bfd",role')
    expected = {
        "bgpsvc_guard_up": 1.0,
        f"bgpsvc_bfd_state{{{tunnel1}}}": 3.0,
        f"bgpsvc_tunnel_detection_seconds{{{by_bfd}}}": 0.15,
    }
    # On a machine that is busy enough BFD fails by itself as well.
    counted = ("bgpsvc_guard_switches_total", f"bgpsvc_bfd_flaps_total{{{tunnel1}}}")

    def told() -> bool:
        lines = site.rest.http.get("/metrics").text.splitlines()
        found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return all(float(found.get(name, "nan")) == value for name, value in expected.items()) and all(
            float(found.get(name, "nan")) >= 1 for name in counted
        )

    wait_until(told, f"metrics, whose figures come once a second, with {expected} and {counted}", LONG)


def test_the_guard_alone_moves_traffic_while_the_daemon_hangs(site: Site) -> None:
    until_all_is_well(site)
    assert site.daemon is not None
    with contextlib.ExitStack() as stack:
        with outage(site):
            site.daemon.send_signal(signal.SIGSTOP)
            stack.callback(site.daemon.send_signal, signal.SIGCONT)
            stack.enter_context(silent(site))
            until_moved(site)
        site.daemon.send_signal(signal.SIGCONT)
        wait_until(lambda: carrying(site) == "conn1-tunnel2", "the daemon agrees", LONG)
        assert tunnel_of(site, REMOTE) == "t2"
    until_all_is_well(site)


def test_the_guard_alone_moves_traffic_while_there_is_no_daemon(site: Site) -> None:
    until_all_is_well(site)
    site.stop(signal.SIGKILL)
    with silent(site):
        until_moved(site)
        before = guards(site)
        with loses_nothing(site, "conn1-tunnel2"):
            site.start()
            wait_until(lambda: carrying(site) == "conn1-tunnel2", "the new daemon agrees", LONG)
        assert guards(site) == before
        assert len(before) == 2
        assert tunnel_of(site, REMOTE) == "t2"
    until_all_is_well(site)
