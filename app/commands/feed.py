"""`fluxora tail`, `get`, `simulate` and `check`: a running service, from outside."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any, Final

import click

_URL: Final = "http://127.0.0.1:8000"
_COLOURS: Final = {"stream.created": "green", "stream.updated": "cyan", "stream.cancelled": "red"}
_url = click.option("--url", default=_URL, show_default=True, envvar="FLUXORA_URL", help="where the service is")


@click.command()
@_url
@click.option("--ws", "transport", flag_value="ws", help="over WebSocket alone")
@click.option("--sse", "transport", flag_value="sse", help="over Server-Sent Events alone")
@click.option("--filter", "filters", multiple=True, metavar="FIELD=VALUE", help="as on the feed; may be repeated")
@click.option("--since", metavar="CURSOR", help="what came after this cursor, too")
@click.option("--json", "as_json", is_flag=True, help="each event as it came, a line each")
def tail(url: str, transport: str | None, filters: tuple[str, ...], since: str | None, *, as_json: bool) -> None:
    """Print the feed as it comes, like `tail -f`. FLUXORA_TOKEN is shown to the service, if it is set."""
    from app.client import FeedRefused, StreamFeed

    show = _as_it_came if as_json else _in_colour()
    feed = StreamFeed(
        url,
        filter=_filter(filters),
        get_token=lambda: os.environ.get("FLUXORA_TOKEN"),
        last_event_id=since,
        transport=transport or "auto",  # type: ignore[arg-type]
        on_reset=lambda message: click.echo(f"reset: {message['reason']}; events are missing", err=True),
        on_message=None if as_json else _tell,
    )

    async def follow() -> None:
        async for event in feed:
            show(event)

    try:
        asyncio.run(follow())
    except KeyboardInterrupt:
        if feed.cursor:
            click.echo(f"--since {feed.cursor} goes on from here", err=True)
    except FeedRefused as refused:
        _fail(str(refused))


@click.command()
@_url
@click.argument("stream", required=False)
@click.option("--at", type=int, metavar="UNIX", help="what has accrued at this time, too")
def get(url: str, stream: str | None, at: int | None) -> None:
    """Print a stream, or the newest ones, as JSON."""
    import httpx

    token = os.environ.get("FLUXORA_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    path = f"{url.rstrip('/')}/api/streams" + (f"/{stream}" if stream else "")
    try:
        answer = httpx.get(path, params={} if at is None else {"at": at}, headers=headers, timeout=30)
    except httpx.HTTPError as error:
        _fail(str(error))
    if not answer.is_success:
        _fail(answer.json().get("detail", answer.text) if "json" in answer.headers["Content-Type"] else answer.text)
    click.echo(json.dumps(answer.json(), indent=2))


@click.command()
@_url
@click.option("--rate", default=50.0, show_default=True, type=click.FloatRange(0.01, 10_000), help="writes a second")
@click.option("--seconds", type=click.FloatRange(0.1), help="how long; without it, until Ctrl-C")
def simulate(url: str, rate: float, seconds: float | None) -> None:
    """Make traffic through the API, with the key in FLUXORA_KEY."""
    import httpx

    from app.client.simulation import simulate as run

    key = os.environ.get("FLUXORA_KEY") or _fail("FLUXORA_KEY must hold a key that may write")

    def told(count: int, took: float) -> None:
        click.echo(f"{count} writes, {count / took:.0f} a second", err=True)

    try:
        count = asyncio.run(run(url, key, rate=rate, seconds=seconds, told=told))
    except KeyboardInterrupt:
        return
    except httpx.HTTPStatusError as error:
        _fail(f"the service answers {error.response.status_code}: {error.response.text[:300]}")
    except httpx.HTTPError as error:
        _fail(str(error))
    click.echo(f"{count} writes")


@click.command()
@click.argument("url", default=_URL)
@click.option("--wait", default=20.0, show_default=True, help="seconds to wait for a keepalive; 0: do not")
def check(url: str, wait: float) -> None:
    """Try whether the feed at URL is what it says, through whatever stands in front; ends with 1 if it is not.

    FLUXORA_KEY is a key that may write: with it, streams are made and cancelled, and order, resume and slow readers
    are checked, too. FLUXORA_TOKEN is shown for reading.
    """
    from rich.console import Console
    from rich.table import Table

    from app.client.check import Check

    console, table = Console(), Table("check", "", "found")
    key = os.environ.get("FLUXORA_KEY")
    look = Check(url, os.environ.get("FLUXORA_TOKEN") or key, key, wait)

    async def run() -> bool:
        good = True
        async for finding in look.run():
            good = good and finding.ok is not False
            mark = {True: "[green]ok[/]", False: "[red]no[/]", None: "[dim]-[/]"}[finding.ok]
            table.add_row(finding.name, mark, finding.detail)
        return good

    good = asyncio.run(run())
    console.print(table)
    sys.exit(not good)


def _filter(filters: tuple[str, ...]) -> dict[str, list[str]]:
    chosen: dict[str, list[str]] = {}
    for each in filters:
        name, equals, value = each.partition("=")
        if not equals or not value:
            message = f"{each}: must be as in sender=G..."
            raise click.BadParameter(message)
        chosen.setdefault(name, []).append(value)
    return chosen


def _as_it_came(event: dict[str, Any]) -> None:
    click.echo(json.dumps(event, separators=(",", ":"), ensure_ascii=False))


def _in_colour() -> Callable[[dict[str, Any]], None]:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)

    def show(event: dict[str, Any]) -> None:
        stream = event["payload"]
        line = Text(event["timestamp"][11:23], style="dim")
        line.append(f" {event.get('cause') or event['event']:<18}", style=_COLOURS.get(event["event"], ""))
        line.append(f" {stream['sender'][:6]} > {stream['recipient'][:6]}")
        line.append(f"  {stream['streamedAmount']} of {stream['depositAmount']}", style="bold")
        line.append(f"  {stream['status']}  {event['streamId'][:18]}...  v{event['version']}", style="dim")
        console.print(line)

    return show


def _tell(message: dict[str, Any]) -> None:
    if message.get("event", "").startswith("service."):
        click.echo(f"{message['event']}: {message['source']}: {message['reason']}", err=True)


def _fail(reason: str) -> Any:
    click.echo(reason, err=True)
    sys.exit(1)
