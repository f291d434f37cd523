"""Pauses between two tries: longer each time, and never the same in all processes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    retry_if_result,
    wait_exponential,
    wait_random_exponential,
)

FIRST_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 5.0

_STEADY: Final = wait_exponential(multiplier=FIRST_SECONDS, max=LONGEST_SECONDS)
_SPREAD: Final = wait_exponential(multiplier=FIRST_SECONDS / 2, max=LONGEST_SECONDS / 2) + wait_random_exponential(
    multiplier=FIRST_SECONDS / 2, max=LONGEST_SECONDS / 2
)
_ALWAYS: Final = retry_if_exception_type() | retry_if_result(lambda _: True)


def pause_after(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row; the first is 1."""
    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = failures
    return _STEADY(state)


class Backoff:
    """Does something again and again, with pauses that begin anew when it went well for a while."""

    def __init__(self) -> None:
        """Nothing has failed yet."""
        self._failures = 0

    def reset(self) -> None:
        """Hear from what is done that it works: the next pause is short, and the next failure the first."""
        self._failures = 0

    async def run(self, work: Callable[[], Awaitable[None]], failed: Callable[[Exception | None, bool], None]) -> None:
        """Do `work` until cancelled, whether it fails or ends.

        `failed` is told the error, or None where it just ended, and whether it is the first in a row. What it raises
        ends this.
        """
        begun = 0.0
        loop = asyncio.get_running_loop()

        async def attempt() -> None:
            nonlocal begun
            begun = loop.time()
            await work()

        def pause(state: RetryCallState) -> float:
            if loop.time() - begun > LONGEST_SECONDS:
                self._failures = 0
            self._failures += 1
            state.attempt_number = self._failures
            return _SPREAD(state)

        def told(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            failed(error if isinstance(error, Exception) else None, self._failures == 1)

        await AsyncRetrying(retry=_ALWAYS, wait=pause, before_sleep=told, sleep=asyncio.sleep)(attempt)
