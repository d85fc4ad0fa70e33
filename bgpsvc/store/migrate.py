"""Brings a database to the newest version, in the transaction of the connection that is given."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from bgpsvc.store.errors import StoreError
from bgpsvc.store.schema import metadata

VERSION_TABLE = "bgpsvc_version"


def _config() -> Config:
    config = Config()
    # As a resource of the package, so that it is found in a wheel too.
    config.set_main_option("script_location", "bgpsvc.store:migrations")
    return config


def version(connection: Connection) -> str | None:
    """The database's version; None if it has none of our tables yet."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def migrate(connection: Connection, target: str = "head") -> None:
    """Run what is missing. StoreError if the database is of a newer version, or somebody else's."""
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
