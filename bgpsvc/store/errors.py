"""What the store refuses, and what it says then."""

from __future__ import annotations

from bgpsvc.control import StoreUnavailable


class StoreError(Exception):
    """The store cannot be used as it is; the text says what to do. The daemon does not start."""


class StoreInUse(StoreError):
    """Another daemon uses this database."""


class SecretError(StoreError):
    """A secret cannot be decrypted, or the file with the keys cannot be used; the text names key and file."""


class WriteConflict(Exception):
    """The stored state is not what the writer took it for. Nothing was changed; load again."""


class OutcomeUnknown(StoreUnavailable):
    """The connection was lost while a write was being committed, and the database cannot be asked.

    The next write raises WriteConflict if this one was committed after all; `Store.load` settles it too.
    """
