"""An event that was put aside, and why: it is kept, and may be tried again."""

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """Why an event is parked."""

    UNKNOWN_TOPIC = "unknown_topic"
    BROKEN = "broken"
    UNKNOWN_STREAM = "unknown_stream"
    LATE = "late"
    TERMINAL = "terminal"
    EXISTS = "exists"


@dataclass(frozen=True, slots=True)
class Parked:
    """`why` for programs, `message` for people; `missing` are the streams whose arrival is the time to try again."""

    why: Why
    message: str
    missing: tuple[int, ...] = ()
