"""The signals that end the service, and the deadline that they set."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_BY_HAND: Final = b"\0"


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return those that end the service. Without SIGHUP where it came ignored: that is what `nohup` is for."""
    return tuple(
        name for name in _ENDING if name != signal.SIGHUP or signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    )


class Stop:
    """A request to stop, and the deadline that begins with it.

    The kernel's signal is written to a pipe by Python's C code, and a thread reads it: so the deadline holds although
    the event loop, which is to do the stopping, stands still.
    """

    def __init__(self, ask: Callable[[], object], seconds: float) -> None:
        """`ask` is called once, in another thread; `seconds` later the process ends, whatever it does."""
        self._ask = ask
        self._seconds = seconds
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def request(self) -> None:
        """Stop as if a signal had come."""
        os.write(self._writer, _BY_HAND)

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Heed the signals; afterwards they are ignored: platforms and supervisors send them more than once."""
        names = ending_signals()
        threading.Thread(target=self._wait, args=(frozenset(names),), name="stop", daemon=True).start()
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for name in names:
            signal.signal(name, lambda *_: None)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for name in names:
                signal.signal(name, signal.SIG_IGN)

    def _wait(self, names: frozenset[int]) -> None:
        while not names.union(_BY_HAND).intersection(os.read(self._reader, 64)):
            pass
        deadline = time.monotonic() + self._seconds
        self._ask()
        time.sleep(max(0.0, deadline - time.monotonic()))
        # Heroku's SIGKILL would come a little later anyway.
        os._exit(1)
