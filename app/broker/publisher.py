"""Carries the log into the stream; one process of all is elected to do it."""

import asyncio
from typing import Final

import structlog
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import APIError, NotFoundError

from app.broker.jetstream import STREAM, Broker, subject_of
from app.broker.message import decode, encode, in_pieces
from app.core.cursor import Cursor
from app.core.errors import CursorExpired, Unavailable
from app.core.filter import EventFilter
from app.core.ports import Appended, EventLog

_PAGE: Final = 500
_FARTHEST: Final = 10_000
"""Events behind the log after which the rest is left out: who misses them reads the log."""

_WRONG_LAST_SEQUENCE: Final = 10071

_logger = structlog.stdlib.get_logger(__name__)


class Publisher:
    """Follows the log, and publishes it without a gap where the stream ends.

    Each message says which message of its history it follows, and the broker refuses it if that is not the last one. So
    somebody who does not know that another was elected meanwhile cannot break the order: refused, it looks where the
    stream ends now, and goes on there or finds nothing to do.
    """

    def __init__(self, log: EventLog, broker: Broker) -> None:
        """Nothing is connected before the first look_soon, which only the elected one gets."""
        self._log = log
        self._broker = broker
        self._wanted = asyncio.Event()
        self._end: Cursor | None = None
        self._last = 0

    def look_soon(self) -> None:
        """Look at the log now."""
        self._wanted.set()

    def offer(self, _: Appended) -> None:
        """Look at the log now: it has these too."""
        self._wanted.set()

    async def run(self) -> None:
        """Publish at each look_soon, until cancelled."""
        await self._broker.again_and_again("publisher", self._publish)

    async def _publish(self) -> None:
        await self._wanted.wait()
        async with self._broker.connected() as (stream, lost):
            self._end = None
            while not lost.is_set():
                await self._wanted.wait()
                self._wanted.clear()
                try:
                    await self.forward(stream)
                except Unavailable:
                    # The relay tells about the database, and the next look_soon comes with the next connection to it.
                    self._end = None
                except BaseException:
                    self._wanted.set()
                    raise

    async def forward(self, stream: JetStreamContext) -> None:
        """Publish what is committed and not in the stream."""
        position = await self._log.position()
        if self._end is None or self._end.epoch != position.epoch:
            self._end, self._last = await _end_of(stream, position.at(position.head))
        if self._end.seq < position.head - _FARTHEST:
            self._end = position.at(position.head)
        while (end := self._end) and end.seq < position.head:
            try:
                events = await self._log.read(end, position.head, EventFilter(), _PAGE)
            except CursorExpired:
                self._end = position.at(position.head)
                return
            if not events:
                return
            for piece in in_pieces(end, events):
                if not await self._append(stream, piece):
                    return

    async def _append(self, stream: JetStreamContext, piece: Appended) -> bool:
        """Publish a message; tells whether it is what the stream ended before."""
        expected = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(self._last)}
        try:
            done = await stream.publish(subject_of(piece.after.epoch), encode(piece), headers=expected)
        except APIError as error:
            if error.err_code != _WRONG_LAST_SEQUENCE:
                raise
            _logger.info("broker_refused", after=str(piece.after))
            self._end = None
            self._wanted.set()
            return False
        self._end, self._last = Cursor(piece.after.epoch, piece.events[-1].seq), done.seq
        return True


async def _end_of(stream: JetStreamContext, head: Cursor) -> tuple[Cursor, int]:
    """Return the stream's last event of this history, and its message's number; without any, the log's head, and 0.

    The same after a message that is not ours: what it stands in the way of is read from the log.
    """
    try:
        message = await stream.get_last_msg(STREAM, subject_of(head.epoch))
    except NotFoundError:
        return head, 0
    number = message.seq or 0
    try:
        last = decode(message.data or b"").events[-1].seq
    except (ValueError, IndexError) as error:
        _logger.warning("broker_message_ignored", subject=message.subject, reason=str(error))
        return head, number
    return Cursor(head.epoch, last), number
