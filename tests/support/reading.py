"""Reads a subscription one delivery at a time, as a client does that takes what it asks for and no more."""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace

import orjson

from app.core.cursor import Cursor
from app.core.messages import Close
from app.core.subscription import Subscription


@dataclass(frozen=True)
class Events:
    events: list


@dataclass(frozen=True)
class Idle:
    cursor: Cursor


class Reader:
    """An outlet with room only while somebody waits in `next`."""

    name = "reader"

    def __init__(self, subscription: Subscription) -> None:
        self.form = self
        self.subscription = subscription
        self.full = True
        self.got: deque = deque()
        self.failed = False
        self._news = asyncio.Event()
        self._task: asyncio.Task | None = None
        subscription.attach(self)

    def __getattr__(self, name):
        return getattr(self.subscription, name)

    def join(self, events) -> bytes:
        return b"\n".join(event.data for event in events)

    def write(self, data: bytes) -> bool:
        assert not self.full, "it said that it wants no more"
        parts = [(Cursor.parse(orjson.loads(line)["id"]).seq, line) for line in data.split(b"\n")]
        self._take(Events([SimpleNamespace(seq=seq, data=line) for seq, line in parts]))
        return False

    def wake(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._catch_up())

    def say(self, message) -> None:
        self._take(message)

    def fail(self) -> None:
        self.failed = True

    async def next(self, idle: float | None = None):
        """The next delivery; an Idle after so many seconds without any."""
        if not self.got:
            self.full = False
            self._news.clear()
            self.subscription.wake()
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(idle):
                        await self._news.wait()
            finally:
                self.full = True
                self.subscription.wake()
        return self.got.popleft() if self.got else Idle(self.subscription.position)

    def _take(self, delivery) -> None:
        self.got.append(delivery)
        self.full = True
        self._news.set()

    async def _catch_up(self) -> None:
        try:
            while (said := await self.subscription.catch_up()) is not None:
                self._take(said)
                if isinstance(said, Close):
                    return
        finally:
            self._task = None
