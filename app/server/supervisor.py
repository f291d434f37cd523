"""Keeps several worker processes running, and ends them together."""

import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, Final

import structlog

from app.core.backoff import pause_after
from app.server.signals import ending_signals
from app.server.sockets import StartError

_STEADY_SECONDS: Final = 10.0
_EXTRA_SECONDS: Final = 1.0
"""Workers end themselves at the deadline; who is still there a little later cannot."""

_logger = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    report: Connection
    begun: float = field(default_factory=time.monotonic)
    ready: bool = False
    silent: bool = False
    reason: str | None = None

    def hear(self) -> None:
        """Take what it says; its end closes when it ends."""
        try:
            while not self.silent and self.report.poll():
                self.reason = self.report.recv()
                self.ready = self.reason is None
        except (EOFError, OSError):
            self.silent = True


class Supervisor:
    """Starts workers, replaces who dies, tells all of them once when to stop, and waits for the last.

    It has no event loop and serves nothing, so hardly anything can happen to it. Should it be killed, its workers end
    by themselves: they see a pipe close.
    """

    def __init__(
        self, context: SpawnContext, work: Callable[..., None], arguments: tuple[Any, ...], *, count: int
    ) -> None:
        """Each worker is a fresh process that runs `work(*arguments, place, report)`.

        `report` is a pipe that it sends None into once it serves, or the reason why it cannot.
        """
        self._context = context
        self._work = work
        self._arguments = arguments
        self._count = count
        self._workers: dict[int, _Worker] = {}
        self._due: dict[int, float] = {}
        self._failures: Counter[int] = Counter()
        self._announced = self._asked = False
        self._deadline: float | None = None
        self._refusal: str | None = None
        self._clean = True

    def run(self, announce: Callable[[], None], gone: Callable[[int], None], seconds: float) -> bool:
        """Run until SIGTERM, SIGINT or SIGHUP; tells whether all ended well.

        Raises StartError if the first ones do not serve.

        `announce` is called when all serve for the first time, `gone` with the place of each that ended; `seconds` are
        what the workers give themselves to stop.
        """
        with self._signals() as wake:
            self._due = dict.fromkeys(range(self._count), time.monotonic())
            while self._workers or self._due:
                self._start_who_is_due()
                self._await(wake)
                self._hear(announce)
                self._bury(gone)
                if self._asked and self._deadline is None:
                    self._stop(seconds)
                self._kill_who_is_late()
        if self._refusal:
            raise StartError(self._refusal)
        return self._clean

    @contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Have signals wake the loop; what they say is read from `_asked`."""
        wake, woken = socket.socketpair()
        with wake, woken:
            for end in (wake, woken):
                end.setblocking(False)  # noqa: FBT003 - the standard library's signature
            signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
            for name in ending_signals():
                signal.signal(name, self._ask)
            try:
                yield wake
            finally:
                signal.set_wakeup_fd(-1)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def _await(self, wake: socket.socket) -> None:
        times = [*self._due.values(), *([self._deadline] if self._deadline else [])]
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        sources: list[Any] = [wake, *(worker.process.sentinel for worker in self._workers.values())]
        sources += [worker.report for worker in self._workers.values() if not worker.silent]
        if wake in wait(sources, timeout):
            wake.recv(4096)

    def _start_who_is_due(self) -> None:
        now = time.monotonic()
        for place in [place for place, due in self._due.items() if due <= now]:
            del self._due[place]
            report, end = self._context.Pipe(duplex=False)
            process = self._context.Process(target=self._work, args=(*self._arguments, place, end))
            process.start()
            end.close()
            self._workers[place] = _Worker(process, report)

    def _hear(self, announce: Callable[[], None]) -> None:
        for worker in self._workers.values():
            worker.hear()
        serving = sum(worker.ready for worker in self._workers.values())
        if serving == self._count and not (self._announced or self._asked):
            self._announced = True
            announce()

    def _bury(self, gone: Callable[[int], None]) -> None:
        for place, worker in list(self._workers.items()):
            if worker.process.is_alive():
                continue
            worker.hear()
            worker.report.close()
            del self._workers[place]
            gone(place)
            if self._asked:
                self._clean &= worker.process.exitcode == 0 or not worker.ready
            elif self._announced:
                self._replace(place, worker)
            else:
                reason = f"a worker ended with {worker.process.exitcode} before it could serve"
                self._refusal = worker.reason or reason
                self._asked = True

    def _replace(self, place: int, worker: _Worker) -> None:
        now = time.monotonic()
        if now - worker.begun > _STEADY_SECONDS:
            self._failures[place] = 0
        self._failures[place] += 1
        delay = pause_after(self._failures[place])
        self._due[place] = now + delay
        code = worker.process.exitcode
        process = worker.process.pid
        _logger.error("worker_died", worker=place, process=process, code=code, reason=worker.reason, replaced_in=delay)

    def _stop(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds + _EXTRA_SECONDS
        self._due.clear()
        _logger.info("workers_stopping", processes=[worker.process.pid for worker in self._workers.values()])
        for worker in self._workers.values():
            worker.process.terminate()

    def _kill_who_is_late(self) -> None:
        if self._deadline is None or time.monotonic() < self._deadline:
            return
        self._deadline += _EXTRA_SECONDS
        for place, worker in self._workers.items():
            _logger.error("worker_killed", worker=place, process=worker.process.pid)
            worker.process.kill()
