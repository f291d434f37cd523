"""Who asks for the write in hand: it is recorded in the transaction that does it."""

from contextvars import ContextVar
from typing import Final

from app.core.access.ports import Actor

ACTING: Final[ContextVar[Actor | None]] = ContextVar("acting", default=None)
"""None: nobody outside asked, as when the chain is read."""
