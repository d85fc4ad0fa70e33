"""A change is judged by what it touches: never otherwise than if everything were judged anew."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bgpsvc.control import InUse, InvalidDocument
from bgpsvc.resources import load
from bgpsvc.resources.changes import diff, intent_of, with_changes
from bgpsvc.resources.kinds import KIND_OF, KINDS, Kind
from bgpsvc.resources.models import Intent, Resource
from bgpsvc.resources.plain import configuration, parse, parse_all, reveal
from tests.unit.resources.base import ROUTES

BASE_DOCUMENTS = configuration(load(ROUTES, "base").intent, reveal)
for connection in BASE_DOCUMENTS["vpn_connections"]:
    # The service makes the tunnels of these.
    if connection["name"] in ("conn1", "legacy1"):
        for tunnel in connection["tunnels"]:
            del tunnel["interface"]
BASE = intent_of(parse_all(BASE_DOCUMENTS))
DOCUMENTS = configuration(BASE, reveal)
NAMES = {kind.key: [*BASE.of_kind(kind.key), "other1", "other2"] for kind in KINDS}
NETWORKS = [
    "10.0.0.0/16",
    "192.168.0.0/24",
    "172.20.0.0/16",
    "172.24.0.0/16",
    "172.25.0.0/16",
    "fd00:20::/64",
]
ADDRESSES = ["198.51.100.1", "198.51.100.2", "198.51.100.3", "203.0.113.1", "203.0.113.9"]
INTERFACES = ["t1", "t2", "t3", "br1", "br2", "x1"]


def tunnels() -> st.SearchStrategy[list[dict[str, Any]]]:
    cidrs = st.sampled_from(["169.254.10", "169.254.20", "169.254.30"])
    bgp = cidrs.map(lambda net: {"tunnel_cidr": f"{net}.0/30", "local_ip": f"{net}.1"})
    tunnel = st.fixed_dictionaries(
        {"customer_gateway": st.sampled_from(NAMES["customer_gateways"]), "bgp": bgp},
        optional={"interface": st.sampled_from(INTERFACES)},
    )
    return st.lists(tunnel, min_size=1, max_size=2)


def named(kind: str) -> st.SearchStrategy[str]:
    return st.sampled_from(NAMES[kind])


NETWORK = st.sampled_from(NETWORKS)
SESSIONS = st.sampled_from(["conn1-tunnel2", "conn2-tunnel1", "legacy1-tunnel2", "other1-tunnel1"])
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "vpcs": {
        "cidrs": st.lists(NETWORK, min_size=1, max_size=2),
        "route_table": st.sampled_from([201, 202, 203]),
        "interfaces": st.lists(st.sampled_from(INTERFACES), max_size=2),
    },
    "routing_policies": {"rules": SESSIONS.map(lambda session: [{"match": {"sessions": [session]}}])},
    "vpn_gateways": {
        "vpc": named("vpcs"),
        "addresses": st.lists(st.sampled_from(ADDRESSES), min_size=2, max_size=2),
        "import_policy": st.none() | named("routing_policies"),
    },
    "customer_gateways": {"address": st.sampled_from(ADDRESSES), "asn": st.none() | st.just(65000)},
    "vpn_connections": {
        "vpn_gateway": named("vpn_gateways"),
        "enable_bgp": st.booleans(),
        "export_policy": st.none() | named("routing_policies"),
        "routing_mode": st.just("interesting_traffic"),
        "local_cidrs": NETWORK.map(lambda network: [network]),
        "remote_cidrs": NETWORK.map(lambda network: [network]),
        "tunnels": tunnels(),
    },
    "destination_routes": {
        "vpn_gateway": named("vpn_gateways"),
        "vpn_connection": named("vpn_connections"),
        "destination": NETWORK,
    },
    "policy_routes": {
        "vpn_gateway": named("vpn_gateways"),
        "vpn_connection": named("vpn_connections"),
        "source": NETWORK,
        "destination": NETWORK,
        "priority": st.sampled_from([5, 10]),
    },
    "vpc_routes": {"vpc": named("vpcs"), "destination": NETWORK, "blackhole": st.just(True)},
}


@st.composite
def puts(draw: st.DrawFn) -> tuple[Kind, Resource] | None:
    """One resource made or changed, with values that often collide; None if it is wrong in itself."""
    kind = draw(st.sampled_from(KINDS))
    name = draw(named(kind.key))
    known = {item["name"]: item for item in DOCUMENTS[kind.key]}
    if name in known:
        key = draw(st.sampled_from(list(FIELDS[kind.key])))
        document = known[name] | {key: draw(FIELDS[kind.key][key])}
    else:
        document = {"name": name} | {key: draw(field) for key, field in FIELDS[kind.key].items()}
    try:
        return kind, parse(kind, document)
    except InvalidDocument:
        return None


def is_valid(resources: dict[tuple[str, str], Resource]) -> bool:
    lists: dict[str, list[Resource]] = {kind.key: [] for kind in KINDS}
    for (kind, _), resource in resources.items():
        lists[kind].append(resource)
    try:
        Intent.model_validate({key: tuple(items) for key, items in lists.items()})
    except ValidationError:
        return False
    return True


FIXED = ("vpc", "vpn_gateway")


def moves(put: tuple[Kind, Resource]) -> bool:
    """True if it changes what cannot be changed, which no rule over a whole configuration knows."""
    former = BASE.find(put[0].key, getattr(put[1], "name"))  # noqa: B009
    return former is not None and any(getattr(former, key, 0) != getattr(put[1], key, 0) for key in FIXED)


@settings(max_examples=400, deadline=None)
@given(st.lists(puts(), min_size=1, max_size=2))
def test_a_put_is_refused_if_and_only_if_the_whole_would_be(
    found: list[tuple[Kind, Resource] | None],
) -> None:
    wished = [put for put in found if put is not None and not moves(put)]
    resources: dict[tuple[str, str], Resource] = {
        (kind.key, name): item for kind in KINDS for name, item in BASE.of_kind(kind.key).items()
    }
    resources.update({(kind.key, getattr(item, "name")): item for kind, item in wished})  # noqa: B009
    if not is_valid(resources):
        with pytest.raises(InvalidDocument):
            with_changes(BASE, wished, ())
        return
    after = with_changes(BASE, wished, ())
    assert after == intent_of((KIND_OF[kind], item) for (kind, _), item in resources.items())
    assert set(after.index.owners) == set(Intent.model_validate(after.model_dump()).index.owners)
    assert {(item.kind, item.name) for item in diff(BASE, after)} <= {
        (kind.key, getattr(item, "name"))  # noqa: B009
        for kind, item in wished
    }


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.sampled_from([(kind, name) for kind in KINDS for name in BASE.of_kind(kind.key)]), min_size=1)
)
def test_a_removal_is_refused_if_and_only_if_something_is_left_without(gone: set[tuple[Kind, str]]) -> None:
    names = {(kind.key, name) for kind, name in gone}
    resources = {
        (kind.key, name): item
        for kind in KINDS
        for name, item in BASE.of_kind(kind.key).items()
        if (kind.key, name) not in names
    }
    if is_valid(resources):
        assert with_changes(BASE, (), gone) == intent_of(
            (KIND_OF[k], item) for (k, _), item in resources.items()
        )
    else:
        with pytest.raises(InUse):
            with_changes(BASE, (), gone)
