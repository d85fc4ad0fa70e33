"""The clouds' names of algorithms in our words.

All clouds spell them differently (`aes-128-cbc`, `AES128`, `AES-CBC-128`), none so that two mean different
things; so one reading serves all. Where a cloud accepts several, the best that we have is taken: both sides
must offer the same, and we offer one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from bgpsvc.importing.notes import Notes, shown

# Best first. sha256 is enough for all of them and what our defaults are; what is behind it is no gain.
ENCRYPTION = ("aes256", "aes192", "aes", "3des", "des")
AUTHENTICATION = ("sha256", "sha384", "sha512", "sha1", "md5")
GROUPS = ("group14", "group5", "group2", "group1")
PFS = (*GROUPS, "disabled")

_AES = re.compile(r"aes(?:cbc)?(128|192|256)?(?:cbc)?")
_SHA2 = re.compile(r"(?:hmac)?sha2?(256|384|512)(?:128|192|256)?")
_GROUP = re.compile(r"(?:perfectforwardsecrecy|diffiehellman|dh|pfs|modp|group)*([0-9]+)")
_BY_BITS = {"768": "group1", "1024": "group2", "1536": "group5", "2048": "group14"}


def _plain(text: str) -> str:
    return re.sub(r"[\s_.-]+", "", text).lower()


def encryption(text: str) -> str | None:
    """Our word for a cipher, None if we have none (AES-GCM among them)."""
    plain = _plain(text)
    if plain in ("3des", "des3", "tripledes", "3descbc"):
        return "3des"
    if plain in ("des", "descbc"):
        return "des"
    match = _AES.fullmatch(plain)
    if match is None:
        return None
    return "aes" if match[1] in (None, "128") else f"aes{match[1]}"


def authentication(text: str) -> str | None:
    """Our word for an integrity algorithm."""
    plain = _plain(text)
    if plain in ("md5", "hmacmd5", "hmacmd596"):
        return "md5"
    if plain in ("sha", "sha1", "hmacsha1", "hmacsha196"):
        return "sha1"
    match = _SHA2.fullmatch(plain)
    return None if match is None else f"sha{match[1]}"


def group(text: str) -> str | None:
    """Our word for a Diffie-Hellman group."""
    match = _GROUP.fullmatch(_plain(text))
    if match is None:
        return None
    number = match[1]
    found = _BY_BITS.get(number, f"group{number}")
    return found if found in GROUPS else None


def pfs(text: str) -> str | None:
    """The same for phase 2, where there may be none."""
    return "disabled" if _plain(text) in ("none", "disabled", "disable") else group(text)


class Chooser:
    """Chooses for one place in the input; what cannot be chosen is a problem there."""

    def __init__(self, notes: Notes, where: str) -> None:
        self._notes = notes
        self._where = where

    def encryption(self, offers: Sequence[str]) -> str:
        """The best of the ciphers."""
        return self._best("cipher", offers, encryption, ENCRYPTION)

    def authentication(self, offers: Sequence[str]) -> str:
        """The best of the integrity algorithms."""
        return self._best("integrity algorithm", offers, authentication, AUTHENTICATION)

    def group(self, offers: Sequence[str]) -> str:
        """The best of the groups."""
        return self._best("Diffie-Hellman group", offers, group, GROUPS)

    def pfs(self, offers: Sequence[str]) -> str:
        """The best of the groups of phase 2."""
        return self._best("group of phase 2 (PFS)", offers, pfs, PFS)

    def _best(
        self, what: str, offers: Sequence[str], read: Callable[[str], str | None], order: Sequence[str]
    ) -> str:
        known = {word for offer in offers if (word := read(offer)) is not None}
        if not known:
            given = ", ".join(shown(offer) for offer in offers) or "nothing"
            text = f"{given} is no {what} that there is here; change it in the cloud"
            self._notes.refuse(self._where, text, " | ".join(order))
            return order[0]
        return next(word for word in order if word in known)
