"""Connections that every platform is asked to write the other side of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from bgpsvc.peerconfig.facts import PeerFacts
from bgpsvc.peerconfig.select import peer_facts
from bgpsvc.resources import Intent, load


@dataclass(frozen=True)
class Scenario:
    """`text` is a configuration file with a connection `conn1`."""

    text: str
    secrets: bool = True
    networks: tuple[str, ...] = ()

    @property
    def intent(self) -> Intent:
        return load(self.text, "scenario.yaml").intent

    @property
    def facts(self) -> PeerFacts:
        networks = [ip_network(text) for text in self.networks]
        return peer_facts(self.intent, "conn1", secrets=self.secrets, networks=networks)


_GATEWAY = """
vpcs:
  - {name: vpc1, cidrs: [10.0.0.0/16]}
vpn_gateways:
  - {name: gw1, vpc: vpc1, addresses: [198.51.100.1, 198.51.100.3], advertise: [10.200.0.0/24]}
customer_gateways:
  - {name: vpn1-customer1, address: 198.51.100.2, asn: 65500}
  - {name: vpn1-customer2, address: 198.51.100.4, asn: 65500}
"""
REFERENCE = Scenario(
    _GATEWAY
    + """
vpn_connections:
  - name: conn1
    vpn_gateway: gw1
    enable_bgp: true
    local_asn: 65530
    tunnels:
      - customer_gateway: vpn1-customer1
        ike: {pre_shared_key: first-Key.of~tunnel1}
        bgp: {tunnel_cidr: 169.254.10.0/30, local_ip: 169.254.10.1, password: md5of1, bfd: {interval_ms: 300}}
      - customer_gateway: vpn1-customer2
        ike: {pre_shared_key: first-Key.of~tunnel2}
        bgp: {tunnel_cidr: 169.254.20.0/30, local_ip: 169.254.20.1, password: md5of2, bfd: {interval_ms: 300}}
""",
    networks=("192.168.0.0/16", "192.168.128.0/24"),
)
"""The reference scenario: what most people have."""
EVERYTHING = Scenario(
    """
vpcs:
  - {name: vpc1, cidrs: [10.0.0.0/16, "2001:db8:1::/48"]}
vpn_gateways:
  - {name: gw1, vpc: vpc1, addresses: [198.51.100.1, 198.51.100.3]}
customer_gateways:
  - {name: peer1, address: 198.51.100.2, asn: 4200000001}
  - {name: peer2, address: 198.51.100.4, asn: 4200000001}
vpn_connections:
  - name: conn1
    vpn_gateway: gw1
    enable_bgp: true
    local_asn: "1.10"
    prefer_active_tunnel: false
    effect_immediately: false
    tunnels:
      - customer_gateway: peer1
        mtu: 1360
        nat_traversal: false
        ike: {encryption: aes, authentication: sha512, lifetime: 28800, local_id: gw.example.net,
              remote_id: branch.example.net, pre_shared_key: "0xAb\\\\c;d'e{f}#$%/?"}
        ipsec: {encryption: aes192, authentication: sha384, pfs: disabled, lifetime: 3600}
        dpd: {timeout: 9}
        bgp:
          tunnel_cidr: 169.254.10.0/30
          local_ip: 169.254.10.2
          hold_time: 9
          password: "p!#&'x"
          graceful_restart: 0
          bfd: {interval_ms: 100, multiplier: 5}
          ipv6: {tunnel_cidr: "fd00:10::/126", local_ip: "fd00:10::1"}
      - customer_gateway: peer2
        ike: {pre_shared_key: second}
        dpd: {enabled: false}
        bgp:
          tunnel_cidr: 169.254.20.0/30
          local_ip: 169.254.20.1
          passive: true
          ttl_security: 1
          ipv6: {tunnel_cidr: "fd00:20::/126", local_ip: "fd00:20::1"}
""",
)
"""Everything that can be set at once, and not a word on what lies behind the device."""
STATIC = Scenario(
    _GATEWAY
    + """
vpn_connections:
  - name: conn1
    vpn_gateway: gw1
    tunnels:
      - customer_gateway: vpn1-customer1
        ike: {version: ikev1, encryption: 3des, authentication: sha1, pfs: group2, pre_shared_key: old-key-1}
        ipsec: {encryption: 3des, authentication: sha1, pfs: group2}
      - customer_gateway: vpn1-customer2
        ike: {version: ikev1, encryption: aes, authentication: sha1, pfs: group5, pre_shared_key: old-key-2}
        ipsec: {encryption: aes, authentication: sha1, pfs: disabled}
destination_routes:
  - {name: to-site, vpn_gateway: gw1, destination: 192.168.0.0/16, vpn_connection: conn1}
"""
)
"""Without BGP, with what older devices know."""
TRAFFIC = Scenario(
    _GATEWAY
    + """
vpn_connections:
  - name: conn1
    vpn_gateway: gw1
    routing_mode: interesting_traffic
    local_cidrs: [10.0.0.0/24, 10.0.1.0/24]
    remote_cidrs: [192.168.0.0/24]
    tunnels:
      - {customer_gateway: vpn1-customer1, ike: {pre_shared_key: key-1}}
      - {customer_gateway: vpn1-customer2, ike: {pre_shared_key: key-2}}
""",
    secrets=False,
)
"""Interesting traffic: the networks say what passes. With placeholders for the keys."""
GUARDED = Scenario(
    """
vpcs:
  - {name: vpc1, cidrs: [10.0.0.0/16, "2001:db8:1::/48"]}
vpn_gateways:
  - {name: gw1, vpc: vpc1, addresses: [198.51.100.1, 198.51.100.3]}
customer_gateways:
  - {name: branch, address: 203.0.113.7, asn: 64999}
vpn_connections:
  - name: conn1
    vpn_gateway: gw1
    enable_bgp: true
    local_asn: 65530
    tunnels:
      - customer_gateway: branch
        ike: {version: ikev1, mode: aggressive, encryption: aes192, authentication: sha1, pfs: group5,
              lifetime: 0, pre_shared_key: "Aa1~!@#$%^&*()_-+={}[]|;:,.<>/"}
        ipsec: {encryption: aes192, authentication: sha1, pfs: group2, lifetime: 90}
        dpd: {timeout: 3}
        bgp:
          tunnel_cidr: 169.254.10.0/30
          local_ip: 169.254.10.1
          password: guarded1
          ttl_security: 1
          bfd: {interval_ms: 10, multiplier: 2, key_id: 7, key: signed1}
      - customer_gateway: branch
        ike: {pre_shared_key: "Bb2~!@#$%^&*()_-+={}[]|;:,.<>/"}
        bgp:
          tunnel_cidr: 169.254.20.0/30
          local_ip: 169.254.20.1
          password: guarded2
          ttl_security: 1
          bfd: {interval_ms: 300, multiplier: 3, multihop: true, key_id: 8, key: signed2}
          ipv6: {tunnel_cidr: "fd00:20::/126", local_ip: "fd00:20::1"}
""",
    networks=("192.168.0.0/16", "2001:db8:2::/48"),
)
"""Everything that guards a session, in IKEv1's aggressive mode and IKEv2, from one address of one device."""
SINGLE = Scenario(
    """
vpcs:
  - {name: vpc1, cidrs: [10.0.0.0/16]}
vpn_gateways:
  - {name: gw1, vpc: vpc1, addresses: [198.51.100.1, 198.51.100.3]}
customer_gateways:
  - {name: branch, address: 203.0.113.7}
vpn_connections:
  - name: conn1
    vpn_gateway: gw1
    routing_mode: interesting_traffic
    local_cidrs: [10.0.0.0/24]
    remote_cidrs: [192.168.0.0/24, 192.168.9.0/24]
    tunnels:
      - {customer_gateway: branch, ike: {pre_shared_key: only-key}}
"""
)
"""Interesting traffic over the single tunnel of the legacy form."""
SCENARIOS: Mapping[str, Scenario] = {
    "reference": REFERENCE,
    "everything": EVERYTHING,
    "static": STATIC,
    "traffic": TRAFFIC,
    "guarded": GUARDED,
    "single": SINGLE,
}
