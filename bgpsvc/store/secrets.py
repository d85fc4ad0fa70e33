"""Secrets at rest: AES-256-GCM (NIST SP 800-38D) with keys from a file beside the database.

The file holds several keys: the newest encrypts, all of them decrypt. A rotation adds a key, encrypts
everything anew in one transaction, and drops the keys that nothing uses any more; whichever step it is
interrupted in, every secret can be read afterwards. The identity of a secret (its resource, its pointer)
is authenticated with it, so a ciphertext copied to another row is not taken for that row's.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bgpsvc.store.errors import SecretError

KEY_BYTES = 32
NONCE_BYTES = 12
Identity = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted secret; `ciphertext` ends with the 16 bytes of its tag."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


class KeyRing:
    """The keys of a file, oldest first. Methods that change the file return when it is on disk."""

    def __init__(self, path: Path, keys: Mapping[str, bytes]) -> None:
        self.path = path
        self._keys = dict(keys)
        self._ciphers = {ident: AESGCM(key) for ident, key in keys.items()}

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """Read the file. FileNotFoundError without one; SecretError if it is damaged or open to others."""
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
                mode = stat.S_IMODE(status.st_mode)
                raise SecretError(
                    f"{path} holds the keys of all secrets, and not only its owner has access (mode"
                    f" {mode:04o}). Allowed: 0600. Run: chmod 600 {path}"
                )
            content = file.read()
        return cls(path, _parse(path, content))

    @classmethod
    def create(cls, path: Path) -> KeyRing:
        """Make the file with a first key. FileExistsError if there is one."""
        ring = cls(path, _new_key({}))
        temporary = _write_aside(path, ring._keys)
        try:
            # Unlike rename, link never replaces: of two first starts one keeps its keys, the other fails.
            os.link(temporary, path)
        finally:
            temporary.unlink()
        _sync(path.parent)
        return ring

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the keys, the newest (which encrypts) last."""
        return tuple(self._keys)

    def seal(self, identity: Identity, secret: str) -> Sealed:
        """Encrypt with the newest key."""
        newest = self.ids[-1]
        nonce = os.urandom(NONCE_BYTES)
        bound = _associated(newest, identity)
        return Sealed(newest, nonce, self._ciphers[newest].encrypt(nonce, secret.encode(), bound))

    def unseal(self, identity: Identity, sealed: Sealed) -> str:
        """Decrypt. SecretError if the key is missing, or this is not what was sealed for the identity."""
        what = " ".join(identity)
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise SecretError(self.missing([sealed.key_id]))
        try:
            clear = cipher.decrypt(sealed.nonce, sealed.ciphertext, _associated(sealed.key_id, identity))
        except InvalidTag:
            raise SecretError(
                f"the secret of {what} does not fit key {sealed.key_id} of {self.path}: either the key file"
                " is another one than it was encrypted with, or the record was changed. Restore the file"
                " and the database of the same backup."
            ) from None
        return clear.decode()

    def missing(self, needed: Collection[str]) -> str:
        """The words for keys that the file lacks."""
        return (
            f"secrets in the database are encrypted with key {', '.join(sorted(needed))}, which"
            f" {self.path} does not have (it has {', '.join(self.ids) or 'none'})."
            " Restore the file that belongs to this database."
        )

    def add(self) -> str:
        """Add a key, which encrypts from now on; returns its id."""
        keys = {**self._keys, **_new_key(self._keys)}
        self._replace(keys)
        return self.ids[-1]

    def keep(self, needed: Collection[str]) -> None:
        """Drop the keys that are neither needed nor the newest."""
        newest = self.ids[-1]
        keys = {ident: key for ident, key in self._keys.items() if ident in needed or ident == newest}
        if len(keys) < len(self._keys):
            self._replace(keys)

    def _replace(self, keys: Mapping[str, bytes]) -> None:
        temporary = _write_aside(self.path, keys)
        temporary.replace(self.path)
        _sync(self.path.parent)
        self._keys = dict(keys)
        self._ciphers = {ident: AESGCM(key) for ident, key in keys.items()}


def _associated(key_id: str, identity: Identity) -> bytes:
    return json.dumps(["bgpsvc", key_id, *identity]).encode()


def _new_key(others: Collection[str]) -> dict[str, bytes]:
    ident = secrets.token_hex(4)
    while ident in others:
        ident = secrets.token_hex(4)
    return {ident: AESGCM.generate_key(KEY_BYTES * 8)}


def _parse(path: Path, content: bytes) -> dict[str, bytes]:
    """Keys by id. The error never shows what is in the file."""
    try:
        document: Any = json.loads(content)
        keys = {str(entry["id"]): base64.b64decode(entry["key"], validate=True) for entry in document["keys"]}
        whole = bool(keys) and all(len(key) == KEY_BYTES for key in keys.values())
    except (ValueError, TypeError, KeyError, binascii.Error):
        whole, keys = False, {}
    if not whole:
        raise SecretError(f"{path} is damaged: it is not a key file of bgpsvc. Restore it from a backup.")
    return keys


def _write_aside(path: Path, keys: Mapping[str, bytes]) -> Path:
    """A new file with these keys next to `path`, on disk."""
    entries = [{"id": ident, "key": base64.b64encode(key).decode()} for ident, key in keys.items()]
    temporary = path.with_name(path.name + ".new")
    # What an interrupted attempt left was never in use.
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        json.dump({"keys": entries}, file, indent=1)
        file.flush()
        os.fsync(descriptor)
    return temporary


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
