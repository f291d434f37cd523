"""PostgreSQL's connections, and what is asked of a session: nothing that is not said in each transaction itself.

Roles, databases and clusters have defaults of their own, and a pooler gives a transaction any session. So each
transaction names what it relies on, and each table its schema.
"""

from typing import Any, Final

import asyncpg
import structlog
from databases import Database
from databases.backends.postgres import PostgresBackend, PostgresConnection

from app.core.errors import Unavailable
from app.store.compiled import Statements

_LEAST_MILLISECONDS: Final = 1000

_CHECK: Final = """
    SELECT pg_backend_pid() AS pid,
           current_setting('server_encoding') AS encoding,
           (SELECT string_agg(name || ' of ' || setting || ' ms', ', ') FROM pg_settings
            WHERE name IN ('statement_timeout', 'transaction_timeout')
              AND setting::bigint BETWEEN 1 AND $1) AS impatient
"""

_logger = structlog.stdlib.get_logger(__name__)


class Session:
    """What our sessions are like: the schema they use, how a transaction begins, whether a pooler stands between."""

    def __init__(self, arguments: dict[str, Any], *, schema: str, timeout: float) -> None:
        """`arguments`: of `asyncpg.connect`. `timeout`: seconds that a statement may take."""
        self.arguments = {**arguments, "command_timeout": timeout}
        self.schema = schema
        self.pooled = False
        milliseconds = int(timeout * 1000)
        quoted = schema.replace('"', '""')
        # One simple query: one round trip.
        self.begin = (
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
            f'SET LOCAL search_path = "{quoted}";'
            f"SET LOCAL lock_timeout = {milliseconds};"
            f"SET LOCAL statement_timeout = {milliseconds};"
            # A client that hangs after its append would hold everybody's appends up.
            f"SET LOCAL idle_in_transaction_session_timeout = {milliseconds};"
            # Without it a crash loses commits that were told, and their ids are given away again.
            "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
        )

    async def check(self) -> None:
        """Learn whether a pooler stands between, and refuse what no transaction can mend. Raises Unavailable."""
        connection = await asyncpg.connect(**self.arguments, statement_cache_size=0)
        try:
            row = await connection.fetchrow(_CHECK, min(_LEAST_MILLISECONDS, self.arguments["command_timeout"] * 1000))
            # A pooler shows its clients a process number of its own, for cancelling.
            self.pooled = row["pid"] != connection.get_server_pid()
        finally:
            await connection.close(timeout=1)
        if row["encoding"] != "UTF8":
            message = f"the database has the encoding {row['encoding']}, and the service needs UTF8"
            raise Unavailable(message)
        if row["impatient"]:
            message = f"the database's role has a {row['impatient']}: set at least {_LEAST_MILLISECONDS}, or none"
            raise Unavailable(message)
        if self.pooled:
            _logger.warning("pooler_found", consequence="no LISTEN: other processes' events are found by polling")
            # A statement that is prepared on one session is not known on the next.
            self.arguments["statement_cache_size"] = 0


class _Connection(PostgresConnection):
    def __init__(self, backend: "SessionBackend", dialect: Any) -> None:
        super().__init__(backend, dialect)
        self._statements = backend.statements

    def _compile(self, query: Any) -> Any:
        statement, arguments = self._statements.compiled(query)
        return statement.sql, arguments, statement.columns


class SessionBackend(PostgresBackend):
    """`databases`' backend with connections of a session's kind."""

    def __init__(self, database_url: Any, *, session: Session, **options: Any) -> None:
        """`options`: of `asyncpg.create_pool`."""
        super().__init__(database_url, **options)
        self.session = session
        # Each table names its schema: a read outside a transaction has no search path of ours.
        named = {"schema_translate_map": {None: session.schema}, "render_schema_translate": True}
        self.statements = Statements(dialect=self._dialect, **named)

    async def connect(self) -> None:
        """Check the session, then open the pool."""
        await self.session.check()
        pool: Any = await asyncpg.create_pool(**self.session.arguments, **self._options, reset=_left_as_it_is)
        self._pool = pool

    def connection(self) -> PostgresConnection:
        """Return a connection that is not acquired yet."""
        return _Connection(self, self._dialect)


async def _left_as_it_is(connection: Any) -> None:
    """Reset nothing of a session that is given back: no transaction leaves anything, and it would be a round trip."""


class SessionDatabase(Database):
    """A database through connections of a session's kind."""

    SUPPORTED_BACKENDS = {"postgresql": f"{__name__}:SessionBackend"}  # noqa: RUF012 - as the base class has it
