"""Answers that the server gives by itself, as problem documents (RFC 9457): the app never sees such requests."""

from http import HTTPStatus
from typing import NamedTuple

import orjson


class Refusal(Exception):
    """A request that is not served; its connection ends with the answer."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        """`detail`: a sentence for whoever wrote the client."""
        super().__init__(detail)
        self.status, self.detail = status, detail

    @property
    def answer(self) -> "Answer":
        """What is sent."""
        title = self.status.phrase
        body = orjson.dumps(
            {
                "type": f"urn:fluxora:problem:{title.lower().replace(' ', '-')}",
                "title": title,
                "status": self.status,
                "detail": self.detail,
            }
        )
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
        ]
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"retry-after", b"5"))
        return Answer(self.status, headers, body)


class Answer(NamedTuple):
    """A whole response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def __bytes__(self) -> bytes:
        """As HTTP/1.1 has it."""
        lines = b"".join(b"%b: %b\r\n" % header for header in self.headers)
        return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (self.status, HTTPStatus(self.status).phrase.encode(), lines, self.body)
