"""Runs migrations with the same async drivers as the service, on PostgreSQL and SQLite."""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

from app.settings import Settings
from app.store.address import parse_database_url
from app.store.postgresql import tls_options
from app.store.tables import metadata

_DRIVERS = {"postgresql": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Two releases at once take turns.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(1182561144)")
        context.run_migrations()


async def _run() -> None:
    text = context.config.attributes.get("database_url") or Settings().database_url.get_secret_value()
    url = parse_database_url(text)
    options = tls_options(url) if url.drivername == "postgresql" else {}
    plain = url.set(drivername=_DRIVERS[url.drivername], query={})
    engine = create_async_engine(plain, poolclass=pool.NullPool, connect_args=options)
    async with engine.connect() as connection:
        await connection.run_sync(_migrate)
        await connection.commit()
    await engine.dispose()


asyncio.run(_run())
