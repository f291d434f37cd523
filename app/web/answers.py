"""Answers in JSON."""

from http import HTTPStatus
from typing import Any

from quart import Response

from app.core.encoding import encode


def json_answer(document: Any, status: int = HTTPStatus.OK, content_type: str = "application/json") -> Response:
    """Return a document as a response; `bytes` are JSON already."""
    body = document if isinstance(document, bytes) else encode(document)
    return Response(body, status, content_type=content_type)
