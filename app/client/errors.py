"""What a consumer of the feed is told."""

from typing import Any


class FeedReset(Exception):
    """The cursor could not be served, so events are missing: load a snapshot, then iterate again.

    `reason` is `pruned`, `epoch`, `future` or `malformed`; the feed goes on live from `cursor`.
    """

    def __init__(self, message: dict[str, Any]) -> None:
        self.reason = str(message.get("reason"))
        self.cursor = message.get("cursor")
        super().__init__(f"the feed was reset: {self.reason}")


class FeedRefused(Exception):
    """The service will not have us, and would not later either: a bad request, a right or a credential that lacks.

    `status` is an HTTP status or a WebSocket close code.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"{status}: {reason}")


class Passing(Exception):
    """A connection ended, or could not be had; the next may succeed. `retry`: the server's wish, in seconds."""

    def __init__(self, reason: str, retry: float | None = None, *, dialled: bool = True) -> None:
        """`dialled` is False where no feed was opened at all."""
        self.reason = reason
        self.retry = retry
        self.dialled = dialled
        super().__init__(reason)
