"""API tokens as text: `bgpsvc_<id>.<secret>`. Pure but for the source of random bytes, which is passed in.

The secret has 256 random bits, so a plain SHA-256 of it is safe to store: there is nothing to guess that a
slow hash would protect. The id is no secret: lists and the audit log show it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field

PREFIX = "bgpsvc_"
ID_BYTES = 6
SECRET_BYTES = 32
_FORM = re.compile(r"bgpsvc_([0-9a-f]{12})\.([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Credential:
    """The two parts of a token's text."""

    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """What its owner is given, once."""
        return f"{PREFIX}{self.id}.{self.secret}"

    @property
    def digest(self) -> bytes:
        """What is stored of it: 32 bytes."""
        return hashlib.sha256(self.secret.encode()).digest()

    def matches(self, digest: bytes) -> bool:
        """True if that is the digest of this secret; takes the same time wherever they differ."""
        return hmac.compare_digest(self.digest, digest)


def new_credential(random: Callable[[int], bytes]) -> Credential:
    """A new one. `random(n)` returns n unpredictable bytes (os.urandom)."""
    secret = base64.urlsafe_b64encode(random(SECRET_BYTES)).rstrip(b"=").decode()
    return Credential(random(ID_BYTES).hex(), secret)


def parse_credential(text: str) -> Credential | None:
    """The parts of a token's text; None if it is not one."""
    parts = _FORM.fullmatch(text)
    return None if parts is None else Credential(parts[1], parts[2])
