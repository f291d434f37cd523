"""What became of events that were posted, as JSON."""

from typing import Any

from app.core.changes import Ingested
from app.web.problems import describe


def shown_result(result: Ingested) -> dict[str, Any]:
    """Return the JSON object of one result."""
    shown: dict[str, Any] = {
        "eventId": None if result.key is None else "{}-{}".format(*result.key),
        "streamId": result.stream_id,
        "action": result.action,
    }
    if result.ids:
        shown["id"] = result.ids[0]
    if len(result.ids) > 1:
        shown["ids"] = result.ids
    if result.why is not None:
        shown["why"] = result.why
    if result.message is not None:
        shown["message"] = result.message
    if result.error is not None:
        shown["error"] = describe(result.error)
    return shown
