"""The speakers' configuration: from intent to text, and ExaBGP's own reading of that text."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from bgpsvc.exabgp.config import SpeakerSession, render, sessions_of
from bgpsvc.model import Family, Role, SessionId
from bgpsvc.resources.models import Intent

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "exabgp-conf" / "example-active.conf"
PLAIN = SpeakerSession(
    id=SessionId("conn1-tunnel1"),
    role=Role.ACTIVE,
    local_address="169.254.10.1",
    peer_address="169.254.10.2",
    local_asn=65530,
    peer_asn=65500,
    router_id="198.51.100.1",
    hold_time=30,
    graceful_restart=120,
)
FULL = SpeakerSession(
    id=SessionId("conn2-tunnel1"),
    role=Role.ACTIVE,
    local_address="169.254.30.2",
    peer_address="169.254.30.1",
    local_asn=4200000000,
    peer_asn=65501,
    router_id="198.51.100.1",
    hold_time=9,
    password="example key",
    ttl_security=1,
    graceful_restart=0,
    families=(Family.IPV4, Family.IPV6),
    local_address_v6="fd00:30::2",
    passive=True,
)
OTHER = dataclasses.replace(
    PLAIN,
    id=SessionId("conn1-tunnel2"),
    role=Role.STANDBY,
    local_address="169.254.20.1",
    peer_address="169.254.20.2",
)


def example() -> str:
    return render(
        Role.ACTIVE, [FULL, PLAIN, OTHER], "/opt/bgpsvc/bin/python", "/opt/bgpsvc/lib/bgpsvc/exabgp/relay.py"
    )


def test_the_rendered_example_is_kept() -> None:
    assert EXAMPLE.read_text() == example()


def test_only_the_sessions_of_the_role_in_a_fixed_order() -> None:
    text = render(Role.STANDBY, [OTHER, PLAIN], "/p", "/r")
    assert "169.254.20.2" in text
    assert "169.254.10.2" not in text
    assert render(Role.ACTIVE, [PLAIN, FULL], "/p", "/r") == render(Role.ACTIVE, [FULL, PLAIN], "/p", "/r")


def test_equal_addresses_are_refused() -> None:
    with pytest.raises(ValueError, match="conn1-tunnel1 and x both go from 169"):
        render(Role.ACTIVE, [PLAIN, dataclasses.replace(PLAIN, id=SessionId("x"))], "/p", "/r")


def test_the_password_is_in_no_representation() -> None:
    assert "example key" not in repr(FULL)
    assert "example key" not in example()


READ = """
import sys
from exabgp.environment import getenv
from exabgp.logger import log
from exabgp.configuration.configuration import Configuration
log.init(getenv())
configuration = Configuration([sys.argv[1]])
assert configuration.reload() is True, configuration.error
from exabgp.util.psk import decode_base64
for n in configuration.neighbors.values():
    key = decode_base64(n["md5-password"]) if n["md5-base64"] and n["md5-password"] else None
    print(n["description"], n["local-address"], n["peer-address"], n["local-as"], n["peer-as"],
          n["router-id"], n["hold-time"], n["incoming-ttl"], n["passive"], n["listen"],
          n["adj-rib-in"], n["manual-eor"],
          n["capability"]["graceful-restart"], [(str(a), str(s)) for a, s in n.families()],
          key.decode() if key else None, sep="|")
"""


def read_by_exabgp(path: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


KEYS = ["simple", "with space", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "k" * 80]


def test_exabgp_reads_what_was_meant(tmp_path: Path) -> None:
    keyed = [
        dataclasses.replace(
            FULL,
            id=SessionId(f"k{number}-tunnel1"),
            local_address=f"169.254.4{number}.1",
            peer_address=f"169.254.4{number}.2",
            password=key,
        )
        for number, key in enumerate(KEYS)
    ]
    # Paths with what configuration files are usually tripped by.
    relay = tmp_path / "a folder, [with] {signs}" / "relay.py"
    relay.parent.mkdir()
    relay.touch()
    path = tmp_path / "speaker.conf"
    path.write_text(render(Role.ACTIVE, [PLAIN, *keyed], sys.executable, str(relay)))
    plain, *others = read_by_exabgp(path)
    four, six = "('ipv4', 'unicast')", "('ipv6', 'unicast')"
    assert plain == (
        "conn1-tunnel1|169.254.10.1|169.254.10.2|65530|65500|198.51.100.1|30|None|False|179|False|True|120|"
        f"[{four}]|None"
    )
    for number, (key, line) in enumerate(zip(KEYS, others, strict=True)):
        assert line == (
            f"k{number}-tunnel1|169.254.4{number}.1|169.254.4{number}.2|4200000000|65501|198.51.100.1|9|255|True|"
            f"179|False|True|False|[{four}, {six}]|{key}"
        )


INTENT = {
    "vpcs": [{"name": "vpc1", "cidrs": ["10.0.0.0/16"]}],
    "vpn_gateways": [{"name": "gw1", "vpc": "vpc1", "addresses": ["198.51.100.1", "198.51.100.3"]}],
    "customer_gateways": [
        {"name": "one", "address": "198.51.100.2", "asn": 65500},
        {"name": "two", "address": "198.51.100.4", "asn": 65501},
    ],
    "vpn_connections": [
        {
            "name": "conn1",
            "vpn_gateway": "gw1",
            "enable_bgp": True,
            "local_asn": 65530,
            "tunnels": [
                {
                    "customer_gateway": "one",
                    "interface": "t1",
                    "bgp": {
                        "tunnel_cidr": "169.254.10.0/30",
                        "local_ip": "169.254.10.1",
                        "hold_time": 9,
                        "password": "secret",
                        "ttl_security": 2,
                        "ipv6": {"tunnel_cidr": "fd00:10::/126", "local_ip": "fd00:10::1"},
                    },
                },
                {
                    "customer_gateway": "two",
                    "interface": "t2",
                    "bgp": {
                        "tunnel_cidr": "169.254.20.0/30",
                        "local_ip": "169.254.20.2",
                        "graceful_restart": 0,
                    },
                },
            ],
        }
    ],
}


def test_sessions_of_an_intent() -> None:
    first, second = sessions_of(Intent.model_validate(INTENT))
    assert first == SpeakerSession(
        id=SessionId("conn1-tunnel1"),
        role=Role.ACTIVE,
        local_address="169.254.10.1",
        peer_address="169.254.10.2",
        local_asn=65530,
        peer_asn=65500,
        router_id="198.51.100.1",
        hold_time=9,
        password="secret",
        ttl_security=2,
        graceful_restart=120,
        families=(Family.IPV4, Family.IPV6),
        interface="t1",
        local_address_v6="fd00:10::1",
    )
    assert first.incoming_ttl == 254
    assert second == SpeakerSession(
        id=SessionId("conn1-tunnel2"),
        role=Role.STANDBY,
        local_address="169.254.20.2",
        peer_address="169.254.20.1",
        local_asn=65530,
        peer_asn=65501,
        router_id="198.51.100.1",
        interface="t2",
    )


def test_a_connection_without_bgp_has_no_sessions() -> None:
    connection = INTENT["vpn_connections"][0] | {"enable_bgp": False}
    assert sessions_of(Intent.model_validate(INTENT | {"vpn_connections": [connection]})) == ()
