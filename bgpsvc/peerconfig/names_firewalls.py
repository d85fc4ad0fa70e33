"""Words of firewalls: Juniper SRX, Fortinet FortiGate, Palo Alto PAN-OS. Pure."""

from __future__ import annotations

from types import MappingProxyType

from bgpsvc.peerconfig.algorithms import Named, Number, Phase, Words, groups, refuse, same, within
from bgpsvc.peerconfig.facts import BfdFacts, PeerFacts, TunnelFacts
from bgpsvc.peerconfig.quoting import (
    Secrets,
    escaped,
    hexadecimal,
    id_kind,
    mask_of,
    one_asn,
    reached,
    short,
    way,
)
from bgpsvc.peerconfig.words import Helpers

_DAY = 86400
_HASHES = ("md5", "sha1", "sha256", "sha384", "sha512")

# Juniper SRX ------------------------------------------------------------------------------------------

_SRX_CIPHERS = {
    "aes": "aes-128-cbc",
    "aes192": "aes-192-cbc",
    "aes256": "aes-256-cbc",
    "des": "des-cbc",
    "3des": "3des-cbc",
}
_SRX_GROUPS = groups("group", without="none")
_SRX = Words(
    ike=same(
        Phase(
            _SRX_CIPHERS,
            {"md5": "md5", "sha1": "sha1", "sha256": "sha-256", "sha384": "sha-384", "sha512": "sha-512"},
            groups("group"),
            (180, _DAY),
        )
    ),
    esp=same(
        Phase(
            _SRX_CIPHERS,
            {
                "md5": "hmac-md5-96",
                "sha1": "hmac-sha1-96",
                "sha256": "hmac-sha-256-128",
                "sha384": "hmac-sha-384",
                "sha512": "hmac-sha-512",
            },
            _SRX_GROUPS,
            (180, _DAY),
        )
    ),
    dpd_interval=(2, 60),
)
_SRX_SECRETS = Secrets(longest=126, refused='"\\', quote=escaped(""))
_SRX_HEX = Secrets(longest=126, quote=lambda text: f'hexadecimal "{hexadecimal(text)}"')
_SRX_TEXT = Secrets(longest=126, quote=lambda text: f'ascii-text "{text}"')
_SRX_KEY_IDS = (0, 63)


def _srx_named(peer: PeerFacts, tunnel: TunnelFacts) -> Named:
    """The words for a tunnel; Unsupported where Junos has none."""
    if not peer.route_based and tunnel.bgp is not None:
        raise refuse("interesting traffic together with BGP", tunnel, "routing mode destination")
    return _SRX.of(tunnel)


def _srx_key(secret: str, tunnel: TunnelFacts) -> str:
    """Keyword and key: in hexadecimal if Junos would read something into a character."""
    plain = " " in secret or not set(secret) & set('"\\?')
    return (_SRX_TEXT if plain else _SRX_HEX).write(secret, "pre-shared key", tunnel)


def _srx_identity(identity: str) -> str:
    """As `inet 192.0.2.1` or `hostname gw.example.net`."""
    return {"ipv4": "inet", "ipv6": "inet6", "fqdn": "hostname"}[id_kind(identity)] + f" {identity}"


def _srx_bfd_key(bfd: BfdFacts, tunnel: TunnelFacts) -> str:
    if bfd.key_id is None or bfd.key is None:
        return ""
    least, most = _SRX_KEY_IDS
    if not least <= bfd.key_id <= most:
        raise refuse(f"BFD key id {bfd.key_id}", tunnel, f"{least} to {most}")
    return _SRX_SECRETS.write(bfd.key, "BFD key", tunnel)


def _name(peer: PeerFacts, longest: int) -> str:
    return short(peer.connection, longest)


SRX_HELPERS: Helpers = MappingProxyType(
    {
        "named": _srx_named,
        "key": _srx_key,
        "identity": _srx_identity,
        "password": _SRX_SECRETS.writing("BGP password"),
        "bfd_key": _srx_bfd_key,
        "name_of": _name,
        "way": way,
        "reached": reached,
        "within": within,
    }
)

# Fortinet FortiGate -----------------------------------------------------------------------------------

_FORTI_CIPHERS = {"aes": "aes128", "aes192": "aes192", "aes256": "aes256", "des": "des", "3des": "3des"}
_FORTI_PHASE = Phase(
    _FORTI_CIPHERS, {name: name for name in _HASHES}, groups("", without="none"), (120, _DAY)
)
_FORTI = Words(ike=same(_FORTI_PHASE), esp=same(_FORTI_PHASE))
_FORTI_KEYS = Secrets(longest=128, shortest=6, quote=escaped('"\\'))
_FORTI_HEX_KEYS = Secrets(longest=128, shortest=6, quote=lambda text: f"0x{hexadecimal(text)}")
_FORTI_PASSWORDS = Secrets(longest=128, refused="?", quote=escaped('"\\'))
_FORTI_BFD_MULTIPLIER = (1, 50)


def _forti_named(tunnel: TunnelFacts) -> Named:
    """The words for a tunnel; Unsupported where FortiOS has none."""
    main_mode = tunnel.ike.version == "ikev1" and tunnel.ike.mode == "main"
    if main_mode and tunnel.gateway_id != str(tunnel.gateway):
        # `peertype one` is not to be had in main mode with pre-shared keys.
        raise refuse(
            f"the gateway's IKE identity {tunnel.gateway_id} in IKEv1 main mode",
            tunnel,
            f"its address {tunnel.gateway}, aggressive mode, or IKEv2",
        )
    return _FORTI.of(tunnel)


def _forti_key(secret: str, tunnel: TunnelFacts) -> str:
    """The key: in hexadecimal if FortiOS would read something into it."""
    plain = " " in secret or not (set(secret) & set('"\\?') or secret[:2].lower() == "0x")
    return (_FORTI_KEYS if plain else _FORTI_HEX_KEYS).write(secret, "pre-shared key", tunnel)


def _forti_multiplier(multiplier: int) -> Number:
    return within(multiplier, _FORTI_BFD_MULTIPLIER)


FORTI_HELPERS: Helpers = MappingProxyType(
    {
        "named": _forti_named,
        "key": _forti_key,
        "password": _FORTI_PASSWORDS.writing("BGP password"),
        "bfd_multiplier": _forti_multiplier,
        "id_kind": id_kind,
        "mask_of": mask_of,
        "name_of": _name,
        "way": way,
        "reached": reached,
    }
)

# Palo Alto PAN-OS -------------------------------------------------------------------------------------

_PAN_CIPHERS = {
    "aes": "aes-128-cbc",
    "aes192": "aes-192-cbc",
    "aes256": "aes-256-cbc",
    "des": "des",
    "3des": "3des",
}
_PAN_HASHES = {name: name for name in _HASHES}
_PAN = Words(
    ike=same(Phase(_PAN_CIPHERS, _PAN_HASHES, groups("group"), (180, _DAY))),
    esp=same(Phase(_PAN_CIPHERS, _PAN_HASHES, groups("group", without="no-pfs"), (180, _DAY))),
    dpd_interval=(2, 100),
)
_PAN_KEYS = Secrets(longest=255, refused='"\\?', quote=escaped(""))
_PAN_PASSWORDS = Secrets(longest=63, refused='"\\?', quote=escaped(""))
_PAN_LONGEST_SECONDS = 65535
_PAN_MTU, _PAN_BFD_INTERVAL, _PAN_BFD_MULTIPLIER = (576, 1500), (50, 2000), (2, 50)
_PAN_BFD_MODELS = (("the PA-3200 series takes 100 ms or more", 100), ("the VM series 200 ms or more", 200))
"""Of which models the shortest interval is longer than that of the fastest."""
_MINUTE, _HOUR = 60, 3600


def _pan_lifetime(lifetime: Number) -> str:
    """Seconds fit 16 bits there; longer times go in hours if they are whole ones, else in whole minutes."""
    seconds = lifetime.value
    if seconds <= _PAN_LONGEST_SECONDS:
        return f"seconds {seconds}"
    return f"hours {seconds // _HOUR}" if seconds % _HOUR == 0 else f"minutes {seconds // _MINUTE}"


def _pan_identity(identity: str) -> str:
    return f"type {'fqdn' if id_kind(identity) == 'fqdn' else 'ipaddr'} id {identity}"


def _pan_mtu(tunnel: TunnelFacts) -> Number:
    return within(tunnel.mtu, _PAN_MTU)


def _pan_bfd(bfd: BfdFacts) -> dict[str, Number | str]:
    interval = within(bfd.interval_ms, _PAN_BFD_INTERVAL)
    return {
        "interval": interval,
        "multiplier": within(bfd.multiplier, _PAN_BFD_MULTIPLIER),
        "slow_models": ", ".join(words for words, least in _PAN_BFD_MODELS if interval.value < least),
    }


PAN_HELPERS: Helpers = MappingProxyType(
    {
        "named": _PAN.of,
        "key": _PAN_KEYS.writing("pre-shared key"),
        "password": _PAN_PASSWORDS.writing("BGP password"),
        "lifetime_of": _pan_lifetime,
        "identity": _pan_identity,
        "mtu_of": _pan_mtu,
        "bfd_of": _pan_bfd,
        "name_of": _name,
        "way": way,
        "reached": reached,
        "asn_of": one_asn,
    }
)
