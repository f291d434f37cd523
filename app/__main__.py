"""`fluxora`, or `python -m app`: serve, and what an operator needs beside it."""

import asyncio
import json
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from app import __version__
from app.core.errors import FluxoraError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from app.bootstrap import Application
    from app.core.access.ports import AccessStore
    from app.settings import Settings

Result = TypeVar("Result")

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
            _refuse(str(error))
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] in {"app", "migrations"}:
                raise
            _refuse(_NO_SERVER.format(missing=error.name))


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

    settings = _settings()
    logs.configure(settings.log_level)
    try:
        clean = serving.serve(settings)
    except StartError as error:
        _refuse(str(error))
    sys.exit(not clean)


@main.command()
def index() -> None:
    """Read the chain, and serve nobody, until SIGTERM; for a process of its own beside those that serve."""
    from app import logs, serving
    from app.server.sockets import StartError

    settings = _settings()
    logs.configure(settings.log_level)
    try:
        serving.index(settings)
    except StartError as error:
        _refuse(str(error))


@main.group()
def chain() -> None:
    """Look after the reading of the chain."""


@chain.command(name="status")
def chain_status() -> None:
    """Say how far the chain was read, and what is wrong."""
    from app.chain import operator

    click.echo(json.dumps(_with_chain(lambda app, ids: operator.status(app.store, ids)), indent=2))


@chain.command(name="resume")
def chain_resume() -> None:
    """Go on after a gap: ledgers that no server has any more stay unread, and the streams are compared."""
    from app.chain import operator

    first, last = _with_chain(lambda app, ids: operator.resume(app.services.streams, ids))
    click.echo(f"ledgers {first} to {last} are left out; the poller goes on, and compares the streams")


@chain.command(name="confirm")
@click.argument("contract")
def chain_confirm(contract: str) -> None:
    """Say that this version of the service knows the upgraded code of CONTRACT."""
    from app.chain import operator

    _with_chain(
        lambda app, _: operator.confirm(
            app.services.streams, {each.state.contract_id: each.state for each in app.settings.contracts}, contract
        )
    )
    click.echo(f"{contract} is confirmed")


@main.command()
@click.option("--to", metavar="REVISION", help="go to this revision, forwards or back")
def migrate(to: str | None) -> None:
    """Bring the database's schema up to date."""
    from app.store import schema

    settings = _settings()
    schema.migrate(settings.database_url.get_secret_value(), settings.database_schema, to)


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Copy the SQLite database to FILE, which must not exist; the service may go on writing meanwhile."""
    from app.store import backup as copies

    click.echo(copies.back_up(_settings().database_url.get_secret_value(), file))


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def restore(file: Path) -> None:
    """Put FILE, a backup, in the SQLite database's place, with a new epoch; what was there is kept beside it."""
    from app.store import backup as copies

    click.echo(copies.restore(_settings().database_url.get_secret_value(), file))


@main.group()
def keys() -> None:
    """Look after the API keys of the database; a change counts in every process within a second."""


@keys.command(name="create")
@click.option("--name", required=True, help="whose it is, for people")
@click.option("--scope", "scopes", multiple=True, required=True, help="a right, as in events:write; may be repeated")
@click.option("--own", multiple=True, help="an address: streams that it sends or receives may be read; repeatable")
@click.option("--contract", "contracts", multiple=True, help="a contract whose streams may be read; repeatable")
@click.option("--stream", "stream_ids", multiple=True, help="a stream that may be read; repeatable")
@click.option("--expires", metavar="90d", help="when it ends: a number and s, m, h or d")
def keys_create(name: str, scopes: tuple[str, ...], expires: str | None, **limit: tuple[str, ...]) -> None:
    """Make a key, and print it: this is the only time."""
    from app import key_commands

    asked = key_commands.AskedKey(name, scopes, limit["own"], limit["stream_ids"], limit["contracts"], expires)
    click.echo(_with_access(lambda store: key_commands.create(store, asked)))


@keys.command(name="list")
def keys_list() -> None:
    """List the keys, never their secrets."""
    from app import key_commands

    click.echo(_with_access(key_commands.listed))


@keys.command(name="rotate")
@click.argument("key_id")
@click.option("--grace", default="1d", show_default=True, help="how long the old key is good, too")
def keys_rotate(key_id: str, grace: str) -> None:
    """Make a key with the same rights as KEY_ID, and print it; the old one ends after the grace time."""
    from app import key_commands

    click.echo(_with_access(lambda store: key_commands.rotate(store, key_id, grace)))


@keys.command(name="revoke")
@click.argument("key_id")
def keys_revoke(key_id: str) -> None:
    """Revoke a key, and end its connections."""
    from app import key_commands

    click.echo(_with_access(lambda store: key_commands.revoke(store, key_id)))


@main.command()
def new_key() -> None:
    """Make an API key; the second line is how to name it in API_KEYS without telling it."""
    from app.settings import hash_key

    key = secrets.token_urlsafe(32)
    click.echo(f"{key}\n{hash_key(key)}")


@main.command(name="hash-key")
@click.argument("key", required=False)
def hash_key_command(key: str | None) -> None:
    """Print what to put into API_KEYS for KEY; without KEY, ask for it, so that it stays out of the shell's history."""
    from app.settings import hash_key

    click.echo(hash_key(key or click.prompt("Key", hide_input=True)))


@main.command()
def new_epoch() -> None:
    """Give the log a new epoch: run this after restoring a backup of an SQLite file, so that no old cursor fits."""
    from app.store import schema

    settings = _settings()
    asyncio.run(schema.new_epoch(settings.database_url.get_secret_value(), settings.database_schema))


def _with_chain(work: "Callable[[Application, Sequence[str]], Coroutine[Any, Any, Result]]") -> "Result":
    """Return what `work` makes of the database, given the contracts. Raises FluxoraError."""
    from app.bootstrap import Application
    from app.store.schema import opened

    application = Application(_settings())
    contracts = [each.state.contract_id for each in application.settings.contracts]
    if not contracts:
        _refuse("CHAIN_CONTRACTS names no contract")

    async def run() -> "Result":
        async with opened(application.database):
            return await work(application, contracts)

    return asyncio.run(run())


def _with_access(work: "Callable[[AccessStore], Coroutine[Any, Any, Result]]") -> "Result":
    """Return what `work` makes of the database's keys. Raises FluxoraError."""
    from app.bootstrap import Application
    from app.store.schema import opened

    application = Application(_settings())

    async def run() -> "Result":
        async with opened(application.database):
            return await work(application.services.gate.store)

    return asyncio.run(run())


def _settings() -> "Settings":
    from pydantic import ValidationError

    from app.settings import Settings
    from app.web.words import sentence

    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for each in error.errors(include_url=False, include_input=False):
            name = ".".join(map(str, each["loc"])).upper()
            reason = sentence(each)
            lines.append(f"{name}: {reason}" if name else str(reason))
        _refuse("\n  ".join(["these settings are wrong:", *lines]))


def _refuse(reason: str) -> NoReturn:
    click.echo(f"fluxora-streams cannot start: {reason}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
