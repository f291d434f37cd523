"""Events of the log: their cursors, their one encoding, and the filters that choose among them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

from app.core.encoding import encode
from app.core.stream import Stream


class EventName(StrEnum):
    """What happened to a stream."""

    CREATED = "stream.created"
    UPDATED = "stream.updated"
    CANCELLED = "stream.cancelled"


API: Final = "api"
"""The cause of what was asked of the API; whatever the chain tells has one of its own."""

CAUSES: Final = (
    API, "updated", "created", "cloned", "renewed", "offer_accepted", "share_delegated", "withdrawn", "completed",
    "cancelled", "keeper_cancelled", "paused", "resumed", "topped_up", "rate_changed", "end_changed",
    "recipient_changed", "claim_owner_changed", "auto_claim_set", "auto_claim_revoked", "decommissioned",
    "recommissioned", "closed", "reconciled",
)  # fmt: skip
"""Why an event is there. `updated`: an indexer said only that amounts or the end differ."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is not committed yet: it has no place in the log, so no id."""

    name: EventName
    stream: Stream
    changed: tuple[str, ...]
    timestamp: str
    cause: str = API
    detail: Mapping[str, Any] = field(default_factory=dict)
    chain: Mapping[str, Any] | None = None
    parties: tuple[str, ...] = ()
    """Addresses that must hear of it beside the stream's sender and recipient; at most two."""

    def body(self) -> bytes:
        """Return the event's JSON without its id, which the log draws when it appends."""
        return encode(
            {
                "event": self.name,
                "streamId": self.stream.id,
                "version": self.stream.version,
                "cause": self.cause,
                "detail": self.detail,
                "chain": self.chain,
                "payload": self.stream.to_json(),
                "changed": self.changed,
                "timestamp": self.timestamp,
            }
        )


@dataclass(slots=True, eq=False)
class Event:
    """A committed event. `data` is its JSON, the same bytes on every transport.

    `forms` keeps what transports made of `data` while the hub gives the event out, so that each form is encoded once
    however many filters want it. Afterwards it is None: the ring's memory is `data` alone.
    """

    seq: int
    name: str
    stream_id: str
    sender: str
    recipient: str
    id: str
    data: bytes
    contract_id: str | None = None
    cause: str | None = None
    parties: tuple[str, ...] = ()
    forms: dict[str, bytes] | None = None

    def form(self, name: str, make: Callable[[Self], bytes]) -> bytes:
        """Return the event in a transport's form; `make` encodes it."""
        if self.forms is None:
            return make(self)
        made = self.forms.get(name)
        if made is None:
            made = self.forms[name] = make(self)
        return made

    @classmethod
    def committed(  # noqa: PLR0917 - a row of the log has these columns
        cls,
        epoch: str,
        seq: int,
        name: str,
        stream_id: str,
        sender: str,
        recipient: str,
        body: bytes,
        contract_id: str | None = None,
        cause: str | None = None,
        parties: tuple[str, ...] = (),
    ) -> Self:
        """Give a body from the log its id."""
        event_id = f"{epoch}-{seq}"
        data = b'{"id":"%b",%b' % (event_id.encode(), body[1:])
        return cls(seq, name, stream_id, sender, recipient, event_id, data, contract_id, cause, parties)
