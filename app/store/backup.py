"""Backups of an SQLite database: whole, whoever writes meanwhile, and never taken for the history that was lost."""

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from app.core.errors import FluxoraError, Unavailable
from app.store.address import parse_database_url

_ON_POSTGRESQL: Final = "is for SQLite; on PostgreSQL use pg_dump and pg_restore (docs/how-to/backup-and-restore.md)"
_BESIDE: Final = ("-wal", "-shm")
"""What SQLite keeps beside a database: commits that are not in the file yet, and an index of them. A copy of the file
alone lacks them, and looks sound."""


class BackupFailed(FluxoraError):
    """A backup was not made, or not restored, and nothing was changed; `str()` says why."""


def back_up(database_url: str, file: Path) -> str:
    """Copy the database to a new file, and return a sentence that says what is in it. Raises FluxoraError."""
    source = _path_of(database_url, "backup")
    if not source.exists():
        message = f"there is no database {source}"
        raise BackupFailed(message)
    if file.exists():
        message = f"{file} exists already; a backup goes into a new file"
        raise BackupFailed(message)
    part = file.with_name(f"{file.name}.part")
    with _explained(file):
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(part)) as copy:
            live.backup(copy)
            # One file, that can be copied as it is.
            copy.execute("PRAGMA journal_mode = DELETE")
        found = _contents(part, file)
        _keep(part)
        part.replace(file)
    return f"{file}: {found}"


def restore(database_url: str, file: Path) -> str:
    """Put a backup in the database's place, and return a sentence that says what is in it. Raises FluxoraError.

    It gets a new epoch: no cursor of the history that is lost fits, and clients are told to load a snapshot. A service
    that runs sees that its file is another one.
    """
    target = _path_of(database_url, "restore")
    if not file.exists():
        message = f"there is no file {file}"
        raise BackupFailed(message)
    part = target.with_name(f"{target.name}.part")
    with _explained(target):
        shutil.copyfile(file, part)
        try:
            found = _contents(part, file)
            with closing(sqlite3.connect(part)) as copy, copy:
                copy.execute("UPDATE log_state SET token = ?", [secrets.token_hex(8)])
            _keep(part)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        kept = _put_aside(target)
        part.replace(target)
    return f"{target}: {found}" + (f"; what was there is {kept}" if kept else "")


def _path_of(database_url: str, command: str) -> Path:
    url = parse_database_url(database_url)
    if url.drivername != "sqlite" or url.database is None:
        message = f"{command} {_ON_POSTGRESQL}"
        raise BackupFailed(message)
    return Path(url.database)


def _contents(copy: Path, named: Path) -> str:
    """Return what a copy has in it; `named` is what it is called to people. Raises BackupFailed."""
    try:
        with closing(sqlite3.connect(copy)) as database:
            (sound,) = database.execute("PRAGMA integrity_check").fetchone()
            (streams,) = database.execute("SELECT count(*) FROM streams").fetchone()
            (events,) = database.execute("SELECT count(*) FROM stream_events").fetchone()
            (states,) = database.execute("SELECT count(*) FROM log_state").fetchone()
    except sqlite3.DatabaseError as error:
        message = f"{named} is no backup of this service: {error}"
        raise BackupFailed(message) from error
    if sound != "ok" or not states:
        message = f"{named} is damaged: {sound if sound != 'ok' else 'its log has no state'}"
        raise BackupFailed(message)
    return f"{streams} streams, {events} events"


def _put_aside(target: Path) -> Path | None:
    """Rename the database and what is beside it; return its new name."""
    if not target.exists():
        return None
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    kept = target.with_name(f"{target.name}.before-{stamp}")
    for ending in _BESIDE:
        beside = target.with_name(target.name + ending)
        if beside.exists():
            beside.rename(kept.with_name(kept.name + ending))
    target.rename(kept)
    return kept


def _keep(file: Path) -> None:
    """Have it on the disk before anything relies on it."""
    with file.open("rb") as written:
        os.fsync(written.fileno())


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        message = f"{file} cannot be written: {error.strerror if isinstance(error, OSError) else error}"
        raise Unavailable(message) from error
