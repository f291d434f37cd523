"""What statuses a route may answer with, said beside the route."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeVar

Handler = TypeVar("Handler", bound=Callable[..., Any])
ATTRIBUTE: Final = "answered_with"


def answers(*statuses: int) -> Callable[[Handler], Handler]:
    """Note the statuses, beside those that have a document of their own, for the API's description."""

    def noted(handler: Handler) -> Handler:
        setattr(handler, ATTRIBUTE, tuple(map(HTTPStatus, statuses)))
        return handler

    return noted
