"""`fluxora chain`: look after the reading of the chain."""

import json
from typing import TYPE_CHECKING

import click

from app.commands.shared import refuse, with_application

if TYPE_CHECKING:
    from app.bootstrap import Application


@click.group()
def chain() -> None:
    """Look after the reading of the chain."""


@chain.command(name="status")
def chain_status() -> None:
    """Say how far the chain was read, and what is wrong."""
    from app.chain import operator

    click.echo(json.dumps(with_application(lambda app: operator.status(app.store, contracts_of(app))), indent=2))


@chain.command(name="resume")
def chain_resume() -> None:
    """Go on after a gap: ledgers that no server has any more stay unread, and the streams are compared."""
    from app.chain import operator

    first, last = with_application(lambda app: operator.resume(app.services.streams, contracts_of(app)))
    click.echo(f"ledgers {first} to {last} are left out; the poller goes on, and compares the streams")


@chain.command(name="confirm")
@click.argument("contract")
def chain_confirm(contract: str) -> None:
    """Say that this version of the service knows the upgraded code of CONTRACT."""
    from app.chain import operator

    with_application(
        lambda app: operator.confirm(
            app.services.streams, {each.state.contract_id: each.state for each in app.settings.contracts}, contract
        )
    )
    click.echo(f"{contract} is confirmed")


def contracts_of(application: "Application") -> list[str]:
    """Return the contracts of the settings; without any, there is nothing to look after."""
    contracts = [each.state.contract_id for each in application.settings.contracts]
    if not contracts:
        refuse("CHAIN_CONTRACTS names no contract")
    return contracts
