"""For every valid configuration: what is printed loads as the same again. For every text: no crash."""

from __future__ import annotations

import string
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bgpsvc.resources import ConfigError, Intent, Problem, dump, load

PSK_ALPHABET = string.ascii_letters + string.digits + "~!`@#$%^&*()_-+={}[]\\|;:',.<>/?"
PRINTABLE = "".join(map(chr, range(33, 127)))
FILE_SECRET = "secret-of-the-file"

# Words that YAML 1.1 would turn into something else have to survive as names too.
NAMES = st.one_of(
    st.sampled_from(["yes", "no", "on", "off", "true", "null", "n", "y", "e1", "x0", "infinity"]),
    st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True),
)
INTERFACES = st.text(PRINTABLE, min_size=1, max_size=15).filter(
    lambda text: not set(text) & set("/:") and text not in (".", "..")
)
ASNS = st.integers(1, 4294967295)
PATHS = st.text(min_size=1, max_size=40).filter(lambda text: bool(text.strip()) and text.isprintable())


def networks4() -> st.SearchStrategy[IPv4Network]:
    """Networks inside 10.0.0.0/8."""
    return st.builds(
        lambda value, length: IPv4Network((10 << 24 | (value >> (32 - length) << (32 - length)), length)),
        st.integers(0, 2**24 - 1),
        st.integers(8, 32),
    )


def networks6() -> st.SearchStrategy[IPv6Network]:
    """Networks inside 2001:db8::/32."""
    return st.builds(
        lambda value, length: IPv6Network(
            (0x20010DB8 << 96 | value >> (128 - length) << (128 - length), length)
        ),
        st.integers(0, 2**96 - 1),
        st.integers(33, 128),
    )


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


@st.composite
def secrets(draw: st.DrawFn, key: str, alphabet: str, longest: int) -> dict[str, str]:
    """Nothing, the secret itself, or the file that holds it."""
    kind = draw(st.sampled_from(["none", "inline", "file"]))
    if kind == "inline":
        return {key: draw(st.text(alphabet, min_size=1, max_size=longest))}
    return {f"{key}_file": draw(PATHS)} if kind == "file" else {}


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Each field may be there or not."""
    return st.fixed_dictionaries({}, optional=fields)


ALGORITHMS = {
    "encryption": st.sampled_from(["aes", "aes192", "aes256", "des", "3des"]),
    "authentication": st.sampled_from(["sha1", "md5", "sha256", "sha384", "sha512"]),
    "lifetime": st.integers(0, 86400),
}
GROUPS = ["group1", "group2", "group5", "group14"]
IDS = st.sampled_from(["198.51.100.1", "2001:db8::1", "gw.example.net", "gw", "3com.example"])


@st.composite
def ike_sections(draw: st.DrawFn) -> dict[str, Any]:
    mode = draw(st.sampled_from([{}, {"version": "ikev2"}, {"version": "ikev1", "mode": "aggressive"}]))
    ids = draw(some(pfs=st.sampled_from(GROUPS), local_id=IDS, remote_id=IDS, **ALGORITHMS))
    return mode | ids | draw(secrets("pre_shared_key", PSK_ALPHABET, 100))


@st.composite
def bgp_sections(draw: st.DrawFn, number: int) -> dict[str, Any]:
    """`number` makes the tunnel CIDRs of a file differ."""
    cidr = IPv4Network((int(IPv4Address("169.254.16.0")) + 4 * number, 30))
    settings_ = draw(
        some(
            hold_time=st.integers(3, 65535),
            ttl_security=st.integers(1, 254) | st.booleans(),
            graceful_restart=st.integers(0, 4095),
            max_prefixes=st.integers(1, 4294967295),
            max_prefixes_action=st.sampled_from(["shed", "teardown"]),
            passive=st.booleans(),
        )
    )
    if draw(st.booleans()):
        host = draw(st.integers(1, 2))
        settings_["ipv6"] = {"tunnel_cidr": f"fd00::{number:x}:0/126", "local_ip": f"fd00::{number:x}:{host}"}
    local = str(cidr[draw(st.integers(1, 2))])
    return (
        {"tunnel_cidr": str(cidr), "local_ip": local} | settings_ | draw(secrets("password", PRINTABLE, 80))
    )


@st.composite
def tunnels(draw: st.DrawFn, number: int, customers: list[str], interface: str, bgp: bool) -> dict[str, Any]:
    tunnel: dict[str, Any] = {"customer_gateway": draw(st.sampled_from(customers)), "interface": interface}
    if bgp or draw(st.booleans()):
        tunnel["bgp"] = draw(bgp_sections(number))
    return tunnel | draw(
        some(
            ike=ike_sections(),
            ipsec=some(pfs=st.sampled_from([*GROUPS, "disabled"]), **ALGORITHMS),
            dpd=some(enabled=st.booleans(), timeout=st.integers(1, 3600)),
            nat_traversal=st.booleans(),
        )
    )


@st.composite
def intents(draw: st.DrawFn) -> Intent:
    """A valid configuration: some VPCs, each with at most one gateway, each gateway with some connections."""
    vpcs: list[dict[str, Any]] = []
    gateways: list[dict[str, Any]] = []
    connections: list[dict[str, Any]] = []
    tables = draw(st.lists(st.integers(1, 252) | st.integers(256, 4294967295), max_size=3, unique=True))
    names = draw(st.lists(NAMES, min_size=3, max_size=3, unique=True))
    customers = [
        {
            "name": name,
            "address": f"198.51.100.{100 + index}",
            "asn": draw(ASNS.filter(lambda asn: asn != 45104)),
        }
        for index, name in enumerate(draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)))
    ]
    interfaces = draw(st.lists(INTERFACES, min_size=12, max_size=12, unique=True))
    for index, table in enumerate(tables):
        cidrs = [draw(networks4()), *draw(st.lists(networks6(), max_size=1))]
        vpcs.append({"name": names[index], "cidrs": tuple(cidrs), "route_table": table})
        if not draw(st.booleans()):
            continue
        advertise = st.lists(networks4() | networks6(), max_size=4, unique=True).map(tuple)
        addresses = (f"203.0.113.{index * 2 + 1}", f"203.0.113.{index * 2 + 2}")
        extra = draw(some(auto_propagate=st.booleans(), advertise=advertise, router_id=st.just("192.0.2.1")))
        gateways.append({"name": names[-index], "vpc": names[index], "addresses": addresses} | extra)
        for _ in range(draw(st.integers(0, 2))):
            connections.append(draw(connections_of(names[-index], customers, interfaces, len(connections))))
    return Intent.model_validate(
        {
            "vpcs": vpcs,
            "vpn_gateways": gateways,
            "customer_gateways": customers,
            "vpn_connections": connections,
        }
    )


@st.composite
def connections_of(
    draw: st.DrawFn, gateway: str, customers: list[dict[str, Any]], interfaces: list[str], number: int
) -> dict[str, Any]:
    bgp = draw(st.booleans())
    names = [customer["name"] for customer in customers]
    first = 2 * number
    pair = [draw(tunnels(n, names, interfaces[n], bgp)) for n in (first, first + 1)]
    extra = draw(
        some(
            local_asn=ASNS,
            prefer_active_tunnel=st.booleans(),
            failback_hold_down=st.integers(0, 3_600_000).map(lambda milliseconds: milliseconds / 1000),
            accept_default_route=st.booleans(),
        )
    )
    if draw(st.booleans()):
        one_pair = {"local_cidrs": (draw(networks4()),), "remote_cidrs": (draw(networks6()),)}
        extra |= {"routing_mode": "interesting_traffic"} | one_pair
    return {
        "name": f"conn{number}",
        "vpn_gateway": gateway,
        "enable_bgp": bgp,
        "tunnels": tuple(pair),
    } | extra


def read_secret(name: str) -> str:
    return f"{FILE_SECRET}\n"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(intents())
def test_what_is_printed_loads_as_the_same(intent: Intent) -> None:
    text = dump(intent, reveal=True)
    assert load(text, "printed").intent == intent
    read = load(text, "printed", read_secret).intent
    assert load(dump(read, reveal=True), "again", read_secret).intent == read
    assert FILE_SECRET not in dump(read, reveal=True)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(intents())
def test_masked_output_shows_no_secret_and_loads_only_without_one(intent: Intent) -> None:
    inline = any(
        section is not None and section.model_dump()[key] is not None
        for connection in intent.vpn_connections
        for tunnel in connection.tunnels
        for section, key in ((tunnel.bgp, "password"), (tunnel.ike, "pre_shared_key"))
    )
    text = dump(intent)
    assert text.startswith("# Secrets are masked") == inline
    if not inline:
        assert load(text, "printed").intent == intent
        return
    with pytest.raises(ConfigError) as caught:
        load(text, "printed")
    assert {problem.message for problem in caught.value.problems} == {
        "is the mask that stands for a secret, not the secret"
    }


WORDS = st.sampled_from(
    ["vpcs", "vpn_connections", "tunnels", "bgp", "name", "cidrs", "asn", "10.0.0.0/8", "gw1"]
)
PUNCTUATION = st.sampled_from(
    [*"{}[]'\"|#~", ": ", "- ", "\n", "\n  ", "\n    - ", ", ", "&a ", "*a", "!!map ", "<<"]
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(WORDS | PUNCTUATION, max_size=40).map("".join)))
def test_any_text_is_loaded_or_refused_with_a_place(text: str) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        load(text, "any")
    except ConfigError as error:
        problems = error.problems
        refused = True
    else:
        refused = False
    assert refused == bool(problems)
    lines = text.count("\n") + 2
    assert all(1 <= problem.line <= lines and problem.column >= 1 for problem in problems)
