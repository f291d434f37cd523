"""The straight way to a client's socket, where its connection offers one."""

from collections.abc import Mapping
from typing import Any

from app.core.ports import Form
from app.web.liveness import Wire


class Outlet:
    """Writes events to the connection itself, encoded for it once and for all."""

    __slots__ = ("_wire", "drained", "form", "write")

    def __init__(self, wire: Wire, form: Form) -> None:
        """Take the connection's own methods: they are called for every delivery."""
        self.form = form
        self.write = wire.write
        self.drained = wire.drained


def outlet_of(scope: Mapping[str, Any], form: Form) -> Outlet | None:
    """Return an outlet, or None: on HTTP/2, which frames everything, and under other servers."""
    wire = (scope.get("state") or {}).get("connection")
    return Outlet(wire, form) if wire is not None and scope.get("http_version") == "1.1" else None
