"""What each key of the resources means, in one or two sentences: for the OpenAPI document and the reference.

What is allowed there and what the default is follows from the models (`resources.schema`).
docs/configuration.md has the same words.
"""

from __future__ import annotations

from collections.abc import Mapping

from bgpsvc.resources import models as m

_NAME = "What others refer to it by. It stays as it was made."
_IMPORT = "Routing policy for what peers announce"
_EXPORT = "Routing policy for what is announced to peers"

DESCRIPTIONS: Mapping[type[m.Resource], Mapping[str, str]] = {
    m.Intent: {
        "vpcs": "The VPCs.",
        "vpn_gateways": "At most one for each VPC.",
        "customer_gateways": "What is known of the other sides.",
        "routing_policies": "What is learned and announced, and how.",
        "vpn_connections": "Which gateway is connected to whom.",
        "destination_routes": "Static routes, longest match first.",
        "policy_routes": "Static routes by source and destination.",
        "vpc_routes": "Routes of a VPC's table that lead elsewhere than into a tunnel.",
    },
    m.Vpc: {
        "name": _NAME,
        "cidrs": "The VPC's networks. They are advertised while `auto_propagate` is on, and never learned.",
        "route_table": "Kernel table that gets the learned, published and custom routes.",
        "interfaces": "Interfaces of the VPC's networks. What enters there sees the routes of this VPC "
        "alone. A VPC without any sees to all other packets of the namespace; beside other VPCs that is a "
        "warning.",
    },
    m.VpnGateway: {
        "name": _NAME,
        "vpc": "The VPC whose gateway it is. It stays as it was made.",
        "addresses": "Public addresses: the first for tunnels 1, the second for tunnels 2. A side that has a "
        "single one, as the customer gateway of a cloud usually does, names it twice; its tunnels then need "
        "peers with different addresses.",
        "auto_propagate": "On: advertise the VPC's networks and put learned prefixes into its route table. "
        "Off: neither.",
        "advertise": "Published routes: advertised beside the VPC's networks while `auto_propagate` is on.",
        "router_id": "BGP Identifier.",
        "import_policy": f"{_IMPORT}, for connections that name none of their own.",
        "export_policy": f"{_EXPORT}, for connections that name none of their own.",
    },
    m.CustomerGateway: {
        "name": _NAME,
        "address": "Public address of the other side.",
        "asn": "ASN of the other side. Connections with BGP need it.",
    },
    m.VpnConnection: {
        "name": _NAME,
        "vpn_gateway": "The VPN gateway at this side. It stays as it was made.",
        "enable_bgp": "On: every tunnel needs `bgp`, and its customer gateway an `asn`.",
        "local_asn": "ASN of this side, for all tunnels.",
        "prefer_active_tunnel": "On: paths of tunnel 1 get the higher local preference. Off: the peer's path "
        "attributes decide.",
        "failback_hold_down": "How long a tunnel that came back must stay up before traffic returns to it.",
        "failback_hold_down_max": "For a tunnel that keeps failing that time doubles, from the third failure "
        "within 10 minutes on, up to this. One that is no larger than `failback_hold_down` turns that off.",
        "accept_default_route": "Whether 0.0.0.0/0 and ::/0 are accepted from the peers.",
        "effect_immediately": "On: IPsec is negotiated at once. Off: when there is traffic for it; a tunnel "
        "that was up is kept up.",
        "routing_mode": "Destination: routes say what goes into the tunnels. Interesting traffic: the two "
        "lists of networks do.",
        "local_cidrs": "This side of the interesting traffic.",
        "remote_cidrs": "The other side of the interesting traffic.",
        "import_policy": f"{_IMPORT}; without it that of the VPN gateway applies.",
        "export_policy": f"{_EXPORT}; without it that of the VPN gateway applies.",
        "health_check": "Echo requests through a single tunnel. Two tunnels are checked automatically.",
        "tunnels": "The first is the active tunnel, the second the standby. One alone is the legacy form: "
        "nothing takes over when it fails, and a warning says so.",
    },
    m.HealthCheck: {
        "source": "Where the requests come from: an address of this side.",
        "destination": "What is asked: an address of the other side.",
        "interval": "Time from one request to the next.",
        "retries": "Requests in a row without a reply after which the check fails.",
        "on_failure": "Whether the connection's static routes go or stay then.",
    },
    m.Tunnel: {
        "customer_gateway": "The other side. Both tunnels may name the same one. Between two public "
        "addresses there is one tunnel that the service makes.",
        "interface": "The interface of an external tunnel.",
        "mtu": "MTU of the interface; by default what the way to the peer and the algorithms leave.",
        "bgp": "The BGP session.",
        "ike": "Phase 1.",
        "ipsec": "Phase 2.",
        "dpd": "Dead peer detection.",
        "nat_traversal": "`false`: the MTU needs no room for UDP. A NAT is found and dealt with in any case.",
    },
    m.BgpSettings: {
        "tunnel_cidr": "Addresses of the two ends. The tunnel of another gateway in the same file may have "
        "it, with a warning.",
        "local_ip": "Address of this side. The peer has the other one.",
        "hold_time": "Proposed hold time; the lower one of both sides is used.",
        "password": "TCP MD5 password (RFC 2385).",
        "password_file": "File that holds the password.",
        "ttl_security": "GTSM (RFC 5082): packets from further away are dropped. The peer must do it too.",
        "graceful_restart": "Restart time (RFC 4724): how long routes are kept while the session restarts.",
        "max_prefixes": "Most prefixes that are accepted from the peer.",
        "max_prefixes_action": "Beyond the maximum: leave out the rest and warn, or end the session.",
        "passive": "Wait for the peer to connect.",
        "bfd": "BFD with the peer: a dead path is noticed within fractions of a second.",
        "probe": "Echo requests to the peer, for one that has no BFD.",
        "ipv6": "Addresses for IPv6 routes over the same session.",
    },
    m.BfdSettings: {
        "interval_ms": "How often packets are sent and asked for; the slower of both sides is used.",
        "multiplier": "After how many intervals without a packet of ours the peer takes the path for dead. "
        "Here the peer's number counts, so set both alike.",
        "multihop": "RFC 5883 (UDP port 4784) in place of RFC 5881 (3784, TTL 255).",
        "key_id": "Id of the key at the peer.",
        "key": "Key with which every packet is signed (keyed SHA1).",
        "key_file": "File that holds the key.",
    },
    m.ProbeSettings: {
        "interval_ms": "How often a request is sent.",
        "multiplier": "After how many lost requests in a row the peer is dead.",
    },
    m.Ipv6Settings: {
        "tunnel_cidr": "IPv6 addresses of the two ends.",
        "local_ip": "IPv6 address of this side. The peer has the other one.",
    },
    m.IkeSettings: {
        "version": "IKEv1 agrees on one pair of networks: of a tunnel that the service makes it takes no "
        "`bgp.ipv6`, and no second pair of CIDRs.",
        "mode": "Exchange of IKEv1; IKEv2 has only one.",
        "encryption": "`aes` has 128 bits.",
        "authentication": "Integrity and pseudo-random function.",
        "pfs": "Diffie-Hellman group.",
        "lifetime": "How long an IKE SA is used; it is negotiated anew before. 0: without end.",
        "local_id": "Identity of this side; without it the VPN gateway's address.",
        "remote_id": "Identity of the other side; without it the customer gateway's address.",
        "pre_shared_key": "The key that both sides share. In the database one of 16 characters is made if "
        "none is given.",
        "pre_shared_key_file": "File that holds the key.",
    },
    m.IpsecSettings: {
        "encryption": "Encryption of ESP; `aes` has 128 bits.",
        "authentication": "Integrity of ESP.",
        "pfs": "Diffie-Hellman group for keys of their own (perfect forward secrecy).",
        "lifetime": "How long an IPsec SA is used; it is negotiated anew before. 0: without end.",
    },
    m.DpdSettings: {
        "enabled": "Ask a peer that is silent whether it is still there.",
        "timeout": "How long a peer may be silent before its SAs end.",
    },
    m.RoutingPolicy: {
        "name": _NAME,
        "rules": "The rules in their order; the first one that matches decides.",
        "default_action": "What happens to what no rule matches.",
    },
    m.PolicyRule: {
        "match": "What the rule is for; without it, everything. Rules behind such a one are never reached, "
        "and a warning says so.",
        "action": "What is rejected cannot be changed: with `reject` the keys below are refused.",
        "local_preference": "Set the local preference.",
        "med": "Set the MED.",
        "prepend": "Prepend our own ASN (export) or the neighbour's (import) that many times more.",
        "add_communities": "Communities that are added.",
        "remove_communities": "Communities that are taken away.",
    },
    m.PolicyMatch: {
        "prefixes": "The prefix is one of these.",
        "as_path": "Searched in the AS path as text, as in `65500 65501 {65502,65503}`; `_` is a boundary, "
        "as in other routers; a brace of the path is written `[{]`.",
        "communities": "The path has one of these.",
        "sessions": "The peer it comes from or goes to.",
    },
    m.PrefixMatch: {
        "prefix": "Without `ge` and `le` that prefix exactly; with them what is inside it and as long as "
        "they say.",
        "ge": "Least length; alone it means up to 32 (128).",
        "le": "Greatest length; alone it means from the length of `prefix`.",
    },
    m.DestinationRoute: {
        "name": _NAME,
        "vpn_gateway": "The VPN gateway that has the route. It stays as it was made.",
        "destination": "Where packets go that take the route.",
        "vpn_connection": "Where it leads.",
        "publish": "Put it into the VPC's route table too.",
    },
    m.PolicyRoute: {
        "name": _NAME,
        "vpn_gateway": "The VPN gateway that has the route. It stays as it was made.",
        "source": "Where packets come from that take the route.",
        "destination": "Where packets go that take the route.",
        "vpn_connection": "Where it leads.",
        "priority": "The lowest is looked up first, whatever the lengths.",
        "publish": "Put the destination into the VPC's route table too.",
    },
    m.VpcRoute: {
        "name": _NAME,
        "vpc": "The VPC in whose table it is. It stays as it was made.",
        "destination": "Where packets go that take the route. It may lie inside the VPC's own networks.",
        "next_hop": "One of `next_hop`, `interface` and `blackhole` says where the route leads.",
        "interface": "The interface to the next hop, or that of a connected network.",
        "blackhole": "Drop the packets.",
        "advertise": "Announce the destination to the peers while `auto_propagate` is on.",
    },
}
