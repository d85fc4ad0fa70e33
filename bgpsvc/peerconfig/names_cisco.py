"""Words of Cisco's IOS-XE and ASA. Pure."""

from __future__ import annotations

from ipaddress import IPv4Network
from types import MappingProxyType

from bgpsvc.peerconfig.algorithms import IKEV1, IKEV2, Named, Phase, Words, groups, refuse, within
from bgpsvc.peerconfig.facts import BfdFacts, PeerFacts, TunnelFacts
from bgpsvc.peerconfig.quoting import Secrets, id_kind, mask_of, reached, short, way
from bgpsvc.peerconfig.words import Helpers, Unsupported

_LONGEST_NAME = 40
_DAY = 86400

_NUMBERED = groups("")
_PFS = groups("group", without="none")

# IOS-XE -----------------------------------------------------------------------------------------------

_IOS_TRANSFORM = {
    "aes": "esp-aes",
    "aes192": "esp-aes 192",
    "aes256": "esp-aes 256",
    "des": "esp-des",
    "3des": "esp-3des",
}
_IOS_ESP = Phase(
    _IOS_TRANSFORM,
    {
        "md5": "esp-md5-hmac",
        "sha1": "esp-sha-hmac",
        "sha256": "esp-sha256-hmac",
        "sha384": "esp-sha384-hmac",
        "sha512": "esp-sha512-hmac",
    },
    _PFS,
    (120, _DAY),
)
_IOS = Words(
    ike={
        IKEV1: Phase(
            {"aes": "aes", "aes192": "aes 192", "aes256": "aes 256", "des": "des", "3des": "3des"},
            {"md5": "md5", "sha1": "sha", "sha256": "sha256", "sha384": "sha384", "sha512": "sha512"},
            _NUMBERED,
            (60, _DAY),
        ),
        IKEV2: Phase(
            {
                "aes": "aes-cbc-128",
                "aes192": "aes-cbc-192",
                "aes256": "aes-cbc-256",
                "des": "des",
                "3des": "3des",
            },
            {name: name for name in ("md5", "sha1", "sha256", "sha384", "sha512")},
            _NUMBERED,
            (120, _DAY),
        ),
    },
    esp={IKEV1: _IOS_ESP, IKEV2: _IOS_ESP},
    dpd_interval=(10, 3600),
)
# `?` asks for help wherever it stands in a line.
_KEYS = Secrets(longest=128, refused="?", words=("0", "6", "7", "8", "hex"))
_PASSWORDS = Secrets(longest=80, refused="?", words=("0", "7"))
_BFD_INTERVAL, _BFD_MULTIPLIER = (50, 9999), (3, 50)


def _name(peer: PeerFacts) -> str:
    """What all names of a connection begin with."""
    return short(peer.connection, _LONGEST_NAME).upper()


def _ios_named(peer: PeerFacts, tunnel: TunnelFacts) -> Named:
    """The words for a tunnel; Unsupported where IOS-XE has none."""
    if not peer.route_based and any(ours.version == 6 for ours, _ in tunnel.selectors):
        raise refuse("IPv6 as interesting traffic", tunnel, "IPv4 networks, or routing mode destination")
    if {id_kind(tunnel.gateway_id), id_kind(tunnel.device_id)} & {"ipv6"}:
        raise refuse("an IPv6 address as IKE identity", tunnel, "an IPv4 address or a domain name")
    return _IOS.of(tunnel)


def _ios_bfd(bfd: BfdFacts) -> dict[str, object]:
    """`interval` and `multiplier` in the ranges of IOS-XE."""
    return {
        "interval": within(bfd.interval_ms, _BFD_INTERVAL),
        "multiplier": within(bfd.multiplier, _BFD_MULTIPLIER),
    }


IOS_HELPERS: Helpers = MappingProxyType(
    {
        "named": _ios_named,
        "key": _KEYS.writing("pre-shared key"),
        "password": _PASSWORDS.writing("BGP password"),
        "bfd_key": _PASSWORDS.writing("BFD key"),
        "bfd_of": _ios_bfd,
        "name_of": _name,
        "id_kind": id_kind,
        "mask_of": mask_of,
        "reached": reached,
    }
)

# ASA --------------------------------------------------------------------------------------------------

_ASA_AES = {"aes": "aes", "aes192": "aes-192", "aes256": "aes-256", "des": "des", "3des": "3des"}
_ASA_V2_HASHES = {"md5": "md5", "sha1": "sha", "sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}
_ASA = Words(
    ike={
        IKEV1: Phase(_ASA_AES, {"md5": "md5", "sha1": "sha"}, _NUMBERED, (120, _DAY)),
        IKEV2: Phase(_ASA_AES, _ASA_V2_HASHES, _NUMBERED, (120, _DAY)),
    },
    esp={
        IKEV1: Phase(
            {name: f"esp-{word}" for name, word in _ASA_AES.items()},
            {"md5": "esp-md5-hmac", "sha1": "esp-sha-hmac"},
            _PFS,
            (120, _DAY),
        ),
        IKEV2: Phase(
            _ASA_AES,
            {"md5": "md5", "sha1": "sha-1", "sha256": "sha-256", "sha384": "sha-384", "sha512": "sha-512"},
            _PFS,
            (120, _DAY),
        ),
    },
    modes=("main",),
    dpd_interval=(10, 3600),
)


def _asa_named(peer: PeerFacts, tunnel: TunnelFacts) -> Named:
    """The words for a tunnel; Unsupported where ASA has none."""
    if tunnel.gateway_id != str(tunnel.gateway):
        raise refuse(
            f"the gateway's IKE identity {tunnel.gateway_id}", tunnel, f"its address, {tunnel.gateway}"
        )
    if tunnel.device_id != str(tunnel.device):
        raise refuse(f"the device's IKE identity {tunnel.device_id}", tunnel, f"its address, {tunnel.device}")
    if not peer.route_based:
        _asa_traffic(peer, tunnel)
    return _ASA.of(tunnel)


def _asa_traffic(peer: PeerFacts, tunnel: TunnelFacts) -> None:
    """Interesting traffic goes by a crypto map, which has no interface inside the tunnel."""
    if tunnel.bgp is not None:
        raise refuse("interesting traffic together with BGP", tunnel, "routing mode destination")
    if any(not isinstance(ours, IPv4Network) for ours, _ in tunnel.selectors):
        raise refuse("IPv6 as interesting traffic", tunnel, "IPv4 networks, or routing mode destination")
    first = peer.tunnels[0]
    alike = (first.device, first.ike.version, first.ipsec) == (
        tunnel.device,
        tunnel.ike.version,
        tunnel.ipsec,
    )
    if not alike:
        raise Unsupported(
            "interesting traffic over tunnels that differ in address, IKE version or IPsec settings",
            f"VPN connection {peer.connection}",
            "the same for both tunnels, or routing mode destination",
        )


ASA_HELPERS: Helpers = MappingProxyType(
    {
        "named": _asa_named,
        "key": _KEYS.writing("pre-shared key"),
        "password": _PASSWORDS.writing("BGP password"),
        "name_of": _name,
        "mask_of": mask_of,
        "way": way,
        "reached": reached,
    }
)
