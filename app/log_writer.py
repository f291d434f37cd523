"""Writes log lines from a thread of its own, so that whoever logs never waits and never fails."""

import os
import select
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

LONGEST_LINE: Final = select.PIPE_BUF
"""Bytes of a line, its end included: POSIX promises that a write to a pipe is not torn up to here."""

_MOST_LINES: Final = 8192
"""Lines that wait for a reader that is slow; more are dropped. At a few hundred bytes each, about 2 MB."""

_JOIN_SECONDS: Final = 1.0


class LogWriter:
    """A bounded queue of lines, and a thread that writes each with one write(2).

    A line that finds the queue full, or that cannot be written, is dropped and counted; how many is said as soon as
    something can be written again. The descriptor stays blocking: O_NONBLOCK belongs to the open file, which the shell
    and other processes share. (The standard library's QueueListener waits for its thread without a bound.)
    """

    def __init__(self, descriptor: int, tell: Callable[[int], str], *, most_lines: int = _MOST_LINES) -> None:
        """`tell` makes the line that says how many were dropped."""
        self._descriptor = descriptor
        self._tell = tell
        self._most_lines = most_lines
        # Its put may be interrupted by a signal handler that logs, too.
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._refused = self._failed = self._told = 0
        self._torn = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were lost since the start."""
        return self._refused + self._failed

    def put(self, line: str) -> None:
        """Have a line written; without its end. It neither blocks nor raises."""
        if self._queue.qsize() >= self._most_lines:
            self._refused += 1
        else:
            self._queue.put(line.encode(errors="backslashreplace") + b"\n")

    def close(self, seconds: float = _JOIN_SECONDS) -> None:
        """Write what waits, for so many seconds at most: a reader that hangs must not keep the process."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            self._say_what_was_dropped()
            if not self._write(line):
                self._failed += 1
        self._say_what_was_dropped()

    def _say_what_was_dropped(self) -> None:
        missing = self.dropped - self._told
        if missing and self._write(self._tell(missing).encode() + b"\n"):
            self._told += missing

    def _write(self, line: bytes) -> bool:
        # A disk that fills up takes a part of a line: the next one that can be written starts on a line of its own.
        rest = b"\n" + line if self._torn else line
        try:
            while rest:
                written = self._written(rest)
                rest = rest[written:]
                self._torn = bool(rest)
        except OSError:
            return False
        return True

    def _written(self, rest: bytes) -> int:
        while True:
            try:
                return os.write(self._descriptor, rest)
            except BlockingIOError:
                # Another process made the shared file non-blocking.
                select.select((), (self._descriptor,), (), 1.0)
                time.sleep(0.01)
