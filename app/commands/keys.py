"""`fluxora keys`: look after the API keys of the database."""

import click

from app.commands.shared import with_application


@click.group()
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
    click.echo(with_application(lambda app: key_commands.create(app.services.gate.store, asked)))


@keys.command(name="list")
def keys_list() -> None:
    """List the keys, never their secrets."""
    from app import key_commands

    click.echo(with_application(lambda app: key_commands.listed(app.services.gate.store)))


@keys.command(name="rotate")
@click.argument("key_id")
@click.option("--grace", default="1d", show_default=True, help="how long the old key is good, too")
def keys_rotate(key_id: str, grace: str) -> None:
    """Make a key with the same rights as KEY_ID, and print it; the old one ends after the grace time."""
    from app import key_commands

    click.echo(with_application(lambda app: key_commands.rotate(app.services.gate.store, key_id, grace)))


@keys.command(name="revoke")
@click.argument("key_id")
def keys_revoke(key_id: str) -> None:
    """Revoke a key, and end its connections."""
    from app import key_commands

    click.echo(with_application(lambda app: key_commands.revoke(app.services.gate.store, key_id)))
