"""Events as a message: what `core.ports.Appended` says, in bytes."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import orjson

from app.core.cursor import Cursor
from app.core.event import Event
from app.core.ports import Appended

_MOST_BYTES: Final = 262_144
"""NATS refuses messages above 1 MiB (`max_payload`), unless its administrator says otherwise."""

_FOREIGN: Final = "is not a message of this service"


def encode(appended: Appended) -> bytes:
    """Return JSON: the cursor that the events follow, and the events, each with what filters look at."""
    rows = [
        (
            event.seq,
            event.name,
            event.stream_id,
            event.sender,
            event.recipient,
            event.data.decode(),
            event.contract_id,
            event.cause,
            event.parties,
        )
        for event in appended.events
    ]
    return orjson.dumps({"after": str(appended.after), "events": rows})


def decode(data: bytes) -> Appended:
    """Read what `encode` wrote. Raises ValueError for anything else."""
    try:
        document = orjson.loads(data)
        after = Cursor.parse(document["after"])
        events = [_event(after.epoch, *row) for row in document["events"]]
        ids = [after.seq, *(event.seq for event in events)]
        if any(seq >= following for seq, following in pairwise(ids)):
            raise ValueError(_FOREIGN)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(_FOREIGN) from error
    return Appended(after, events)


def in_pieces(after: Cursor, events: Sequence[Event]) -> Iterator[Appended]:
    """Yield the events in messages that are not too large, each following the one before."""
    piece: list[Event] = []
    size = 0
    for event in events:
        if piece and size + len(event.data) > _MOST_BYTES:
            yield Appended(after, piece)
            after, piece, size = Cursor(after.epoch, piece[-1].seq), [], 0
        piece.append(event)
        size += len(event.data)
    if piece:
        yield Appended(after, piece)


def _event(epoch: str, seq: int, *rest: Any) -> Event:
    name, stream_id, sender, recipient, data, contract_id, cause, parties = rest
    event_id = f"{epoch}-{seq}"
    return Event(seq, name, stream_id, sender, recipient, event_id, data.encode(), contract_id, cause, tuple(parties))
