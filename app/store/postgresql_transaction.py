"""A transaction on PostgreSQL: few rows go in one statement for all tables, many by COPY."""

from collections.abc import Sequence
from functools import cache
from typing import Final

import asyncpg
import orjson
from databases.core import Connection
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from app.core.ports import Position
from app.store.dialect import behind
from app.store.position import position_in
from app.store.postgresql_session import Session
from app.store.tables import stream_events
from app.store.transaction import Row, Transaction

_APPEND_LOCK: Final = 0x466C7578
"""Key of the advisory lock that orders appends: `Flux`."""

_FEW: Final = 100
"""Rows that go as JSON. COPY is the least that the server has to parse, but three round trips for each table."""

HISTORY: Final = """
    concat_ws('|', (SELECT system_identifier FROM pg_control_system()),
              -- The file's name carries the timeline at once; pg_control_checkpoint only after a checkpoint.
              substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
              (SELECT oid FROM pg_database WHERE datname = current_database()),
              (quote_ident($1) || '.stream_events')::regclass::oid)
"""
"""Cluster, timeline, database and table of the log in the schema $1."""

# The transaction's search path is the schema. The sequence is sought once: for each id anew, it takes 2 us.
_DRAW: Final = f"""
    WITH given AS MATERIALIZED (SELECT pg_get_serial_sequence('stream_events', 'id')::regclass AS sequence)
    SELECT token, floor, (SELECT max(id) FROM stream_events), {HISTORY},
           ARRAY(SELECT nextval(sequence) FROM given, generate_series(1, $2::int))
      FROM log_state
"""  # noqa: S608 - of our own words
_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]


class PostgreSQLTransaction(Transaction):
    """What is inserted waits until something is read, appended or committed."""

    def __init__(self, connection: Connection, session: Session, *, notify: tuple[str, str]) -> None:
        """`notify`: channel and words by which the commit tells other processes of an append."""
        super().__init__(connection)
        self._raw: asyncpg.Connection[asyncpg.Record] = connection.raw_connection
        self._session = session
        self._notify = notify
        self._waiting: dict[tuple[Table, tuple[str, ...]], list[Row]] = {}

    async def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows, together with others that wait."""
        self._waiting.setdefault((table, tuple(rows[0])), []).extend(rows)

    async def append(self, rows: Sequence[Row]) -> tuple[Position, Sequence[int]]:
        """Draw ids, then insert: COPY returns none. The log's lock is held, so they ascend."""
        await self._catch_up()
        await self._lock_log()
        found = await self._raw.fetchrow(_DRAW, self._session.schema, len(rows))
        position = position_in(found, found[3] if found else "")
        ids = sorted(found[4]) if found else []
        if ids[0] <= position.head:
            raise behind(position.head)
        await self.insert(stream_events, [{"id": each, **row} for each, row in zip(ids, rows, strict=True)])
        return position, ids

    async def _lock_log(self) -> None:
        """Let nobody else append until the end, and have the commit notify the other processes: one statement for both.

        Of its own, before the position is read: a statement sees what was committed before it began.
        """
        channel, words = self._notify
        await self._raw.execute(f"SELECT pg_advisory_xact_lock({_APPEND_LOCK}), pg_notify('{channel}', '{words}')")

    async def commit(self) -> None:
        """Commit. Raises InterfaceError if it had failed before: COMMIT is a rollback then, and no error."""
        await self._catch_up()
        if await self._raw.execute("COMMIT") != "COMMIT":
            message = "the transaction had failed before its commit"
            raise asyncpg.InterfaceError(message)

    async def _catch_up(self) -> None:
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        # Through a pooler COPY would prepare statements.
        if self._session.pooled or sum(map(len, waiting.values())) <= _FEW:
            documents = [orjson.dumps(rows).decode() for rows in waiting.values()]
            await self._raw.execute(_insert_of(tuple(waiting)), *documents)
            return
        for (table, names), rows in waiting.items():
            records = [tuple(row.values()) for row in rows]
            await self._raw.copy_records_to_table(
                table.name, schema_name=self._session.schema, records=records, columns=names
            )


@cache
def _insert_of(shapes: Sequence[tuple[Table, Sequence[str]]]) -> str:
    """Return a statement that inserts a JSON list of rows into each table."""
    *others, last = (_insert_into(*shape, number) for number, shape in enumerate(shapes, start=1))
    named = ", ".join(f"other_{number} AS ({each})" for number, each in enumerate(others))
    return f"WITH {named} {last}" if others else last


def _insert_into(table: Table, names: Sequence[str], number: int) -> str:
    columns = ", ".join(f'"{name}"' for name in names)
    typed = ", ".join(f'"{name}" {table.c[name].type.compile(dialect=_DIALECT)}' for name in names)
    return (
        f"INSERT INTO {table.name} ({columns})"  # noqa: S608 - names of our own tables
        f" SELECT {columns} FROM json_to_recordset(${number}::json) AS given ({typed})"
    )
