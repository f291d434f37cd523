"""A feed that is checked: what it must show, and reading on until it does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from app.client.transports import Message

_EVENT_SECONDS: Final = 15.0


class Failed(Exception):
    """What was found is not what was promised."""


class Messages:
    """A feed that is being read; `slow` is a pause before each message, in seconds."""

    def __init__(self, source: AsyncIterator[Message]) -> None:
        """Read from here."""
        self._source = source
        self.slow = 0.0

    async def next(self) -> Message:
        """Return the next message, and where it moves its reader to."""
        await asyncio.sleep(self.slow)
        return await asyncio.wait_for(anext(self._source), _EVENT_SECONDS)

    async def until(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the next message of a kind."""
        while True:
            message, _ = await self.next()
            if true(message):
                return message

    async def event(self) -> Message:
        """Return the next event of the log."""
        while True:
            message, cursor = await self.next()
            if message.get("event", "").startswith("stream."):
                return message, cursor

    async def of(self, made: list[str]) -> list[dict[str, Any]]:
        """Return the events of these streams, two of each."""
        found: list[dict[str, Any]] = []
        while len(found) < 2 * len(made):
            event, _ = await self.event()
            if event["streamId"] in made:
                found.append(event)
        return found


@asynccontextmanager
async def reading(source: AsyncIterator[Message]) -> AsyncIterator[Messages]:
    """Read a feed, and leave it at the end."""
    try:
        yield Messages(source)
    finally:
        await source.aclose()  # type: ignore[attr-defined]


def judge(events: list[dict[str, Any]], made: list[str]) -> None:
    """Raise Failed unless these are the events of some streams, once each, in order."""
    ids = [event["id"] for event in events]
    want(len(set(ids)) == len(ids), "an event came twice")
    numbers = [int(each.rpartition("-")[2]) for each in ids]
    want(numbers == sorted(numbers), "events came out of order")
    for each in made:
        versions = [event["version"] for event in events if event["streamId"] == each]
        want(versions == [1, 2], f"{each}: versions {versions} instead of 1, 2")


def want(true: object, message: str) -> None:
    """Raise Failed unless it is so."""
    if not true:
        raise Failed(message)
