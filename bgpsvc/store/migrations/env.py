"""Alembic runs this file; the connection and the options come from `store.migrate`."""

from __future__ import annotations

from alembic import context

context.configure(**context.config.attributes["options"])
with context.begin_transaction():
    context.run_migrations()
