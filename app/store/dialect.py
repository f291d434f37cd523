"""What differs between the databases, and how their failures look from outside."""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Protocol

import asyncpg
from databases import Database
from databases.core import Connection
from sqlalchemy import BindParameter, Column, FromClause, Text, bindparam
from sqlalchemy.sql.elements import ColumnElement

from app.core.errors import Unavailable, WriteCollision
from app.core.ports import Tail
from app.store.transaction import Transaction

UNREACHABLE = "the database cannot be reached"

Document = str | BindParameter[str]
"""JSON that a statement takes apart, or the parameter that will be it."""


class Unfit(Exception):
    """The database answers, but somebody must mend it before writes succeed; the message says what."""


class Dialect(Protocol):
    """One kind of database."""

    @property
    def name(self) -> str:
        """`postgresql` or `sqlite`."""

    @property
    def concurrent_writers(self) -> int:
        """How many units of work may be open at once."""

    @property
    def concurrent_readers(self) -> int:
        """How many reads may run at once, beside the writers."""

    @property
    def timeout(self) -> float:
        """Seconds that a statement may take, and a place in the queue of readers."""

    def connect(self) -> Database:
        """Return a database that is not connected yet."""

    def tail(self) -> Tail | None:
        """Return what tells of other processes' appends; None where only looking does."""

    def elected_tail(self) -> Tail | None:
        """Return a tail that tells of all appends, in one process of all at a time; None where there is only one."""

    def transaction(self, connection: Connection) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction; leaving it without commit rolls back."""

    def rows(self, document: Document, columns: Sequence[Column[Any]]) -> FromClause:
        """Return a JSON list of objects as a table of these columns: one parameter, however many rows."""

    def values(self, document: Document) -> ColumnElement[Any]:
        """Return a JSON list of texts as a set for IN: one parameter, however many. See `app.store.rows.texts`."""

    def among(self, column: ColumnElement[Any], document: Document) -> ColumnElement[bool]:
        """Return whether a column is one of a JSON list, so that an index serves it also beside others in an OR."""

    async def settle(self, connection: Connection) -> None:
        """Move what was committed to where it stays, so that no writer has to; holds none up."""

    async def numbered(self, connection: Connection) -> int | None:
        """Return the highest id that was given to the log's events; None where ids cannot fall behind the log."""

    async def history(self, connection: Connection) -> str:
        """Return what, beside the token, tells this history of the log from another one."""


def borrowed(database: Database) -> Connection:
    """Return a connection of the pool, to enter.

    `databases` keeps one for each task. When its backend ends just as it is given back, it is neither given back nor
    taken again, and whatever that task asks next fails, for ever; so here each use has its own.
    """
    return Connection(database, database._backend)


def parameter(document: Document) -> BindParameter[str]:
    """Return JSON as a statement's parameter."""
    return bindparam(None, document, type_=Text, unique=True) if isinstance(document, str) else document


def storable(text: str) -> bool:
    """Tell whether any column can hold `text`: PostgreSQL refuses a NUL even in a comparison."""
    return "\0" not in text


def epoch_of(token: str, history: str) -> str:
    """Return the epoch: short, lower-case, and another one whenever token or history are."""
    return hashlib.blake2s(f"{token}|{history}".encode(), digest_size=5).hexdigest()


_COLLISIONS = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    sqlite3.IntegrityError,
)
_UNREACHABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    # What BEGIN READ WRITE says on a standby.
    asyncpg.FeatureNotSupportedError,
    asyncpg.UndefinedTableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    sqlite3.OperationalError,
    OSError,
    TimeoutError,
)


_REFUSED = (
    (asyncpg.InsufficientPrivilegeError, "the database's user lacks a right"),
    (asyncpg.DiskFullError, "the database's disk is full"),
    (asyncpg.DataCorruptedError, "the database is damaged"),
    (asyncpg.IndexCorruptedError, "the database is damaged"),
)


_FAILURES: tuple[type[Exception], ...] = (Unfit, *_UNREACHABLE, *(kind for kind, _ in _REFUSED), sqlite3.DatabaseError)


def behind(head: int) -> Unfit:
    """Return what is wrong when new events would get numbers that the log has used."""
    message = (
        f"the log's sequence is behind the log, which has events up to {head}: restore the sequence with the table"
    )
    return Unfit(message)


def _unfit(error: Exception) -> Unfit | None:
    if isinstance(error, Unfit):
        return error
    for kind, meaning in _REFUSED:
        if isinstance(error, kind):
            return Unfit(f"{meaning}: {error}")
    if isinstance(error, sqlite3.OperationalError):
        words = ("readonly", "disk is full", "disk I/O", "malformed")
        return Unfit(f"the database file cannot be used: {error}") if any(w in str(error) for w in words) else None
    return Unfit(f"the database file is damaged: {error}") if isinstance(error, sqlite3.DatabaseError) else None


@contextmanager
def translated() -> Iterator[None]:
    """Turn failures into the core's: WriteCollision, or Unavailable, whose cause is Unfit if somebody must act."""
    try:
        yield
    except _COLLISIONS as error:
        message = "other writers were faster, again and again; try it once more"
        raise WriteCollision(message) from error
    except _FAILURES as error:
        unfit = _unfit(error)
        if unfit is not None:
            raise Unavailable(str(unfit)) from unfit
        raise Unavailable(UNREACHABLE) from error
