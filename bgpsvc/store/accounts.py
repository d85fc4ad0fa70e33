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

ID_BYTES = 6
SECRET_BYTES = 32
_FORM = re.compile(r"bgpsvc_([0-9a-f]{12})\.([A-Za-z0-9_-]{43})", re.ASCII)


def make_token(random: Callable[[int], bytes]) -> tuple[str, str, bytes]:
    """A new token's text (which is shown once), id and digest (which are stored).

    `random(n)` returns n unpredictable bytes, as secrets.token_bytes does.
    """
    ident = random(ID_BYTES).hex()
    secret = base64.urlsafe_b64encode(random(SECRET_BYTES)).rstrip(b"=").decode()
    return f"bgpsvc_{ident}.{secret}", ident, digest(secret)


def parse_token(text: str) -> tuple[str, str] | None:
    """Id and secret in a token's text; None if it is not one."""
    parts = _FORM.fullmatch(text)
    return None if parts is None else (parts[1], parts[2])


def digest(secret: str) -> bytes:
    """What is stored of a secret: 32 bytes."""
    return hashlib.sha256(secret.encode()).digest()


def matches(stored: bytes, secret: str) -> bool:
    """True if `stored` is the digest of this secret; takes the same time wherever they differ."""
    return hmac.compare_digest(stored, digest(secret))
