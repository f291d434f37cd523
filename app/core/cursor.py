"""A position in one history of the log."""

import re
from dataclasses import dataclass
from typing import Self

_CURSOR = re.compile(r"([a-z0-9]{1,32})-(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in one history of the log; everything up to and including `seq` has been seen."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        """Return the wire form, `<epoch>-<seq>`; it is also the id of the event at that position."""
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the wire form; raises ValueError."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            message = "must be an event's id, as in `k7f2-1042`"
            raise ValueError(message)
        return cls(match[1], int(match[2]))
