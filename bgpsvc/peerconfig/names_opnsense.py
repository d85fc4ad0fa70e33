"""Words of OPNsense: its lists of whole proposals. Pure."""

from __future__ import annotations

from itertools import product
from types import MappingProxyType

from bgpsvc.peerconfig.algorithms import NO_PFS, refuse
from bgpsvc.peerconfig.facts import PeerFacts, TunnelFacts
from bgpsvc.peerconfig.quoting import frr_has_bfd, mask_of, one_asn, reached, short
from bgpsvc.peerconfig.words import Helpers, pick

_CIPHERS = {"aes": "aes128", "aes192": "aes192", "aes256": "aes256"}
_HASHES = {"sha1": "sha1", "sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}
_GROUPS = {"group2": "modp1024", "group14": "modp2048"}
_WITH_PFS = frozenset(
    {
        *(
            f"{cipher}-{digest}-modp2048"
            for cipher, digest in product(_CIPHERS.values(), ("sha256", "sha384", "sha512"))
        ),
        "aes256-sha1-modp2048",
        "aes128-sha1-modp2048",
        "aes256-sha512-modp1024",
    }
)
_WITHOUT_PFS = frozenset({"aes256-sha256"})
_ALLOWED = (
    "AES with SHA-256, SHA-384 or SHA-512 and group 14; AES-128 or AES-256 with SHA-1 and group 14; "
    "AES-256 with SHA-512 and group 2; for IPsec without PFS AES-256 with SHA-256"
)


def _ike_proposal(tunnel: TunnelFacts) -> str:
    """As `aes256-sha256-modp2048`; Unsupported if the list of phase 1 has no such entry."""
    ike = tunnel.ike
    return _listed(
        [
            pick(_CIPHERS, ike.encryption, "IKE encryption", tunnel),
            pick(_HASHES, ike.authentication, "IKE authentication", tunnel),
            pick(_GROUPS, ike.pfs, "IKE group", tunnel),
        ],
        "IKE",
        tunnel,
    )


def _esp_proposal(tunnel: TunnelFacts) -> str:
    """As `aes256-sha256-modp2048`; Unsupported if the list of phase 2 has no such entry."""
    ipsec = tunnel.ipsec
    parts = [
        pick(_CIPHERS, ipsec.encryption, "IPsec encryption", tunnel),
        pick(_HASHES, ipsec.authentication, "IPsec authentication", tunnel),
    ]
    if ipsec.pfs != NO_PFS:
        parts.append(pick(_GROUPS, ipsec.pfs, "IPsec PFS", tunnel))
    return _listed(parts, "IPsec", tunnel)


def _listed(parts: list[str], what: str, tunnel: TunnelFacts) -> str:
    proposal = "-".join(parts)
    known = _WITH_PFS | _WITHOUT_PFS if what == "IPsec" else _WITH_PFS
    if proposal not in known:
        raise refuse(f"{what} proposal {proposal}", tunnel, _ALLOWED)
    return proposal


def _name(peer: PeerFacts, longest: int) -> str:
    return short(peer.connection, longest)


HELPERS: Helpers = MappingProxyType(
    {
        "ike_proposal": _ike_proposal,
        "esp_proposal": _esp_proposal,
        "asn_of": one_asn,
        "name_of": _name,
        "mask_of": mask_of,
        "reached": reached,
        "bfd_possible": frr_has_bfd,
    }
)
