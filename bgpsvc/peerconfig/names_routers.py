"""Words of routers: VyOS, MikroTik RouterOS, Huawei VRP, H3C Comware. Pure."""

from __future__ import annotations

from types import MappingProxyType

from bgpsvc.peerconfig.algorithms import (
    IKEV1,
    IKEV2,
    Named,
    Number,
    Phase,
    Words,
    groups,
    refuse,
    same,
    within,
)
from bgpsvc.peerconfig.facts import BfdFacts, PeerFacts, TunnelFacts
from bgpsvc.peerconfig.quoting import (
    Secrets,
    escaped,
    frr_has_bfd,
    id_kind,
    mask_of,
    reached,
    short,
    single_quoted,
    way,
)
from bgpsvc.peerconfig.words import Helpers, Unsupported

_DAY = 86400
_WEEK = 604800
_HASHES = {name: name for name in ("md5", "sha1", "sha256", "sha384", "sha512")}

# VyOS -------------------------------------------------------------------------------------------------

_VYOS_CIPHERS = {"aes": "aes128", "aes192": "aes192", "aes256": "aes256", "3des": "3des"}
_VYOS = Words(
    ike=same(Phase(_VYOS_CIPHERS, _HASHES, groups(""), (30, _DAY))),
    esp=same(Phase(_VYOS_CIPHERS, _HASHES, groups("dh-group", without="disable"), (30, _DAY))),
    dpd_interval=(2, _DAY),
)
# It takes no quote in a value, and hands the key to strongSwan, which reads more into a backslash.
_VYOS_KEYS = Secrets(longest=128, refused="'\"\\", quote=single_quoted)
_VYOS_PASSWORDS = Secrets(longest=80, refused="'\"", quote=single_quoted)
_VYOS_BFD_MULTIPLIER = (2, 255)


def _name(peer: PeerFacts, longest: int) -> str:
    return short(peer.connection, longest)


def _vyos_multiplier(multiplier: int) -> Number:
    return within(multiplier, _VYOS_BFD_MULTIPLIER)


VYOS_HELPERS: Helpers = MappingProxyType(
    {
        "named": _VYOS.of,
        "key": _VYOS_KEYS.writing("pre-shared key"),
        "password": _VYOS_PASSWORDS.writing("BGP password"),
        "name_of": _name,
        "way": way,
        "reached": reached,
        "bfd_multiplier": _vyos_multiplier,
        "bfd_possible": frr_has_bfd,
    }
)

# MikroTik RouterOS ------------------------------------------------------------------------------------

_MODPS = {"group1": "modp768", "group2": "modp1024", "group5": "modp1536", "group14": "modp2048"}
_ROS = Words(
    ike=same(
        Phase(
            {"aes": "aes-128", "aes192": "aes-192", "aes256": "aes-256", "des": "des", "3des": "3des"},
            _HASHES,
            _MODPS,
            (60, _DAY),
        )
    ),
    esp=same(
        Phase(
            {
                "aes": "aes-128-cbc",
                "aes192": "aes-192-cbc",
                "aes256": "aes-256-cbc",
                "des": "des",
                "3des": "3des",
            },
            {"md5": "md5", "sha1": "sha1", "sha256": "sha256", "sha512": "sha512"},
            _MODPS | {"disabled": "none"},
            (60, _DAY),
        )
    ),
)
_ROS_SECRETS = Secrets(longest=128, quote=escaped('"\\$?'))
_ROS_MODES = {"main": "main", "aggressive": "aggressive"}


def _ros_mode(tunnel: TunnelFacts) -> str:
    return "ike2" if tunnel.ike.version == IKEV2 else _ROS_MODES[tunnel.ike.mode]


def _ros_identity(identity: str) -> str:
    """As `address:192.0.2.1` or `fqdn:gw.example.net`."""
    kind = id_kind(identity)
    return f"{'fqdn' if kind == 'fqdn' else 'address'}:{identity}"


def _ros_secret(secret: str, what: str, tunnel: TunnelFacts) -> str:
    return _ROS_SECRETS.write(secret, what, tunnel)


MIKROTIK_HELPERS: Helpers = MappingProxyType(
    {
        "named": _ROS.of,
        "mode_of": _ros_mode,
        "identity": _ros_identity,
        "secret": _ros_secret,
        "name_of": _name,
        "way": way,
        "reached": reached,
    }
)

# Huawei VRP -------------------------------------------------------------------------------------------

_VRP_CIPHERS = {"aes": "aes-128", "aes192": "aes-192", "aes256": "aes-256", "des": "des", "3des": "3des"}
_VRP_HASHES = {
    "md5": "md5",
    "sha1": "sha1",
    "sha256": "sha2-256",
    "sha384": "sha2-384",
    "sha512": "sha2-512",
}
_VRP = Words(
    ike=same(Phase(_VRP_CIPHERS, _VRP_HASHES, groups("group"), (60, _WEEK))),
    esp=same(Phase(_VRP_CIPHERS, _VRP_HASHES, groups("dh-group", without="none"), (480, _WEEK))),
    dpd_interval=(10, 3600),
)
_VRP_MACS = {"md5": "hmac-md5-96", "sha1": "hmac-sha1-96"}
# `?` asks for help wherever it stands in a line.
_TYPED_KEYS = Secrets(longest=128, refused="?")
_TYPED_PASSWORDS = Secrets(longest=80, refused="?")
_VRP_BFD_INTERVAL, _VRP_BFD_MULTIPLIER = (10, 2000), (3, 50)


def _vrp_named(peer: PeerFacts, tunnel: TunnelFacts) -> Named:
    """The words for a tunnel; Unsupported where VRP has none."""
    _one_policy(peer, tunnel)
    return _VRP.of(tunnel)


def _one_policy(peer: PeerFacts, tunnel: TunnelFacts) -> None:
    """Interesting traffic goes by a policy of the outer interface, of which the first that fits is taken."""
    if peer.route_based:
        return
    if len(peer.tunnels) > 1:
        raise Unsupported(
            "interesting traffic over two tunnels",
            f"VPN connection {peer.connection}",
            "one tunnel, or routing mode destination",
        )
    if tunnel.bgp is not None:
        raise refuse("interesting traffic together with BGP", tunnel, "routing mode destination")
    if any(ours.version == 6 for ours, _ in tunnel.selectors):
        raise refuse("IPv6 as interesting traffic", tunnel, "IPv4 networks, or routing mode destination")


def _vrp_mac(tunnel: TunnelFacts) -> str:
    """IKEv2's integrity algorithm; its PRF is `_vrp_prf`."""
    name = tunnel.ike.authentication
    return _VRP_MACS.get(name, f"hmac-{_VRP_HASHES[name]}")


def _vrp_prf(tunnel: TunnelFacts) -> str:
    return f"hmac-{_VRP_HASHES[tunnel.ike.authentication]}"


def _typed_identity(identity: str, tunnel: TunnelFacts) -> str:
    kind = id_kind(identity)
    if kind == "ipv6":
        raise refuse("an IPv6 address as IKE identity", tunnel, "an IPv4 address or a domain name")
    return kind


def _vrp_bfd(bfd: BfdFacts) -> dict[str, Number]:
    return {
        "interval": within(bfd.interval_ms, _VRP_BFD_INTERVAL),
        "multiplier": within(bfd.multiplier, _VRP_BFD_MULTIPLIER),
    }


HUAWEI_HELPERS: Helpers = MappingProxyType(
    {
        "named": _vrp_named,
        "mac": _vrp_mac,
        "prf": _vrp_prf,
        "key": _TYPED_KEYS.writing("pre-shared key"),
        "password": _TYPED_PASSWORDS.writing("BGP password"),
        "identity_kind": _typed_identity,
        "bfd_of": _vrp_bfd,
        "name_of": _name,
        "way": way,
        "reached": reached,
        "mask_of": mask_of,
        "within": within,
    }
)

# H3C Comware ------------------------------------------------------------------------------------------

_COMWARE_CIPHERS = {
    "aes": "aes-cbc-128",
    "aes192": "aes-cbc-192",
    "aes256": "aes-cbc-256",
    "des": "des-cbc",
    "3des": "3des-cbc",
}
_COMWARE_ESP = Phase(_COMWARE_CIPHERS, _HASHES, groups("dh-group", without="none"), (180, _WEEK))
_COMWARE = Words(
    ike={
        IKEV1: Phase(_COMWARE_CIPHERS, _HASHES | {"sha1": "sha"}, groups("group"), (60, _WEEK)),
        IKEV2: Phase(_COMWARE_CIPHERS, _HASHES, groups("group"), (120, _DAY)),
    },
    esp={IKEV1: _COMWARE_ESP, IKEV2: _COMWARE_ESP},
    dpd_interval=(1, 300),
)
_COMWARE_BFD_KEYS = Secrets(longest=20, refused="?")
_COMWARE_BFD_KEY_IDS = (1, 255)


def _comware_named(peer: PeerFacts, tunnel: TunnelFacts) -> Named:
    """The words for a tunnel; Unsupported where Comware has none."""
    _one_policy(peer, tunnel)
    return _COMWARE.of(tunnel)


def _comware_bfd_key(bfd: BfdFacts, tunnel: TunnelFacts) -> str:
    if bfd.key is None or bfd.key_id is None:
        return ""
    least, most = _COMWARE_BFD_KEY_IDS
    if not least <= bfd.key_id <= most:
        raise refuse(f"BFD key id {bfd.key_id}", tunnel, f"{least} to {most}")
    return _COMWARE_BFD_KEYS.write(bfd.key, "BFD key", tunnel)


def _comware_bfd(bfd: BfdFacts) -> dict[str, Number]:
    return {"interval": within(bfd.interval_ms, (10, 10000)), "multiplier": within(bfd.multiplier, (3, 50))}


H3C_HELPERS: Helpers = MappingProxyType(
    {
        "named": _comware_named,
        "key": _TYPED_KEYS.writing("pre-shared key"),
        "password": _TYPED_PASSWORDS.writing("BGP password"),
        "bfd_key": _comware_bfd_key,
        "bfd_of": _comware_bfd,
        "identity_kind": _typed_identity,
        "name_of": _name,
        "way": way,
        "reached": reached,
        "mask_of": mask_of,
        "within": within,
    }
)
