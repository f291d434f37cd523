"""From what was asked to what the core works with."""

from datetime import datetime
from functools import partial

from app.core.chain import ChainEvent, StreamCancelled, StreamCreated, StreamUpdated
from app.core.contract.place import Hint
from app.core.errors import FieldError, InvalidInput
from app.core.ports import ChainKey
from app.core.stream import Stream, StreamChange, chain_made_id
from app.web.api.fields import END_BEFORE_START
from app.web.api.requests import (
    ChainCancelled,
    ChainCreated,
    ChainFact,
    ChainFunction,
    ChainUpdated,
    NewStream,
    StreamPatch,
)


def new_stream(asked: NewStream, now: datetime) -> Stream:
    """Return a stream at its first version. Raises InvalidInput if its fields do not fit together."""
    start = int(now.timestamp()) if asked.start_time is None else asked.start_time
    if (asked.transaction_hash is None) != (asked.event_index is None):
        raise InvalidInput(FieldError("eventIndex", "must come together with transactionHash"))
    if asked.end_time and asked.end_time <= start:
        raise InvalidInput(FieldError("endTime", END_BEFORE_START))
    return Stream.begin(
        sender=asked.sender,
        recipient=asked.recipient,
        deposit_amount=asked.deposit_amount,
        rate_per_second=asked.rate_per_second,
        start_time=start,
        end_time=asked.end_time,
        now=now,
        contract_id=asked.contract_id,
        transaction_hash=asked.transaction_hash,
        event_index=asked.event_index,
    )


def chain_key(stream: Stream) -> ChainKey | None:
    """Return the chain event that made a stream, if one did."""
    if stream.transaction_hash is None or stream.event_index is None:
        return None
    return stream.transaction_hash, stream.event_index


def change_of(asked: StreamPatch | ChainUpdated) -> StreamChange:
    """Return the change that is asked for."""
    return StreamChange(asked.status, asked.streamed_amount, asked.remaining_amount, asked.end_time)


def chain_event(asked: ChainFact) -> ChainEvent:
    """Return an event of the chain."""
    key = asked.transaction_hash, asked.event_index
    match asked:
        case ChainCreated():
            return StreamCreated(chain_made_id(*key), key, partial(_begun, asked))
        case ChainUpdated():
            return StreamUpdated(asked.stream_id, key, change_of(asked))
        case ChainCancelled():
            return StreamCancelled(asked.stream_id, key)
    message = f"no such chain event: {asked!r}"
    raise TypeError(message)


def hint_of(asked: ChainFunction) -> Hint:
    """Return what a transaction called."""
    return Hint(asked.transaction_hash, asked.function, asked.kind, asked.event_index)


def _begun(asked: ChainCreated, now: datetime) -> Stream:
    return Stream.begin(
        sender=asked.sender,
        recipient=asked.recipient,
        deposit_amount=asked.amount,
        rate_per_second=asked.rate_per_second,
        start_time=asked.start_time,
        end_time=asked.end_time,
        now=now,
        contract_id=asked.contract_id,
        transaction_hash=asked.transaction_hash,
        event_index=asked.event_index,
    )
