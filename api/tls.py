"""TLS of the REST server: certificate and key from files, which can be read again while it runs."""

from __future__ import annotations

import errno
import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificates


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM form: `cert` has the server's certificate and then those that lead to its issuer."""

    cert: Path
    key: Path


def load(tls: Tls) -> ssl.SSLContext:
    """A context for TLS 1.2 and later. OSError that names the file if one of them cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_into(context, tls)
    return context


def load_into(context: ssl.SSLContext, tls: Tls) -> None:
    """New connections get what the files have now, open ones stay. OSError as `load`, and then nothing
    changes."""
    _check_key(tls.key)
    _readable(tls.cert, "certificate")
    # A context that is half changed would serve nobody: the files are tried on another one first.
    for target in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
        try:
            target.load_cert_chain(tls.cert, tls.key, password=_no_password)
        except ssl.SSLError as error:
            raise OSError(errno.EINVAL, _said(tls, error)) from None


def expiry(tls: Tls) -> float | None:
    """When the first of the certificates expires, in Unix seconds; None if that cannot be told."""
    try:
        chain = load_pem_x509_certificates(tls.cert.read_bytes())
    except (OSError, ValueError):
        return None  # OpenSSL took it, and serves it: it is stricter here
    return min(certificate.not_valid_after_utc.timestamp() for certificate in chain)


class _Encrypted(OSError):
    """The key asks for a password, which a daemon has nobody to ask for."""


def _no_password() -> str:
    raise _Encrypted(errno.EINVAL, "the key is encrypted with a password; give one that is not")


def _check_key(path: Path) -> None:
    found = _readable(path, "key")
    if found.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        mode = stat.S_IMODE(found.st_mode)
        text = f"the TLS key {path} is open to others (mode {mode:04o}); it must have mode 0600 or 0640"
        raise OSError(errno.EACCES, text)


def _readable(path: Path, what: str) -> os.stat_result:
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno())
    except OSError as error:
        text = f"the TLS {what} {path} cannot be read: {error.strerror}"
        raise OSError(error.errno, text) from None


def _said(tls: Tls, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the TLS key {tls.key} does not belong to the certificate {tls.cert}"
    return f"{tls.cert} and {tls.key} are no TLS certificate and key in PEM form: {error.reason or error}"
