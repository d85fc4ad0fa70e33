"""The driver `userspace` at both ends of a connection: real charons, real packets."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from itertools import product
from pathlib import Path

import pytest

from bgpsvc.ipsec.port import CharonDown, CharonUp, SaChanged
from bgpsvc.model import SessionId
from tests.netns.ipsec.node import SLOW, CallFailed
from tests.netns.ipsec.pair import IDS, KEY, Pair, tunnel
from tests.netns.ipsec.traffic import connecting, pinging, sniffing, syn_sizes, udp_ports
from tests.netns.namespaces import Namespace, wait_until

MTU = 1400
"""1500 less IPv4 20, UDP 8, ESP 8, IV 16, ICV 16; whole blocks of 16, less the trailer of 2."""


V1 = {"version": "ikev1"}
TUNNELS = (
    tunnel("left", 1),
    tunnel("right", 1),
    tunnel("left", 2, ike=V1),
    tunnel("right", 2, ike=V1),
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two gateways, for one test after the other."""
    with Pair(tmp_path_factory.mktemp("pair")) as made:
        yield made


@pytest.fixture
def connected(pair: Pair) -> Pair:
    """Both tunnels carry packets: the first by IKEv2, the second by IKEv1."""
    pair.recover(*TUNNELS)
    return pair


def charons(pair: Pair) -> dict[str, int]:
    """Pids of the left side's charons by tunnel."""
    records = (pair.nodes["left"].state_dir / "ipsec").glob("*/record.json")
    found = [json.loads(path.read_text()) for path in records]
    return {record["tunnel"]: record["pid"] for record in found}


def runs(pid: int) -> bool:
    """Whether a process runs; one that nobody has asked about yet has ended all the same."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def links(namespace: Namespace) -> set[str]:
    """Names of all interfaces."""
    return {link["ifname"] for link in json.loads(namespace.ip("-j link show"))}


def addresses(namespace: Namespace, interface: str) -> set[str]:
    """All addresses of an interface."""
    (link,) = json.loads(namespace.ip(f"-j address show dev {interface}"))
    return {f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"]}


def test_only_the_usual_ports_are_on_the_wire(connected: Pair) -> None:
    left = connected.spaces["left"]
    with sniffing(left, "wire1") as one, sniffing(left, "wire2") as two:
        for number in (1, 2):
            connected.nodes["left"].call("terminate", IDS[number], True)
            connected.negotiate(number)
            connected.wait_reaches(number)
    assert udp_ports(one) == udp_ports(two) == {(500, 500), (4500, 4500)}


def test_interfaces_are_as_wished_and_carry_both_families(connected: Pair) -> None:
    left = connected.spaces["left"]
    assert connected.reaches(1, 6)
    for number in (1, 2):
        name = f"conn1-tunnel{number}"
        assert addresses(left, name) == {f"169.254.1{number}.1/30", f"fd00:{number}::1/126"}
        (link,) = json.loads(left.ip(f"-d -j link show dev {name}"))
        assert (link["mtu"], link["ifalias"]) == (MTU, f"bgpsvc:{name}")
    before = connected.nodes["left"].call("traffic", IDS[1])
    with pinging(left, "169.254.11.2") as pings:
        pings.wait_more(5)
    assert connected.nodes["left"].call("traffic", IDS[1]) >= before + 6


def test_networks_in_which_a_gateway_has_no_address_are_carried(connected: Pair) -> None:
    """Several on each side: charon itself would refuse them all."""
    mine = [ip_network("10.1.0.0/16"), ip_network("10.2.0.0/24"), ip_network("fd01::/48")]
    theirs = [ip_network("172.16.0.0/16"), ip_network("172.17.0.0/16"), ip_network("fd02::/48")]
    pairs = [pair for pair in product(mine, theirs) if pair[0].version == pair[1].version]
    turned = [(remote, local) for local, remote in pairs]
    connected.bring_up(tunnel("left", 1, pairs=tuple(pairs)), tunnel("right", 1, pairs=tuple(turned)))
    connected.nodes["left"].call("terminate", IDS[1], True)
    connected.negotiate(1)
    left, right = connected.spaces["left"], connected.spaces["right"]
    for namespace, host, host6, there, there6 in (
        (left, "10.2.0.9", "fd01::9", theirs[1], theirs[2]),
        (right, "172.17.0.9", "fd02::9", mine[1], mine[2]),
    ):
        namespace.ip(f"address replace {host}/32 dev lo")
        namespace.ip(f"address replace {host6}/128 dev lo")
        namespace.ip(f"route replace {there} dev conn1-tunnel1 src {host}")
        namespace.ip(f"-6 route replace {there6} dev conn1-tunnel1 src {host6}")
    for address in ("172.17.0.9", "fd02::9"):
        with pinging(left, address) as pings:
            pings.wait_more(2)
    # No packet is taken for the gateway's own because of that.
    for version, address in ((4, "10.1.0.0"), (6, "fd01::")):
        assert f"local {address} " not in left.ip(f"-{version} route show table local")
    connected.bring_up(tunnel("left", 1))
    assert "10.1.0.0" not in left.ip("address") + left.ip("route show table all")


def test_other_settings_of_one_tunnel_leave_the_other_alone(connected: Pair) -> None:
    left = connected.nodes["left"]
    (unharmed,) = left.sas(IDS[1])
    with pinging(connected.spaces["left"], "169.254.11.2") as pings:
        changed = tunnel("left", 2, ike=V1 | {"pre_shared_key": "Another-Key-7"})
        assert left.bring_up(changed).renewed
        left.call("terminate", IDS[2], True)
        left.call("initiate", IDS[2])
        wait_until(lambda: not connected.reaches(2), "tunnel 2 is down", SLOW)
        moved = replace(changed, mtu=1300, addresses=changed.addresses[:1])
        assert not left.bring_up(moved).renewed
        assert addresses(connected.spaces["left"], "conn1-tunnel2") == {"169.254.12.1/30"}
        left.call("take_down", IDS[2])
    assert not pings.lost
    (still,) = left.sas(IDS[1])
    assert still.spi_initiator == unharmed.spi_initiator


def test_a_killed_daemon_leaves_tunnels_that_its_successor_adopts(connected: Pair) -> None:
    left = connected.nodes["left"]
    before = {number: left.sas(IDS[number])[0].spi_initiator for number in (1, 2)}
    running = charons(connected)
    # A closed terminal, or whoever ends the daemon's process group, does not reach them.
    assert all(os.getsid(pid) == pid for pid in running.values())
    wanted = TUNNELS[0], TUNNELS[2]
    with (
        pinging(connected.spaces["left"], "169.254.11.2") as one,
        pinging(connected.spaces["left"], "169.254.12.2") as two,
    ):
        left.restart()
        one.wait_more(10)
        since = len(left.signals)
        left.call("start", wanted)
        for number in (1, 2):
            left.wait_charon(IDS[number], since)
        assert [left.bring_up(each).renewed for each in wanted] == [False, False]
        two.wait_more(10)
    assert not one.lost
    assert not two.lost
    assert charons(connected) == running
    assert {number: left.sas(IDS[number])[0].spi_initiator for number in (1, 2)} == before
    # Another key is noticed all the same, although charon tells nobody what it has.
    assert left.bring_up(tunnel("left", 1, ike={"pre_shared_key": "Another-Key-7"})).renewed


def test_changed_settings_are_negotiated_also_by_the_successor_of_who_loaded_them(connected: Pair) -> None:
    left, changed = connected.nodes["left"], tunnel("left", 1, ike={"pre_shared_key": "Another-Key-7"})
    assert left.bring_up(changed).renewed
    left.restart()
    left.call("start", (changed, TUNNELS[2]))
    assert left.bring_up(changed).renewed
    left.call("terminate", IDS[1], True)
    assert not left.bring_up(changed).renewed
    assert not left.bring_up(TUNNELS[2]).renewed


def test_a_charon_that_hangs_keeps_no_successor_from_the_other_tunnel(connected: Pair) -> None:
    left, running = connected.nodes["left"], charons(connected)
    os.kill(running[IDS[1]], signal.SIGSTOP)
    since = len(left.signals)
    left.restart()
    left.call("start", (TUNNELS[0], TUNNELS[2]))
    left.wait_charon(IDS[2], since)
    assert not left.bring_up(TUNNELS[2]).renewed
    assert charons(connected) == running
    assert CharonUp((IDS[1],)) not in left.signals[since:]
    os.kill(running[IDS[1]], signal.SIGKILL)
    left.wait_charon(IDS[1], since)


def test_a_charon_that_no_record_names_is_in_nobodys_way(connected: Pair) -> None:
    left, running = connected.nodes["left"], charons(connected)
    left.kill()
    for record in (left.state_dir / "ipsec").glob("*/record.json"):
        record.unlink()
    left.restart()
    since = len(left.signals)
    left.call("start", (TUNNELS[0],))
    assert not runs(running[IDS[2]])
    left.bring_up(TUNNELS[0])
    left.wait_charon(IDS[1], since)
    assert not runs(running[IDS[1]])
    assert left.namespace.ip("rule show").count("fwmark") == 1


def test_a_successor_removes_what_is_not_wanted_any_more(connected: Pair) -> None:
    left = connected.nodes["left"]
    running = charons(connected)
    left.restart()
    left.call("start", (tunnel("left", 1),))
    left.wait_charon(IDS[1])
    assert charons(connected) == {IDS[1]: running[IDS[1]]}
    assert not runs(running[IDS[2]])
    assert "conn1-tunnel1" in links(connected.spaces["left"])
    assert "conn1-tunnel2" not in links(connected.spaces["left"])
    assert connected.reaches(1)


def test_a_killed_charon_comes_back_with_its_interface(connected: Pair) -> None:
    left, space = connected.nodes["left"], connected.spaces["left"]
    since = len(left.signals)
    with pinging(space, "169.254.12.2") as other:
        os.kill(charons(connected)[IDS[1]], signal.SIGKILL)
        down = left.wait_for(lambda s: isinstance(s, CharonDown), "charon is down", since)
        assert isinstance(down, CharonDown)
        assert down.tunnels == (IDS[1],)
        # Of one that was adopted it is not known how.
        assert down.reason in ("charon killed by SIGKILL", "charon ended")
        left.wait_charon(IDS[1], since)
        # Before anybody asked for it.
        assert addresses(space, "conn1-tunnel1") == {"169.254.11.1/30", "fd00:1::1/126"}
        assert not left.bring_up(tunnel("left", 1)).renewed
        connected.negotiate(1)
        connected.wait_reaches(1)
    assert not other.lost


def test_syns_tell_the_mss_that_fits_the_tunnel(connected: Pair) -> None:
    left, right = connected.spaces["left"], connected.spaces["right"]
    with Namespace() as host:
        left.veth("lan", host, "eth0", ["10.1.0.1/24", "fd01::1/64"])
        host.ip("address add 10.1.0.2/24 dev eth0")
        host.ip("address add fd01::2/64 dev eth0 nodad")
        host.ip("route add default via 10.1.0.1")
        host.ip("route add default via fd01::1")
        left.sysctl("net/ipv4/ip_forward", 1)
        left.sysctl("net/ipv6/conf/all/forwarding", 1)
        for far, size in (("169.254.11.2", MTU - 40), ("fd00:1::2", MTU - 60)):
            with sniffing(right, "conn1-tunnel1") as packets, connecting(host, far):
                wait_until(lambda: syn_sizes(packets), f"a SYN to {far}", SLOW)
            assert syn_sizes(packets) == {size}
        # The peer's side may not clamp.
        right.ip("link set conn1-tunnel1 mtu 1500")
        right.ip("route add 10.1.0.0/24 dev conn1-tunnel1 src 169.254.11.2")
        with sniffing(host, "eth0") as packets, connecting(right, "10.1.0.2"):
            wait_until(lambda: syn_sizes(packets), "a SYN from the peer", SLOW)
        assert syn_sizes(packets) == {MTU - 40}


def test_everything_of_ours_is_removed_and_nothing_else(connected: Pair) -> None:
    left, space = connected.nodes["left"], connected.spaces["left"]
    space.ip("tuntap add mode tun name ipsec9")
    space.ip("link set ipsec9 alias somebody:else")
    space.run("nft", "add table inet somebody; add chain inet somebody input")
    pids = charons(connected).values()
    since = len(connected.nodes["right"].signals)
    left.call("stop", False)
    assert links(space) == {"lo", "wire1", "wire2", "ipsec9"}
    assert space.run("nft", "list", "tables").splitlines() == ["table inet somebody"]
    assert "fwmark" not in space.ip("rule show") + space.ip("-6 rule show")
    assert not [pid for pid in pids if runs(pid)]
    assert not list((left.state_dir).rglob("*"))
    wait_until(lambda: told_of_the_end(connected, since) == set(IDS.values()), "the peer was told", SLOW)
    space.ip("link del ipsec9")
    space.run("nft", "delete table inet somebody")


def told_of_the_end(pair: Pair, since: int) -> set[SessionId]:
    """Of which tunnels the right side heard that an SA ended."""
    signals = pair.nodes["right"].signals[since:]
    return {one.tunnel for one in signals if isinstance(one, SaChanged) and not one.up}


def test_what_a_crash_left_is_removed(connected: Pair) -> None:
    left, space = connected.nodes["left"], connected.spaces["left"]
    pids = charons(connected).values()
    left.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(runs, pids)), "the charons are dead", SLOW)
    assert {"ipsec0", "ipsec1"} <= links(space)
    assert "fwmark" in space.ip("rule show")
    left.restart()
    left.call("start", ())
    assert links(space) == {"lo", "wire1", "wire2"}
    assert not space.run("nft", "list", "tables")
    assert "fwmark" not in space.ip("rule show") + space.ip("-6 rule show")


def test_the_key_is_nowhere_to_be_read(connected: Pair) -> None:
    left, secret = connected.nodes["left"], KEY.encode()
    for pid in (left.process.pid, *charons(connected).values()):
        for name in ("cmdline", "environ"):
            assert secret not in Path(f"/proc/{pid}/{name}").read_bytes()
    files = [path for path in left.state_dir.rglob("*") if path.is_file()]
    assert len(files) > 4  # of two charons, and what they have in common
    assert not [path for path in files if secret in path.read_bytes()]
    assert (left.state_dir / "ipsec").stat().st_mode & 0o777 == 0o700
    assert KEY not in repr(left.signals)
    assert KEY not in (left.state_dir.parent / "left.log").read_text()


def test_another_driver_finds_nothing_of_this_one(connected: Pair) -> None:
    left, space = connected.nodes["left"], connected.spaces["left"]
    pids = charons(connected).values()
    left.restart()
    left.call("dismantle")
    assert not any(map(runs, pids))
    assert links(space) == {"lo", "wire1", "wire2"}
    assert not space.run("nft", "list", "tables")
    assert "fwmark" not in space.ip("rule show") + space.ip("-6 rule show")
    assert not list(left.state_dir.rglob("*"))
    left.call("dismantle")


def test_what_somebody_removed_is_made_anew(connected: Pair) -> None:
    left, space = connected.nodes["left"], connected.spaces["left"]
    space.run("nft", "flush", "ruleset")
    left.call("terminate", IDS[1], True)
    connected.negotiate(1)
    connected.wait_reaches(1)
    since = len(left.signals)
    space.ip("link del conn1-tunnel1")
    space.ip("link del ipsec1")

    def charon_is_replaced() -> bool:
        left.call("sas")
        return any(isinstance(one, CharonUp) for one in left.signals[since:])

    wait_until(charon_is_replaced, "another charon", SLOW)
    assert {"conn1-tunnel1", "ipsec1"} <= links(space)
    left.bring_up(tunnel("left", 1))
    connected.negotiate(1)
    connected.wait_reaches(1)


def test_a_name_that_is_taken_is_said(connected: Pair) -> None:
    left, space = connected.nodes["left"], connected.spaces["left"]
    left.call("take_down", IDS[1])
    space.ip("tuntap add mode tun name conn1-tunnel1")
    with pytest.raises(CallFailed, match="the name conn1-tunnel1 is taken"):
        left.bring_up(tunnel("left", 1))
    space.ip("link del conn1-tunnel1")
    since = len(left.signals)
    left.wait_charon(IDS[1], since)
    left.bring_up(tunnel("left", 1))


CONFINED = (
    *("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh"),
    *("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"),
)
"""As a container with NET_ADMIN and without SYS_ADMIN: one /run for all charons, and no mounting."""


def test_charons_share_a_container(tmp_path: Path) -> None:
    with Pair(tmp_path, CONFINED) as pair:
        for number in (1, 2):
            pair.establish(number)
        for number in (1, 2):
            pair.wait_reaches(number)
        left = pair.nodes["left"]
        assert not list(left.state_dir.rglob("charon.pid"))
        since = len(left.signals)
        os.kill(charons(pair)[IDS[1]], signal.SIGKILL)
        left.wait_for(lambda s: isinstance(s, CharonDown), "charon is down", since)
        left.wait_charon(IDS[1], since)
        left.bring_up(tunnel("left", 1))
        pair.negotiate(1)
        pair.wait_reaches(1)


def test_a_gateway_behind_a_nat_and_a_peer_behind_one(tmp_path: Path) -> None:
    with Pair(tmp_path, nat=True) as pair, sniffing(pair.spaces["right"], "wire1") as packets:
        for number, version in ((1, "ikev1"), (2, "ikev2")):
            pair.establish(number, ike={"version": version})
            pair.wait_reaches(number)
            (seen,) = pair.nodes["right"].sas(IDS[number])
            assert seen.nat_remote
    assert not {(500, 500), (4500, 4500)} & udp_ports(packets)
