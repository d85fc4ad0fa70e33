"""A valid configuration, one key a line, that tests break at one place."""

from __future__ import annotations

BASE = """\
vpcs:
  - name: vpc1
    cidrs:
      - 10.0.0.0/16
      - 2001:db8:1::/48
    route_table: 201
  - name: vpc2
    cidrs:
      - 192.168.0.0/16
    route_table: 202
vpn_gateways:
  - name: gw1
    vpc: vpc1
    addresses:
      - 198.51.100.1
      - 198.51.100.3
    auto_propagate: true
    advertise:
      - 172.16.0.0/12
      - 172.16.1.0/24
    router_id: 192.0.2.1
  - name: gw2
    vpc: vpc2
    addresses: [203.0.113.1, 203.0.113.2]
customer_gateways:
  - name: customer1
    address: 198.51.100.2
    asn: 65500
  - name: customer2
    address: 198.51.100.4
    asn: 65501
  - name: customer3
    address: 198.51.100.6
vpn_connections:
  - name: conn1
    vpn_gateway: gw1
    enable_bgp: true
    local_asn: 65530
    prefer_active_tunnel: false
    failback_hold_down: 2.5
    accept_default_route: true
    tunnels:
      - customer_gateway: customer1
        interface: t1
        bgp:
          tunnel_cidr: 169.254.10.0/30
          local_ip: 169.254.10.1
          hold_time: 30
          password: s3cret
          ttl_security: 1
          graceful_restart: 120
          max_prefixes: 4000
          max_prefixes_action: teardown
          passive: true
          ipv6:
            tunnel_cidr: fd00:10::/126
            local_ip: fd00:10::1
        ike:
          version: ikev2
          mode: main
          encryption: aes256
          authentication: sha256
          pfs: group14
          lifetime: 86400
          local_id: 198.51.100.1
          remote_id: branch.example.net
          pre_shared_key: Pr3shared
        ipsec:
          encryption: aes192
          authentication: sha512
          pfs: disabled
          lifetime: 3600
        dpd:
          enabled: true
          timeout: 10
        nat_traversal: false
      - customer_gateway: customer2
        interface: t2
        bgp:
          tunnel_cidr: 169.254.20.0/30
          local_ip: 169.254.20.1
          ipv6:
            tunnel_cidr: fd00:20::/126
            local_ip: fd00:20::1
  - name: conn2
    vpn_gateway: gw2
    routing_mode: interesting_traffic
    local_cidrs:
      - 192.168.0.0/24
    remote_cidrs:
      - 172.20.0.0/16
      - 172.21.0.0/16
    tunnels:
      - customer_gateway: customer3
        interface: t3
      - customer_gateway: customer3
        interface: t4
"""

ROUTES = (
    BASE.replace(
        "    route_table: 201\n", "    route_table: 201\n    interfaces:\n      - br1\n      - veth9\n"
    ).replace("    route_table: 202\n", "    route_table: 202\n    interfaces: [br2]\n")
    + """\
  - name: legacy1
    vpn_gateway: gw1
    import_policy: policy1
    tunnels:
      - customer_gateway: customer3
        interface: t5
    health_check:
      source: 10.0.0.1
      destination: 172.22.0.1
      interval: 3
      retries: 4
      on_failure: reserve_route
routing_policies:
  - name: policy1
    rules:
      - match:
          prefixes:
            - prefix: 172.16.0.0/12
              ge: 16
              le: 24
            - prefix: 2001:db8:8::/48
          as_path: ^65500_
          communities:
            - 65000:100
          sessions:
            - conn1-tunnel2
        local_preference: 300
        med: 20
        prepend: 3
        add_communities:
          - no-export
      - action: reject
    default_action: reject
destination_routes:
  - name: route1
    vpn_gateway: gw1
    destination: 172.24.0.0/16
    vpn_connection: conn1
    publish: true
  - name: route2
    vpn_gateway: gw2
    destination: 172.24.0.0/16
    vpn_connection: conn2
policy_routes:
  - name: prefer1
    vpn_gateway: gw1
    source: 10.0.1.0/24
    destination: 172.25.0.0/16
    vpn_connection: legacy1
    priority: 5
  - name: prefer2
    vpn_gateway: gw2
    source: 192.168.4.0/24
    destination: 172.25.0.0/16
    vpn_connection: conn2
    priority: 5
vpc_routes:
  - name: custom1
    vpc: vpc1
    destination: 172.26.0.0/16
    next_hop: 10.0.0.9
  - name: custom2
    vpc: vpc2
    destination: 172.26.0.0/16
    blackhole: true
"""
)
"""The same with every other kind of resources, and without a warning of theirs."""


def line_of(text: str, part: str) -> int:
    """The line, from 1, on which `part` begins."""
    assert part in text, part
    return text[: text.index(part)].count("\n") + 1


def replaced(old: str, new: str, text: str = BASE) -> str:
    """A text with the first `old` replaced."""
    assert old in text, old
    return text.replace(old, new, 1)
