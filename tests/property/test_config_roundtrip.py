"""For every valid configuration: what is printed loads as the same again. For every text: no crash."""

from __future__ import annotations

import copy
import functools
import json
import string
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bgpsvc.control import InvalidDocument
from bgpsvc.resources import ConfigError, Intent, Problem, dump, load
from bgpsvc.resources.changes import intent_of
from bgpsvc.resources.fields import MASK
from bgpsvc.resources.kinds import KINDS, Kind
from bgpsvc.resources.plain import configuration, parse, parse_all, plain, reveal, secrets_of
from tests.unit.resources.base import ROUTES

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
VPC_INTERFACES = st.sampled_from(["-br-lan", "-veth.100", "-e@f"])
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


def prefix_matches() -> st.SearchStrategy[dict[str, Any]]:
    """A network with lengths that prefixes inside it may have."""

    def lengths(network: IPv4Network | IPv6Network) -> st.SearchStrategy[dict[str, Any]]:
        both = st.lists(st.integers(network.prefixlen, network.max_prefixlen), min_size=2, max_size=2)
        keys = both.map(lambda pair: {"ge": min(pair), "le": max(pair)})
        some_keys = st.tuples(keys, st.sets(st.sampled_from(["ge", "le"])))
        return some_keys.map(
            lambda found: {"prefix": str(network)} | {k: v for k, v in found[0].items() if k in found[1]}
        )

    return (networks4() | networks6()).flatmap(lengths)


U32 = st.integers(0, 4294967295)
COMMUNITIES = st.lists(
    st.sampled_from(["no-export", "blackhole", "65000:0100"])
    | st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(lambda pair: f"{pair[0]}:{pair[1]}")
    | st.tuples(U32, U32, U32).map(lambda three: ":".join(map(str, three))),
    max_size=3,
).map(tuple)
PATTERNS = st.sampled_from(["^65500_", "_65000$", "^$", "(6550[0-3] ?)+", "65000{2}|65001", ".*"])


def policy_rules(sessions: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    match = some(
        prefixes=st.lists(prefix_matches(), max_size=2).map(tuple),
        as_path=PATTERNS,
        communities=COMMUNITIES,
        sessions=st.lists(st.sampled_from(sessions), max_size=2).map(tuple) if sessions else st.just(()),
    )
    changes = some(
        match=match,
        action=st.just("accept"),
        local_preference=U32,
        med=U32,
        prepend=st.integers(0, 10),
        add_communities=COMMUNITIES,
        remove_communities=COMMUNITIES,
    )
    return changes | st.fixed_dictionaries({"action": st.just("reject")}, optional={"match": match})


def policies(name: str, sessions: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    rules = st.lists(policy_rules(sessions), max_size=3).map(tuple)
    rest = some(rules=rules, default_action=st.sampled_from(["accept", "reject"]))
    return rest.map(lambda found: {"name": name} | found)


def static(number: int, version: int, kind: int) -> str:
    """Destinations that differ by number and by kind of route, outside every VPC."""
    return f"172.{16 + number}.{kind}.0/24" if version == 4 else f"2001:db9:{number:x}:{kind}::/64"


@st.composite
def routes(
    draw: st.DrawFn, vpcs: list[dict[str, Any]], connections: list[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Static routes over the connections, custom routes of the VPCs."""
    found: dict[str, list[dict[str, Any]]] = {"destination_routes": [], "policy_routes": [], "vpc_routes": []}
    for number in range(draw(st.integers(0, 3)) if connections else 0):
        connection = draw(st.sampled_from(connections))
        own = {"vpn_gateway": connection["vpn_gateway"], "vpn_connection": connection["name"]}
        version = draw(st.sampled_from([4, 6]))
        route = {"name": f"static{number}", "destination": static(number, version, 1)} | own
        found["destination_routes"].append(route | draw(some(publish=st.booleans())))
        source = draw(networks4() if version == 4 else networks6())
        route = {"name": f"policy{number}", "source": source, "destination": static(number, version, 2)} | own
        extra = draw(some(publish=st.booleans(), priority=st.integers(1, 100)))
        found["policy_routes"].append(route | extra)
    for number, vpc in enumerate(vpcs):
        hop: dict[str, Any] = {"next_hop": draw(st.sampled_from(["10.0.0.1", "192.0.2.1"]))}
        hop |= draw(some(interface=INTERFACES))
        target = draw(st.sampled_from([hop, {"interface": "eth0"}, {"blackhole": True}]))
        route = {"name": f"custom{number}", "vpc": vpc["name"], "destination": static(number, 4, 3)}
        found["vpc_routes"].append(route | target | draw(some(advertise=st.booleans())))
    return found


@st.composite
def intents(draw: st.DrawFn) -> Intent:
    """A valid configuration: some VPCs, each with at most one gateway, each gateway with some connections,
    policies and routes."""
    vpcs: list[dict[str, Any]] = []
    gateways: list[dict[str, Any]] = []
    connections: list[dict[str, Any]] = []
    tables = draw(
        st.lists(
            st.integers(1, 252) | st.integers(256, 0x1FFFFFFF) | st.integers(0x30000000, 4294967295),
            max_size=3,
            unique=True,
        )
    )
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
    sessions = [f"{c['name']}-tunnel{n + 1}" for c in connections for n in range(len(c["tunnels"]))]
    policy_names = draw(st.lists(NAMES, max_size=2, unique=True))
    for item in (*gateways, *connections) if policy_names else ():
        named = st.sampled_from(policy_names)
        item |= draw(some(import_policy=named, export_policy=named))
    for number, vpc in enumerate(vpcs):
        vpc["interfaces"] = tuple(f"{number}{name}" for name in draw(st.sets(VPC_INTERFACES, max_size=2)))
    return Intent.model_validate(
        {
            "vpcs": vpcs,
            "vpn_gateways": gateways,
            "customer_gateways": customers,
            "routing_policies": [draw(policies(name, sessions)) for name in policy_names],
            "vpn_connections": connections,
        }
        | draw(routes(vpcs, connections))
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
            effect_immediately=st.booleans(),
        )
    )
    if draw(st.booleans()):
        pair[1:] = []
        check = some(
            interval=st.integers(1, 3600),
            retries=st.integers(1, 100),
            on_failure=st.sampled_from(["revoke_route", "reserve_route"]),
        )
        ends = {"source": "10.0.0.1", "destination": "172.16.0.1"}
        if draw(st.booleans()):
            extra["health_check"] = ends | draw(check)
    if draw(st.booleans()):
        remote = static(15 + number, draw(st.sampled_from([4, 6])), 4)
        local = draw(networks4() if "." in remote else networks6())
        extra |= {"routing_mode": "interesting_traffic", "local_cidrs": (local,), "remote_cidrs": (remote,)}
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
def test_documents_are_read_as_the_same_and_their_schemas_are_true(intent: Intent) -> None:
    read = load(dump(intent, reveal=True), "printed", read_secret).intent
    for kind in KINDS:
        for resource in getattr(read, kind.key):
            masked, shown = plain(resource), plain(resource, reveal)
            assert FILE_SECRET not in json.dumps(masked)
            for document in (masked, shown):
                validator(kind).validate(document)
            again = parse(kind, shown)
            assert plain(again, reveal) == shown
            assert parse(kind, masked, keep=again) == again
            assert all(
                value in json.dumps(shown) or "\\" in json.dumps(value)
                for value in secrets_of(resource).values()
            )
    assert intent_of(parse_all(configuration(read), keep=read)) == intent_of(
        parse_all(configuration(read, reveal))
    )


VALUES = st.one_of(
    st.none() | st.booleans() | st.integers(-2, 5) | st.integers(2**29 - 1, 2**33) | st.floats(),
    st.sampled_from(
        [MASK, "", "1.10", "65530", "10.0.0.0/16", "::1", "::ffff:1.2.3.4/127", "1.2.3.4", "a", "30"]
    ),
    st.sampled_from(["no-export", "1:2", "a.b", "^$", "ikev1", "sha1", "group2", "disabled", [], {}, ["a"]]),
    st.text(max_size=12),
)
DOCUMENTS = configuration(load(ROUTES, "base").intent, reveal)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in ((*path, key), *places(item, (*path, key)))]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_what_is_accepted_satisfies_the_schema(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    document = copy.deepcopy(data.draw(st.sampled_from(DOCUMENTS[kind.key])))
    original = parse(kind, document)
    for _ in range(data.draw(st.integers(1, 2))):
        *steps, last = data.draw(st.sampled_from(places(document)))
        value = document
        for step in steps:
            value = value[step]
        value[last] = data.draw(VALUES)
    try:
        parse(kind, document, keep=original)
    except InvalidDocument:
        return
    validator(kind).validate(document)


@functools.cache
def validator(kind: Kind) -> jsonschema_rs.Validator:
    """Judges documents by the schema of their kind, formats included."""
    return jsonschema_rs.validator_for(kind.model.model_json_schema(), validate_formats=True)


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
