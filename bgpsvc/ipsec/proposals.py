"""Algorithms and lifetimes, between our words and those of strongSwan.

We say `aes256`, `sha256`, `group14` as the clouds do. A connection of charon wants `aes256-sha256-modp2048`,
its SAs show `AES_CBC` with 256 bits, `HMAC_SHA2_256_128`, `MODP_2048`, and its log lines have
`IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bgpsvc.resources.models import IkeSettings, IpsecSettings

GROUPS: Mapping[str, str] = MappingProxyType(
    {"group1": "modp768", "group2": "modp1024", "group5": "modp1536", "group14": "modp2048"}
)
"""Diffie-Hellman groups by our name (RFC 2409 6, RFC 3526)."""
_CIPHERS = {"aes": "aes128", "aes192": "aes192", "aes256": "aes256", "des": "des", "3des": "3des"}

_CHARON_CIPHERS = {"DES_CBC": "des", "3DES_CBC": "3des"}
_CHARON_INTEGRITY = {
    "HMAC_MD5_96": "md5",
    "HMAC_MD5_128": "md5",
    "HMAC_SHA1_96": "sha1",
    "HMAC_SHA1_160": "sha1",
    "HMAC_SHA2_256_128": "sha256",
    "HMAC_SHA2_256_256": "sha256",
    "HMAC_SHA2_384_192": "sha384",
    "HMAC_SHA2_384_384": "sha384",
    "HMAC_SHA2_512_256": "sha512",
    "HMAC_SHA2_512_512": "sha512",
}
_CHARON_GROUPS = {
    "MODP_768": "group1",
    "MODP_1024": "group2",
    "MODP_1536": "group5",
    "MODP_2048": "group14",
    "MODP_3072": "group15",
    "MODP_4096": "group16",
    "MODP_6144": "group17",
    "MODP_8192": "group18",
    "ECP_256": "group19",
    "ECP_384": "group20",
    "ECP_521": "group21",
    "CURVE_25519": "group31",
}
_IN_LOG = re.compile(r"\b(?:IKE|ESP|AH):[A-Za-z0-9_/]+")
_SIZED = re.compile(r"(.+?)(?:_(\d+))?$")


def ike_proposal(ike: IkeSettings) -> str:
    """As charon's `proposals` wants it: `aes256-sha256-modp2048`."""
    return f"{_CIPHERS[ike.encryption]}-{ike.authentication}-{GROUPS[ike.pfs]}"


def esp_proposal(ipsec: IpsecSettings) -> str:
    """As charon's `esp_proposals` wants it; without a group there is no perfect forward secrecy."""
    base = f"{_CIPHERS[ipsec.encryption]}-{ipsec.authentication}"
    return base if ipsec.pfs == "disabled" else f"{base}-{GROUPS[ipsec.pfs]}"


def ike_words(ike: IkeSettings) -> str:
    """The same in our words: `aes256-sha256-group14`."""
    return f"{_CIPHERS[ike.encryption]}-{ike.authentication}-{ike.pfs}"


def esp_words(ipsec: IpsecSettings) -> str:
    """The same in our words; a proposal without group ends with the integrity algorithm."""
    base = f"{_CIPHERS[ipsec.encryption]}-{ipsec.authentication}"
    return base if ipsec.pfs == "disabled" else f"{base}-{ipsec.pfs}"


# From charon -----------------------------------------------------------------------------------


def cipher_name(name: str, bits: int | None = None) -> str:
    """Our word for charon's encryption algorithm: `AES_CBC` and 256 are `aes256`."""
    if name in _CHARON_CIPHERS:
        return _CHARON_CIPHERS[name]
    size = "" if bits is None else str(bits)
    if name == "AES_CBC":
        return f"aes{size or 128}"
    if name.startswith("AES_GCM"):
        return f"aes{size}gcm{8 * int(name.rsplit('_', 1)[1]) if name[-1].isdigit() else ''}"
    return (name.lower().replace("_", "") + size) or "null"


def integrity_name(name: str) -> str:
    """Our word for charon's integrity algorithm: `HMAC_SHA2_256_128` is `sha256`."""
    return _CHARON_INTEGRITY.get(name) or name.removeprefix("HMAC_").lower().replace("_", "")


def group_name(name: str) -> str:
    """Our word for charon's Diffie-Hellman group: `MODP_2048` is `group14`."""
    return _CHARON_GROUPS.get(name) or name.lower().replace("_", "")


def proposal_words(proposal: str) -> str:
    """A proposal of a log line in our words: `aes256-sha256-group14`.

    A proposal may list several algorithms of a kind; all are kept, in their order. Left out is what we have
    no setting for: the PRF, which follows from the integrity algorithm, and extended sequence numbers.
    """
    ciphers: list[str] = []
    integrity: list[str] = []
    groups: list[str] = []
    for part in proposal.partition(":")[2].split("/"):
        if part.startswith("PRF_") or part.endswith("EXT_SEQ"):
            continue
        if part in _CHARON_GROUPS or part.startswith(("MODP_", "ECP_", "CURVE_")):
            groups.append(group_name(part))
        elif part in _CHARON_INTEGRITY or part.startswith(("HMAC_", "AES_XCBC", "AES_CMAC")):
            integrity.append(integrity_name(part))
        elif part:
            ciphers.append(_sized_cipher(part))
    return "-".join([*ciphers, *integrity, *groups])


def proposals_words(line: str) -> str | None:
    """All proposals of a log line (`received proposals: IKE:…, IKE:…`), None if it has none."""
    found = list(dict.fromkeys(proposal_words(text) for text in _IN_LOG.findall(line)))
    return ", ".join(found) or None


def _sized_cipher(part: str) -> str:
    if part in _CHARON_CIPHERS:
        return _CHARON_CIPHERS[part]
    matched = _SIZED.match(part)
    assert matched is not None, "the pattern takes everything"
    size = matched[2]
    return cipher_name(matched[1], None if size is None else int(size))


# Lifetimes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When an SA of `lifetime` seconds is replaced: between `rekey - jitter` and `rekey`, gone after `end`.

    All 0: never.
    """

    rekey: int
    jitter: int
    end: int

    @classmethod
    def of(cls, lifetime: int) -> Lifetime:
        """The margin is a tenth, as is usual, but of short lifetimes up to a third: a rekey takes its time.

        The jitter keeps both sides, and the tunnels that came up together, from rekeying at once.
        """
        if lifetime == 0:
            return cls(0, 0, 0)
        margin = max(lifetime // 10, min(60, lifetime // 3), 1)
        # charon takes 0 for never.
        rekey = max(lifetime - margin, 1)
        return cls(rekey, min(margin // 2, rekey - 1), rekey + margin)

    @property
    def margin(self) -> int:
        """Seconds between the latest rekey and the end."""
        return self.end - self.rekey


def ike_lifetime(lifetime: int) -> dict[str, str]:
    """Settings of a connection. An IKEv1 SA is replaced by a new one that adopts the children.

    IKEv2 is rekeyed; reauthentication would only interrupt what a pre-shared key can't prove anew anyway.
    """
    times = Lifetime.of(lifetime)
    return _seconds(
        (("rekey_time", times.rekey), ("rand_time", times.jitter), ("over_time", times.margin)),
        reauth_time=0,
    )


def child_lifetime(lifetime: int) -> dict[str, str]:
    """Settings of a child."""
    times = Lifetime.of(lifetime)
    return _seconds((("rekey_time", times.rekey), ("rand_time", times.jitter), ("life_time", times.end)))


def _seconds(values: Iterable[tuple[str, int]], **more: int) -> dict[str, str]:
    return {name: f"{value}s" for name, value in [*values, *more.items()]}
