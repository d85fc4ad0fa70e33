"""Brings a database to the newest version, in the transaction of the connection that is given.

Alembic does it, and is loaded only where there is something to do: it costs a tenth of a start of the daemon,
which then often has traffic to look after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from bgpsvc.store.errors import StoreError
from bgpsvc.store.schema import metadata

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "bgpsvc_version"
NEWEST = "0002"
"""The version that the last of the migrations leads to."""


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    # As a resource of the package, so that it is found in a wheel too.
    config.set_main_option("script_location", "bgpsvc.store:migrations")
    return config


def version(connection: Connection) -> str | None:
    """The database's version; None if it has none of our tables yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    return found


def migrate(connection: Connection, target: str = "head") -> None:
    """Run what is missing. StoreError if the database is of a newer version, or somebody else's."""
    if target == "head" and version(connection) == NEWEST:
        return
    from alembic import command
    from alembic.script import ScriptDirectory

    config = _config()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    found = version(connection)
    if found is not None and found not in known:
        raise StoreError(
            f"the database has version {found}, this bgpsvc knows those up to {max(known)}: a newer one"
            " has used it. Install that version, or restore a backup of before the upgrade."
        )
    strangers = metadata.tables.keys() & set(inspect(connection).get_table_names())
    if found is None and strangers:
        raise StoreError(
            f"the database has tables {', '.join(sorted(strangers))}, but not bgpsvc's {VERSION_TABLE}: it"
            " belongs to something else, or is damaged. Give bgpsvc a database of its own, or restore"
            " a backup."
        )
    config.attributes["options"] = {
        "connection": connection,
        "target_metadata": metadata,
        "version_table": VERSION_TABLE,
        "transactional_ddl": True,
    }
    command.upgrade(config, target)
