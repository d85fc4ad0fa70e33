"""Properties of peer configurations over random connections: every platform writes down all there is, or says
what it cannot do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bgpsvc.peerconfig.facts import PeerFacts
from bgpsvc.peerconfig.platforms import PLATFORMS
from bgpsvc.peerconfig.render import render
from bgpsvc.peerconfig.select import peer_facts
from bgpsvc.peerconfig.words import Unsupported
from bgpsvc.resources.models import Intent
from tests.unit.peerconfig.compiled import compiled_once

DEVICES = [name for name in PLATFORMS if name != "bgpsvc" and not name.startswith("strongswan")]
SYMBOLS = "~!`@#$%^&*()_-+={}[]\\|;:',.<>/?"
LEFTOVERS = re.compile(r"\{\{|\}\}|\{%|%\}|\{#|#\}|\bNone\b|Undefined|object at 0x|Number\(")


@pytest.fixture(autouse=True, scope="module")
def templates_compiled_once() -> Iterator[None]:
    with compiled_once():
        yield


# What every platform can do comes often, so that most examples are written by most of them.
ciphers = st.sampled_from(["aes256"] * 6 + ["aes", "aes192", "des", "3des"])
hashes = st.sampled_from(["sha256"] * 6 + ["md5", "sha1", "sha384", "sha512"])
groups = st.sampled_from(["group14"] * 6 + ["group1", "group2", "group5"])
lifetimes = st.integers(0, 86400) | st.sampled_from([0, 1, 65535, 65536, 86400])
# Distinct from all else that stands in a configuration, so that finding one means that it is there.
keys = st.text(SYMBOLS + "0Aaz9", max_size=60).map("Zq".__add__)
passwords = st.text("".join(map(chr, range(33, 127))), max_size=60).map("Yq".__add__)
bfd_keys = st.text("".join(map(chr, range(33, 127))), max_size=17).map("Xq".__add__)


@st.composite
def ike_settings(draw: st.DrawFn, several: bool) -> dict[str, Any]:
    version = "ikev2" if several else draw(st.sampled_from(["ikev1", "ikev2"]))
    made = {
        "version": version,
        "encryption": draw(ciphers),
        "authentication": draw(hashes),
        "pfs": draw(groups),
        "lifetime": draw(lifetimes),
        "pre_shared_key": draw(keys),
        "local_id": draw(st.sampled_from([None, "gw.example.net", "192.0.2.77"])),
        "remote_id": draw(st.sampled_from([None, "site.example.org"])),
    }
    if version == "ikev1":
        made["mode"] = draw(st.sampled_from(["main", "aggressive"]))
    return made


@st.composite
def bfd_settings(draw: st.DrawFn) -> dict[str, Any]:
    made: dict[str, Any] = {
        "interval_ms": draw(st.integers(10, 60000)),
        "multiplier": draw(st.integers(1, 255)),
        "multihop": draw(st.booleans()),
    }
    if draw(st.booleans()):
        made |= {"key_id": draw(st.integers(0, 255)), "key": draw(bfd_keys)}
    return made


@st.composite
def tunnels(draw: st.DrawFn, number: int, inside: bool, v6: bool, several: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "customer_gateway": f"peer{draw(st.integers(1, number))}",
        "ike": draw(ike_settings(several)),
        "ipsec": {
            "encryption": draw(ciphers),
            "authentication": draw(hashes),
            "pfs": draw(groups | st.just("disabled")),
            "lifetime": draw(lifetimes),
        },
        "dpd": {"enabled": draw(st.booleans()), "timeout": draw(st.integers(1, 3600))},
        "nat_traversal": draw(st.booleans()),
        "mtu": draw(st.none() | st.integers(1280, 9000)),
    }
    if inside:
        made["bgp"] = {
            "tunnel_cidr": f"169.254.{number}0.0/30",
            "local_ip": f"169.254.{number}0.{draw(st.integers(1, 2))}",
            "hold_time": draw(st.integers(3, 65535)),
            "password": draw(st.none() | passwords),
            "ttl_security": draw(st.none() | st.integers(1, 254)),
            "graceful_restart": draw(st.integers(0, 4095)),
            "passive": draw(st.booleans()),
            "bfd": draw(st.none() | bfd_settings()),
        }
        if v6:
            made["bgp"]["ipv6"] = {"tunnel_cidr": f"fd00:{number}0::/126", "local_ip": f"fd00:{number}0::1"}
    return made


@st.composite
def intents(draw: st.DrawFn) -> Intent:
    """A gateway with a connection of one or two tunnels."""
    traffic, bgp = draw(st.booleans()), draw(st.booleans())
    v6 = not traffic and draw(st.booleans())
    inside = bgp or draw(st.booleans())
    count = draw(st.integers(1, 2))
    name = draw(st.sampled_from(["conn1", "a" * 63, "head-office-to-branch-number-17"]))
    connection: dict[str, Any] = {
        "name": name,
        "vpn_gateway": "gw",
        "enable_bgp": bgp,
        "local_asn": draw(st.integers(64512, 65534)),
        "prefer_active_tunnel": draw(st.booleans()),
        "tunnels": [
            # Several pairs of selectors need IKEv2.
            draw(tunnels(number, inside, v6 and inside, several=(traffic and bgp) or (v6 and inside)))
            for number in range(1, count + 1)
        ],
    }
    if traffic:
        connection |= {
            "routing_mode": "interesting_traffic",
            "local_cidrs": ["10.0.1.0/24"],
            "remote_cidrs": ["172.20.0.0/16"],
        }
    routes = [] if traffic else [_route("to-site", "172.20.0.0/16", name)]
    asns = [draw(st.integers(4200000000, 4294967294)) for _ in range(2)]
    peers = [
        {"name": f"peer{number}", "address": f"203.0.113.{number}", "asn": asn}
        for number, asn in enumerate(asns, 1)
    ]
    return Intent.model_validate(
        {
            "vpcs": [{"name": "vpc", "cidrs": ["10.0.0.0/16"]}],
            "vpn_gateways": [{"name": "gw", "vpc": "vpc", "addresses": ["198.51.100.1", "198.51.100.3"]}],
            "customer_gateways": peers,
            "vpn_connections": [connection],
            "destination_routes": routes,
        }
    )


def _route(name: str, destination: str, connection: str) -> dict[str, Any]:
    return {"name": name, "vpn_gateway": "gw", "destination": destination, "vpn_connection": connection}


def facts_of(intent: Intent, *, secrets: bool) -> PeerFacts:
    networks = [ip_network("172.20.0.0/16")]
    return peer_facts(intent, intent.vpn_connections[0].name, secrets=secrets, networks=networks)


def written(facts: PeerFacts, platform: str, secrets: set[str]) -> str | None:
    """None if the platform refuses, which names what, where and what is allowed."""
    try:
        return render(facts, platform).text
    except Unsupported as error:
        refusal = error
    assert all((refusal.what, refusal.where, refusal.allowed))
    assert not [secret for secret in secrets if secret in str(refusal)]
    return None


def secrets_of(intent: Intent) -> set[str]:
    found = set()
    for tunnel in intent.vpn_connections[0].tunnels:
        assert tunnel.ike is not None
        assert tunnel.ike.pre_shared_key is not None
        found.add(tunnel.ike.pre_shared_key.get_secret_value())
        if tunnel.bgp is not None and tunnel.bgp.password is not None:
            found.add(tunnel.bgp.password.get_secret_value())
        if tunnel.bgp is not None and tunnel.bgp.bfd is not None and tunnel.bgp.bfd.key is not None:
            found.add(tunnel.bgp.bfd.key.get_secret_value())
    # `Zq` alone may stand anywhere by chance.
    return {secret for secret in found if len(secret) > 4}


def facts_in_words(facts: PeerFacts) -> Iterator[str]:
    """What a configuration must name, however the platform says it."""
    for tunnel in facts.tunnels:
        yield from map(str, (tunnel.gateway, tunnel.device, tunnel.gateway_id, tunnel.device_id))
        yield str(tunnel.mtu)
        if tunnel.bgp is not None:
            bgp = tunnel.bgp
            yield from map(str, (bgp.gateway, bgp.device, bgp.gateway_asn, bgp.device_asn))
            yield from map(str, (bgp.hold_time, bgp.local_preference, bgp.med))
    known = facts.gateway_networks if facts.tunnels[0].bgp is None else facts.device_networks
    yield from (str(network.network_address) for network in known)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(intents())
def test_all_is_said_and_no_secret(intent: Intent) -> None:
    secrets = secrets_of(intent)
    facts = facts_of(intent, secrets=False)
    for platform in DEVICES:
        text = written(facts, platform, secrets)
        if text is None:
            continue
        assert not [secret for secret in secrets if secret in text], platform
        assert not [fact for fact in facts_in_words(facts) if fact not in text], platform
        if platform == "json":
            json.loads(text)
        else:
            assert not LEFTOVERS.search(text), platform
            # The gateway announces GRACEFUL_SHUTDOWN over a tunnel that is out of use.
            heeded = "65535:0" in text or "graceful-shutdown" in text
            assert heeded == (facts.tunnels[0].bgp is not None), platform
        assert not re.search(r"\n\n\n|[^\n]\Z|[ \t]\n", text), platform


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(intents())
def test_with_secrets_no_placeholder_stands_in(intent: Intent) -> None:
    facts = facts_of(intent, secrets=True)
    for platform in DEVICES:
        text = written(facts, platform, secrets_of(intent))
        if text is not None:
            assert not re.search(r"<(pre-shared key|BGP password|BFD key) of tunnel", text), platform
