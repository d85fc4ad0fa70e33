"""IPsec of a gateway 2 that runs BIRD or FRR: plain strongSwan, set up by hand as an administrator would.

ESP in user space gives a charon one TUN device for all its peers, so each tunnel has a charon. Only one can
have the ports 500 and 4500; each has a pair of its own here, and nftables translates, so that gateway 1 sees
none of it. Nothing of this is the service's own code: that both understand each other shows that it is IPsec.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from bgpsvc.lab.topology import GW1, GW2, TUNNELS

IKE_PORTS = {1: 20500, 2: 20502}
NAT_PORTS = {1: 24500, 2: 24502}
TUNNEL_MTU = 1400
"""What an ESP packet in UDP leaves of 1500 bytes, whatever the cipher; as charon makes its device."""
_UNUSED_TABLE = 4_000_000
"""charon insists on routes to its device; in a table that no rule names they do no harm."""
_LOAD = (
    "random nonce aes sha1 sha2 hmac kdf pem pkcs1 x509 pubkey gmp openssl "
    "kernel-libipsec kernel-netlink socket-default vici updown"
)
SETTINGS, SOCKET = "charon.conf", "charon.vici"
"""Names in a charon's directory, its /run: there AppArmor's usual profile lets it have what begins so."""
_NFT_TABLE = "plain"


def interface(tunnel: int) -> str:
    """charon's TUN device: they are numbered in the order in which charons start."""
    return f"ipsec{tunnel - 1}"


def settings(tunnel: int) -> str:
    """strongswan.conf(5) of a tunnel's charon, which has a /run of its own."""
    return "\n".join(
        [
            "charon {",
            "  load_modular = no",
            f"  load = {_LOAD}",
            f"  port = {IKE_PORTS[tunnel]}",
            f"  port_nat_t = {NAT_PORTS[tunnel]}",
            "  install_virtual_ip = no",
            "  process_route = no",
            f"  routing_table = {_UNUSED_TABLE + tunnel}",
            "  routing_table_prio = 32765",
            "  plugins {",
            "    kernel-netlink { fwmark = 0x7ffffffe }",  # nothing has it, so its rule matches nothing
            "    kernel-libipsec { allow_peer_ts = yes }",
            f"    vici {{ socket = unix:///run/{SOCKET} }}",
            "  }",
            "  filelog { stderr { default = 1 } }",
            "}",
            "",
        ]
    )


def start(programs: Mapping[str, str], directory: PurePosixPath) -> tuple[str, ...]:
    """The command line of a charon. Its pid file is always in /run: it gets its directory in that place."""
    script = f'"$1" --bind "$2" /run; export STRONGSWAN_CONF=/run/{SETTINGS}; exec "$3"'
    arguments = (programs["mount"], str(directory), programs["charon"])
    return (programs["unshare"], "--mount", "/bin/sh", "-ec", script, "sh", *arguments)


def load(programs: Mapping[str, str], directory: PurePosixPath) -> tuple[str, ...]:
    """The command that gives a charon the connections which it reads from standard input.

    swanctl wants a file, and AppArmor wants that in /etc/swanctl: one that only this command ever sees.
    """
    script = (
        '"$1" --bind "$2" /run; "$1" -t tmpfs -o mode=700 lab /etc/swanctl; '
        f'cat > /etc/swanctl/swanctl.conf; exec "$3" --load-all --uri unix:///run/{SOCKET}'
    )
    arguments = (programs["mount"], str(directory), programs["swanctl"])
    return (programs["unshare"], "--mount", "/bin/sh", "-ec", script, "sh", *arguments)


def addresses(tunnel: int) -> list[str]:
    """`ip` commands that give a tunnel's device its addresses."""
    name = interface(tunnel)
    return [
        f"address add {GW2.inside[tunnel - 1]}/30 dev {name}",
        f"address add {GW2.inside6[tunnel - 1]}/126 dev {name} nodad",
        f"link set {name} mtu {TUNNEL_MTU} up",
    ]


def translation() -> str:
    """nftables rules: every charon speaks from 500 and 4500, and hears what is sent there. Stateless."""
    arriving, leaving = [], []
    for tunnel in TUNNELS:
        there, here = GW1.public[tunnel - 1], GW2.public[tunnel - 1]
        for port, own in ((500, IKE_PORTS[tunnel]), (4500, NAT_PORTS[tunnel])):
            arriving.append(f"ip saddr {there} ip daddr {here} udp dport {port} udp dport set {own}")
            leaving.append(f"ip saddr {here} ip daddr {there} udp sport {own} udp sport set {port}")
    return "\n".join(
        [
            f"table inet {_NFT_TABLE} {{",
            "  chain arriving { type filter hook prerouting priority -350;",
            *(f"    {rule}" for rule in arriving),
            "  }",
            "  chain leaving { type filter hook postrouting priority 350;",
            *(f"    {rule}" for rule in leaving),
            "  }",
            "}",
            "",
        ]
    )


def connection(tunnel: int, key: str) -> str:
    """swanctl.conf(5): the connection of a tunnel and its key. It waits for gateway 1 to begin."""
    here, there = GW2.public[tunnel - 1], GW1.public[tunnel - 1]
    sections: dict[str, Any] = {
        "connections": {
            f"tunnel{tunnel}": {
                "version": 2,
                "local_addrs": here,
                "remote_addrs": there,
                "local_port": IKE_PORTS[tunnel],
                "remote_port": 500,
                "encap": "yes",
                "proposals": "aes256-sha256-modp2048",
                "local": {"auth": "psk", "id": here},
                "remote": {"auth": "psk", "id": there},
                "children": {
                    "all": {
                        "local_ts": "0.0.0.0/0,::/0",
                        "remote_ts": "0.0.0.0/0,::/0",
                        "esp_proposals": "aes256-sha256-modp2048",
                    }
                },
            }
        },
        "secrets": {f"ike{tunnel}": {"id": there, "secret": f'"{key}"'}},
    }
    return _written(sections)


def _written(sections: dict[str, Any], indent: str = "") -> str:
    lines = []
    for name, value in sections.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name} {{", _written(value, indent + "  ").rstrip("\n"), f"{indent}}}"]
        else:
            lines.append(f"{indent}{name} = {value}")
    return "\n".join([*lines, ""])
