"""The schema: brought up to date by migrations, and checked before anything is served."""

import secrets
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from databases import Database
from sqlalchemy import column, select, table, update

from app.core.errors import FluxoraError, Unavailable
from app.store.address import dialect_for, parse_database_url
from app.store.dialect import translated
from app.store.tables import SCHEMA_REVISION, log_state

MIGRATIONS: Final = Path(__file__).parent.parent.parent / "migrations"
_version = table("alembic_version", column("version_num"))


class UnknownSchema(FluxoraError):
    """The database has another schema than this code."""


def migrate(database_url: str) -> None:
    """Bring the database's schema up to date."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database_url"] = database_url
    command.upgrade(config, "head")


async def check_schema(database: Database) -> None:
    """Raise UnknownSchema unless the database is at the revision this code is written for."""
    try:
        with translated():
            found = await database.fetch_val(select(_version.c.version_num))
    except Unavailable:
        found = None
        if database.url.dialect != "sqlite":
            raise
    except Exception as error:
        if "alembic_version" not in str(error):
            raise
        found = None
    if found != SCHEMA_REVISION:
        state = "has no schema" if found is None else f"has the schema {found}"
        message = f"the database {state}, and this version needs {SCHEMA_REVISION}: run `python -m app migrate`"
        raise UnknownSchema(message)


async def new_epoch(database_url: str) -> None:
    """Replace the token that the epoch is made of."""
    dialect = dialect_for(parse_database_url(database_url), pool_size=2, timeout=10)
    async with dialect.connect() as database:
        await check_schema(database)
        await database.execute(update(log_state).values(token=secrets.token_hex(8)))
