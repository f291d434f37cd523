"""`python -m app`: serve, and what an operator needs beside it."""

import asyncio
import secrets
import sys
from typing import NoReturn

import click
from pydantic import ValidationError

from app import logs, serving
from app.core.errors import FluxoraError
from app.server.sockets import StartError
from app.settings import Settings, hash_key
from app.store import schema


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Fluxora streams. Without a command: serve. Settings come from the environment; see the README."""
    if context.invoked_subcommand is None:
        context.invoke(serve)


@main.command()
def serve() -> None:
    """Serve until SIGTERM."""
    settings = _settings()
    logs.configure(settings.log_level)
    try:
        clean = serving.serve(settings)
    except (StartError, FluxoraError) as error:
        _refuse(str(error))
    sys.exit(not clean)


@main.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    try:
        schema.migrate(_settings().database_url.get_secret_value())
    except FluxoraError as error:
        _refuse(str(error))


@main.command()
def new_key() -> None:
    """Make an API key; the second line is how to name it in API_KEYS without telling it."""
    key = secrets.token_urlsafe(32)
    click.echo(f"{key}\n{hash_key(key)}")


@main.command(name="hash-key")
@click.argument("key", required=False)
def hash_key_command(key: str | None) -> None:
    """Print what to put into API_KEYS for KEY; without KEY, ask for it, so that it stays out of the shell's history."""
    click.echo(hash_key(key or click.prompt("Key", hide_input=True)))


@main.command()
def new_epoch() -> None:
    """Give the log a new epoch: run this after restoring a backup of an SQLite file, so that no old cursor fits."""
    try:
        asyncio.run(schema.new_epoch(_settings().database_url.get_secret_value()))
    except FluxoraError as error:
        _refuse(str(error))


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for each in error.errors(include_url=False, include_input=False):
            name = ".".join(map(str, each["loc"])).upper()
            reason = each.get("ctx", {}).get("error") or each["msg"]
            lines.append(f"{name}: {reason}" if name else str(reason))
        _refuse("\n  ".join(["these settings are wrong:", *lines]))


def _refuse(reason: str) -> NoReturn:
    click.echo(f"fluxora-streams cannot start: {reason}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
