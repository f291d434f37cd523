"""Runs migrations with the same async drivers as the service, on PostgreSQL and SQLite."""

import asyncio
import threading
from uuid import uuid4

from alembic import context
from sqlalchemy import URL, Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

from app.settings import Settings
from app.store.address import parse_database_url
from app.store.libpq import connect_arguments
from app.store.tables import metadata

_DRIVERS = {"postgresql": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}

_TIMEOUT = 30
"""Seconds for connecting."""

# Through a pooler a prepared statement may meet another session, or another one of its name.
_NOTHING_PREPARED = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: f"fluxora_{uuid4().hex}",
}


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE")
            schema = context.config.attributes.get("schema") or "public"
            quoted = schema.replace('"', '""')
            connection.exec_driver_sql(f'SET LOCAL search_path = "{quoted}"')
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
                connection.exec_driver_sql(f"SET LOCAL {name} = 0")
            # Two releases at once take turns.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(1182561144)")
        else:  # all or nothing, as there: the driver begins a transaction at the first row, not at the first change
            connection.exec_driver_sql("PRAGMA cache_size=-256000")  # in KiB: indexes are built, keys in no order
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        context.run_migrations()


async def _run() -> None:
    text = context.config.attributes.get("database_url") or Settings().database_url.get_secret_value()
    url = parse_database_url(text)
    if url.drivername == "postgresql":
        options = {**connect_arguments(url, timeout=_TIMEOUT), **_NOTHING_PREPARED}
        plain = URL.create(_DRIVERS["postgresql"])
    else:
        options, plain = {}, url.set(drivername=_DRIVERS["sqlite"])
    engine = create_async_engine(plain, poolclass=pool.NullPool, connect_args=options)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
            await connection.commit()
        await engine.dispose()
    except BaseException:
        await asyncio.to_thread(_join_workers)
        raise


def _join_workers() -> None:
    """Wait for the threads of connections that failed: their last word goes to the event loop, which ends now."""
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            thread.join(1.0)


asyncio.run(_run())
