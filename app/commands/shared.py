"""What commands have in common."""

import asyncio
import sys
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from app.bootstrap import Application
    from app.settings import Settings

Result = TypeVar("Result")


def with_application(work: "Callable[[Application], Coroutine[Any, Any, Result]]") -> Result:
    """Return what `work` makes of the service's parts, with the database open and nothing served."""
    from app.bootstrap import Application
    from app.store.schema import opened

    application = Application(settings_or_refuse())

    async def run() -> Result:
        async with opened(application.database):
            return await work(application)

    return asyncio.run(run())


def settings_or_refuse() -> "Settings":
    """Return the settings, or end with what is wrong with them."""
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
        refuse("\n  ".join(["these settings are wrong:", *lines]))


def refuse(reason: str) -> NoReturn:
    """End with 1, and one line that says why."""
    click.echo(f"fluxora-streams cannot start: {reason}", err=True)
    sys.exit(1)
