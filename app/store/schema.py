"""The schema: checked before anything is served."""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

from asyncpg import InterfaceError, PostgresError, UndefinedTableError
from databases import Database
from sqlalchemy import Column, MetaData, Table, Text, select, update
from sqlalchemy.exc import DBAPIError

from app.core.errors import FluxoraError, Unavailable
from app.store.address import dialect_for, parse_database_url
from app.store.tables import SCHEMA_REVISION, log_state, schema_compatible

_DISCONNECT_SECONDS: Final = 2.0
_NO_SCHEMA: Final = ("no such table", "unable to open database file")
"""How SQLite says that the file, or the table in it, is not there."""

_version = Table("alembic_version", MetaData(), Column("version_num", Text))


class UnknownSchema(FluxoraError):
    """The database has another schema than this code."""


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[None]:
    """Connect to a database with the schema that this code is written for. Raises Unavailable or UnknownSchema."""
    with explained():
        await database.connect()
    try:
        await check_schema(database)
        yield
    finally:
        # With a connection that never comes back, closing the pool would never return.
        with suppress(TimeoutError):
            async with asyncio.timeout(_DISCONNECT_SECONDS):
                await database.disconnect()


async def check_schema(database: Database) -> None:
    """Raise UnknownSchema unless the database is at this code's revision, or at one that says that it serves it."""
    with explained():
        found = await _revision(database)
        fits = found == SCHEMA_REVISION or (found is not None and await _serves(database, SCHEMA_REVISION))
    if not fits:
        state = "has no schema" if found is None else f"has the schema {found}"
        message = f"the database {state}, and this version needs {SCHEMA_REVISION}: run `python -m app migrate`"
        raise UnknownSchema(message)


async def new_epoch(database_url: str, schema: str = "public") -> None:
    """Replace the token that the epoch is made of."""
    dialect = dialect_for(parse_database_url(database_url), pool_size=2, timeout=10, schema=schema)
    database = dialect.connect()
    async with opened(database):
        with explained():
            await database.execute(update(log_state).values(token=secrets.token_hex(8)))


async def current_revision(database_url: str, schema: str) -> str | None:
    """Return the revision that a database is at; None without a schema."""
    database = dialect_for(parse_database_url(database_url), pool_size=2, timeout=10, schema=schema).connect()
    await database.connect()
    try:
        return await _revision(database)
    finally:
        await database.disconnect()


async def _serves(database: Database, revision: str) -> bool:
    """Tell whether the schema says that it serves code of an older revision."""
    query = select(schema_compatible.c.revision).where(schema_compatible.c.revision == revision)
    try:
        return await database.fetch_val(query) is not None
    except UndefinedTableError:
        return False
    except sqlite3.OperationalError as error:
        if str(error).startswith(_NO_SCHEMA):
            return False
        raise


async def _revision(database: Database) -> str | None:
    try:
        found: str | None = await database.fetch_val(select(_version.c.version_num))
    except UndefinedTableError:
        return None
    except sqlite3.OperationalError as error:
        if str(error).startswith(_NO_SCHEMA):
            return None
        raise
    return found


@contextmanager
def explained() -> Iterator[None]:
    """Turn a driver's failure into one line that says what the matter is, for whoever starts the service."""
    try:
        yield
    except DBAPIError as error:
        raise Unavailable(_reason(error.orig or error)) from error
    except (OSError, PostgresError, InterfaceError, sqlite3.Error) as error:
        raise Unavailable(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """Return the driver's words, without the class names that SQLAlchemy puts before them."""
    words = str(error.__cause__ or error) or type(error).__name__
    return f"the database cannot be used: {' '.join(words.split())}"
