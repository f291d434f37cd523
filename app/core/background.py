"""What runs as long as the service does: a task that fails is told, counted and started again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from app.core.backoff import Backoff

Runner = Callable[[], Coroutine[Any, Any, None]]
_logger = structlog.stdlib.get_logger(__name__)


class Background:
    """Supervises the service's own tasks. None of them may end: without any one of them, something stops in silence."""

    def __init__(self, *names: str) -> None:
        """`names`: tasks that are counted from the start, so that a counter is 0 before it is 1."""
        self.failures: Counter[str] = Counter(dict.fromkeys(names, 0))
        """How often each task failed, by its name."""

    @asynccontextmanager
    async def running(self, runners: Mapping[str, Runner]) -> AsyncIterator[None]:
        """Run these, by name, until the block is left."""
        self.failures.update(dict.fromkeys(runners, 0))
        tasks = [asyncio.create_task(self._keep(name, run), name=name) for name, run in runners.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):
                    _logger.error("task_failed_while_ending", exc_info=ended)

    async def _keep(self, name: str, run: Runner) -> None:
        def failed(error: Exception | None, first: bool) -> None:  # noqa: FBT001 - the backoff's signature
            self.failures[name] += 1
            # One traceback says it; the same one every five seconds would bury what else happens.
            reason = str(error) or type(error).__name__ if error else "it ended"
            _logger.error("task_failed", task=name, reason=reason, exc_info=error if first else None)

        await Backoff().run(run, failed)
