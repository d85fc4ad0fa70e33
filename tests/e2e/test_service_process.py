"""`bgpsvc serve` as a process: where it runs and listens, how it stops, what it refuses, how it reloads."""

from __future__ import annotations

import copy
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.e2e.service import (
    CONFIGURATION,
    END,
    LONG,
    Site,
    configuration,
    prefixes,
    running,
    table_of,
    tunnel_of,
)
from tests.fakes import bgp_wire as wire
from tests.fakes.bgp_peer import BgpPeer
from tests.netns.namespaces import Namespace, wait_until

ROUTES = prefixes(50)
SOON = 15
"""Seconds: less than any of the times after which a hold timer, or who waits for the daemon, gives up."""


@pytest.fixture
def site() -> Iterator[Site]:
    """The namespaces, nothing running."""
    with Site() as made:
        made.configure(CONFIGURATION)
        yield made


def fill(site: Site, *peers: BgpPeer) -> None:
    """Both peers announce the routes; the kernel has them."""
    for number, peer in enumerate(peers, start=1):
        peer.wait_established()
        peer.config.answer_refresh = table_of(number, ROUTES)
        peer.send(table_of(number, ROUTES) + END)
    site.until_routes(ROUTES, backups=len(peers) == 2)
    wait_until(lambda: site.rest.connection()["carrying"] == "conn1-tunnel1", "the active tunnel", LONG)


@contextmanager
def named(site: Site) -> Iterator[str]:
    """A name as of `ip netns` for the gateway's namespace."""
    name = f"bgpsvc-test-{uuid.uuid4().hex[:8]}"
    holder = subprocess.Popen(site.gateway.command("cat"), stdin=subprocess.PIPE)
    try:
        subprocess.run(["ip", "netns", "attach", name, str(holder.pid)], check=True)
        try:
            yield name
        finally:
            subprocess.run(["ip", "netns", "delete", name], check=True)
    finally:
        holder.communicate()


def refused(site: Site, argv: list[str], **popen: Any) -> str:
    """Run a daemon that must not start; what it says. Status 1."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd="/", **popen)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return str(done.stderr)


def test_in_a_named_namespace_rest_on_loopback(site: Site) -> None:
    """REST is reached from where the daemon was started, routes go to the namespace that it was given."""
    # Started in another namespace of the test, as is this thread's REST client: never in the machine's own.
    with Namespace() as home, home.entered(), named(site) as name, site.peer(1) as one, site.peer(2) as two:
        untouched = home.ip("-N route show table all"), home.ip("rule")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        site.daemon = site.spawn(
            site.argv("--netns", name, "--anonymous", "read", listen=f"127.0.0.1:{port}")
        )
        site.rest.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False)
        site.until_alive()
        fill(site, one, two)
        assert tunnel_of(site, "20.0.7.1") == "t1"
        assert (home.ip("-N route show table all"), home.ip("rule")) == untouched
        assert site.stop() < SOON


def test_rest_on_an_inherited_socket(site: Site) -> None:
    """As socket activation and the lab do it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        site.daemon = site.spawn(
            site.gateway.command(*site.argv("--anonymous", "read", listen=f"fd:{fd}")), pass_fds=(fd,)
        )
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        site.rest.http = httpx.Client(base_url=address, timeout=20, trust_env=False)
        site.until_alive()
        assert site.rest.gateway()["name"] == "gw1"


def test_the_unix_socket_is_private_and_goes_with_the_daemon(site: Site) -> None:
    site.start()
    assert site.socket_path.stat().st_mode & 0o007 == 0
    assert site.state_dir.stat().st_mode & 0o077 == 0
    site.stop()
    assert not site.socket_path.exists()


def test_sigterm_stops_everything_and_leaves_the_routes(site: Site) -> None:
    site.start()
    with site.peer(1) as one, site.peer(2) as two:
        fill(site, one, two)
        assert len(site.pids("launcher")) == len(site.pids("relay")) == 2
        assert site.stop() < SOON
        assert site.daemon is not None
        assert site.daemon.returncode == 0
        assert site.processes() == {}
        for peer in (one, two):
            peer.wait(lambda peer=peer: peer.log.lost == 1, "the session has ended")  # type: ignore[misc]
        assert site.kernel_routes() == set(ROUTES)
        assert tunnel_of(site, "20.0.7.1") == "t1", "forwarding goes on"

        site.start()
        for peer in (one, two):
            peer.wait_established(2)
        fill(site, one, two)


def test_sigterm_while_it_starts(site: Site) -> None:
    site.daemon = site.spawn(site.gateway.command(*site.argv()))
    wait_until(lambda: site.pids("launcher"), "a speaker", LONG)
    assert site.stop() < SOON
    assert site.daemon.returncode == 0
    assert site.processes() == {}


def test_ctrl_c_twice_while_it_opens_the_database(site: Site) -> None:
    """As from a terminal under a watchdog: one SIGINT is for all, another one is passed on."""
    for apart in (0.01, 0.03):
        site.daemon = site.spawn(site.gateway.command(*site.argv()))
        wait_until((site.state_dir / "bgpsvc.db.lock").exists, "it opens the database", LONG)
        site.daemon.send_signal(signal.SIGINT)
        time.sleep(apart)  # two at the same moment are one
        site.daemon.send_signal(signal.SIGINT)
        # The second one may come when all is over but the interpreter.
        assert site.daemon.wait(LONG) in (0, -signal.SIGINT), site.log()
        assert site.processes() == {}
        for path in site.state_dir.glob("bgpsvc.db*"):
            path.unlink()


def test_sigterm_while_a_speaker_does_not_answer(site: Site) -> None:
    """Its configuration has to change, and it hangs: the daemon waits for it, but not with its own end."""
    site.start("--keep-speakers")
    site.stop()
    for pid in site.pids("launcher"):
        os.kill(pid, signal.SIGSTOP)
    site.configure(configuration(hold_time=60))
    site.daemon = site.spawn(site.gateway.command(*site.argv()))
    wait_until(lambda: "adopted the standby speaker" in site.log(), "adopted", LONG)
    assert site.stop() < SOON
    assert site.daemon.returncode == 0
    wait_until(lambda: site.processes() == {}, "the relays of the killed speakers end too")


def test_keep_speakers_leaves_the_sessions_to_the_next_daemon(site: Site) -> None:
    site.start("--keep-speakers")
    with site.peer(1) as one, site.peer(2) as two:
        fill(site, one, two)
        speakers = site.pids("launcher")
        assert site.stop() < SOON
        assert site.pids("launcher") == speakers
        assert one.established
        assert two.established
        site.start()
        wait_until(lambda: site.rest.session(1)["end_of_rib"], "heard again", LONG)
        wait_until(lambda: site.rest.session(2)["end_of_rib"], "heard again", LONG)
        assert site.pids("launcher") == speakers
        assert (one.log.established, two.log.established) == (1, 1)
        assert site.kernel_routes() == set(ROUTES)
        assert site.rest.connection()["carrying"] == "conn1-tunnel1"
        assert site.stop() < SOON
        assert site.processes() == {}, "without the option adopted speakers are stopped too"


def test_a_second_daemon_on_the_state_directory_refuses(site: Site) -> None:
    site.start()
    with site.peer(1) as one, site.peer(2) as two:
        fill(site, one, two)
        nexthops, rules = site.nexthops(), site.gateway.ip("rule")
        # Another configuration: nothing of it may have any effect.
        site.configure(
            configuration(hold_time=60)
            | {
                "customer_gateways": [
                    {"name": "peer1", "address": "198.51.100.77", "asn": 65500},
                    {"name": "peer2", "address": "198.51.100.78", "asn": 65500},
                ]
            }
        )
        listen = f"unix:{site.directory}/second.sock"
        said = refused(site, site.gateway.command(*site.argv(listen=listen)))
        assert "another daemon uses" in said
        said = refused(site, site.gateway.command(*site.argv()))
        assert "another process serves it" in said
        assert (site.nexthops(), site.gateway.ip("rule")) == (nexthops, rules)
        assert site.rest.session(1)["state"] == "established"
        assert (one.log.established, two.log.established) == (1, 1)
        assert (site.kernel_routes(), site.kernel_routes(200)) == (set(ROUTES), set(ROUTES))


def test_a_bad_configuration_shows_all_problems(site: Site) -> None:
    bad = copy.deepcopy(CONFIGURATION)
    bad["vpcs"][0]["cidrs"] = ["10.0.0.0/99"]
    bad["vpn_connections"][0]["tunnels"][1]["bgp"]["hold_time"] = 1
    bad["vpn_connections"][0]["unheard_of"] = 1
    site.configure(bad)
    said = refused(site, site.gateway.command(*site.argv()))
    assert len(said.strip().splitlines()) >= 3
    for part in ("10.0.0.0/99", "hold_time", "unheard_of", str(site.config_path)):
        assert part in said
    assert not site.socket_path.exists()
    assert site.processes() == {}
    # A watchdog does not start again what cannot start.
    assert refused(site, site.gateway.command(*site.argv("--watchdog", "5"))) == said


def test_without_the_capability_it_says_so(site: Site) -> None:
    # As root of nothing: all capabilities but the one are there.
    without = ("capsh", "--drop=cap_net_admin", "--", "-c", 'exec "$@"', "sh")
    said = refused(site, site.gateway.command(*without, *site.argv()))
    assert "CAP_NET_ADMIN" in said
    assert site.processes() == {}


def test_an_unknown_namespace_and_a_foreign_address(site: Site) -> None:
    # In the test's namespace: if it did not refuse, it would program the one that it runs in.
    unknown = site.gateway.command(*site.argv("--netns", "bgpsvc-none"))
    assert "no network namespace" in refused(site, unknown)
    foreign = site.gateway.command(*site.argv(listen="0.0.0.0:8179"))
    done = subprocess.run(foreign, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "loopback" in done.stderr


@pytest.fixture(scope="module")
def reloading() -> Iterator[tuple[Site, BgpPeer, BgpPeer]]:
    """A daemon with both sessions, for reloads."""
    with running() as made, made.peer(1) as one, made.peer(2) as two:
        fill(made, one, two)
        yield made, one, two


def test_a_bad_file_keeps_the_running_configuration(reloading: tuple[Site, BgpPeer, BgpPeer]) -> None:
    site, one, two = reloading
    for bad in ("vpcs: [", configuration(hold_time=1), configuration() | {"vpcs": []}):
        event = site.reload(bad)
        assert (event["kind"], event["severity"]) == ("config.rejected", "error")
        assert event["data"]["problems"]
    site.config_path.unlink()
    assert site.daemon is not None
    seen = len(site.rest.events("config.rejected"))
    site.daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: len(site.rest.events("config.rejected")) > seen, "rejected")
    assert (one.log.established, two.log.established) == (1, 1)
    assert site.kernel_routes() == set(ROUTES)
    assert site.rest.session(1)["hold_time_configured"] == 30


def test_a_changed_hold_time_resets_that_session_alone(
    reloading: tuple[Site, BgpPeer, BgpPeer],
) -> None:
    site, one, two = reloading
    before = two.log.established
    event = site.reload(configuration(tunnel=2, hold_time=45))
    assert event["kind"] == "config.reloaded"
    two.wait_established(before + 1)
    wait_until(
        lambda: (site.rest.session(2)["negotiated"] or {}).get("hold_time") == 45, "negotiated anew", LONG
    )
    assert (one.log.established, one.log.lost) == (1, 0)
    assert site.rest.session(1)["flap_count"] == 0
    assert tunnel_of(site, "20.0.7.1") == "t1"
    two.send(table_of(2, ROUTES) + END)
    site.until_routes(ROUTES, backups=True)


def test_a_connection_comes_and_goes_without_the_others(
    reloading: tuple[Site, BgpPeer, BgpPeer],
) -> None:
    site, one, two = reloading
    assert [peer.established for peer in (one, two)] == [True, True]
    counts = (one.log.established, two.log.established)
    extra = configuration(tunnel=2, hold_time=site.rest.session(2)["hold_time_configured"])
    without = copy.deepcopy(extra)
    added = copy.deepcopy(extra["vpn_connections"][0])
    added["name"] = "conn2"
    for number, tunnel in enumerate(added["tunnels"], start=3):
        site.gateway.veth(f"t{number}", site.far, f"t{number}", [f"169.254.{number}0.1/30"])
        site.far.ip(f"addr add 169.254.{number}0.2/30 dev t{number}")
        extra["customer_gateways"].append(
            {"name": f"peer{number}", "address": f"198.51.100.{number + 10}", "asn": 65500}
        )
        tunnel |= {"customer_gateway": f"peer{number}", "interface": f"t{number}"}
        tunnel["bgp"] = {
            "tunnel_cidr": f"169.254.{number}0.0/30",
            "local_ip": f"169.254.{number}0.1",
            "hold_time": 30,
        }
    extra["vpn_connections"].append(added)
    assert site.reload(extra)["kind"] == "config.reloaded"
    more = prefixes(30, start=1000)
    with site.peer(3, families=("ipv4",)) as three:
        three.wait_established()
        three.send(table_of(3, [*more, ROUTES[0]]) + wire.end_of_rib())
        site.until_routes([*ROUTES, *more])
        site.until_session(1, connection="conn2")
        candidates = site.rest.route(ROUTES[0])["candidates"]
        assert {c["session"] for c in candidates} == {"conn1-tunnel1", "conn1-tunnel2", "conn2-tunnel1"}
        assert site.reload(without)["kind"] == "config.reloaded"
        site.until_routes(ROUTES, backups=True)
        three.wait(lambda: three.log.lost == 1, "the removed session has ended")
        names = [s["id"] for s in site.rest.get("/v1/bgp-sessions")["items"]]
        assert names == ["conn1-tunnel1", "conn1-tunnel2"]
    assert (one.log.established, two.log.established) == counts
    assert len(site.rest.route(ROUTES[0])["candidates"]) == 2


def test_two_reloads_at_once_end_with_the_last(reloading: tuple[Site, BgpPeer, BgpPeer]) -> None:
    """A second SIGHUP comes while the speakers still read the first one's configuration."""
    site, one, _ = reloading
    assert site.daemon is not None
    for hold_time in (33, 36, 39, 42):
        site.configure(configuration(tunnel=2, hold_time=hold_time))
        seen = len(site.rest.events("config.reloaded"))
        os.kill(site.daemon.pid, signal.SIGHUP)
        if hold_time != 42:
            continue
        wait_until(lambda seen=seen: len(site.rest.events("config.reloaded")) > seen, "reloaded", LONG)  # type: ignore[misc]
    wait_until(
        lambda: (site.rest.session(2)["negotiated"] or {}).get("hold_time") == 42, "the last one", LONG
    )
    assert site.rest.session(2)["hold_time_configured"] == 42
    assert one.log.established == 1
