"""How long work for many clients may go on before other work of the event loop gets its turn."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Final, TypeVar

T = TypeVar("T")

_SHORTEST: Final = 0.0002
"""Beside other work: a request takes some 30 turns of the loop."""

_LONGEST: Final = 0.002
"""While nothing else has work, for turns cost time, too; whoever comes then waits once for so long."""

_NO_WORK: Final = 0.00006
"""A turn of the loop in which nothing else was done takes at most so long."""


SLICE_SECONDS: Final = 0.002
"""For what is done to all clients now and then: to 20,000 at once it would hold up everybody for 0.05 to 0.5 s."""

_SLICE_CHECK: Final = 8
"""Clients between two looks at the clock."""


async def in_slices(things: Collection[T]) -> AsyncIterator[T]:
    """Yield those that are there now, one after the other, and give others their turn between two slices."""
    loop = asyncio.get_running_loop()
    slice_end = loop.time() + SLICE_SECONDS
    for count, thing in enumerate(list(things), start=1):
        yield thing
        if count % _SLICE_CHECK == 0 and loop.time() >= slice_end:
            await asyncio.sleep(0)
            slice_end = loop.time() + SLICE_SECONDS


class Slices:
    """The times of the loop, in seconds, at which a slice of a round begins and ends."""

    def __init__(self) -> None:
        """Begin with a short one."""
        self._length = _SHORTEST
        self._ended = 0.0

    def begin(self, now: float) -> float:
        """Return until when a slice may go on that begins now."""
        idle = now - self._ended < _NO_WORK
        self._length = min(2 * self._length, _LONGEST) if idle else _SHORTEST
        return now + self._length

    def end(self, now: float) -> None:
        """Note when it ended: what passes until the next one begins is others' work."""
        self._ended = now
