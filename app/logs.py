"""Structured logs: one JSON object a line, on standard output."""

import atexit
import json
import logging
import sys
import threading
from collections.abc import MutableMapping
from typing import Any, Final

import orjson
import structlog

from app.log_writer import LONGEST_LINE, LogWriter

_SHORTEST_VALUE: Final = 64
"""Characters that a value keeps when its line is too long."""

_STANDARD_OUTPUT: Final = 1
_logger = structlog.stdlib.get_logger(__name__)
_writer: LogWriter | None = None
_worker: int | None = None


def configure(level: str, worker: int | None = None) -> None:
    """Write our log lines, and the warnings of libraries, as JSON; with several processes, `worker` is in each line."""
    global _writer, _worker  # noqa: PLW0603 - a process has one standard output
    _worker = worker
    if _writer is None:
        _writer = LogWriter(_STANDARD_OUTPUT, _dropped_line)
        atexit.register(_writer.close)
    structlog.configure(
        processors=[*_SHARED, _render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: _Lines(),
        cache_logger_on_first_use=True,
    )
    handler = _Handler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=_render, foreign_pre_chain=_SHARED))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # Its pool would show a traceback at each try to reach a database that is down; the relay says it once.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)
    # Python itself would write these to standard error, and wait for its reader.
    logging.raiseExceptions = False
    logging.captureWarnings(capture=True)
    sys.unraisablehook = _unraisable
    threading.excepthook = _thread_failed


def show(text: str) -> None:
    """Write lines that are for people, in order with the log's."""
    if _writer is not None:
        for line in text.splitlines():
            _writer.put(line)


def dropped() -> int:
    """Return how many lines nobody could be told."""
    return _writer.dropped if _writer else 0


class _Lines:
    """What structlog hands rendered lines to."""

    def msg(self, line: str) -> None:
        if _writer is not None:
            _writer.put(line)

    log = debug = info = warn = warning = error = critical = fatal = exception = failure = msg


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - whatever a library says: nothing that logs may fail
            line = _dump({"event": "log_line_failed", "logger": record.name, "level": "error"})
        _Lines().msg(line)


def _add_worker(_: Any, __: str, document: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # Not one of structlog's context variables: each request clears those.
    if _worker is not None:
        document.setdefault("worker", _worker)
    return document


def _render(_: Any, __: str, document: MutableMapping[str, Any]) -> str:
    line = _dump(document)
    # The bytes count, and an end of line comes after them.
    excess = len(line.encode()) + 1 - LONGEST_LINE
    if excess <= 0:
        return line
    shown = {str(key): value if isinstance(value, str) else _dump(value) for key, value in document.items()}
    shown["cut"] = "true"
    while excess > 0:
        name = max(shown, key=lambda key: len(shown[key]))
        if len(shown[name]) <= _SHORTEST_VALUE:
            return _dump({"event": str(document.get("event"))[:_SHORTEST_VALUE], "cut": "true"})
        shown[name] = _shortened(shown[name], excess)
        line = _dump(shown)
        excess = len(line.encode()) + 1 - LONGEST_LINE
    return line


def _shortened(text: str, excess: int) -> str:
    """Cut the middle out: a traceback says where it came from at its beginning, and what happened at its end."""
    kept = max(_SHORTEST_VALUE - 5, min(len(text) - excess, len(text) - 5) - 5)
    end = kept * 3 // 4
    return f"{text[: kept - end]} ... {text[-end:]}"


def _dump(document: Any) -> str:
    try:
        return orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except Exception:  # noqa: BLE001 - lone surrogates, integers over 64 bits, a `__str__` that fails
        return json.dumps(_plain(document))


def _plain(value: Any) -> Any:
    if isinstance(value, MutableMapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - as above
        return f"<{type(value).__name__}>"


def _dropped_line(count: int) -> str:
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    document = {"event": "log_lines_dropped", "count": count, "level": "warning"}
    return _dump(_add_worker(None, "", stamp(None, "", document)))


def _unraisable(failure: Any) -> None:
    _logger.error("unraisable", where=repr(failure.object), exc_info=failure.exc_value)


def _thread_failed(failure: Any) -> None:
    if failure.exc_type is not SystemExit:
        _logger.error("thread_failed", thread=getattr(failure.thread, "name", None), exc_info=failure.exc_value)


_SHARED: Final[list[Any]] = [
    structlog.contextvars.merge_contextvars,
    _add_worker,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
