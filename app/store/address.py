"""DATABASE_URL, read."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.store.dialect import Dialect
from app.store.libpq import connect_arguments
from app.store.postgresql import PostgreSQL
from app.store.sqlite import SQLite


def parse_database_url(text: str) -> URL:
    """Read a database URL; Heroku's `postgres://` counts as `postgresql://`. Raises ValueError with the reason."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        message = "is not a URL"
        raise ValueError(message) from None
    backend = url.drivername.split("+")[0]
    backend = "postgresql" if backend == "postgres" else backend
    if backend not in ("postgresql", "sqlite"):
        message = f"names the database {backend!r}; this service runs on postgresql and sqlite"
        raise ValueError(message)
    if backend == "sqlite" and url.database in (None, "", ":memory:"):
        message = "must name a file, as in sqlite:///fluxora.db: each connection would get a memory of its own"
        raise ValueError(message)
    if backend == "sqlite" and url.query:
        message = f"has the parameter {min(url.query)}, and a file has none"
        raise ValueError(message)
    if backend == "postgresql":
        connect_arguments(url, timeout=1)
    return url.set(drivername=backend)


def dialect_for(url: URL, *, pool_size: int, timeout: float, schema: str = "public") -> Dialect:
    """Return the dialect a URL asks for. `schema` is PostgreSQL's alone."""
    if url.drivername == "sqlite":
        return SQLite(url, timeout=timeout)
    return PostgreSQL(url, pool_size=pool_size, timeout=timeout, schema=schema)
