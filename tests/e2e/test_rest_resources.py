"""A daemon that has no configuration file: everything it does was asked for over REST."""

from __future__ import annotations

import copy
import itertools
import os
import random
import signal
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.service import CONFIGURATION, END, LONG, Rest, Site, table_of
from tests.netns.namespaces import wait_until

REMOTE = "192.168.0.0/16"
ORDER = ("vpcs", "customer_gateways", "vpn_gateways", "vpn_connections")


@pytest.fixture
def site(store_url: str | None) -> Iterator[Site]:
    """On SQLite and on PostgreSQL."""
    with Site(stored=True) as made:
        made.options = () if store_url is None else ("--database", store_url)
        made.start()
        yield made


def build(site: Site) -> None:
    """The reference scenario's near side, one request for each resource."""
    for kind in ORDER:
        for item in CONFIGURATION[kind]:
            path = f"/v1/{kind.replace('_', '-')}"
            made = site.rest.write("POST", path, item, 201)
            assert made["status"] in ("provisioning", "active")
            site.rest.until_active(f"{path}/{item['name']}")


def reachable(site: Site) -> bool:
    return "1 received" in site.host.run("ping", "-c1", "-W1", "192.168.0.10", check=False)


def test_the_gateway_is_built_changed_and_taken_down_by_rest_alone(site: Site) -> None:
    build(site)
    with site.peer(1) as first, site.peer(2) as second:
        for number, peer in ((1, first), (2, second)):
            site.until_session(number)
            peer.send(table_of(number, [REMOTE]) + END)
        site.until_routes([REMOTE], backups=True)
        wait_until(lambda: reachable(site), "a host of the VPC reaches one behind the peer", LONG)

        # A tunnel's settings change: the other tunnel's session does not notice.
        before = [site.rest.session(n)["established_count"] for n in (1, 2)]
        config = site.rest.get("/v1/vpn-connections/conn1")["config"]
        config["tunnels"][1]["bgp"]["hold_time"] = 60
        plan = site.rest.write("PUT", "/v1/vpn-connections/conn1", config, dry_run="true")["plan"]
        assert [(s["action"], s["subject"]) for s in plan["sessions"]] == [("reset", "conn1-tunnel2")]
        assert site.rest.get("/v1/vpn-connections/conn1")["config"]["tunnels"][1]["bgp"]["hold_time"] == 30
        site.rest.write("PUT", "/v1/vpn-connections/conn1", config)
        wait_until(lambda: site.rest.session(2)["hold_time_configured"] == 60, "the change is taken", LONG)
        assert site.rest.session(1)["established_count"] == before[0]

        site.rest.write("PATCH", "/v1/vpn-gateways/gw1", {"auto_propagate": False})
        site.until_routes([])
        site.rest.write("PATCH", "/v1/vpn-gateways/gw1", {"auto_propagate": True})
        site.until_routes([REMOTE])

        first = site.rest.get("/v1/events", after=0, limit=1)["items"]
        site.stop()
        site.start()
        assert site.rest.get("/v1/events", after=0, limit=1)["items"] == first, "events outlive the daemon"
        for number in (1, 2):
            site.until_session(number)
        assert site.rest.get("/v1/vpn-connections/conn1")["config"] == config

    in_use = site.rest.write("DELETE", "/v1/vpn-gateways/gw1", status=409)
    assert in_use["users"] == ["VPN connection conn1"]
    for kind in reversed(ORDER):
        for item in CONFIGURATION[kind]:
            site.rest.write("DELETE", f"/v1/{kind.replace('_', '-')}/{item['name']}", status=202)
    assert site.rest.get("/v1/configuration") == {}
    wait_until(lambda: not site.kernel_routes() and not site.nexthops(), "the kernel is as it was", LONG)
    rules = site.gateway.run("ip", "rule", "show")
    wait_until(lambda: "proto 201" not in site.gateway.run("ip", "-d", "rule", "show"), rules, LONG)
    actions = [(e["action"], e["kind"], e["name"]) for e in site.rest.get("/v1/audit", limit=1000)["items"]]
    assert ("create", "vpcs", "vpc1") in actions
    assert actions[0] == ("delete", "vpcs", "vpc1")


def second_connection() -> dict[str, Any]:
    """One whose tunnels never come up; it keeps the speakers running."""
    made: dict[str, Any] = copy.deepcopy(CONFIGURATION["vpn_connections"][0])
    made["name"] = "conn2"
    for number, tunnel in enumerate(made["tunnels"], start=3):
        tunnel["interface"] = f"t{number}"
        tunnel["bgp"] = {
            "tunnel_cidr": f"169.254.{number}0.0/30",
            "local_ip": f"169.254.{number}0.1",
        }
    return made


def test_a_connection_is_made_again_while_its_namesake_is_taken_down() -> None:
    with Site(stored=True) as site:
        site.start()
        build(site)
        site.rest.write("POST", "/v1/vpn-connections", second_connection(), 201)
        site.rest.until_active("/v1/vpn-connections/conn2")
        site.rest.until_active("/v1/vpn-connections/conn1")
        # Speakers that do not answer: they forget the connection while it is made again.
        speakers = site.pids("launcher")
        assert speakers
        for pid in speakers:
            os.kill(pid, signal.SIGSTOP)
        for _ in range(20):
            site.rest.write("DELETE", "/v1/vpn-connections/conn1", status=202)
            site.rest.write("POST", "/v1/vpn-connections", CONFIGURATION["vpn_connections"][0], 201)
        for pid in speakers:
            os.kill(pid, signal.SIGCONT)
        site.rest.until_active("/v1/vpn-connections/conn1")
        with site.peer(1) as peer:
            site.until_session(1)
            peer.send(table_of(1, [REMOTE]) + END)
            site.until_routes([REMOTE])


def customer(number: int) -> dict[str, Any]:
    return {"name": f"c{number}", "address": f"203.0.113.{number % 250 + 1}", "asn": 65001 + number}


def test_no_acknowledged_write_is_lost_when_the_daemon_is_killed(site: Site) -> None:
    acknowledged: list[str] = []
    numbers = itertools.count()
    generator = random.Random(7)
    while len(acknowledged) < 500:
        until = len(acknowledged) + generator.randrange(100, 220)
        stop = threading.Event()

        def write(rest: Rest, stop: threading.Event = stop) -> None:
            # The numbers of a client that is cut off are used up: each write is another resource.
            while not stop.is_set():
                document = customer(next(numbers))
                try:
                    answer = rest.http.post("/v1/customer-gateways", json=document)
                except httpx.TransportError:
                    return
                assert answer.status_code == 201, answer.text
                acknowledged.append(document["name"])

        clients = [Rest(site.socket_path) for _ in range(3)]
        threads = [threading.Thread(target=write, args=(rest,)) for rest in clients]
        for thread in threads:
            thread.start()
        wait_until(lambda until=until: len(acknowledged) >= until, f"{until} writes", LONG)  # type: ignore[misc]
        site.stop(signal.SIGKILL)
        stop.set()
        for thread, rest in zip(threads, clients, strict=True):
            thread.join(LONG)
            rest.http.close()
        site.start()
        stored = {item["name"]: item for item in site.rest.all_pages("/v1/customer-gateways", limit=1000)}
        assert not set(acknowledged) - stored.keys(), "acknowledged and lost"
        audited = {e["name"] for e in audit(site) if e["action"] == "create"}
        assert audited == stored.keys(), "a write and its audit entry are one"
        for name, item in stored.items():
            written = customer(int(name[1:]))
            assert {key: item["config"][key] for key in written} == written, "half a write"


def audit(site: Site) -> list[dict[str, Any]]:
    return site.rest.all_pages("/v1/audit", limit=1000)
