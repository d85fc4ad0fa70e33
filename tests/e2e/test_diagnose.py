"""Each fault, caused exactly, against a VPN device that is none of ours: what the diagnosis says first.

    gateway ══ IPsec (tunnel 1) ══ device: strongSwan, BIRD
            ══ a plain cable (tunnel 2, external) ══

One set-up for all: a test puts its fault in, and takes out what those after it do not replace by their own,
so they run in order. What a diagnosis finds follows what happens with some delay (a session goes down, an
attempt fails), so it is asked until it names the fault.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.vpn_device import HOLD_TIME, KEY, World, document, fact, swanctl
from tests.e2e.vpn_gateway import FAR, NEAR, VpnGateway
from tests.interop.ipsec.strongswan import StrongSwan
from tests.netns.namespaces import Namespace, wait_until
from tests.netns.wan import Wan

BFD = {"interval_ms": 100, "multiplier": 3}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with (
        Wan() as wan,
        Namespace() as device,
        VpnGateway(wan, NEAR, FAR) as ours,
        contextlib.ExitStack() as stack,
    ):
        wan.attach(device, "wan", FAR.public[0], [NEAR.public[0]])
        swan = stack.enter_context(StrongSwan(device))
        made = World(wan, ours, device, swan)
        stack.callback(made.close)
        ours.namespace.veth("t2", device, "t2", [f"{NEAR.inside[1]}/30"])
        device.ip(f"address add {FAR.inside[1]}/30 dev t2")
        swan.load(swanctl())
        device.ip(f"address add {FAR.inside[0]}/30 dev ipsec0")
        ours.start()
        ours.apply(document())
        for number in (1, 2):
            made.route_daemon(number)
        ours.until_up()
        yield made


def test_nothing_is_wrong(world: World) -> None:
    found = world.until_well(1)
    outcomes = {c["layer"]: c["outcome"] for c in found["checks"]}
    assert outcomes.pop("detection") == "skipped", "there is none"
    assert set(outcomes.values()) <= {"ok", "warning"}, found
    assert found["summary"] == "tunnel 1 (active) works and carries traffic"
    external = world.until_well(2)
    skipped = [c["layer"] for c in external["checks"] if c["code"] == "external_tunnel"]
    assert skipped == ["address", "udp", "phase1", "phase2"]
    assert external["summary"] == "tunnel 2 (standby) works"


# Tunnel 2: BGP, routes, interface ---------------------------------------------------------------


def test_a_diagnosis_disturbs_nothing(world: World) -> None:
    """Also not many of them, and at the same time."""
    world.until_well(1)
    world.until_well(2)
    before = world.lives()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            found = list(pool.map(world.diagnose, (1, 2, 1, 2)))
            assert [f["fault"] for f in found] == [None] * 4
    assert world.lives() == before


def test_the_command_line_says_the_same(world: World) -> None:
    world.until_well(2)
    words = ["diagnose", "conn1", "--server", f"unix:{world.ours.directory}/api.sock"]
    done = subprocess.run(
        [sys.executable, "-m", "bgpsvc", *words, "--tunnel", "2"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("conn1: tunnel 2 (standby) works")


def test_bgp_refused(world: World) -> None:
    os.kill(world.birds[2].pid, signal.SIGKILL)  # its farewell would say more
    try:
        check = world.until(2, "bgp_refused")
        assert FAR.inside[1] in check["summary"]
    finally:
        world.route_daemon(2)


def test_bgp_filtered(world: World) -> None:
    world.until_well(2)
    with world.dropping("iifname t2 meta l4proto tcp drop"):
        world.birds[2].command("restart gw4")  # else it takes the hold time
        check = world.until(2, "bgp_filtered")
        assert "179" in check["remedy"]


def test_nothing_passes(world: World) -> None:
    world.until_well(2)
    with world.dropping("iifname t2 drop"):
        world.birds[2].command("restart gw4")
        world.until(2, "bgp_no_path")
        lost = world.until(2, "no_reply", "data_path")
        assert fact(lost, "echo requests")["value"] == "3 sent, 0 answered"


def test_the_peer_has_another_asn(world: World) -> None:
    world.route_daemon(2, asn=65501)
    check = world.until(2, "bgp_wrong_asn")
    assert fact(check, "ASN of the peer") == {
        "label": "ASN of the peer",
        "value": None,
        "local": "65500 (configured)",
        "remote": "65501",
    }
    assert "65501" in check["remedy"]


def test_the_peer_expects_another_asn(world: World) -> None:
    world.route_daemon(2, remote_asn=65531)
    check = world.until(2, "bgp_wrong_local_asn")
    assert "65530" in check["summary"]


def test_the_hold_timer_expires(world: World) -> None:
    world.route_daemon(2)
    world.until_well(2)
    pid = world.birds[2].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        check = world.until(2, "bgp_hold_timer_expired")
        assert f"{HOLD_TIME} s" in check["summary"]
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_peer_switches_the_session_off(world: World) -> None:
    world.until_well(2)
    world.birds[2].command("disable gw4")
    check = world.until(2, "bgp_closed_by_peer")
    assert "administrative shutdown" in check["summary"]


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (None, "secret", "the peer signs"),
        ("secret", "other", "the TCP MD5 passwords differ"),
        ("secret", None, "the peer has none"),
    ],
)
def test_tcp_md5_does_not_fit(world: World, ours: str | None, theirs: str | None, words: str) -> None:
    world.apply(bgp2={} if ours is None else {"password": ours})
    world.route_daemon(2, options="" if theirs is None else f'password "{theirs}";')
    try:
        check = world.until(2, "bgp_md5_mismatch")
        assert words in check["summary"]
        assert "secret" not in str(check)
    finally:
        world.apply()
        world.route_daemon(2)


def test_the_peer_does_not_know_of_ttl_security(world: World) -> None:
    world.apply(bgp2={"ttl_security": 1})
    world.route_daemon(2)  # one that was just refused calls again after a minute
    try:
        check = world.until(2, "bgp_ttl_security")
        assert fact(check, "TTL")["local"] == "255 or more"
    finally:
        world.apply()


def test_both_sides_are_passive(world: World) -> None:
    world.apply(bgp2={"passive": True})
    world.route_daemon(2, options="passive yes;")
    try:
        world.until(2, "bgp_passive")
    finally:
        world.apply()
        world.route_daemon(2)


def test_propagation_is_off(world: World) -> None:
    world.until_well(2)
    world.propagate(False)
    try:
        check = world.until(2, "propagation_off")
        assert check["remedy"] == "`bgpsvc propagate on gw`"
        assert fact(check, "learned and not used")["value"] == "3 prefixes"
    finally:
        world.propagate(True)


def test_import_refuses_everything(world: World) -> None:
    rules = [
        {"match": {"prefixes": [{"prefix": "40.0.0.0/8"}]}},
        {"match": {"prefixes": [{"prefix": "0.0.0.0/0", "ge": 1}]}, "action": "reject"},
    ]
    world.apply(routing_policies=[{"name": "strict", "rules": rules}], import_policy="strict")
    check = world.until(2, "all_filtered")
    assert check["summary"].endswith("rejected by rule 2 of import policy strict")
    assert "rule" in check["remedy"]


def test_import_refuses_a_part(world: World) -> None:
    rules = [{"match": {"prefixes": [{"prefix": "30.0.0.0/8"}]}, "action": "reject"}]
    world.apply(routing_policies=[{"name": "strict", "rules": rules}], import_policy="strict")
    check = world.until(2, "some_filtered", "routes")
    assert "rule 1 of import policy strict" in check["summary"]
    world.apply()


def test_prefixes_are_shed_by_the_limit(world: World) -> None:
    world.apply(bgp2={"max_prefixes": 2})
    world.route_daemon(2)  # what is there stays
    try:
        check = world.until(2, "prefix_limit")
        assert "more than 2 prefixes: 1 are shed" in check["summary"]
    finally:
        world.apply()


def test_the_peer_announces_nothing(world: World) -> None:
    world.route_daemon(2, channel="export none;")
    try:
        world.until(2, "nothing_learned")
    finally:
        world.route_daemon(2)


def test_nothing_is_advertised(world: World) -> None:
    mute = [{"name": "mute", "default_action": "reject"}]
    world.apply(routing_policies=mute, export_policy="mute")
    try:
        check = world.until(2, "nothing_advertised")
        assert "the export policy mute" in check["summary"]
    finally:
        world.apply()


def test_echo_requests_are_not_answered(world: World) -> None:
    world.until_well(2)
    with world.dropping("iifname t2 icmp type echo-request drop"):
        check = world.until(2, "echo_filtered", "data_path")
        assert check["outcome"] == "warning"


def test_nobody_answers_bfd(world: World) -> None:
    world.apply(bgp2={"bfd": BFD})
    try:
        check = world.until(2, "bfd_no_answer", "detection")
        assert check["outcome"] == "warning", "the tunnel carries traffic all the same"
        assert FAR.inside[1] in check["summary"]
    finally:
        world.apply()


def test_the_keys_of_bfd_differ(world: World) -> None:
    authentication = 'authentication keyed sha1; password "theirs" { id 7; };'
    theirs = f'protocol bfd {{ interface "t2" {{ interval 100 ms; multiplier 3; {authentication} }}; }}'
    world.route_daemon(2, options="bfd on;", protocols=theirs)
    world.apply(bgp2={"bfd": BFD | {"key_id": 7, "key": "theirs"}})
    try:
        world.until(2, "ok", "detection")
        world.apply(bgp2={"bfd": BFD | {"key_id": 7, "key": "ours-is-another"}})
        check = world.until(2, "bfd_authentication_failed", "detection")
        assert "key id 7" in check["remedy"]
        assert "ours-is-another" not in str(check)
    finally:
        world.apply()
        world.route_daemon(2)


def test_another_process_has_the_port_of_bfd(world: World) -> None:
    holder = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 3784)); input()"
    argv = world.ours.namespace.command(sys.executable, "-c", holder)
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as other:
        try:
            ports = world.ours.namespace.run
            wait_until(lambda: ":3784" in ports("ss", "-Hlun"), "the port is taken")
            world.apply(bgp2={"bfd": BFD})
            check = world.until(2, "bfd_port_taken", "detection")
            assert f"(pid {other.pid})" in check["summary"]
        finally:
            other.kill()
            world.apply()


def test_another_program_has_the_port_of_bgp(world: World) -> None:
    """Diagnosis, event and doctor say which one; once it is gone the session comes back by itself."""
    holder = (
        "import socket; open('/proc/self/comm', 'w').write('bgpd'); s = socket.socket(); "
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('', 179)); s.listen(); input()"
    )
    run = world.ours.namespace.run
    world.apply(enable_bgp=False)
    wait_until(lambda: ":179" not in run("ss", "-Hltn"), "the speakers let go of the port")
    argv = world.ours.namespace.command(sys.executable, "-c", holder)
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as other:
        try:
            wait_until(lambda: ":179" in run("ss", "-Hltn"), "the port is taken")
            world.apply()
            check = world.until(2, "bgp_port_taken", "bgp")
            told = f"TCP port 179 at {NEAR.inside[1]} is held by another program (bgpd (pid {other.pid}))"
            assert check["summary"].startswith(told)
            wait_until(
                lambda: any(told in e["message"] for e in world.ours.rest.events("speaker.down")),
                "the event",
            )
            doctor = ("-m", "bgpsvc", "--server", "unix:/nonexistent", "doctor")
            found = subprocess.run(
                world.ours.namespace.command(sys.executable, *doctor),
                capture_output=True,
                text=True,
                check=False,
            )
            assert f"TCP port 179 is taken by bgpd (pid {other.pid})" in found.stdout
        finally:
            other.kill()
    world.until_well(2)


def test_nothing_returns_through_a_tunnel_without_bgp(world: World) -> None:
    world.apply(enable_bgp=False)
    world.until(2, "no_static_routes")
    route = {"name": "dc", "vpn_gateway": "gw", "destination": "60.0.0.0/8", "vpn_connection": "conn1"}
    world.apply(enable_bgp=False, destination_routes=[route])
    try:
        world.until_well(2)
        with world.dropping("iifname t2 icmp type echo-request drop"):
            check = world.until(2, "no_reply")
        assert fact(check, "echo requests")["value"] == "3 sent, 0 answered"
    finally:
        world.ours.rest.write("DELETE", "/v1/destination-routes/dc", status=202)
        world.apply()


def test_large_packets_do_not_pass(world: World) -> None:
    with world.dropping("iifname t2 ip length > 1300 drop"):
        check = world.until(2, "mtu_too_large")
        assert "more than 1300 bytes" in check["summary"]
        assert "1300" in check["remedy"]


def test_the_address_is_gone(world: World) -> None:
    address = f"{NEAR.inside[1]}/30"
    world.ours.namespace.ip(f"address del {address} dev t2")
    try:
        check = world.until(2, "interface_address_missing")
        assert f"ip address add {address} dev t2" in check["remedy"]
        world.ours.namespace.ip(f"address add {address} dev lo")
        check = world.until(2, "interface_address_elsewhere")
        assert fact(check, "interface with the address")["value"] == "lo"
        world.ours.namespace.ip(f"address del {address} dev lo")
    finally:
        world.ours.namespace.ip(f"address replace {address} dev t2")


def test_the_interface_is_down_or_gone(world: World) -> None:
    world.ours.namespace.ip("link set t2 down")
    world.until(2, "interface_down")
    world.ours.namespace.ip("link del t2")
    check = world.until(2, "interface_missing")
    assert "t2" in check["summary"]
    bgp = next(c for c in world.diagnose(2)["checks"] if c["layer"] == "bgp")
    assert (bgp["outcome"], bgp["code"]) == ("skipped", "layer_below_failed")


# Tunnel 1: the public side and IPsec ------------------------------------------------------------


def test_the_public_address_is_not_here(world: World) -> None:
    world.until_well(1)
    shown = world.ours.namespace.run("ip", "-o", "address", "show", "dev", "wan1").split()
    peer = shown[shown.index("peer") + 1]
    world.ours.namespace.ip(f"address del {NEAR.public[0]} peer {peer} dev wan1")
    try:
        check = world.until(1, "local_address_missing")
        assert NEAR.public[0] in check["summary"]
    finally:
        world.ours.namespace.ip(f"address add {NEAR.public[0]} peer {peer} dev wan1")
        world.wan.route(world.ours.namespace, "wan1", NEAR.public[0], [FAR.public[0]])


def test_there_is_no_route_to_the_peer(world: World) -> None:
    world.ours.namespace.ip(f"route del {FAR.public[0]}")
    try:
        world.until(1, "no_route_to_peer")
    finally:
        world.wan.route(world.ours.namespace, "wan1", NEAR.public[0], [FAR.public[0]])


def test_a_router_says_that_the_peer_is_unreachable(world: World) -> None:
    world.wan.inet.ip(f"rule add pref 90 to {FAR.public[0]} unreachable")
    try:
        check = world.until(1, "peer_unreachable")
        assert "203.0.113." in check["summary"]
    finally:
        world.wan.inet.ip("rule del pref 90")


def test_udp_is_dropped(world: World) -> None:
    with world.wan.losing(FAR.public[0]):
        check = world.until(1, "udp_no_answer")
        assert "500 and 4500" in check["summary"]


def test_only_udp_4500_is_dropped(world: World) -> None:
    with world.dropping("udp dport 4500 drop"):
        world.restart()
        world.until(1, "udp_4500_no_answer")


def test_nobody_speaks_ike_at_the_peer(world: World) -> None:
    world.until_well(1)
    world.swan.kill()
    try:
        check = world.until(1, "udp_port_unreachable")
        assert fact(check, "IKE probe to UDP 500")["value"] == "port unreachable"
    finally:
        world.swan.start()
        world.swan.load(swanctl())
        world.device.ip(f"address add {FAR.inside[0]}/30 dev ipsec0")


def test_the_keys_differ(world: World) -> None:
    world.peer(key="another")
    check = world.until(1, "authentication_failed")
    assert "pre-shared key" in check["remedy"]
    assert KEY not in str(check)
    phase2 = next(c for c in world.diagnose(1)["checks"] if c["layer"] == "phase2")
    assert phase2["code"] == "layer_below_failed"


def test_the_ike_proposals_differ(world: World) -> None:
    world.peer(ike="aes128-sha1-modp1024")
    check = world.until(1, "ike_proposal_mismatch")
    values = next(f for f in check["evidence"] if f["local"])
    assert (values["local"], values["remote"]) == ("aes256-sha256-group14", "aes128-sha1-group2")


def test_the_peer_has_another_identity(world: World) -> None:
    world.peer(local_id="id = dc.example.com")
    world.peer_begins()
    check = world.until(1, "id_mismatch")
    assert fact(check, "identity")["remote"] == "dc.example.com"


def test_the_peer_does_not_know_us(world: World) -> None:
    world.peer(remote="198.51.100.99")
    world.until(1, "unknown_peer")


def test_the_versions_of_ike_differ(world: World) -> None:
    world.peer(version=1)
    check = world.until(1, "ike_version_mismatch")
    assert (fact(check, "IKE version")["local"], fact(check, "IKE version")["remote"]) == ("ikev2", "ikev1")


def test_the_esp_proposals_differ(world: World) -> None:
    world.peer(esp="aes128-sha1")
    check = world.until(1, "esp_proposal_mismatch")
    values = next(f for f in check["evidence"] if f["local"])
    assert "aes256-sha256" in values["local"]


def test_the_selectors_differ(world: World) -> None:
    world.peer(local_ts="192.168.7.0/24")
    world.until(1, "selector_mismatch")


def test_the_groups_of_phase_2_differ(world: World) -> None:
    world.apply(ike={"version": "ikev1"}, ipsec={"pfs": "group5"})
    world.peer(version=1)
    try:
        world.until(1, "esp_proposal_mismatch")  # all that a refused initiator can know
        world.peer_begins()
        check = world.until(1, "pfs_mismatch")
        assert "group5" in check["summary"]
        assert "group14" in check["summary"]
    finally:
        world.apply()
        world.peer()


def test_bgp_is_filtered_inside_the_tunnel(world: World) -> None:
    with world.dropping("iifname ipsec0 meta l4proto tcp drop"):
        world.birds[1].command("restart gw4")
        world.until(1, "bgp_filtered")
    world.until_well(1)


def test_large_packets_do_not_pass_the_tunnel(world: World) -> None:
    with world.dropping("iifname ipsec0 ip length > 1000 drop"):
        check = world.until(1, "mtu_too_large")
        assert "more than 1000 bytes" in check["summary"]
