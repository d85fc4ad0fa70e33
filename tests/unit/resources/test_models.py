"""The models by themselves: they obey the same rules when something else than a file makes them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from bgpsvc.resources import BgpSettings, Intent, Ipv6Settings, Vpc, VpnGateway, dump, load
from tests.unit.resources.base import BASE


def bgp(**changes: Any) -> BgpSettings:
    values: dict[str, Any] = {"tunnel_cidr": "169.254.10.0/30", "local_ip": "169.254.10.1"}
    return BgpSettings(**(values | changes))


def test_the_peer_has_the_other_host() -> None:
    assert bgp().peer_ip == IPv4Address("169.254.10.2")
    assert bgp(local_ip=IPv4Address("169.254.10.2")).peer_ip == IPv4Address("169.254.10.1")
    ipv6 = Ipv6Settings(tunnel_cidr=IPv6Network("fd00::4/126"), local_ip=IPv6Address("fd00::5"))
    assert ipv6.peer_ip == IPv6Address("fd00::6")
    other = Ipv6Settings(tunnel_cidr=IPv6Network("fd00::4/126"), local_ip=IPv6Address("fd00::6"))
    assert other.peer_ip == IPv6Address("fd00::5")


def test_defaults() -> None:
    settings = bgp()
    assert (settings.hold_time, settings.graceful_restart, settings.max_prefixes) == (30, 120, 1_000_000)
    assert (settings.max_prefixes_action, settings.passive, settings.ttl_security) == ("shed", False, None)


def test_rules_hold_without_the_loader_and_name_the_place() -> None:
    with pytest.raises(ValidationError) as caught:
        Vpc(name="vpc1", cidrs=(IPv4Network("10.0.0.0/16"), IPv4Network("10.0.1.0/24")))
    (error,) = caught.value.errors()
    assert error["loc"] == ("cidrs", 1)
    assert "overlaps 10.0.0.0/16" in error["msg"]
    with pytest.raises(ValidationError, match="is not a host"):
        bgp(local_ip="169.254.10.3")
    with pytest.raises(ValidationError, match="is not among vpcs"):
        Intent(vpn_gateways=(gateway(),))


def gateway(**changes: Any) -> VpnGateway:
    values: dict[str, Any] = {"name": "gw1", "vpc": "vpc1", "addresses": ("198.51.100.1", "198.51.100.3")}
    return VpnGateway(**(values | changes))


def test_rules_of_nested_models_report_the_whole_place() -> None:
    text: dict[str, Any] = {"vpcs": [{"name": "vpc1", "cidrs": ["10.0.0.0/16", "10.0.0.0/8"]}]}
    with pytest.raises(ValidationError) as caught:
        Intent.model_validate(text)
    assert [error["loc"] for error in caught.value.errors()] == [("vpcs", 0, "cidrs", 1)]


def test_secrets_are_in_no_error_and_no_representation() -> None:
    with pytest.raises(ValidationError) as caught:
        bgp(password="top secret")
    assert "top secret" not in str(caught.value)
    assert "topsecret" not in repr(bgp(password="topsecret"))
    assert bgp(password=SecretStr("topsecret")) == bgp(password="topsecret")


def test_models_are_frozen_and_know_no_other_keys() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        bgp().hold_time = 5
    with pytest.raises(ValidationError, match="Extra inputs"):
        bgp(holdtime=5)


def test_the_bgp_identifier_is_the_first_address_unless_given() -> None:
    assert gateway().bgp_identifier == IPv4Address("198.51.100.1")
    assert gateway(router_id="192.0.2.9").bgp_identifier == IPv4Address("192.0.2.9")


def test_a_copy_has_no_lookups_of_the_original() -> None:
    intent = load(BASE, "gw.yaml").intent
    assert intent.vpc("vpc1").route_table == 201
    moved = intent.vpc("vpc1").model_copy(update={"route_table": 7})
    copy = intent.model_copy(update={"vpcs": (moved,)})
    assert copy.vpc("vpc1").route_table == 7
    with pytest.raises(KeyError):
        copy.vpc("vpc2")


def test_what_is_worked_out_once_is_kept_for_each() -> None:
    asked: list[str] = []

    def name(vpc: Vpc) -> str:
        asked.append(vpc.name)
        return vpc.name

    first, second = load(BASE, "gw.yaml").intent.vpcs
    assert [first.once(name), second.once(name), first.once(name)] == ["vpc1", "vpc2", "vpc1"]
    assert asked == ["vpc1", "vpc2"]
    assert first == load(BASE, "gw.yaml").intent.vpc("vpc1")
    assert set(dict(first)) == set(Vpc.model_fields)


def test_lookups_are_no_fields() -> None:
    intent = load(BASE, "gw.yaml").intent
    before = dump(intent, reveal=True)
    assert intent.index.users["vpcs", "vpc1"] == (("vpn_gateways", "gw1"),)
    assert intent.find("vpcs", "vpc1") == intent.vpc("vpc1")
    assert dump(intent, reveal=True) == before


def test_lookups() -> None:
    intent = load(BASE, "gw.yaml").intent
    assert intent.vpc("vpc2").route_table == 202
    assert intent.gateway("gw2").vpc == "vpc2"
    assert intent.gateway_of_vpc("vpc1") == intent.gateway("gw1")
    assert intent.customer_gateway("customer1").asn == 65500
    assert intent.connection("conn2").vpn_gateway == "gw2"
    assert intent.connections_of("gw1") == (intent.connection("conn1"),)
    alone = Intent(vpcs=(Vpc(name="vpc9", cidrs=(IPv4Network("10.0.0.0/16"),)),))
    assert alone.gateway_of_vpc("vpc9") is None


@pytest.mark.parametrize(
    "lookup", ["vpc", "gateway", "gateway_of_vpc", "customer_gateway", "connection", "connections_of"]
)
def test_lookups_of_what_is_not_there(lookup: str) -> None:
    intent = load(BASE, "gw.yaml").intent
    with pytest.raises(KeyError):
        getattr(intent, lookup)("nobody")


def test_what_the_loader_freezes_is_what_validation_makes() -> None:
    intent = load(BASE, "gw.yaml").intent
    again = Intent.model_validate(intent.model_dump())
    assert again == intent
    assert intent.model_fields_set == set(Intent.model_fields)
