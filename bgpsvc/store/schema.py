"""The tables, as the newest migration leaves them (a test compares the two).

Names are compared byte by byte on both databases (collation C), so that pages have one order everywhere.
Documents are JSON text: what is read is what was written, key order included.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

KEY = String().with_variant(String(collation="C"), "postgresql")
# SQLite numbers rows by themselves only where the key's type is exactly INTEGER.
SERIAL = BigInteger().with_variant(Integer(), "sqlite")
DOCUMENT = JSON(none_as_null=True)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

resources = Table(
    "resources",
    metadata,
    Column("kind", KEY, primary_key=True),
    Column("name", KEY, primary_key=True),
    Column("document", DOCUMENT, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("kind", KEY, primary_key=True),
    Column("name", KEY, primary_key=True),
    Column("pointer", KEY, primary_key=True),
    Column("key_id", KEY, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    ForeignKeyConstraint(["kind", "name"], ["resources.kind", "resources.name"], ondelete="CASCADE"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("last_used_at", Double),
    Column("revoked_at", Double),
)

audit = Table(
    "audit",
    metadata,
    Column("id", SERIAL, primary_key=True, autoincrement=True),
    Column("time", Double, nullable=False),
    Column("actor", KEY, nullable=False),
    Column("source", Text, nullable=False),
    Column("action", KEY, nullable=False),
    Column("kind", KEY),
    Column("name", KEY),
    Column("old", DOCUMENT),
    Column("new", DOCUMENT),
    Index(None, "time"),
    Index(None, "action", "id"),
    Index(None, "actor", "id"),
    Index(None, "kind", "name", "id"),
    # Numbers of entries that retention took away are not given out again.
    sqlite_autoincrement=True,
)

remembered = Table(
    "remembered",
    metadata,
    Column("actor", KEY, primary_key=True),
    Column("key", KEY, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("outcome", DOCUMENT, nullable=False),
    Column("time", Double, nullable=False),
    Index(None, "time"),
)

choices = Table(
    "choices",
    metadata,
    Column("kind", KEY, primary_key=True),
    Column("name", KEY, primary_key=True),
    Column("value", DOCUMENT, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False),
    Column("kind", KEY, nullable=False),
    Column("severity", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("data", DOCUMENT, nullable=False),
    Index(None, "time"),
    Index(None, "kind", "id"),
)

daemon = Table(
    "daemon",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("instance", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("seen_at", Double, nullable=False),
)
"""One row: which daemon used the database last, and how many writes it has committed."""
