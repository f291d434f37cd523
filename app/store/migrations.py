"""Migrations: the schema brought up to date, forwards and back."""

import asyncio
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from app.store.schema import UnknownSchema, current_revision, explained

MIGRATIONS: Final = Path(__file__).parent.parent.parent / "migrations"


def migrate(database_url: str, schema: str = "public", to: str | None = None) -> None:
    """Bring the database's schema up to date, or to the revision `to`, forwards or back. Raises FluxoraError."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes.update(database_url=database_url, schema=schema)
    try:
        with explained():
            if to is None or _is_ahead(config, to, asyncio.run(current_revision(database_url, schema))):
                command.upgrade(config, to or "head")
            else:
                command.downgrade(config, to)
    except CommandError as error:
        message = f"the database has a schema that this version does not know: {error}"
        raise UnknownSchema(message) from error


def _is_ahead(config: Config, to: str, found: str | None) -> bool:
    """Tell whether the revision `to` is where the database goes forwards to. Raises UnknownSchema."""
    known = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    if to not in known:
        message = f"there is no revision {to}; this version knows {', '.join(known)}"
        raise UnknownSchema(message)
    if found is not None and found not in known:
        message = f"the database has the schema {found}; only a version that knows it can go back from there"
        raise UnknownSchema(message)
    return found is None or known.index(found) <= known.index(to)
