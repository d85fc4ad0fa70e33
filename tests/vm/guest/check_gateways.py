"""The whole service on a kernel with ESP: every check goes on from where the one before it left the site.

Run in the machine by `tests.vm.machine`; the names of the functions are the tests on the host's side.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.vm.guest.site import KEYS, RIGHT, Gateway, Pings, Site

FOREIGN = """
connections {
  office { local_addrs = 198.51.100.1
    remote_addrs = 203.0.113.77
    local { auth = psk }
    remote { auth = psk }
    children { office { local_ts = 10.9.0.0/16
      remote_ts = 10.8.0.0/16 } } } }
secrets { ike-office { id = 203.0.113.77
  secret = of-the-office } }
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Both gateways, with something of others in the left one's charon, kernel and nftables."""
    with Site() as made:
        made.start(before=lambda: add_foreign(made.left))
        made.until_up()
        yield made


def add_foreign(gateway: Gateway) -> None:
    """A connection with its key, an XFRM interface and a firewall table of the machine's owner."""
    settings = gateway.directory / "office.conf"
    settings.write_text(FOREIGN)
    gateway.charon.swanctl("--load-all", "--file", str(settings))
    gateway.namespace.ip("link add office0 type xfrm if_id 77")
    gateway.namespace.ip("link set office0 alias bgpsvc-like up")
    gateway.namespace.run("nft", "add table inet office")


def foreign(gateway: Gateway) -> list[object]:
    """What of others is there."""
    names = gateway.charon.swanctl("--list-conns")
    return [
        "office: IKEv1/2" in names,
        gateway.charon.keys() - {"bgpsvc-conn-tunnel1", "bgpsvc-conn-tunnel2"},
        gateway.links().get("office0", {}).get("ifalias"),
        "table inet office" in gateway.namespace.run("nft", "list", "tables"),
    ]


UNTOUCHED: list[object] = [True, {"ike-office"}, "bgpsvc-like", True]


def switches(site: Site) -> list[int]:
    return [gateway.rest.connection("conn")["switchovers"] for gateway in site.gateways]


def ups(site: Site) -> list[int]:
    """How often SAs and sessions came up, of all tunnels at both ends."""
    return [
        count
        for gateway in site.gateways
        for number in (1, 2)
        for count in (
            gateway.ipsec(number)["established_count"],
            gateway.session(number)["established_count"],
        )
    ]


def told(site: Site) -> str:
    """The last events of both ends, for a failure."""
    return "\n".join(
        f"{gateway.side.name} {event['time']} {event['kind']} {event['subject']}: {event['message']}"
        for gateway in site.gateways
        for event in gateway.rest.events()[-30:]
    )


def child(gateway: Gateway, number: int) -> dict[str, Any]:
    """The child SA of a tunnel, as REST shows it."""
    (found,) = gateway.ipsec(number)["ike"]["children"]
    return dict(found)


def across(site: Site, number: int) -> Pings:
    """Pings through one tunnel, from gateway to gateway, whatever the other one does."""
    return Pings(site.left.namespace, f"169.254.{number}0.2")


def test_auto_chooses_the_kernel(site: Site) -> None:
    for gateway in site.gateways:
        assert [gateway.ipsec(number)["driver"] for number in (1, 2)] == ["xfrm", "xfrm"]
        assert "the kernel has ESP and XFRM interfaces" in gateway.log_path.read_text()
        kinds = {name: link.get("linkinfo", {}).get("info_kind") for name, link in gateway.links().items()}
        assert (kinds["conn-tunnel1"], kinds["conn-tunnel2"]) == ("xfrm", "xfrm")


def test_what_others_have_was_left_alone(site: Site) -> None:
    assert foreign(site.left) == UNTOUCHED


def test_the_kernels_sas_carry_the_packets_of_the_active_tunnel(site: Site) -> None:
    before = site.left.packets()
    with Pings(site.left.host, RIGHT.host) as pings:
        site.until(lambda: pings.answered >= 20, "20 pings are answered")
    after = site.left.packets()
    grown = {address: after[address] - before[address] for address in after}
    # Of tunnel 1 both directions carried the pings, of tunnel 2 none of them: only BGP.
    assert grown["198.51.100.1"] >= 20
    assert grown["198.51.100.2"] >= 20
    assert grown["198.51.100.4"] < 20
    site.until(lambda: child(site.left, 1)["packets_out"] >= 20, "REST shows that they passed")
    assert f"0x{child(site.left, 1)['spi_out']}" in site.left.spis()


def test_a_diagnosis_finds_no_fault_and_the_largest_packet(site: Site) -> None:
    """Probes bound to XFRM interfaces, and none from a port that an IKE socket's policy concerns."""
    for gateway in site.gateways:
        before = ups(site)
        found = gateway.rest.write("POST", "/v1/vpn-connections/conn/diagnose", {})
        for tunnel in found["tunnels"]:
            codes = {check["layer"]: check["code"] for check in tunnel["checks"]}
            assert tunnel["fault"] is None, tunnel
            assert {codes[layer] for layer in ("phase2", "interface", "bgp", "data_path", "mtu")} == {"ok"}
        assert ups(site) == before


def test_no_packet_is_dropped_for_being_too_large(site: Site) -> None:
    """TCP between the hosts: neither side may send segments that the tunnel does not carry in one packet."""
    mtu = site.left.ipsec(1)["mtu"]
    with site.right.host.entered():
        server = socket.create_server(("192.168.0.10", 7000))
    with site.left.host.entered():
        client = socket.create_connection(("192.168.0.10", 7000), timeout=60)
    with server, client:
        accepted, _ = server.accept()
        with accepted:
            sizes = [end.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) for end in (client, accepted)]
            # 40 bytes of IP and TCP headers, and 12 of the timestamps' option where it is used.
            assert all(mtu - 40 - 12 <= size <= mtu - 40 for size in sizes), (sizes, mtu)
            data = bytes(range(256)) * 1000
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            received = b""
            while len(received) < len(data):
                received += accepted.recv(1 << 16)
            sender.join()
            assert received == data


def test_a_changed_key_moves_traffic_to_the_standby_and_back(site: Site) -> None:
    left = site.left
    with across(site, 2) as other, Pings(left.host, RIGHT.host) as pings:
        left.change_tunnel(1, ike={"pre_shared_key": "another-Key"})
        site.until(lambda: left.carrying() == "conn-tunnel2", "tunnel 2 carries")
        site.until(site.reachable, "ecs1 reaches ecs3 over tunnel 2")
        site.until(
            lambda: (left.ipsec(1)["last_error"] or {}).get("cause") == "authentication_failed",
            "the reason is shown",
        )
        assert left.ipsec(1)["status"] == "ike_sa_not_established"
        left.change_tunnel(1, ike={"pre_shared_key": KEYS[0]})
        site.until(lambda: left.carrying() == "conn-tunnel1", "tunnel 1 carries again")
        site.until(lambda: site.right.carrying() == "conn-tunnel1", "in both directions")
        seen = pings.answered
        site.until(lambda: pings.answered > seen, "ecs1 reaches ecs3 over tunnel 1")
    print(f"key changed and restored: {pings.lost} of {pings.sent} pings lost")
    assert other.answered > 0
    assert other.lost == 0
    assert "another-Key" not in left.log_path.read_text() + left.charon.log_path.read_text()


def test_a_killed_daemon_keeps_sas_and_loses_no_ping(site: Site) -> None:
    site.until_up()  # a second IKE SA that both began at once before is ended by now
    left = site.left
    spis = left.spis()
    switched = site.right.rest.connection("conn")["switchovers"]
    with Pings(left.host, RIGHT.host) as pings:
        left.stop(signal.SIGKILL)
        # As one that is killed between making an interface and giving it name and mark.
        left.namespace.ip("link add bgpsvc-800000aa type xfrm if_id 0x800000aa")
        left.start()
        left.until_alive()
        assert "bgpsvc-800000aa" not in left.links()
        for number in (1, 2):
            site.until(lambda n=number: left.established(n), "the SAs are found again")
            site.until(lambda n=number: left.session(n)["state"] == "established", "and the sessions")
        seen = pings.answered
        site.until(lambda: pings.answered > seen, "pings go on")
    assert pings.lost == 0
    assert left.spis() == spis
    assert site.right.rest.connection("conn")["switchovers"] == switched, told(site)


def test_a_restarted_charon_has_its_tunnels_again_by_itself(site: Site) -> None:
    left = site.left
    former = left.spis()
    left.charon.stop()
    site.until(lambda: left.rest.events("charon.down"), "that charon is gone is told")
    site.until(lambda: not left.established(1) and not left.established(2), "the SAs are gone")
    add_again = left.directory / "office.conf"
    left.charon.start()
    left.charon.swanctl("--load-all", "--file", str(add_again))
    site.until(lambda: left.rest.events("charon.up"), "that it is back is told")
    site.until_up()
    assert not left.spis() & former
    assert foreign(left) == UNTOUCHED


def test_what_a_reload_of_strongswan_unloads_is_loaded_again(site: Site) -> None:
    left = site.left
    site.until_up()
    former = left.spis()
    left.charon.swanctl("--load-all", "--file", str(left.directory / "office.conf"))
    ours = ("bgpsvc-conn-tunnel1:", "bgpsvc-conn-tunnel2:")
    site.until(lambda: all(name in left.charon.swanctl("--list-conns") for name in ours), "they are back")
    assert left.spis() == former
    assert foreign(left) == UNTOUCHED


def test_delay_jitter_and_loss_cause_no_switch(site: Site) -> None:
    """80 ms each way with 10 ms of jitter, and 1 % of all packets lost, for a minute."""
    site.until_up()
    before, came_up = switches(site), ups(site)
    uplinks = [name for name in site.wan.inet.ip("-br link").split() if name.startswith("up")]
    uplinks = sorted({name.partition("@")[0] for name in uplinks})
    assert len(uplinks) == 4
    for name in uplinks:
        site.wan.inet.run(*f"tc qdisc add dev {name} root netem delay 80ms 10ms loss 1%".split())
    try:
        with Pings(site.left.host, RIGHT.host, interval=0.2) as pings:
            site.until(lambda: pings.sent >= 300, "a minute has passed")
    finally:
        for name in uplinks:
            site.wan.inet.run(*f"tc qdisc del dev {name} root".split())
    print(f"80 ms and 1 % each way: {pings.lost} of {pings.sent} pings lost")
    assert switches(site) == before, told(site)
    assert ups(site) == came_up, told(site)
    assert pings.answered > 0
    assert pings.lost < pings.sent / 5


def test_rekeying_loses_no_packet(site: Site) -> None:
    left = site.left
    for gateway in site.gateways:
        former = children(left, 2)
        gateway.change_tunnel(2, ike={"lifetime": 45}, ipsec={"lifetime": 30})
        site.until(lambda f=former: not children(left, 2) & f, "the new lifetimes are negotiated")
        site.until_up()
    counted = left.ipsec(2)["rekey_count"]
    came_up = left.ipsec(2)["established_count"]
    spis, ike = children(left, 2), left.ipsec(2)["ike"]["spi_initiator"]
    with across(site, 2) as pings:
        site.until(lambda: left.ipsec(2)["ike"]["spi_initiator"] != ike, "the IKE SA is a fresh one")
        site.until(lambda: not children(left, 2) & spis, "so is the child SA")
        site.until(lambda: left.ipsec(2)["rekey_count"] >= counted + 2, "both are told")
        seen = pings.answered
        site.until(lambda: pings.answered > seen, "pings go on")
    assert pings.lost == 0
    assert left.ipsec(2)["established_count"] == came_up


def children(gateway: Gateway, number: int) -> set[str]:
    """SPIs of a tunnel's child SAs, as REST shows them."""
    ike: dict[str, Any] = gateway.ipsec(number)["ike"] or {"children": []}
    return {child["spi_out"] for child in ike["children"]}


def test_an_ordinary_end_leaves_nothing_of_ours_and_all_of_others(site: Site) -> None:
    left = site.left
    left.stop(signal.SIGTERM)
    assert foreign(left) == UNTOUCHED
    assert "bgpsvc-" not in left.charon.swanctl("--list-conns")
    assert left.charon.keys() == {"ike-office"}
    assert left.spis() == set()
    assert not [name for name in left.links() if name.startswith("conn-")]
    assert "bgpsvc" not in left.namespace.run("nft", "list", "tables")
    site.until(lambda: not site.right.established(1), "the peer was told")


def test_on_traffic_the_first_packet_brings_it_up(site: Site) -> None:
    """The left gateway begins anew, with nothing; its own BGP is who wants to send first."""
    left, right = site.gateways
    assert "creating acquire job" not in left.charon.log_path.read_text() + right.charon.log_path.read_text()
    right.rest.write("PATCH", "/v1/vpn-connections/conn", {"effect_immediately": False})
    left.start()
    left.until_alive()
    left.rest.write("PATCH", "/v1/vpn-connections/conn", {"effect_immediately": False})
    site.until_up()
    left.stop(signal.SIGTERM)
    site.until(lambda: not right.established(1) and not right.established(2), "all SAs are gone")
    left.start()
    left.until_alive()
    site.until_up()
    assert "creating acquire job" in left.charon.log_path.read_text() + right.charon.log_path.read_text()
