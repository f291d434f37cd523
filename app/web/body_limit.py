"""How large a request's body may be: batches of events may be larger than anything else."""

from typing import Any, Final

from quart import Request

_BATCHES: Final = "/api/events"


def request_class(most_of_a_batch: int) -> type[Request]:
    """Return the class of requests. Quart counts a body as it comes, before there is a route to ask for its limit."""

    class LimitedRequest(Request):
        def __init__(self, method: str, scheme: str, path: str, *rest: Any, **options: Any) -> None:
            if method == "POST" and path.rstrip("/").endswith(_BATCHES):
                options["max_content_length"] = most_of_a_batch
            super().__init__(method, scheme, path, *rest, **options)

    return LimitedRequest
