"""Inputs that are broken, hostile, of something else, or ask for what there is not here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bgpsvc.importing import Choices, Refused, translate
from tests.unit.importing.base import CIDRS, SECRETS, imported, refusal, text_of

ENTITIES = """<?xml version="1.0"?>
<!DOCTYPE vpn_connection [<!ENTITY a "0123456789"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<vpn_connection id="&b;"/>"""
OUTSIDE = '<!DOCTYPE v [<!ENTITY x SYSTEM "file:///etc/passwd">]><vpn_connection id="&x;"/>'


def changed(name: str, *pairs: tuple[str, str]) -> str:
    text = text_of(name)
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


# Forms

NOT_KNOWN = [
    ("aws", "", "is empty; allowed: the XML"),
    ("aws", "\n", "is empty"),
    ("gcp", "[]", "is JSON, and not in a form of Google Cloud that is known here; allowed: YAML or JSON of"),
    ("azure", "crypto ikev2 proposal x", "is text, and not in a form of Azure that is known here"),
    ("alibaba", "<html/>", "is XML, and not in a form of Alibaba Cloud"),
]


@pytest.mark.parametrize(("cloud", "text", "reason"), NOT_KNOWN)
def test_an_unknown_form_is_refused_with_what_it_is_and_what_is_allowed(
    cloud: str, text: str, reason: str
) -> None:
    with pytest.raises(Refused) as refused:
        translate(cloud, text)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("cloud", "name", "right"),
    [
        ("gcp", "aws-bgp.xml", "aws"),
        ("azure", "aws-answer.json", "aws"),
        ("alibaba", "aws-generic.txt", "aws"),
        ("aws", "azure-template.json", "azure"),
        ("azure", "gcp-classic.json", "gcp"),
        ("aws", "gcp-ha.yaml", "gcp"),
        ("gcp", "alibaba-both.json", "alibaba"),
        ("aws", "alibaba-described.json", "alibaba"),
    ],
)
def test_the_file_of_another_cloud_is_said_to_be_one(cloud: str, name: str, right: str) -> None:
    with pytest.raises(Refused, match=f"use `bgpsvc import {right}`"):
        translate(cloud, text_of(name))


# Hostile

HOSTILE: list[tuple[str, str, str]] = [
    ("aws", ENTITIES, "has a document type"),
    ("aws", OUTSIDE, "has a document type"),
    ("aws", "<vpn_connection>" + "<a>" * 50, "too many elements"),
    ("aws", "<vpn_connection>" + "<ipsec_tunnel/>" * 20_001, "too many elements"),
    ("aws", '<vpn_connection id="a"><ike/><ike/>', "<ike> is there twice"),
    ("aws", '<vpn_connection id="a">text<ike/></vpn_connection>', "has both text and elements"),
    ("aws", "<vpn_connection>\ud800</vpn_connection>", "half of a surrogate pair"),
    ("aws", "<vpn_connection" + " " * 9_000_000, "is larger than 8 million characters"),
    ("azure", '{"Microsoft.Network/": ' + "[" * 100_000, "is nested too deeply"),
    ("azure", '{"Microsoft.Network/": ' + "[" * 60 + "]" * 60 + "}", "is nested too deeply"),
    ("azure", '{"virtualNetworkGateway1": 1, "virtualNetworkGateway1": 2}', "is given twice"),
    ("azure", '{"virtualNetworkGateway1": NaN}', "NaN is no number"),
    ("azure", '{"virtualNetworkGateway1": ' + "9" * 5000 + "}", "is not valid JSON"),
    ("azure", '{"resources": [' * 12 + '"Microsoft.Network/"' + "]}" * 12, "is nested too deeply"),
    ("gcp", "sharedSecret: &a [x]\nb: *a\n", "has a YAML reference"),
    ("gcp", "sharedSecret: " + "[" * 60 + "]" * 60, "is nested too deeply"),
    ("gcp", "sharedSecret: 1\nsharedSecret: 2", "'sharedSecret' is given twice (line 2)"),
    ("gcp", "sharedSecret: *gcp-secret-0", "has a YAML reference"),
    ("gcp", "sharedSecret: %gcp-secret-0\n", "is neither JSON nor YAML (line 1, column 15)"),
    ("gcp", "sharedSecret: \x00gcp-secret-0\n", "a character that is not allowed"),
    ("gcp", "sharedSecret: \ud800\n", "a character that is not allowed"),
]


@pytest.mark.parametrize(("cloud", "text", "reason"), HOSTILE)
def test_what_is_hostile_is_refused_before_it_costs_anything(cloud: str, text: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        translate(cloud, text, Choices(vpc_cidrs=CIDRS))
    assert reason in str(refused.value)
    assert "secret-0" not in str(refused.value)


# What is missing, wrong, or not possible here

IKE_XML = "<ike>\n      <authentication_protocol>sha1"
REFUSALS: list[tuple[str, tuple[str, str], str]] = [
    ("aws-bgp.xml", ("198.51.100.11", "2001:db8::1"), "'2001:db8::1' is not an IPv4 address"),
    ("aws-bgp.xml", ("198.51.100.11", "somewhere"), "ipsec_tunnel[0].vpn_gateway.tunnel_outside_address"),
    ("aws-bgp.xml", ("169.254.44.234", "2001:db8::2"), "sessions run over IPv4 here"),
    ("aws-bgp.xml", ("169.254.44.233", "169.254.44.237"), "are not the two hosts of 169.254.44.232/30"),
    ("aws-bgp.xml", ("<network_cidr>30", "<network_cidr>8"), "are not the two hosts of 169.0.0.0/8"),
    ("aws-bgp.xml", ("<asn>65000", "<asn>many"), "bgp.asn: 'many' is not a whole number"),
    ("aws-bgp.xml", ("<asn>64512", "<asn>45104"), "is the VPN gateway's own default ASN"),
    ("aws-bgp.xml", (IKE_XML, IKE_XML.replace("sha1", "sha3-512")), "'sha3-512' is no integrity algorithm"),
    ("aws-bgp.xml", ("aes-128-cbc", "aes-256-gcm-16"), "'aes-256-gcm-16' is no cipher that there is here"),
    ("aws-bgp.xml", (">group2<", ">group20<"), "'group20' is no Diffie-Hellman group"),
    ("aws-bgp.xml", ("aws.Key_for.tunnel_1", "********"), "no pre-shared key"),
    (
        "aws-bgp.xml",
        ("<lifetime>28800</lifetime>", "<lifetime>8 h</lifetime>"),
        "'8 h' is not a whole number",
    ),
    ("aws-bgp.xml", ("<vpn_connection id=", "<vpn_connection name="), "vpn_connection.@id: is missing"),
    ("aws-bgp.xml", ("</vpn_connection>", ""), "is not well-formed XML: no element found"),
    ("aws-answer.json", ('"SHA2-384"', '"SHA9"'), "Options.TunnelOptions[1]: 'SHA9' is no integrity"),
    (
        "alibaba-described.json",
        ('"LocalAsn": "65530"', '"LocalAsn": "1.99999"'),
        "'1.99999' is not a whole number",
    ),
    (
        "aws-answer.json",
        ('"CustomerGatewayConfiguration"', '"X"'),
        "CustomerGatewayConfiguration: is missing",
    ),
    ("aws-answer.json", ('"192.168.0.0/16"', '"192.168.0.1/16"'), "is not a network"),
    ("aws-generic.txt", ("Your VPN Connection ID", "ID"), "its beginning is missing"),
    ("aws-generic.txt", ("#1: Internet Key", "Internet Key"), "tunnel 1.#1: is missing"),
    ("aws-generic.txt", ("28800 seconds", "8 hours"), "'8 hours' is not a whole number"),
    ("azure-two-connections.json", ('"DHGroup14"', '"ECP384"'), "'ECP384' is no Diffie-Hellman group"),
    (
        "azure-two-connections.json",
        ('"ipsecEncryption": "AES256"', '"ipsecEncryption": "GCMAES256"'),
        "no cipher",
    ),
    ("azure-two-connections.json", ('"PFS2048"', '"PFS24"'), "'PFS24' is no group of phase 2"),
    ("azure-two-connections.json", ('"169.254.21.2"', '"169.254.21.6"'), "custom APIPA addresses"),
    ("azure-two-connections.json", ('"branch-a-router"', '"other"'), "names 'branch-a-router'"),
    ("azure-two-connections.json", ('"customBgpIpAddresses"', '"x"'), "and none of 169.254.x.x at instance0"),
    ("azure-two-connections.json", ('"tunnelIpAddresses"', '"x"'), "says no public address"),
    ("azure-two-connections.json", ('"sharedKey"', '"x"'), "no pre-shared key"),
    ("azure-two-connections.json", ('"IPsec"', '"Vnet2Vnet"'), "has no site-to-site connection"),
    (
        "azure-two-connections.json",
        ('"connectionMode": "Default"', '"authenticationType": "Certificate"'),
        "certif",
    ),
    ("azure-template.json", ('"defaultValue": "template-key",', ""), "'key' of the template has no default"),
    (
        "azure-template.json",
        ("[resourceId('Microsoft.Network/publicIPAddresses', 'ip-a')]", "[x()]"),
        "'[x()]'",
    ),
    (
        "gcp-ha.yaml",
        ("kind: compute#vpnGateway\n", "kind: compute#x\n"),
        "names 'ha-gateway', which is not in",
    ),
    ("gcp-ha.yaml", ("kind: compute#router", "kind: compute#x"), "`gcloud compute routers describe` besides"),
    ("gcp-ha.yaml", ("name: if-office-1\n", "name: other\n"), "has no IPv4 BGP session over VPN tunnel"),
    ("gcp-ha.yaml", ("- id: 1\n  ipAddress: 198", "- id: 2\n  ipAddress: 198"), "has no interface '1'"),
    ("gcp-ha.yaml", ("gcp-secret-0", "'*************'"), "no pre-shared key"),
    ("gcp-ha.yaml", ("key: md5-secret-1", "key: '***'"), "TCP MD5 key, which is not in the file"),
    ("gcp-ha.yaml", ("ikeVersion: 2", "ikeVersion: 3"), "'ikev3' is not known; allowed: ikev2 | ikev1"),
    ("gcp-ha.yaml", ("169.254.10.1", "169.254.1.1"), "169.254.1.0/30"),
    ("gcp-ha.yaml", ("peerAsn: 65020\n  advertisedRoutePriority: 200", "peerAsn: 65021"), "65020, 65021"),
    (
        "gcp-classic.json",
        ("compute#forwardingRule", "compute#x"),
        "names 'classic', which is not in the file",
    ),
    ("gcp-classic.json", ("compute#vpnTunnel", "compute#x"), "has no VPN tunnel"),
    ("gcp-classic.json", ('"10.20.0.0/16"', '"10.20.0.0/160"'), "localTrafficSelector[0]: '10.20.0.0/160'"),
    ("alibaba-both.json", ('"aes256"', '"sm4"'), "'sm4' is no cipher"),
    ("alibaba-both.json", ('"65530"', '"45104"'), "is the VPN gateway's own default ASN"),
    ("alibaba-single.json", ('"Psk": "ali-key-3",', ""), "no pre-shared key"),
    ("alibaba-single.json", ('"Psk": "ali-key-3"', '"Psk": "ali key-3"'), "a character that is not allowed"),
    ("alibaba-single.json", ('"203.0.113.10"', '"100.64.0.1"'), ""),
    ("alibaba-single.json", ('"172.16.0.0/16"', '"172.16.0.0/16,"'), ""),
]


@pytest.mark.parametrize(("name", "change", "reason"), [row for row in REFUSALS if row[2]])
def test_what_cannot_be_done_is_refused_at_its_place(name: str, change: tuple[str, str], reason: str) -> None:
    said = refusal(name, changed(name, change))
    assert reason in said
    assert not [secret for secret in SECRETS if secret in said]


@pytest.mark.parametrize(("name", "change", "reason"), [row for row in REFUSALS if not row[2]])
def test_what_looks_odd_and_is_none_the_less_possible(
    name: str, change: tuple[str, str], reason: str
) -> None:
    imported(name, changed(name, change))


def test_a_tunnel_cidr_that_is_reserved_here_is_refused_with_its_place() -> None:
    name = "aws-bgp.xml"
    said = refusal(name, changed(name, ("169.254.44.233", "169.254.6.1"), ("169.254.44.234", "169.254.6.2")))
    place = "vpn_connection.ipsec_tunnel[0] (bgp.tunnel_cidr): '169.254.6.0/30' reserved by the system"
    assert said.startswith(place)


def test_several_problems_are_said_at_once() -> None:
    name = "aws-bgp.xml"
    said = refusal(name, changed(name, (">group2<", ">group20<"), ("aes-128-cbc", "aes-256-gcm-16")))
    assert len(said.splitlines()) == 8


# Every part of a document may be of another type, or not there


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


def _with(value: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> str:
    copy = json.loads(json.dumps(value))
    at = copy
    for step in path[:-1]:
        at = at[step]
    change(at, path[-1])
    return json.dumps(copy)


def _is_ok_or_refused(cloud: str, text: str) -> None:
    # Anything but a result or a refusal fails the test: a traceback is no answer.
    said = ""
    try:
        translate(cloud, text, Choices(vpc_cidrs=CIDRS), lambda path: "k")
    except Refused as error:
        said = str(error) or "nothing"
    assert said != "nothing"
    assert not [secret for secret in SECRETS if secret in said]


@pytest.mark.parametrize(
    ("cloud", "name"),
    [("azure", "azure-template.json"), ("gcp", "gcp-classic.json"), ("alibaba", "alibaba-described.json")],
)
@pytest.mark.parametrize("wrong", ["gone", 7, [], [None], {"id": {}}], ids=repr)
def test_any_part_may_be_of_another_type(cloud: str, name: str, wrong: object) -> None:
    document = json.loads(text_of(name))

    def change(at: Any, key: Any) -> None:
        if wrong == "gone":
            del at[key]
        else:
            at[key] = wrong

    for path in _places(document)[1:]:
        _is_ok_or_refused(cloud, _with(document, path, change))


@pytest.mark.parametrize(
    ("cloud", "name", "step"),
    [("aws", "aws-bgp.xml", 97), ("aws", "aws-generic.txt", 61), ("gcp", "gcp-ha.yaml", 37)],
)
def test_a_truncated_file_is_read_or_refused(cloud: str, name: str, step: int) -> None:
    text = text_of(name)
    for end in range(0, len(text), step):
        _is_ok_or_refused(cloud, text[:end])
