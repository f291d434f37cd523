"""`python -m app` whose event loop notes its long turns in the file `TURNS`, a line of JSON each.

A turn is all that the loop does between two looks at its sockets: nobody else is served meanwhile.
"""

import asyncio.events
import gc
import json
import os
import runpy
import selectors
import sys
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any, Final

NOTED: Final = 0.004


class Turns:
    """The turn under way: when it began, its longest step, and what the collector took of it. Seconds."""

    def __init__(self) -> None:
        self.notes = Path(os.environ["TURNS"])
        self.begin()

    def begin(self) -> None:
        self.at, self.cpu = perf_counter(), thread_time()
        self.step, self.who, self.collector = 0.0, "", 0.0

    def end(self) -> None:
        seconds = perf_counter() - self.at
        if seconds > NOTED:
            cpu = thread_time() - self.cpu
            line = {"turn": seconds, "cpu": cpu, "step": self.step, "who": self.who, "collector": self.collector}
            with self.notes.open("a", encoding="utf-8") as notes:
                print(json.dumps(line), file=notes)

    def stepped(self, callback: Any, seconds: float) -> None:
        if seconds > self.step:
            task = getattr(callback, "__self__", None)
            code = task.get_coro() if isinstance(task, asyncio.Task) else callback
            self.step, self.who = seconds, getattr(code, "__qualname__", repr(code)[:60])


def watch() -> None:
    """Have the loop and the collector tell of themselves."""
    turns = Turns()
    select, run = selectors.EpollSelector.select, asyncio.events.Handle._run
    collecting = 0.0

    def timed_select(self: Any, timeout: float | None = None) -> Any:
        turns.end()
        try:
            return select(self, timeout)
        finally:
            turns.begin()

    def timed_run(self: Any) -> None:
        callback, began = self._callback, perf_counter()
        run(self)
        turns.stepped(callback, perf_counter() - began)

    def collected(phase: str, _: Any) -> None:
        nonlocal collecting
        if phase == "start":
            collecting = perf_counter()
        else:
            turns.collector += perf_counter() - collecting

    selectors.EpollSelector.select = timed_select
    asyncio.events.Handle._run = timed_run
    gc.callbacks.append(collected)


watch()
sys.argv = ["app"]
runpy.run_module("app", run_name="__main__")
