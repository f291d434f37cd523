"""Who is given events by the hub."""

from typing import Protocol

from app.core.batch import Batch
from app.core.messages import ServiceMessage


class Listener(Protocol):
    """Who is given events. It never raises for a reason of its own; if it does, it is failed and the round goes on."""

    def deliver(self, batch: Batch) -> None:
        """Take a batch; called while live."""

    def say(self, message: ServiceMessage) -> None:
        """Take a message of the service."""

    def wake(self, start: int | None = None) -> None:
        """Look for yourself. `start`: events after it are new, all before it were not wanted."""

    def fail(self) -> None:
        """End: taking events failed."""
