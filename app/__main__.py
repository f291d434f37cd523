"""`fluxora`, or `python -m app`: serve, and what an operator needs beside it."""

import asyncio
import secrets
import sys
from pathlib import Path
from typing import Any

import click

from app import __version__
from app.commands import chain, feed, keys
from app.commands.shared import refuse, settings_or_refuse
from app.core.errors import FluxoraError

_NO_SERVER = (
    "the service's packages are not installed ({missing} is missing). What can be run here is a client; "
    "for the service: pip install 'fluxora-streams[server]'"
)


class _Commands(click.Group):
    """Commands whose failures are one line, not a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FluxoraError as error:
            refuse(str(error))
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] in {"app", "migrations"}:
                raise
            refuse(_NO_SERVER.format(missing=error.name))


@click.group(cls=_Commands, invoke_without_command=True)
@click.version_option(__version__, message="%(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Fluxora streams. Without a command: serve. Settings come from the environment; see docs/reference/settings.md."""
    if context.invoked_subcommand is None:
        context.invoke(serve)


@main.command()
def serve() -> None:
    """Serve until SIGTERM."""
    from app import logs, serving
    from app.server.sockets import StartError

    settings = settings_or_refuse()
    logs.configure(settings.log_level)
    try:
        clean = serving.serve(settings)
    except StartError as error:
        refuse(str(error))
    sys.exit(not clean)


@main.command()
def index() -> None:
    """Read the chain, and serve nobody, until SIGTERM; for a process of its own beside those that serve."""
    from app import logs, serving
    from app.server.sockets import StartError

    settings = settings_or_refuse()
    logs.configure(settings.log_level)
    try:
        serving.index(settings)
    except StartError as error:
        refuse(str(error))


@main.command()
@click.option("--to", metavar="REVISION", help="go to this revision, forwards or back")
def migrate(to: str | None) -> None:
    """Bring the database's schema up to date."""
    from app.store import migrations

    settings = settings_or_refuse()
    migrations.migrate(settings.database_url.get_secret_value(), settings.database_schema, to)


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Copy the SQLite database to FILE, which must not exist; the service may go on writing meanwhile."""
    from app.store import backup as copies

    click.echo(copies.back_up(settings_or_refuse().database_url.get_secret_value(), file))


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def restore(file: Path) -> None:
    """Put FILE, a backup, in the SQLite database's place, with a new epoch; what was there is kept beside it."""
    from app.store import backup as copies

    click.echo(copies.restore(settings_or_refuse().database_url.get_secret_value(), file))


@main.command()
def new_key() -> None:
    """Make an API key; the second line is how to name it in API_KEYS without telling it."""
    from app.settings import hash_key

    key = secrets.token_urlsafe(32)
    click.echo(f"{key}\n{hash_key(key)}")


@main.command(name="hash-key", context_settings={"ignore_unknown_options": True})  # one key of 64 begins with a dash
@click.argument("key", required=False)
def hash_key_command(key: str | None) -> None:
    """Print what to put into API_KEYS for KEY; without KEY, ask for it, so that it stays out of the shell's history."""
    from app.settings import hash_key

    click.echo(hash_key(key or click.prompt("Key", hide_input=True)))


@main.command()
def new_epoch() -> None:
    """Give the log a new epoch: run this after restoring a backup of an SQLite file, so that no old cursor fits."""
    from app.store import schema

    settings = settings_or_refuse()
    asyncio.run(schema.new_epoch(settings.database_url.get_secret_value(), settings.database_schema))


for command in (chain.chain, keys.keys, feed.tail, feed.get, feed.simulate, feed.check):
    main.add_command(command)

if __name__ == "__main__":
    main()
