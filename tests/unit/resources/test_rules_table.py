"""One row per rule: what is written instead of what, and the only problem that must be reported for it."""

from __future__ import annotations

import pytest

from bgpsvc.resources import ConfigError, load
from tests.unit.resources.base import BASE, line_of, replaced

VPC = "vpcs[0]"
GW = "vpn_gateways[0]"
CUSTOMER = "customer_gateways[0]"
CONN = "vpn_connections[0]"
CONN2 = "vpn_connections[1]"
TUNNEL = "vpn_connections[0].tunnels[0]"
BGP = f"{TUNNEL}.bgp"
IKE = f"{TUNNEL}.ike"
IPSEC = f"{TUNNEL}.ipsec"
ADDRESS = "address: 198.51.100.2"
PASSWORD = "password: s3cret"
PSK = "pre_shared_key: Pr3shared"
CIDR = "tunnel_cidr: 169.254.10.0/30"

# (old, new, path of the problem, part of its message). The problem is on the line of `new`.
SINGLE_VALUES = [
    # Names and interfaces
    ("name: conn2", "name: Conn2", f"{CONN2}.name", "is not a name"),
    ("name: conn2", "name: 2conn", f"{CONN2}.name", "is not a name"),
    ("name: conn2", "name: con_n2", f"{CONN2}.name", "is not a name"),
    ("name: conn2", f"name: {'n' * 64}", f"{CONN2}.name", "is not a name"),
    ("name: conn2", "name: yes", f"{CONN2}.name", "put it in quotes"),
    ("name: conn2", "name: ''", f"{CONN2}.name", "is not a name"),
    ("interface: t1", "interface: abcdefghijklmnop", f"{TUNNEL}.interface", "is not an interface name"),
    ("interface: t1", "interface: a/b", f"{TUNNEL}.interface", "is not an interface name"),
    ("interface: t1", "interface: a b", f"{TUNNEL}.interface", "is not an interface name"),
    ("interface: t1", "interface: 'a:b'", f"{TUNNEL}.interface", "is not an interface name"),
    ("interface: t1", "interface: ..", f"{TUNNEL}.interface", "is not an interface name"),
    ("interface: t1", "interface: ''", f"{TUNNEL}.interface", "is not an interface name"),
    # VPCs
    ("- 10.0.0.0/16", "- 10.0.0.1/16", f"{VPC}.cidrs[0]", "host bits are set"),
    ("- 10.0.0.0/16", "- 10.0.0.0", f"{VPC}.cidrs[0]", "an address, a slash and a length"),
    ("- 10.0.0.0/16", "- 10.0.0.0/33", f"{VPC}.cidrs[0]", "prefix length 33"),
    ("- 10.0.0.0/16", "- ten", f"{VPC}.cidrs[0]", "is not a prefix"),
    ("- 10.0.0.0/16", "- 0.0.0.0/0", f"{VPC}.cidrs[0]", "overlaps 0.0.0.0/8"),
    ("- 10.0.0.0/16", "- 100.64.0.0/16", f"{VPC}.cidrs[0]", "overlaps 100.64.0.0/10"),
    ("- 10.0.0.0/16", "- 100.0.0.0/8", f"{VPC}.cidrs[0]", "overlaps 100.64.0.0/10"),
    ("- 10.0.0.0/16", "- 127.0.0.0/8", f"{VPC}.cidrs[0]", "overlaps 127.0.0.0/8"),
    ("- 10.0.0.0/16", "- 169.254.10.0/30", f"{VPC}.cidrs[0]", "overlaps 169.254.0.0/16"),
    ("- 10.0.0.0/16", "- 239.0.0.0/8", f"{VPC}.cidrs[0]", "overlaps 224.0.0.0/4"),
    ("- 10.0.0.0/16", "- fe80::/64", f"{VPC}.cidrs[0]", "overlaps fe80::/10"),
    ("route_table: 201", "route_table: 0", f"{VPC}.route_table", "out of range"),
    ("route_table: 201", "route_table: 4294967296", f"{VPC}.route_table", "out of range"),
    ("route_table: 201", "route_table: 253", f"{VPC}.route_table", "system's own"),
    ("route_table: 201", "route_table: 254", f"{VPC}.route_table", "system's own"),
    ("route_table: 201", "route_table: 255", f"{VPC}.route_table", "system's own"),
    *(
        ("route_table: 201", f"route_table: {table}", f"{VPC}.route_table", "the service's own tables")
        for table in (0x20000000, 0x2FFFFFFF)
    ),
    ("route_table: 201", "route_table: main", f"{VPC}.route_table", "not a whole number"),
    ("route_table: 201", "route_table: true", f"{VPC}.route_table", "not a whole number"),
    ("route_table: 201", "route_table: 201.0", f"{VPC}.route_table", "not a whole number"),
    # VPN gateways
    ("- 198.51.100.1\n", "- 198.51.100.256\n", f"{GW}.addresses[0]", "is not an IP address"),
    ("- 198.51.100.1\n", "- 127.0.0.1\n", f"{GW}.addresses[0]", "is inside 127.0.0.0/8"),
    ("- 198.51.100.1\n", "- 2001:db8::1\n", f"{GW}.addresses[0]", "is not an IPv4 address"),
    ("auto_propagate: true", "auto_propagate: 1", f"{GW}.auto_propagate", "neither true nor false"),
    ("auto_propagate: true", "auto_propagate: 'true'", f"{GW}.auto_propagate", "neither true nor false"),
    ("- 172.16.0.0/12", "- 100.65.0.0/16", f"{GW}.advertise[0]", "is inside 100.64.0.0/10"),
    ("- 172.16.0.0/12", "- 0.1.0.0/16", f"{GW}.advertise[0]", "is inside 0.0.0.0/8"),
    ("- 172.16.0.0/12", "- 240.0.0.0/8", f"{GW}.advertise[0]", "is inside 240.0.0.0/4"),
    ("- 172.16.0.0/12", "- ff02::/16", f"{GW}.advertise[0]", "is inside ff00::/8"),
    ("- 172.16.0.0/12", "- 172.16.0.0/8", f"{GW}.advertise[0]", "host bits are set"),
    ("router_id: 192.0.2.1", "router_id: 0.0.0.0", f"{GW}.router_id", "is zero"),
    ("router_id: 192.0.2.1", "router_id: '2001:db8::1'", f"{GW}.router_id", "is not an IPv4 address"),
    # Customer gateways
    (ADDRESS, "address: 100.64.0.1", f"{CUSTOMER}.address", "is inside 100.64.0.0/10"),
    (ADDRESS, "address: 127.0.0.1", f"{CUSTOMER}.address", "is inside 127.0.0.0/8"),
    (ADDRESS, "address: 169.254.1.1", f"{CUSTOMER}.address", "is inside 169.254.0.0/16"),
    (ADDRESS, "address: 239.255.255.255", f"{CUSTOMER}.address", "is inside 224.0.0.0/4"),
    (ADDRESS, "address: 255.255.255.255", f"{CUSTOMER}.address", "is inside 255.0.0.0/8"),
    (ADDRESS, "address: 0.0.0.0", f"{CUSTOMER}.address", "is inside 0.0.0.0/8"),
    (ADDRESS, "address: vpn.example.net", f"{CUSTOMER}.address", "is not an IP address"),
    ("asn: 65500", "asn: 45104", f"{CUSTOMER}.asn", "own default ASN"),
    ("asn: 65500", "asn: 0", f"{CUSTOMER}.asn", "out of range"),
    ("asn: 65500", "asn: 4294967296", f"{CUSTOMER}.asn", "out of range"),
    ("asn: 65500", "asn: 0.45104", f"{CUSTOMER}.asn", "own default ASN"),
    # Connections
    ("local_asn: 65530", "local_asn: 0", f"{CONN}.local_asn", "out of range"),
    ("local_asn: 65530", "local_asn: 0.0", f"{CONN}.local_asn", "out of range"),
    ("local_asn: 65530", "local_asn: 4294967296", f"{CONN}.local_asn", "out of range"),
    ("local_asn: 65530", "local_asn: 65536.1", f"{CONN}.local_asn", "each half of asdot"),
    ("local_asn: 65530", "local_asn: 1.65536", f"{CONN}.local_asn", "each half of asdot"),
    ("local_asn: 65530", "local_asn: AS65530", f"{CONN}.local_asn", "is not an AS number"),
    ("local_asn: 65530", "local_asn: -1", f"{CONN}.local_asn", "is not an AS number"),
    ("failback_hold_down: 2.5", "failback_hold_down: -1", f"{CONN}.failback_hold_down", "not a time"),
    ("failback_hold_down: 2.5", "failback_hold_down: 3601", f"{CONN}.failback_hold_down", "not a time"),
    ("failback_hold_down: 2.5", "failback_hold_down: .nan", f"{CONN}.failback_hold_down", "not a time"),
    ("failback_hold_down: 2.5", "failback_hold_down: 5s", f"{CONN}.failback_hold_down", "not a time"),
    (
        "failback_hold_down: 2.5",
        "failback_hold_down_max: 3601",
        f"{CONN}.failback_hold_down_max",
        "not a time",
    ),
    # BFD and probe
    ("passive: true", "bfd: {interval_ms: 9}", f"{BGP}.bfd.interval_ms", "out of range"),
    ("passive: true", "bfd: {interval_ms: 60001}", f"{BGP}.bfd.interval_ms", "out of range"),
    ("passive: true", "bfd: {multiplier: 0}", f"{BGP}.bfd.multiplier", "out of range"),
    ("passive: true", "bfd: {multiplier: 256}", f"{BGP}.bfd.multiplier", "out of range"),
    ("passive: true", "bfd: {key: k}", f"{BGP}.bfd.key_id", "is missing; there is a key"),
    ("passive: true", "bfd: {key_file: secrets/bgp}", f"{BGP}.bfd.key_id", "is missing; there is a key"),
    ("passive: true", "bfd: {key_id: 1}", f"{BGP}.bfd.key", "is missing; there is a key_id"),
    ("passive: true", "bfd: {key: k, key_id: 256}", f"{BGP}.bfd.key_id", "out of range"),
    ("passive: true", f"bfd: {{key_id: 1, key: {'k' * 21}}}", f"{BGP}.bfd.key", "is too long"),
    ("passive: true", "bfd: {key_id: 1, key: 'a b'}", f"{BGP}.bfd.key", "has a character"),
    ("passive: true", "probe: {interval_ms: 49}", f"{BGP}.probe.interval_ms", "out of range"),
    ("passive: true", "probe: {multiplier: 256}", f"{BGP}.probe.multiplier", "out of range"),
    ("routing_mode: interesting_traffic", "routing_mode: static", f"{CONN2}.routing_mode", "is not known"),
    ("- 192.168.0.0/24", "- 192.168.0.0", f"{CONN2}.local_cidrs[0]", "is not a prefix"),
    # BGP
    (CIDR, "tunnel_cidr: 169.254.10.0/29", f"{BGP}.tunnel_cidr", "is not a tunnel CIDR"),
    (CIDR, "tunnel_cidr: 10.9.0.0/30", f"{BGP}.tunnel_cidr", "is not a tunnel CIDR"),
    (CIDR, "tunnel_cidr: 169.254.10.1/30", f"{BGP}.tunnel_cidr", "host bits are set"),
    (CIDR, "tunnel_cidr: fd00:10::/126", f"{BGP}.tunnel_cidr", "is not a tunnel CIDR"),
    *(
        (CIDR, f"tunnel_cidr: 169.254.{last}/30", f"{BGP}.tunnel_cidr", "reserved by the system")
        for last in ("0.0", "1.0", "2.0", "3.0", "4.0", "5.0", "6.0", "169.252")
    ),
    ("local_ip: 169.254.10.1", "local_ip: 169.254.10.0", f"{BGP}.local_ip", "not a host of 169.254.10.0/30"),
    ("local_ip: 169.254.10.1", "local_ip: 169.254.10.3", f"{BGP}.local_ip", "not a host of 169.254.10.0/30"),
    ("local_ip: 169.254.10.1", "local_ip: fd00:10::1", f"{BGP}.local_ip", "is not an IPv4 address"),
    ("hold_time: 30", "hold_time: 2", f"{BGP}.hold_time", "out of range"),
    ("hold_time: 30", "hold_time: 65536", f"{BGP}.hold_time", "out of range"),
    (PASSWORD, f"password: {'p' * 81}", f"{BGP}.password", "is too long"),
    (PASSWORD, "password: ''", f"{BGP}.password", "is empty"),
    (PASSWORD, "password: two words", f"{BGP}.password", "a character that is not allowed"),
    (PASSWORD, "password: pässword", f"{BGP}.password", "a character that is not allowed"),
    (PASSWORD, "password: '(masked: reveal prints it)'", f"{BGP}.password", "is the mask"),
    (PASSWORD, "password_file: ''", f"{BGP}.password_file", "is not the path of a file"),
    ("ttl_security: 1", "ttl_security: 0", f"{BGP}.ttl_security", "out of range"),
    ("ttl_security: 1", "ttl_security: 255", f"{BGP}.ttl_security", "out of range"),
    ("graceful_restart: 120", "graceful_restart: 4096", f"{BGP}.graceful_restart", "out of range"),
    ("graceful_restart: 120", "graceful_restart: -1", f"{BGP}.graceful_restart", "out of range"),
    ("max_prefixes: 4000", "max_prefixes: 0", f"{BGP}.max_prefixes", "out of range"),
    ("action: teardown", "action: kill", f"{BGP}.max_prefixes_action", "is not known"),
    ("passive: true", "passive: maybe", f"{BGP}.passive", "neither true nor false"),
    (
        "tunnel_cidr: fd00:10::/126",
        "tunnel_cidr: fd00:10::/64",
        f"{BGP}.ipv6.tunnel_cidr",
        "not an IPv6 tunnel CIDR",
    ),
    ("tunnel_cidr: fd00:10::/126", "tunnel_cidr: fe80::/126", f"{BGP}.ipv6.tunnel_cidr", "inside fe80::/10"),
    ("local_ip: fd00:10::1", "local_ip: fd00:10::3", f"{BGP}.ipv6.local_ip", "not a host of fd00:10::/126"),
    ("local_ip: fd00:10::1", "local_ip: 169.254.10.1", f"{BGP}.ipv6.local_ip", "is not an IPv6 address"),
    ("local_ip: fd00:10::1", "local_ip: fd00:10::1%t1", f"{BGP}.ipv6.local_ip", "is not an IP address"),
    # IKE and IPsec
    ("version: ikev2", "version: 2", f"{IKE}.version", "is not known"),
    ("mode: main", "mode: quick", f"{IKE}.mode", "is not known"),
    ("mode: main", "mode: aggressive", f"{IKE}.mode", "only ikev1 has an aggressive mode"),
    ("encryption: aes256", "encryption: aes128", f"{IKE}.encryption", "is not known"),
    ("authentication: sha256", "authentication: sha2", f"{IKE}.authentication", "is not known"),
    ("pfs: group14", "pfs: group15", f"{IKE}.pfs", "is not known"),
    ("pfs: group14", "pfs: disabled", f"{IKE}.pfs", "is not known"),
    ("lifetime: 86400", "lifetime: 86401", f"{IKE}.lifetime", "out of range"),
    ("local_id: 198.51.100.1", f"local_id: {'a.' * 50}a", f"{IKE}.local_id", "longer than 100"),
    ("local_id: 198.51.100.1", "local_id: my gateway", f"{IKE}.local_id", "neither an IP address nor"),
    ("local_id: 198.51.100.1", "local_id: 198.51.100.300", f"{IKE}.local_id", "is not an IP address"),
    (
        "remote_id: branch.example.net",
        "remote_id: -a.example.net",
        f"{IKE}.remote_id",
        "neither an IP address",
    ),
    (PSK, f"pre_shared_key: {'k' * 101}", f"{IKE}.pre_shared_key", "is too long"),
    (PSK, "pre_shared_key: a b", f"{IKE}.pre_shared_key", "a character that is not allowed"),
    (PSK, "pre_shared_key: 'a\"b'", f"{IKE}.pre_shared_key", "a character that is not allowed"),
    ("encryption: aes192", "encryption: null1", f"{IPSEC}.encryption", "is not known"),
    ("authentication: sha512", "authentication: none", f"{IPSEC}.authentication", "is not known"),
    ("pfs: disabled", "pfs: off", f"{IPSEC}.pfs", "put it in quotes"),
    ("lifetime: 3600", "lifetime: 1h", f"{IPSEC}.lifetime", "not a whole number"),
    ("enabled: true", "enabled: 30", f"{TUNNEL}.dpd.enabled", "neither true nor false"),
    ("timeout: 10", "timeout: 0", f"{TUNNEL}.dpd.timeout", "out of range"),
    ("nat_traversal: false", "nat_traversal: 0", f"{TUNNEL}.nat_traversal", "neither true nor false"),
]


T4 = "      - customer_gateway: customer3\n        interface: t4\n"
FIRST_OF_CONN2 = "- customer_gateway: customer3"
SECOND_CIDR = "tunnel_cidr: 169.254.20.0/30\n          local_ip: 169.254.20.1"
SECOND_CIDR6 = "tunnel_cidr: fd00:20::/126\n            local_ip: fd00:20::1"
VPC_AGAIN = "  - {name: vpc1, cidrs: [10.9.0.0/16], route_table: 7}\n"
GATEWAY_BEFORE = """\
  - {name: vpc3, cidrs: [10.9.0.0/16], route_table: 7}
vpn_gateways:
  - {name: gw2, vpc: vpc3, addresses: [203.0.113.5, 203.0.113.6]}
"""
CUSTOMER_AGAIN = "  - {name: customer3, address: 198.51.100.7}\n"

# (old, new, path of the problem, part of its message, text whose line has the problem)
SEVERAL_VALUES = [
    # Within one resource
    ("cidrs:\n      - 192.168.0.0/16", "cidrs: []", "vpcs[1].cidrs", "a VPC needs a CIDR", "cidrs: []"),
    ("- 2001:db8:1::/48", "- 10.0.8.0/24", f"{VPC}.cidrs[1]", "overlaps 10.0.0.0/16", "10.0.8.0"),
    ("203.0.113.1, 203.0.113.2]", "203.0.113.1]", "vpn_gateways[1].addresses", "1 given", "203.0.113.1"),
    ("203.0.113.2]", "203.0.113.2, 203.0.113.3]", "vpn_gateways[1].addresses", "3 given", "203.0.113.1"),
    ("172.16.1.0/24", "172.16.0.0/12 #", f"{GW}.advertise[1]", "is listed already", "172.16.0.0/12 #"),
    (
        PASSWORD,
        f"{PASSWORD}\n          password_file: x",
        f"{BGP}.password_file",
        "given too",
        "password_file",
    ),
    (PSK, f"{PSK}\n          pre_shared_key_file: x", f"{IKE}.pre_shared_key_file", "given too", "key_file"),
    (
        "    tunnels:\n      - customer_gateway: customer3\n        interface: t3\n" + T4,
        "    tunnels: []\n",
        f"{CONN2}.tunnels",
        "0 given",
        "tunnels: []",
    ),
    (T4, T4 + T4.replace("t4", "t5"), f"{CONN2}.tunnels", "3 given", FIRST_OF_CONN2),
    ("- 192.168.0.0/24", "[]", f"{CONN2}.local_cidrs", "routing_mode is interesting_traffic", "[]"),
    (T4, f"{T4}        ike: {{version: ikev1}}\n", f"{CONN2}.tunnels[1].ike.version", "need IKEv2", "ikev1}"),
    ("passive: true", "passive: true\n          bgp: 1", f"{BGP}.bgp", "unknown key", "bgp: 1"),
    (
        "    accept_default_route: true\n",
        "    remote_cidrs: [10.7.0.0/16]\n",
        f"{CONN}.remote_cidrs",
        "selectors of destination mode",
        "10.7.0.0/16",
    ),
    # Between resources
    ("vpn_gateways:\n", f"{VPC_AGAIN}vpn_gateways:\n", "vpcs[2].name", "of vpcs already", "10.9.0.0/16"),
    ("vpn_gateways:\n", GATEWAY_BEFORE, "vpn_gateways[2].name", "of vpn_gateways already", "name: gw2\n"),
    (
        "vpn_connections:\n",
        f"{CUSTOMER_AGAIN}vpn_connections:\n",
        "customer_gateways[3].name",
        "of customer_gateways already",
        "198.51.100.7",
    ),
    ("name: conn2", "name: conn1 #", f"{CONN2}.name", "of vpn_connections already", "conn1 #"),
    ("route_table: 202", "route_table: 201 #", "vpcs[1].route_table", "is that of VPC vpc1", "201 #"),
    ("    route_table: 202\n", "", "vpcs[1].route_table", "table 201 is that of VPC vpc1", "name: vpc2"),
    ("vpc: vpc2", "vpc: vpc3", "vpn_gateways[1].vpc", "is not among vpcs", "vpc3"),
    ("vpc: vpc2", "vpc: vpc1 #", "vpn_gateways[1].vpc", "has the VPN gateway gw1 already", "vpc1 #"),
    (
        "203.0.113.2]",
        "198.51.100.3]",
        "vpn_gateways[1].addresses[1]",
        "is an address of VPN gateway gw1",
        "203.0.113.1",
    ),
    ("vpn_gateway: gw2", "vpn_gateway: gw3", f"{CONN2}.vpn_gateway", "is not among vpn_gateways", "gw3"),
    (
        T4,
        T4.replace("customer3", "customer4"),
        f"{CONN2}.tunnels[1].customer_gateway",
        "is not among customer_gateways",
        "customer4",
    ),
    (T4, T4.replace("t4", "t2 #"), f"{CONN2}.tunnels[1].interface", "used by tunnel 2 of conn1", "t2 #"),
    ("    asn: 65501\n", "", f"{CONN}.enable_bgp", "customer gateway customer2 has no asn", "enable_bgp"),
    (
        "198.51.100.4",
        "198.51.100.3 #",
        f"{CONN}.tunnels[1].customer_gateway",
        "address of the connection's own VPN gateway",
        "customer_gateway: customer2",
    ),
    (
        SECOND_CIDR,
        "tunnel_cidr: 169.254.10.0/30 #\n          local_ip: 169.254.10.2",
        f"{CONN}.tunnels[1].bgp.tunnel_cidr",
        "is the tunnel CIDR of tunnel 1 of conn1",
        "10.0/30 #",
    ),
    (
        SECOND_CIDR6,
        "tunnel_cidr: fd00:10::/126 #\n            local_ip: fd00:10::2",
        f"{CONN}.tunnels[1].bgp.ipv6.tunnel_cidr",
        "is the tunnel CIDR of tunnel 1 of conn1",
        "/126 #",
    ),
    (
        "2001:db8:1::/48",
        "fd00:20::/64",
        f"{CONN}.tunnels[1].bgp.ipv6.tunnel_cidr",
        "overlaps fd00:20::/64 of the VPC",
        "tunnel_cidr: fd00:20::/126",
    ),
]


def only_problem(text: str) -> tuple[str, int, str]:
    with pytest.raises(ConfigError) as caught:
        load(text, "gw.yaml")
    (problem,) = caught.value.problems
    assert problem.file == "gw.yaml"
    assert problem.allowed, "it says what is allowed"
    return problem.path, problem.line, problem.message


def test_the_base_is_valid() -> None:
    assert len(load(BASE, "gw.yaml").intent.vpn_connections) == 2


@pytest.mark.parametrize(("old", "new", "path", "message"), SINGLE_VALUES)
def test_single_value(old: str, new: str, path: str, message: str) -> None:
    found_path, line, found_message = only_problem(replaced(old, new))
    assert (found_path, line) == (path, line_of(BASE, old))
    assert message in found_message


@pytest.mark.parametrize(("old", "new", "path", "message", "where"), SEVERAL_VALUES)
def test_several_values(old: str, new: str, path: str, message: str, where: str) -> None:
    text = replaced(old, new)
    found_path, line, found_message = only_problem(text)
    assert (found_path, line) == (path, line_of(text, where))
    assert message in found_message


def test_bgp_without_a_bgp_section() -> None:
    text = replaced("vpn_gateway: gw2\n", "vpn_gateway: gw2\n    enable_bgp: true\n")
    text = text.replace("address: 198.51.100.6\n", "address: 198.51.100.6\n    asn: 65502\n")
    with pytest.raises(ConfigError) as caught:
        load(text, "gw.yaml")
    assert [(problem.path, problem.message) for problem in caught.value.problems] == [
        (f"{CONN2}.tunnels[{index}].bgp", "is missing; the connection has enable_bgp: true")
        for index in (0, 1)
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: conn2", f"name: {'n' * 63}"),
        ("name: conn2", "name: 'no'"),
        ("interface: t1", "interface: abcdefghijklmno"),
        ("interface: t1", "interface: gre1@x.5"),
        ("route_table: 201", "route_table: 252"),
        ("route_table: 201", "route_table: 4294967295"),
        ("route_table: 201", f"route_table: {0x1FFFFFFF}"),
        ("route_table: 201", f"route_table: {0x30000000}"),
        ("local_asn: 65530", "local_asn: 4294967295"),
        ("local_asn: 65530", "local_asn: 1"),
        ("local_asn: 65530", "local_asn: 65500"),  # equal to the peer's: iBGP
        ("local_asn: 65530", "local_asn: 65535.65535"),
        ("failback_hold_down: 2.5", "failback_hold_down: 0"),
        ("failback_hold_down: 2.5", "failback_hold_down: 3600"),
        ("failback_hold_down: 2.5", "failback_hold_down: 0.001"),
        ("passive: true", "bfd: {interval_ms: 60000, multiplier: 255, multihop: true}"),
        ("passive: true", f"bfd: {{key_id: 255, key: {'k' * 20}}}"),
        ("passive: true", "bfd: {}"),
        ("passive: true", "probe: {interval_ms: 50, multiplier: 1}"),
        ("- 198.51.100.1\n", "- 100.64.0.1\n"),  # our own address may be behind a carrier's NAT
        ("- 172.16.0.0/12", "- 0.0.0.0/0"),
        ("- 172.16.0.0/12", "- 0.0.0.0/1"),
        ("hold_time: 30", "hold_time: 3"),
        ("hold_time: 30", "hold_time: 65535"),
        (PASSWORD, f"password: {'p' * 80}"),
        (PASSWORD, "password: '!\"#;{}~'"),
        (PASSWORD, "password_file: secrets/bgp"),
        ("graceful_restart: 120", "graceful_restart: 0"),
        ("graceful_restart: 120", "graceful_restart: 4095"),
        ("ttl_security: 1", "ttl_security: 254"),
        ("ttl_security: 1", "ttl_security: false"),
        ("local_ip: 169.254.10.1", "local_ip: 169.254.10.2"),
        (
            CIDR + "\n          local_ip: 169.254.10.1",
            "tunnel_cidr: 169.254.0.4/30\n          local_ip: 169.254.0.5",
        ),
        ("lifetime: 86400", "lifetime: 0"),
        (PSK, f"pre_shared_key: {'k' * 100}"),
        (PSK, r"pre_shared_key: '~!`@#$%^&*()_-+={}[]\|;:'',.<>/?'"),
        ("local_id: 198.51.100.1", f"local_id: {'a.' * 49}ab"),
        ("local_id: 198.51.100.1", "local_id: gateway"),
        ("address: 198.51.100.2", "address: 198.51.100.4"),  # one device for both tunnels, named twice
    ],
)
def test_at_the_edge_and_allowed(old: str, new: str) -> None:
    load(replaced(old, new), "gw.yaml")
