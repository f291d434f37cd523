"""What the API says of access, as pydantic models."""

from typing import Any

from app.core.access.grant import Scope
from app.web.api.document import Document


class TicketDocument(Document):
    """A ticket, for `?ticket=` on one feed, within so many seconds."""

    ticket: str
    expires_in: int


class SessionDocument(Document):
    """A session, whose id is in the cookie; it ends after so many seconds."""

    expires_in: int


class LimitDocument(Document):
    """The streams that may be read: those of one of these addresses, ids or contracts."""

    own: list[str] | None = None
    stream_ids: list[str] | None = None
    contracts: list[str] | None = None


class KeyDocument(Document):
    """An API key, without its secret. Times are ISO 8601; null: not, or not yet."""

    id: str
    name: str
    scopes: list[Scope]
    limit: LimitDocument | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class NewKeyDocument(KeyDocument):
    """A new key; `key` is shown this once."""

    key: str


class KeysDocument(Document):
    """All keys, the oldest first."""

    keys: list[KeyDocument]


class ConnectionDocument(Document):
    """An open connection. `lag` counts the events between it and the newest; `bytes` were written to it."""

    id: str
    host: str
    process: int
    principal: str
    address: str
    transport: str
    filter: dict[str, Any] | None = None
    filters: list[dict[str, Any]] | None = None
    since: str
    cursor: str | None
    lag: int
    bytes: int
    expires_at: str | None


class ProcessDocument(Document):
    """A process that answered, and how many connections are open in it, of whomever."""

    host: str
    process: int
    open: int


class ConnectionsDocument(Document):
    """The open connections of every process, the oldest first."""

    connections: list[ConnectionDocument]
    processes: list[ProcessDocument]


class AuditRecordDocument(Document):
    """Who did what."""

    id: int
    at: str
    principal: str
    action: str
    request_id: str | None
    address: str | None
    first: str | None
    last: str | None
    count: int
    detail: dict[str, Any]


class AuditPageDocument(Document):
    """A page of the record, the oldest first; `next` is the `after` of the following page."""

    records: list[AuditRecordDocument]
    next: int | None
