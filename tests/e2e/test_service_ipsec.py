"""Tunnels that two daemons make: a wrong key, a restart, the end. Each test goes on from the last."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.e2e.service import LONG, Pings
from tests.e2e.two_gateways import CONNECTION, Side, documents, two_gateways
from tests.netns.namespaces import Namespace, wait_until

Pair = tuple[Side, Side]
OTHER_HOST = ("192.168.0.10",)


class Behind:
    """Where `Pings` come from."""

    def __init__(self, host: Namespace) -> None:
        self.host = host


def pings(namespace: Namespace, address: str) -> Pings:
    return Pings(Behind(namespace), (address,))  # type: ignore[arg-type]


def up(side: Side, number: int) -> bool:
    tunnel = side.tunnel(number)
    established = tunnel["ipsec"]["status"] == "ipsec_sa_established"
    return established and tunnel["state"] == "live" and tunnel["session_state"] == "established"


def until_as_usual(pair: Pair) -> None:
    """Both tunnels are up at both sides, and traffic takes the active one."""

    def usual() -> bool:
        both = all(up(side, number) for side in pair for number in (1, 2))
        return both and all(side.tunnel(1)["carrying"] for side in pair)

    try:
        wait_until(usual, "all tunnels are live", LONG)
    except AssertionError as error:
        raise AssertionError(f"{error}; the daemons said: {pair[0].log()}\n{pair[1].log()}") from None


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with two_gateways() as sides:
        for side in sides:
            side.rest.write("POST", "/v1/configuration/apply", documents(side.number))
        yield sides


def test_both_tunnels_come_up_and_carry_the_traffic_of_the_hosts(pair: Pair) -> None:
    until_as_usual(pair)
    one = pair[0]
    assert one.rest.until_active(CONNECTION)["status"] == "active"
    ipsec = one.tunnel(1)["ipsec"]
    assert (ipsec["driver"], ipsec["ike"]["encryption"]) == ("userspace", "aes256")
    assert (ipsec["ike"]["local_port"], ipsec["ike"]["remote_port"]) == (4500, 4500)
    with pings(one.host, *OTHER_HOST) as sent:
        wait_until(lambda: len(sent.answered) > 20, "pings are answered")
    assert sent.lost == 0
    (child,) = one.tunnel(1)["ipsec"]["ike"]["children"]
    assert child["local_selectors"] == child["remote_selectors"] == ["0.0.0.0/0"]
    assert one.rest.get("/readyz")["checks"]["ipsec"]["ok"]
    assert b"bgpsvc_ipsec_up" in one.rest.http.get("/metrics").content


def test_a_wrong_key_moves_traffic_before_bgp_notices_and_touches_no_other_tunnel(pair: Pair) -> None:
    until_as_usual(pair)
    one, two = pair
    before, other_spis = one.last_event(), one.spis(2)
    with pings(one.host, *OTHER_HOST) as traffic, pings(one.gateway, "169.254.20.2") as other_tunnel:
        wait_until(lambda: traffic.answered and other_tunnel.answered, "pings are answered")
        two.patch_tunnel(1, pre_shared_key="another-key")
        wait_until(lambda: one.tunnel(2)["carrying"], "traffic takes the standby tunnel", LONG)
        moved = one.events("connection.switchover", after=before)[0]
        assert [e["id"] for e in one.events("session.down", after=before) if e["id"] < moved["id"]] == []
        answered = len(traffic.answered)
        wait_until(lambda: len(traffic.answered) > answered + 20, "the hosts reach each other again", LONG)

        def refused() -> bool:
            errors = [side.tunnel(1)["ipsec"]["last_error"] for side in pair]
            return all(error and error["cause"] == "authentication_failed" for error in errors)

        wait_until(refused, "both sides say that authentication failed", LONG)
        told = [event["data"]["cause"] for event in one.events("ipsec.error", after=before)]
        assert "authentication_failed" in told
        assert one.tunnel(1)["ipsec"]["status"] == "ike_sa_not_established"
        two.patch_tunnel(1, pre_shared_key="the-key-of-1")
        until_as_usual(pair)
        answered = len(traffic.answered)
        wait_until(lambda: len(traffic.answered) > answered + 20, "traffic is back", LONG)
    assert other_tunnel.lost == 0
    assert one.spis(2) == other_spis
    assert one.events("connection.failback", after=before)


def test_an_operator_has_a_tunnel_negotiated_anew(pair: Pair) -> None:
    until_as_usual(pair)
    one = pair[0]
    former, other = one.spis(1), one.spis(2)
    one.rest.write("POST", "/v1/tunnels/conn1-tunnel1/restart")
    wait_until(lambda: one.spis(1) not in (former, None), "there are other SAs", LONG)
    until_as_usual(pair)
    assert one.spis(2) == other
    assert one.rest.get("/v1/audit", limit=1)["items"][0]["action"] == "restart"


def test_a_daemon_that_is_killed_and_started_again_keeps_sas_and_traffic(pair: Pair) -> None:
    until_as_usual(pair)
    one, two = pair
    spis, charons = (one.spis(1), one.spis(2)), one.processes("charon")
    before = two.last_event()
    with pings(one.host, *OTHER_HOST) as traffic:
        wait_until(lambda: traffic.answered, "pings are answered")
        one.stop(signal.SIGKILL)
        one.start()
        until_as_usual(pair)
        answered = len(traffic.answered)
        wait_until(lambda: len(traffic.answered) > answered + 20, "pings go on")
    assert traffic.lost == 0
    assert (one.spis(1), one.spis(2)) == spis
    assert one.processes("charon") == charons
    moves = ("tunnel.down", "ipsec.down", "connection.switchover", "session.down")
    assert two.events(*moves, after=before) == []


def test_a_connection_that_is_deleted_and_made_again_at_once_comes_up(pair: Pair) -> None:
    until_as_usual(pair)
    one = pair[0]
    (document,) = documents(one.number)["vpn_connections"]
    one.rest.write("DELETE", CONNECTION, status=202)
    one.rest.write("POST", "/v1/vpn-connections", document, status=201)
    until_as_usual(pair)


def test_a_deleted_connection_leaves_nothing_behind(pair: Pair) -> None:
    until_as_usual(pair)
    one, two = pair
    assert one.links()
    one.rest.write("DELETE", CONNECTION, status=202)
    wait_until(lambda: one.rest.http.get(CONNECTION).status_code == 404, "the connection is deleted", LONG)
    assert one.links() == []
    assert "bgpsvc" not in one.gateway.run("nft", "list", "tables")
    assert one.processes("charon") == []
    assert one.gateway.run("ip", "nexthop", "show", "proto", "201") == ""
    rules_and_routes = one.gateway.run("ip", "rule") + one.gateway.run("ip", "route", "show", "table", "all")
    assert "169.254." not in rules_and_routes
    wait_until(lambda: two.tunnel(1)["state"] == "down", "the other side knows", LONG)
    two.stop()
    assert two.links() == []
    assert two.processes("charon") == []
