"""An event loop with a clock of its own: waiting takes no time, and a wait that nothing can end is an error."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, cast


class Stuck(Exception):
    """Every task waits for another: in real time the test would hang."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only where nothing else is left to do, by `tick` each iteration, and by `glance` each look."""

    def __init__(self, tick: float = 0.0, glance: float = 0.0) -> None:
        self.now = 0.0
        self.tick = tick
        self.glance = glance
        self.awaiting_quiet: list[asyncio.Future[None]] = []
        super().__init__(_Selector(self))

    def time(self) -> float:
        self.now += self.glance
        return self.now

    def pass_time(self, timeout: float | None) -> None:
        """Do what the selector would have done with this timeout; zero means that callbacks are ready."""
        if timeout == 0:
            self.now += self.tick
        elif self.awaiting_quiet:
            for quiet in self.awaiting_quiet:
                if not quiet.done():
                    quiet.set_result(None)
            self.awaiting_quiet.clear()
        elif timeout is None:
            raise Stuck
        else:
            self.now += timeout


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        self._loop.pass_time(timeout)
        return super().select(0)


async def settle() -> None:
    """Return when all others wait for time, for a test, or for ever."""
    loop = cast("VirtualLoop", asyncio.get_running_loop())
    quiet = loop.create_future()
    loop.awaiting_quiet.append(quiet)
    await quiet


async def iterations(count: int) -> None:
    """Let the loop turn this many times."""
    for _ in range(count):
        await asyncio.sleep(0)


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a loop of its own with virtual time; its parameters are its fixtures, as ever."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
