"""`gateway` and `machine`: gateway 1 of the reference scenario on a machine of its own, with a live peer.

    ecs1 ── (this machine) ══ provider ══ peer ── ecs3
    10.0.0.10  198.51.100.1, .3    198.51.100.2, .4  192.168.0.10

The others are named network namespaces of the sandbox: `ip netns exec ecs1 ping 192.168.0.10`. The peer is a
bgpsvc with a state directory of its own; `peer COMMAND` runs a command there: `peer bgpsvc get tunnels`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import yaml

from tests.docs.places.checkout import COPY
from tests.docs.places.sandbox import LOG, Sandbox, machine

SOCKET = "/var/lib/bgpsvc/api.sock"
PEER_SOCKET = "/run/peer/api.sock"
KEYS = ("the-key-of-tunnel-1", "the-key-of-tunnel-2")
WIRES = """
for host in ecs1 provider peer ecs3; do
  ip netns add $host; ip -n $host link set lo up
  ip netns exec $host sysctl -qw net.ipv4.ip_forward=1
done
cable() {  # OTHER_HOST LINK LINK_THERE: from this machine
  ip link add "$2" type veth peer name "$3" netns "$1"
  ip link set "$2" up; ip -n "$1" link set "$3" up
}
cable ecs1 lan eth0
cable provider wan1 gw1-1; cable provider wan2 gw1-2
ip -n provider link add peer-1 type veth peer name wan1 netns peer
ip -n provider link add peer-2 type veth peer name wan2 netns peer
ip -n peer link add lan type veth peer name eth0 netns ecs3
for at in "peer wan1" "peer wan2" "peer lan" "ecs3 eth0" "provider peer-1" "provider peer-2"; do
  ip -n ${at% *} link set ${at#* } up
done
ip addr add 10.0.0.1/16 dev lan; ip -n ecs1 addr add 10.0.0.10/16 dev eth0
ip -n ecs1 route add default via 10.0.0.1
ip -n peer addr add 192.168.0.1/16 dev lan; ip -n ecs3 addr add 192.168.0.10/16 dev eth0
ip -n ecs3 route add default via 192.168.0.1
join() {  # IP_OPTIONS LINK ADDRESS PROVIDERS_LINK PEER_ADDRESS
  local hop=203.0.113.${3##*.}
  ip $1 addr add $3/32 dev $2
  ip $1 route add $hop dev $2 src $3
  ip $1 route add $5 via $hop dev $2 src $3
  ip -n provider addr add $hop/32 dev $4
  ip -n provider route add $3 dev $4
}
join "" wan1 198.51.100.1 gw1-1 198.51.100.2
join "" wan2 198.51.100.3 gw1-2 198.51.100.4
join "-n peer" wan1 198.51.100.2 peer-1 198.51.100.1
join "-n peer" wan2 198.51.100.4 peer-2 198.51.100.3
"""
"""Hosts, cables and addresses."""
SERVE_PEER = """
mkdir -m 700 /run/peer
ip netns exec peer bgpsvc serve --state-dir /run/peer --listen unix:/run/peer.sock --ipsec userspace \\
  >/run/peer.log 2>&1 &
"""
SERVE = f"bgpsvc serve >>{LOG} 2>&1 &\nDAEMON=$!"


def documents(vpc: str, gateway: str, connection: str, cidr: str, side: int) -> str:
    """The resources of a side (1 or 2) as YAML."""
    ends = {1: ("198.51.100.1", "198.51.100.3"), 2: ("198.51.100.2", "198.51.100.4")}
    asns = {1: 65530, 2: 65500}
    tunnels = "\n".join(
        f"""      - customer_gateway: vpn1-customer{number}
        ike: {{pre_shared_key: {KEYS[number - 1]}}}
        bgp: {{tunnel_cidr: 169.254.{number}0.0/30, local_ip: 169.254.{number}0.{side}, hold_time: 30, """
        f"""bfd: {{interval_ms: 300}}}}"""
        for number in (1, 2)
    )
    return f"""vpcs:
  - {{name: {vpc}, cidrs: [{cidr}]}}
vpn_gateways:
  - {{name: {gateway}, vpc: {vpc}, addresses: [{", ".join(ends[side])}], auto_propagate: true}}
customer_gateways:
  - {{name: vpn1-customer1, address: {ends[3 - side][0]}, asn: {asns[3 - side]}}}
  - {{name: vpn1-customer2, address: {ends[3 - side][1]}, asn: {asns[3 - side]}}}
vpn_connections:
  - name: {connection}
    vpn_gateway: {gateway}
    enable_bgp: true
    local_asn: {asns[side]}
    failback_hold_down: 1
    tunnels:
{tunnels}
"""


OURS = documents("vpc1", "gw1", "conn1", "10.0.0.0/16", 1)
THEIRS = documents("vpc2", "gw2", "conn2", "192.168.0.0/16", 2)


def asked(socket: str, path: str) -> str:
    """A command that asks a daemon over REST, which costs less than one of the command line."""
    return f"curl -s --unix-socket {socket} http://localhost/v1/{path}"


def apply(sandbox: Sandbox, socket: str, resources: str) -> None:
    """Give a daemon resources as soon as it answers."""
    sandbox.put("resources.json", json.dumps(yaml.safe_load(resources)))
    sandbox.until(asked(socket, "whoami"))
    body = f"-H 'Content-Type: application/json' -d @{sandbox.seen}/resources.json"
    sandbox.run(f"{asked(socket, 'configuration/apply')} {body}")


@contextmanager
def site(commands: Sequence[str]) -> Iterator[Sandbox]:
    """The machine with its wires and its peer; nothing of ours runs on it. `gw1.yaml` would join them."""
    with machine("gw1") as sandbox:
        sandbox.script("peer", f'exec ip netns exec peer env BGPSVC_SERVER=unix:{PEER_SOCKET} "$@"\n')
        sandbox.run(WIRES)
        sandbox.run(SERVE_PEER)
        sandbox.write("/run/peer.yaml", THEIRS)
        apply(sandbox, PEER_SOCKET, THEIRS)
        if any(".venv/" in command for command in commands):
            sandbox.run(COPY)
        sandbox.write("gw1.yaml", OURS)
        yield sandbox


@contextmanager
def gateway(commands: Sequence[str]) -> Iterator[Sandbox]:
    """The same with the daemon and a connection that is up; its resources are in `gw1.yaml`."""
    with site(commands) as sandbox:
        sandbox.run(SERVE)
        apply(sandbox, SOCKET, OURS)
        for session in ("conn1-tunnel1", "conn1-tunnel2"):
            sandbox.until(asked(SOCKET, f"bgp-sessions/{session}") + """ | grep -q '"state":"established"'""")
        sandbox.until(asked(SOCKET, "tunnels/conn1-tunnel1") + """ | grep -q '"carrying":true'""")
        sandbox.until("ip netns exec ecs1 ping -c 1 -W 1 192.168.0.10")
        yield sandbox
