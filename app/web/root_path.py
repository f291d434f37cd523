"""A path prefix: the service behind a proxy at `https://example.com/fluxora/`."""

from typing import Any


class RootPath:
    """ASGI middleware: serves below a prefix, whether the proxy takes it off or leaves it."""

    def __init__(self, app: Any, prefix: str) -> None:
        """`prefix`: as in `/fluxora`; empty for none."""
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request; `path` with the prefix and `root_path` are what ASGI promises."""
        if self._prefix and scope["type"] in ("http", "websocket"):
            path: str = scope["path"]
            under = path == self._prefix or path.startswith(f"{self._prefix}/")
            scope = {**scope, "root_path": self._prefix, "path": path if under else f"{self._prefix}{path}"}
        await self._app(scope, receive, send)
