"""What the operator chooses beside the file, and what is read of a cloud's answer: which tunnel is active,
which algorithms are taken, whose addresses count."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bgpsvc.importing import Choices, algorithms
from tests.unit.importing.base import CASES, CIDRS, imported, refusal, text_of, warnings


def chosen(file: str, **more: object) -> Choices:
    return replace(CASES[file][1], **more)  # type: ignore[arg-type]


# Tunnels


def gateways(name: str, text: str | None = None, choices: Choices | None = None) -> list[str]:
    """The cloud's addresses of the first connection's tunnels, the active one first."""
    intent = imported(name, text, choices).intent
    tunnels = intent.vpn_connections[0].tunnels
    return [str(intent.customer_gateway(tunnel.customer_gateway).address) for tunnel in tunnels]


def test_the_active_tunnel_is_the_one_that_the_cloud_prefers() -> None:
    # AWS by its order, Azure by the weight, Google by the MED, Alibaba by the role.
    assert gateways("aws-bgp.xml") == ["198.51.100.11", "198.51.100.22"]
    assert gateways("gcp-ha.yaml") == ["198.51.100.51", "198.51.100.50"]
    assert gateways("alibaba-described.json") == ["198.51.100.70", "198.51.100.71"]
    keys = [
        tunnel.ike.pre_shared_key.get_secret_value()
        for tunnel in imported("azure-two-connections.json").intent.vpn_connections[0].tunnels
        if tunnel.ike is not None and tunnel.ike.pre_shared_key is not None
    ]
    assert keys == ["azure-key-1", "azure-key-2"]


def test_without_a_preference_the_interfaces_of_google_count() -> None:
    text = text_of("gcp-ha.yaml").replace("  advertisedRoutePriority: 200\n", "")
    text = text.replace("  advertisedRoutePriority: 100\n", "")
    assert gateways("gcp-ha.yaml", text) == ["198.51.100.50", "198.51.100.51"]


def test_tunnels_are_chosen_by_name_or_address_in_the_order_given() -> None:
    for names in (("198.51.100.22", "198.51.100.11"), ("198.51.100.22",)):
        assert gateways("aws-bgp.xml", choices=chosen("aws-bgp.xml", tunnels=names)) == list(names)
    turned = chosen("gcp-ha.yaml", tunnels=("to-office-0", "to-office-1"))
    assert gateways("gcp-ha.yaml", choices=turned) == ["198.51.100.50", "198.51.100.51"]
    said = refusal("gcp-ha.yaml", choices=chosen("gcp-ha.yaml", tunnels=("x",)))
    assert said == "--tunnel: there is no 'x' in the file; allowed: to-office-1 | to-office-0"


def test_four_tunnels_are_refused_until_two_are_chosen() -> None:
    name = "gcp-ha.yaml"
    text = text_of(name)
    again = text.replace("to-office-", "also-").replace("if-office-", "if-also-").replace("10.", "30.")
    # The same gateways, two more tunnels over other interfaces of the same router.
    tunnels = [part for part in again.split("---\n") if "compute#vpnTunnel" in part]
    more = again[again.index("interfaces:\n- name: if-also-0") : again.index("md5AuthenticationKeys")]
    peers = again[
        again.index("- name: office-0\n  interfaceName") : again.index("interfaces:\n- name: if-also")
    ]
    text = text.replace("interfaces:\n- name: if-office-0", f"{peers}interfaces:\n- name: if-office-0")
    text = text.replace("interfaces:\n- name: if-office-0", f"{more}- name: if-office-0")
    text = "---\n".join([text, *tunnels])
    said = refusal(name, text)
    assert "has 4 tunnels (" in said
    assert "--tunnel NAME for each of the two" in said
    picked = chosen(name, tunnels=("to-office-0", "also-1"))
    assert gateways(name, text, picked) == ["198.51.100.50", "198.51.100.51"]


def active_active(*custom: str) -> str:
    """The gateway with a second instance; `custom` is the address for BGP of each."""
    connections, routers, gateway = documents_of(text_of("azure-two-connections.json"))
    listed = gateway["bgpSettings"]["bgpPeeringAddresses"]
    listed.append(json.loads(json.dumps(listed[0]).replace("198.51.100.40", "198.51.100.41")))
    for instance, address in zip(listed, custom, strict=True):
        instance["customBgpIpAddresses"] = [address]
    return "\n".join(map(json.dumps, (connections, routers, gateway)))


def documents_of(text: str) -> list[Any]:
    """The JSON documents that stand one after the other."""
    found, rest = [], text.strip()
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].strip()
    return found


def test_of_azures_pair_of_instances_the_tunnels_that_fit_are_taken_and_named() -> None:
    """Each connection has a tunnel to each instance, and a session with the one in its /30 alone."""
    name = "azure-two-connections.json"
    text = active_active("169.254.21.2", "169.254.22.2")
    said = refusal(name, text)
    assert "has 4 tunnels (branch-a/instance0, branch-a/instance1, branch-b/inst" in said
    fitting = ("branch-a/instance0", "branch-b/instance1")
    assert (
        f"--tunnel NAME for each of the two, the active one first; {', '.join(fitting)} fit, the others do"
        in said
    )
    assert "169.254" not in said, "what is left out by then is no matter"
    found = imported(name, text, chosen(name, tunnels=fitting))
    assert gateways(name, text, chosen(name, tunnels=fitting)) == ["198.51.100.40", "198.51.100.41"]
    assert [str(address) for address in found.intent.vpn_gateways[0].addresses] == [
        "203.0.113.10",
        "203.0.113.20",
    ]
    inside = [
        t.bgp and (str(t.bgp.local_ip), str(t.bgp.peer_ip)) for t in found.intent.vpn_connections[0].tunnels
    ]
    assert inside == [("169.254.21.1", "169.254.21.2"), ("169.254.22.1", "169.254.22.2")]
    wrong = refusal(name, text, chosen(name, tunnels=("branch-a/instance1",)))
    assert "between 169.254.21.1 here and 169.254.22.2 at instance1" in wrong
    one = refusal(name, text, chosen(name, tunnels=("branch-a/instance1", "branch-b/instance1")))
    assert one.endswith(", or only what fits: --tunnel branch-b/instance1")


def test_a_pair_of_instances_of_which_no_tunnel_fits_is_told_why() -> None:
    said = refusal("azure-two-connections.json", active_active("169.254.23.2", "169.254.24.2"))
    assert "the others do not" not in said
    assert said.count("custom APIPA addresses") == 4


# Connections and names


def test_connections_are_chosen_and_named() -> None:
    name = "aws-answer.json"
    one = chosen(name, connections=("vpn-0fedcba9876543210",), name="office")
    intent = imported(name, choices=one).intent
    assert [connection.name for connection in intent.vpn_connections] == ["office"]
    assert [customer.name for customer in intent.customer_gateways] == ["office-1", "office-2"]
    assert [(route.name, str(route.destination)) for route in intent.destination_routes] == [
        ("office-1", "10.8.0.0/16")
    ]
    assert "there are 2 connections" in refusal(name, choices=chosen(name, name="office"))
    said = refusal(name, choices=chosen(name, connections=("x",)))
    assert said.startswith(
        "--connection: there is no 'x' in the file; allowed: vpn-0123456789abcdef0 | vpn-0f"
    )


def test_a_name_of_the_cloud_becomes_one_of_ours() -> None:
    for given, made in (
        ("Zürich (DC 1)", "z-rich-dc-1"),
        ("1st", "vpn-1st"),
        ("x" * 80, "x" * 55),
        ("東京", "vpn"),
    ):
        text = text_of("aws-bgp.xml").replace("vpn-0123456789abcdef0", given)
        assert imported("aws-bgp.xml", text).intent.vpn_connections[0].name == made


def test_the_networks_of_this_side_are_those_of_the_file_or_those_given() -> None:
    azure = "azure-two-connections.json"
    assert [str(cidr) for cidr in imported(azure).intent.vpcs[0].cidrs] == ["192.168.0.0/16"]
    given = chosen(azure, vpc_cidrs=("10.0.0.0/8",), vpc="office", gateway="edge")
    intent = imported(azure, choices=given).intent
    assert (intent.vpcs[0].name, str(intent.vpcs[0].cidrs[0])) == ("office", "10.0.0.0/8")
    assert intent.vpn_connections[0].vpn_gateway == "edge"
    found = imported(azure, text_of(azure).replace('"169.254.22.1/32"', '"192.168.7.0/24"'))
    assert [str(cidr) for cidr in found.intent.vpcs[0].cidrs] == ["192.168.0.0/16"]
    assert "networks of this side: 192.168.7.0/24 is inside 192.168.0.0/16, which alone becomes" in warnings(
        found
    )
    said = refusal("aws-bgp.xml", choices=Choices())
    assert said.startswith("--vpc-cidr: AWS does not say which networks are on this side")
    said = refusal("aws-bgp.xml", choices=Choices(vpc_cidrs=("10.0.0.1/8",)))
    assert said.startswith("--vpc-cidr: '10.0.0.1/8' is not a prefix")


# Addresses and ids


def test_behind_a_nat_this_side_calls_itself_by_the_address_that_the_cloud_knows() -> None:
    given = chosen("aws-bgp.xml", local_addresses=("10.0.0.5",))
    intent = imported("aws-bgp.xml", choices=given).intent
    assert [str(address) for address in intent.vpn_gateways[0].addresses] == ["10.0.0.5", "10.0.0.5"]
    ids = [tunnel.ike.local_id for tunnel in intent.vpn_connections[0].tunnels if tunnel.ike]
    assert ids == ["203.0.113.10", "203.0.113.10"]
    usual = imported("aws-bgp.xml").intent
    assert [tunnel.ike.local_id for tunnel in usual.vpn_connections[0].tunnels if tunnel.ike] == [None, None]


def test_addresses_that_the_file_lacks_are_asked_for() -> None:
    name = "azure-two-connections.json"
    text = text_of(name).replace('"gatewayIpAddress"', '"fqdn"')
    assert refusal(name, text).startswith("--local-address: the file does not say which addresses")
    given = chosen(name, local_addresses=("203.0.113.1", "203.0.113.2"))
    addresses = imported(name, text, given).intent.vpn_gateways[0].addresses
    assert list(map(str, addresses)) == ["203.0.113.1", "203.0.113.2"]
    three = chosen(name, local_addresses=("203.0.113.1",) * 3)
    assert refusal(name, text, three).startswith("--local-address: 3 given")


def test_ids_of_the_cloud_are_kept_where_they_are_no_addresses() -> None:
    name = "alibaba-single.json"
    text = text_of(name).replace('"LocalId": "203.0.113.10"', '"LocalId": "office.example"')
    text = text.replace('"RemoteId": "198.51.100.72"', '"RemoteId": "cloud.example"')
    ike = imported(name, text).intent.vpn_connections[0].tunnels[0].ike
    assert ike is not None
    assert (ike.local_id, ike.remote_id) == ("office.example", "cloud.example")


def test_connections_to_different_addresses_of_this_side_are_told_apart() -> None:
    answer = json.loads(text_of("aws-answer.json"))
    second = answer["VpnConnections"][1]
    old = second["CustomerGatewayConfiguration"]
    second["CustomerGatewayConfiguration"] = old.replace("203.0.113.10", "203.0.113.99")
    said = refusal("aws-answer.json", json.dumps(answer))
    assert (
        "tunnel 1 of the connections leads to different addresses of this side: 203.0.113.10, 203.0.113.99"
        in said
    )


# Keys


def test_keys_that_the_cloud_hides_come_from_files() -> None:
    name = "gcp-ha.yaml"
    text = text_of(name).replace("gcp-secret-0", "'****'").replace("gcp-secret-1", "'****'")
    text = text.replace("key: md5-secret-1", "key: '***'")
    found = imported(name, text, chosen(name, key_files=("/k/one", "/k/two"), password_files=("/k/md5",)))
    # Named and not repeated: the file with the result is not one more place with the key.
    assert "key.of." not in found.text
    assert found.text.count("pre_shared_key_file: /k/") == 2
    first, second = found.intent.vpn_connections[0].tunnels
    assert first.ike is not None
    assert second.ike is not None
    keys = [ike.pre_shared_key.get_secret_value() for ike in (first.ike, second.ike) if ike.pre_shared_key]
    assert keys == ["key.of.one", "key.of.two"]
    assert first.bgp is not None
    assert first.bgp.password is not None
    assert first.bgp.password.get_secret_value() == "key.of.md5"
    assert "Keys stand here" not in found.text
    assert "--key-file: is not used" in warnings(imported(name, choices=chosen(name, key_files=("/k/one",))))
    three = refusal(name, text, chosen(name, key_files=("/k/one",) * 3, password_files=("/k/md5",)))
    assert three == "--key-file: 3 given; allowed: one for both tunnels, or one for each"
    answer = text_of("aws-answer.json").replace("aws.Key_for.tunnel_1", "***").replace("static.Key_2", "***")
    said = refusal("aws-answer.json", answer, chosen("aws-answer.json", key_files=("/k/one",)))
    assert said.startswith("--key-file: several connections lack keys (vpn-0123456789abcdef0, vpn-0fedcba")


def test_keys_of_azure_that_stand_beside_the_connections_are_found() -> None:
    name = "azure-two-connections.json"
    without = text_of(name).replace('"sharedKey"', '"x"')
    start = "/subscriptions/0/resourceGroups/net/providers/Microsoft.Network/connections"
    keys = [{"id": f"{start}/branch-{one}/sharedKey", "value": f"beside-{one}"} for one in "ab"]
    found = imported(name, without + "".join(map(json.dumps, keys)))
    assert [line for line in found.text.split() if line.startswith("beside-")] == ["beside-a", "beside-b"]
    # Without an id it is not known whose it is, unless there is one connection.
    assert "no pre-shared key" in refusal(name, without + json.dumps({"value": "beside"}))
    template = text_of("azure-template.json").replace('"sharedKey"', '"x"')
    single = imported("azure-template.json", template + json.dumps({"value": "beside"}))
    assert single.text.count("pre_shared_key: beside") == 2


# Algorithms

NAMES = [
    (algorithms.encryption, "aes", ("aes", "aes-128-cbc", "AES128", "AES-CBC-128", "aes_128")),
    (algorithms.encryption, "aes192", ("aes192", "AES-192-CBC", "AES-CBC-192")),
    (algorithms.encryption, "aes256", ("aes256", "aes-256-cbc", "AES256", "AES-CBC-256")),
    (algorithms.encryption, "3des", ("3des", "DES3", "3des-cbc")),
    (algorithms.encryption, "des", ("des", "DES")),
    (
        algorithms.encryption,
        None,
        ("GCMAES256", "AES256-GCM-16", "AES-GCM-16-256", "sm4", "None", "", "aes512"),
    ),
    (algorithms.authentication, "sha1", ("sha1", "SHA1", "hmac-sha1-96", "HMAC-SHA1")),
    (algorithms.authentication, "sha256", ("sha256", "SHA2-256", "hmac-sha2-256-128", "HMAC-SHA2-256-128")),
    (algorithms.authentication, "sha384", ("SHA384", "SHA2-384", "hmac-sha2-384-192")),
    (algorithms.authentication, "sha512", ("sha512", "SHA2-512", "HMAC-SHA2-512-256")),
    (algorithms.authentication, "md5", ("md5", "MD5", "hmac-md5-96")),
    (algorithms.authentication, None, ("GCMAES256", "sm3", "sha3-256", "sha2", "")),
    (
        algorithms.group,
        "group14",
        ("group14", "14", "DHGroup14", "Group 14", "Diffie-Hellman Group 14", "PFS2048"),
    ),
    (algorithms.group, "group2", ("group2", "2", "DHGroup2", "PFS2", "modp_1024", "Group-2")),
    (algorithms.group, None, ("20", "DHGroup24", "ECP256", "ECP384", "PFS24", "None", "group15", "")),
    (algorithms.pfs, "disabled", ("None", "disabled")),
    (algorithms.pfs, "group5", ("group5", "PFS5")),
]


@pytest.mark.parametrize(("read", "word", "spelled"), NAMES)
def test_names_of_algorithms(read: object, word: str | None, spelled: tuple[str, ...]) -> None:
    assert callable(read)
    assert {text: read(text) for text in spelled} == dict.fromkeys(spelled, word)


def test_of_what_aws_accepts_the_best_is_taken() -> None:
    first, second = imported("aws-answer.json").intent.vpn_connections[0].tunnels
    assert first.ike is not None
    assert second.ike is not None
    assert (first.ike.encryption, first.ike.authentication, first.ike.pfs) == ("aes256", "sha256", "group14")
    # Without the options of a tunnel, what the XML has is all that is known.
    text = text_of("aws-answer.json").replace(
        '"OutsideIpAddress": "198.51.100.11"', '"OutsideIpAddress": "192.0.2.1"'
    )
    found = imported("aws-answer.json", text)
    ike = found.intent.vpn_connections[0].tunnels[0].ike
    assert ike is not None
    assert (ike.encryption, ike.authentication, ike.pfs) == ("aes", "sha1", "group2")
    assert "names the weakest algorithms that AWS accepts" in warnings(found)
    # The options of the second tunnel leave no better ones.
    assert (second.ike.encryption, second.ike.authentication, second.ike.pfs) == ("aes", "sha384", "group14")
    assert second.ipsec is not None
    assert (second.ipsec.pfs, second.ipsec.lifetime, second.ike.lifetime) == ("group5", 1800, 14400)


def test_a_lifetime_that_is_too_long_is_cut_and_said() -> None:
    name = "azure-two-connections.json"
    found = imported(name, text_of(name).replace('"saLifeTimeSeconds": 27000', '"saLifeTimeSeconds": 172799'))
    ipsec = found.intent.vpn_connections[0].tunnels[0].ipsec
    assert ipsec is not None
    assert ipsec.lifetime == 86400
    assert "phase 2: a lifetime of 172799 s is longer than possible here: 86400 s are taken" in warnings(
        found
    )


def test_restricted_tunnels_carry_the_pairs_that_the_cloud_says() -> None:
    answer = json.loads(text_of("aws-answer.json"))
    options = answer["VpnConnections"][1]["Options"]
    options |= {"LocalIpv4NetworkCidr": "192.168.0.0/16", "RemoteIpv4NetworkCidr": "10.9.0.0/16"}
    found = imported("aws-answer.json", json.dumps(answer), Choices(vpc_cidrs=CIDRS))
    connection = found.intent.vpn_connections[1]
    assert connection.routing_mode == "interesting_traffic"
    assert [str(network) for network in connection.local_cidrs] == ["192.168.0.0/16"]
    assert [str(network) for network in connection.remote_cidrs] == ["10.9.0.0/16"]


def test_what_switched_off_bgp_sessions_and_static_routes_mean_is_said() -> None:
    off = text_of("gcp-ha.yaml").replace("enable: 'TRUE'", "enable: 'FALSE'")
    assert "is switched off in the cloud (enable: FALSE)" in warnings(imported("gcp-ha.yaml", off))
    without = imported("aws-answer.json", choices=Choices(vpc_cidrs=CIDRS))
    assert "has no BGP, and no route leads to the cloud's networks" in warnings(without)
    said = refusal("aws-bgp.xml", choices=chosen("aws-bgp.xml", remote_cidrs=("10.8.0.0/16",)))
    assert said.startswith("--remote-cidr: every connection learns the cloud's networks by BGP")
    peer = json.loads(text_of("alibaba-single.json"))
    peer["VpnConnectionConfig"] |= {"LocalSubnet": "0.0.0.0/0", "RemoteSubnet": "0.0.0.0/0"}
    both = imported("alibaba-single.json", json.dumps(peer), Choices(vpc_cidrs=CIDRS))
    assert "does not say whether the connection uses BGP" in warnings(both)


def test_the_sessions_of_alibabas_download_are_found_by_their_tunnel() -> None:
    """They stand beside the tunnels, not in them; the description, where there is one, counts before them."""
    text = text_of("alibaba-both.json")
    download, end = json.JSONDecoder().raw_decode(text)
    listed = [
        {
            "TunnelId": f"tun-{number}",
            "LocalAsn": "65500",
            "LocalBgpIp": f"169.254.{number}0.2",
            "PeerAsn": "65530",
            "PeerBgpIp": f"169.254.{number}0.1",
            "TunnelCidr": f"169.254.{number}0.0/30",
        }
        for number in (1, 2)
    ]
    download["VpnConnectionConfig"]["BgpConfigs"] = {"BgpConfig": listed}
    alone = imported("alibaba-both.json", json.dumps(download))
    assert "LocalBgpIp are taken for this side's" in warnings(alone)
    assert "does not say whether" not in warnings(alone)
    (connection,) = alone.intent.vpn_connections
    assert (connection.enable_bgp, connection.local_asn) == (True, 65500)
    found = {
        (str(alone.intent.customer_gateway(tunnel.customer_gateway).address), str(tunnel.bgp.local_ip))
        for tunnel in connection.tunnels
        if tunnel.bgp is not None
    }
    assert found == {("198.51.100.70", "169.254.10.2"), ("198.51.100.71", "169.254.20.2")}
    wrong = [session | {"LocalBgpIp": session["PeerBgpIp"]} for session in listed]
    download["VpnConnectionConfig"]["BgpConfigs"] = {"BgpConfig": wrong}
    with_description = imported("alibaba-both.json", json.dumps(download) + text[end:])
    assert with_description.intent == imported("alibaba-both.json").intent


def test_the_session_of_alibabas_only_tunnel_needs_no_name() -> None:
    peer = json.loads(text_of("alibaba-single.json"))
    session = {
        "LocalAsn": "65500",
        "LocalBgpIp": "169.254.10.2",
        "PeerAsn": "65530",
        "PeerBgpIp": "169.254.10.1",
        "TunnelCidr": "169.254.10.0/30",
    }
    config = {"BgpConfigs": {"BgpConfig": [session]}, "LocalSubnet": "0.0.0.0/0", "RemoteSubnet": "0.0.0.0/0"}
    peer["VpnConnectionConfig"] |= config
    both = imported("alibaba-single.json", json.dumps(peer), Choices(vpc_cidrs=CIDRS))
    assert both.intent.vpn_connections[0].enable_bgp
    without = {"TunnelId": "", "TunnelCidr": "", "LocalAsn": ""}
    peer["VpnConnectionConfig"]["BgpConfigs"] = {"BgpConfig": [without]}
    empty = imported("alibaba-single.json", json.dumps(peer), Choices(vpc_cidrs=CIDRS))
    assert not empty.intent.vpn_connections[0].enable_bgp
