"""Resources as JSON documents: what is printed, read and kept, and every mistake with its place."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from bgpsvc.control import InvalidDocument, Mistake
from bgpsvc.resources import load
from bgpsvc.resources.fields import MASK
from bgpsvc.resources.kinds import KIND_OF
from bgpsvc.resources.models import Intent, VpnConnection
from bgpsvc.resources.plain import (
    configuration,
    merge_patch,
    names_in,
    parse,
    parse_all,
    plain,
    reveal,
    secrets_of,
)
from tests.unit.resources.base import ROUTES, replaced

CONNECTION = KIND_OF["vpn_connections"]
PSK = "/tunnels/0/ike/pre_shared_key"
PASSWORD = "/tunnels/0/bgp/password"


def intent() -> Intent:
    return load(ROUTES, "gw.yaml").intent


def conn1() -> VpnConnection:
    return intent().connection("conn1")


def mistakes_of(kind: str, document: Any, **options: Any) -> tuple[Mistake, ...]:
    with pytest.raises(InvalidDocument) as caught:
        parse(KIND_OF[kind], document, **options)
    return caught.value.mistakes


def parsed(document: Any, **options: Any) -> VpnConnection:
    found = parse(CONNECTION, document, **options)
    assert isinstance(found, VpnConnection)
    return found


def small(**changes: Any) -> dict[str, Any]:
    tunnels = [{"customer_gateway": "c1", "interface": "t1"}, {"customer_gateway": "c1", "interface": "t2"}]
    return {"name": "new", "vpn_gateway": "gw1", "tunnels": tunnels} | changes


def keys_of(connection: VpnConnection) -> list[str | None]:
    found = []
    for tunnel in connection.tunnels:
        key = tunnel.ike.pre_shared_key if tunnel.ike is not None else None
        found.append(None if key is None else key.get_secret_value())
    return found


# Printing


def test_a_document_has_all_defaults_in_order_and_nothing_that_is_none() -> None:
    document = plain(intent().vpc("vpc1"))
    assert list(document.items()) == [
        ("name", "vpc1"),
        ("cidrs", ["10.0.0.0/16", "2001:db8:1::/48"]),
        ("route_table", 201),
        ("interfaces", ["br1", "veth9"]),
    ]
    assert "asn" not in plain(intent().customer_gateway("customer3"))
    assert plain(parsed(small()))["failback_hold_down"] == 5.0


def test_secrets_are_masked_or_as_the_caller_says() -> None:
    assert "s3cret" not in json.dumps(plain(conn1()))
    assert plain(conn1())["tunnels"][0]["bgp"]["password"] == MASK
    assert plain(conn1(), reveal)["tunnels"][0]["bgp"]["password"] == "s3cret"
    named = plain(conn1(), lambda pointer, secret: pointer)
    assert named["tunnels"][0]["ike"]["pre_shared_key"] == PSK
    assert secrets_of(conn1()) == {PASSWORD: "s3cret", PSK: "Pr3shared"}


def test_a_secret_that_was_read_from_a_file_stands_in_the_document() -> None:
    text = replaced("password: s3cret", "password_file: secrets/bgp", ROUTES)
    read = load(text, "gw.yaml", lambda name: "from-file\n").intent.connection("conn1")
    assert plain(read, reveal)["tunnels"][0]["bgp"]["password"] == "from-file"
    assert "password_file" not in plain(read)["tunnels"][0]["bgp"]
    unread = load(text, "gw.yaml").intent.connection("conn1")
    assert plain(unread)["tunnels"][0]["bgp"]["password_file"] == "secrets/bgp"


# Reading


def test_what_is_printed_is_read_as_the_same() -> None:
    for kind, resource in parse_all(configuration(intent(), reveal)):
        assert parse(kind, plain(resource), keep=resource) == resource
        assert resource == intent().find(kind.key, resource.name)  # type: ignore[attr-defined]


def test_json_has_types() -> None:
    found = mistakes_of(
        "vpn_connections",
        small(
            name=5,
            enable_bgp="true",
            local_asn=1.1,
            failback_hold_down="5",
            tunnels=[{"customer_gateway": ["c1"], "interface": {}, "bgp": 5, "nat_traversal": None}, None],
        ),
    )
    assert [(m.pointer, m.value, m.message) for m in found] == [
        ("/name", "5", "is a whole number, not text"),
        ("/enable_bgp", "true", "is text, not true or false"),
        ("/local_asn", "1.1", "is a number, not a whole number or text"),
        ("/failback_hold_down", "5", "is text, not a number"),
        ("/tunnels/0/customer_gateway", None, "is a list, not text"),
        ("/tunnels/0/interface", None, "is an object, not text"),
        ("/tunnels/0/bgp", "5", "is not an object"),
        ("/tunnels/1", None, "is empty"),
    ]
    assert all(m.allowed for m in found)


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        ({"local_asn": "1.10"}, "local_asn", 65546),
        ({"local_asn": 65530}, "local_asn", 65530),
        ({"local_asn": "65530"}, "local_asn", 65530),
        ({"failback_hold_down": 3}, "failback_hold_down", 3.0),
        ({"failback_hold_down": 0.25}, "failback_hold_down", 0.25),
        ({"import_policy": None}, "import_policy", None),
    ],
)
def test_values_of_json(changes: dict[str, Any], key: str, value: object) -> None:
    assert getattr(parsed(small(**changes)), key) == value


@pytest.mark.parametrize(
    ("changes", "pointer", "value", "message"),
    [
        ({"vpn_gateway": None}, "/vpn_gateway", None, "is empty"),
        ({"failback_hold_down": None}, "/failback_hold_down", None, "is empty"),
        ({"local_cidrs": None}, "/local_cidrs", None, "is not a list"),
        ({"local_asn": 10**400}, "/local_asn", "a number of more than 300 digits", "is not an AS number"),
        ({"failback_hold_down": float("nan")}, "/failback_hold_down", "nan", "is not a time in range"),
        ({"import_policy": "x" * 300}, "/import_policy", "x" * 100 + "…", "is not a name"),
        ({"import_policy": "\ud800"}, "/import_policy", "\\ud800", "is not a name"),
        ({"enable_pgb": True}, "/enable_pgb", None, "unknown key, did you mean 'enable_bgp'?"),
        ({"a/b~\ud800": 1}, "/a~1b~0\\ud800", None, "unknown key"),
        ({"tunnels": {}}, "/tunnels", None, "is not a list"),
        ({"local_asn": 10**5000}, "/local_asn", "a number of more than 300 digits", "limit"),
    ],
)
def test_a_mistake(changes: dict[str, Any], pointer: str, value: str | None, message: str) -> None:
    (found,) = mistakes_of("vpn_connections", small(**changes))
    assert (found.pointer, found.value) == (pointer, value)
    assert message in found.message


def test_a_long_value_is_shortened_wherever_it_stands() -> None:
    (found,) = mistakes_of("vpcs", {"name": "a", "cidrs": ["1" * 100_000]})
    assert len(f"{found.value}{found.message}") < 500


def test_all_mistakes_at_once_with_those_of_rules() -> None:
    found = mistakes_of(
        "vpcs", {"cidrs": ["10.0.0.0/16", "10.0.1.0/24", "10.0.0.1/8"], "interfaces": ["a/b"]}
    )
    assert [(m.pointer, m.value) for m in found] == [
        ("/name", None),
        ("/cidrs/2", "10.0.0.1/8"),
        ("/interfaces/0", "a/b"),
        ("/cidrs/1", "10.0.1.0/24"),
    ]
    (none,) = mistakes_of("vpcs", ["vpc1"])
    assert (none.pointer, none.message) == ("", "is not an object")


def test_a_bad_secret_is_not_shown() -> None:
    document = merge_patch(plain(conn1()), {})
    document["tunnels"][0]["bgp"] |= {"password": "my hidden word", "pasword": "other hidden word"}
    document["tunnels"][0]["ike"]["pre_shared_key"] = ["hidden"]
    found = mistakes_of("vpn_connections", document, keep=conn1())
    assert [(m.pointer, m.value) for m in found] == [
        ("/tunnels/0/bgp/pasword", None),
        (PASSWORD, "********"),
        (PSK, None),
    ]
    assert not [m for m in found if "hidden" in f"{m.value}{m.message}{m.allowed}"]


# Secrets that stay


def test_a_mask_keeps_the_secret_that_is_there() -> None:
    document = plain(conn1())
    assert parsed(document, keep=conn1()) == conn1()
    found = mistakes_of("vpn_connections", document)
    assert [(m.pointer, m.value) for m in found] == [(PASSWORD, "********"), (PSK, "********")]
    assert "there is none here to keep" in found[0].message
    document["tunnels"][1]["bgp"]["password"] = MASK
    (none,) = mistakes_of("vpn_connections", document, keep=conn1())
    assert none.pointer == "/tunnels/1/bgp/password"


def test_a_key_that_is_left_out_stays_and_a_password_goes() -> None:
    document = plain(conn1())
    del document["tunnels"][0]["ike"], document["tunnels"][0]["bgp"]["password"]
    found = parsed(document, keep=conn1())
    assert keys_of(found) == ["Pr3shared", None]
    assert found.tunnels[0].ike is not None
    assert found.tunnels[0].ike.lifetime == 86400
    assert found.tunnels[0].bgp is not None
    assert found.tunnels[0].bgp.password is None


def test_keys_are_made_where_none_is_there() -> None:
    made = iter(["first", "second", "third", "fourth"])
    ours = small()
    for tunnel in ours["tunnels"]:
        del tunnel["interface"]
    new = parsed(ours, make_key=lambda: next(made))
    assert keys_of(new) == ["first", "second"]
    assert keys_of(parsed(ours, keep=new, make_key=lambda: next(made))) == ["first", "second"]
    given = deepcopy(ours)
    given["tunnels"][0]["ike"] = {"pre_shared_key": "mine"}
    assert keys_of(parsed(given, make_key=lambda: next(made))) == ["mine", "third"]
    assert keys_of(parsed(ours)) == [None, None]
    # IPsec that is set up elsewhere needs none, unless the section says that one is wanted.
    elsewhere = small()
    elsewhere["tunnels"][1]["ike"] = {}
    assert keys_of(parsed(elsewhere, make_key=lambda: next(made))) == [None, "fourth"]


def test_files_are_refused_unless_they_can_be_read() -> None:
    document = small()
    document["tunnels"][1]["ike"] = {"pre_shared_key_file": "secrets/key"}
    (found,) = mistakes_of("vpn_connections", document)
    assert (found.pointer, found.value) == ("/tunnels/1/ike/pre_shared_key_file", "secrets/key")
    assert found.message == "give the secret itself; files are read by the command line"
    assert found.allowed == "pre_shared_key"
    assert keys_of(parsed(document, read_secret=lambda name: f"of-{name}\n")) == [None, "of-secrets/key"]
    document["tunnels"][1]["ike"]["pre_shared_key"] = "both"
    (both,) = mistakes_of("vpn_connections", document, read_secret=lambda name: "x")
    assert both.message == "pre_shared_key is given too"


def test_a_name_cannot_change() -> None:
    (found,) = mistakes_of("vpcs", {"name": "vpc9", "cidrs": ["10.9.0.0/16"]}, keep=intent().vpc("vpc1"))
    assert (found.pointer, found.value, found.allowed) == ("/name", "vpc9", "vpc1")


# Merge patches (the examples of RFC 7396, appendix A)


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(document: Any, patch: Any, result: Any) -> None:
    before = json.dumps([document, patch])
    assert merge_patch(document, patch) == result
    assert json.dumps([document, patch]) == before


def test_a_patch_of_a_resource_keeps_what_it_does_not_name() -> None:
    patch = {"failback_hold_down": 7, "accept_default_route": None}
    found = parsed(merge_patch(plain(conn1()), patch), keep=conn1())
    assert found == conn1().model_copy(update={"failback_hold_down": 7.0, "accept_default_route": False})


def test_a_patch_is_not_nested_without_end() -> None:
    patch: dict[str, Any] = {}
    for _ in range(500):
        patch = {"a": patch}
    with pytest.raises(InvalidDocument, match="nested more than"):
        merge_patch({}, patch)


# Whole configurations


def test_a_configuration_is_read_in_the_order_in_which_it_can_be_made() -> None:
    found = parse_all(configuration(intent()), keep=intent())
    order = list(dict.fromkeys(kind.key for kind, _ in found))
    assert order == list(KIND_OF)
    assert len(found) == sum(len(getattr(intent(), key)) for key in KIND_OF)


def test_mistakes_of_a_configuration_have_their_whole_place() -> None:
    document = {
        "vpcs": [{"name": "a", "cidrs": ["10.0.0.0/16"]}, {"name": "a", "cidrs": ["x"]}, 7],
        "vpn_gateway": [],
        "customer_gateways": {},
    }
    with pytest.raises(InvalidDocument) as caught:
        parse_all(document)
    assert [(m.pointer, m.message.partition(":")[0]) for m in caught.value.mistakes] == [
        ("/vpn_gateway", "unknown key, did you mean 'vpn_gateways'?"),
        ("/vpcs/1/cidrs/0", "'x' is not a prefix"),
        ("/vpcs/2", "is not an object"),
        ("/customer_gateways", "is not a list"),
        ("/vpcs/1/name", "is the name of another one of vpcs already"),
    ]


def test_names_in_a_configuration_come_users_first() -> None:
    document = {"vpcs": [{"name": "a"}, {"name": "b", "cidrs": "whatever"}], "vpc_routes": [{"name": "r"}]}
    assert [(kind.key, name) for kind, name in names_in(document)] == [
        ("vpc_routes", "r"),
        ("vpcs", "b"),
        ("vpcs", "a"),
    ]
    with pytest.raises(InvalidDocument) as caught:
        names_in({"vpcs": [{"cidrs": []}, "a"]})
    assert [m.pointer for m in caught.value.mistakes] == ["/vpcs/0/name", "/vpcs/1/name"]
