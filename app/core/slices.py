"""How long deliveries may go on before other work of the event loop gets its turn."""

from typing import Final

_SHORTEST: Final = 0.0002
"""Beside other work: a request takes some 30 turns of the loop."""

_LONGEST: Final = 0.002
"""While nothing else has work, for turns cost time, too; whoever comes then waits once for so long."""

_NO_WORK: Final = 0.00006
"""A turn of the loop in which nothing else was done takes at most so long."""


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
