"""Runs the migrations, for `rescore db` and for the plain `alembic` command.

`rescore db` hands over a connection whose transaction it owns.  The command gets one the same
way, so that both do it under the same locks.
"""

from __future__ import annotations

from logging.config import fileConfig
from typing import TYPE_CHECKING, Literal

from alembic import context

from rescore_db.settings import Settings
from rescore_db.store import schema
from rescore_db.store.columns import QueryJson
from rescore_db.store.lifecycle import migrating

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from sqlalchemy import Connection


def render_item(kind: str, item: object, autogen: AutogenContext) -> str | Literal[False]:
    """Write our two-database types into a new revision with the names that it imports."""
    if kind == "type" and isinstance(item, QueryJson):
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        return "postgresql.JSONB().with_variant(sa.Text(), 'sqlite')"
    return False


def run_migrations(conn: Connection) -> None:
    """Run what alembic was asked for, inside the connection's transaction."""
    context.configure(
        connection=conn,
        target_metadata=schema.metadata,
        render_item=render_item,
        render_as_batch=True,  # SQLite changes a table by copying it
        transactional_ddl=True,  # SQLite can; alembic does not count on it
    )
    with context.begin_transaction():
        context.run_migrations()


def write_sql(url: str) -> None:
    """Print the statements instead of running them (`alembic upgrade head --sql`)."""
    context.configure(url=url, target_metadata=schema.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run_migrations(given)
else:
    if context.config.config_file_name is not None:
        fileConfig(context.config.config_file_name, disable_existing_loggers=False)
    store = Settings.from_environment().url
    if context.is_offline_mode():
        write_sql(store)
    else:
        with migrating(store) as own:
            run_migrations(own)
