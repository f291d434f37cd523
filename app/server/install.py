"""Makes Hypercorn use our classes; it has no setting for them."""

import asyncio
from types import SimpleNamespace

import hypercorn.asyncio.run
import hypercorn.protocol
import hypercorn.protocol.ws_stream

from app.server.door import Door, RequestLimits
from app.server.entrance import Entrance, QuickFeeds
from app.server.http1 import Http1
from app.server.tcp import Server


def install(limits: RequestLimits, quick: QuickFeeds) -> Entrance:
    """Replace Hypercorn's classes, and return where connections come in: at first to `quick`.

    Also turns permessage-deflate off, for which Hypercorn has no switch: a message of 200 MB of one letter took 316 MB,
    and a connection's compression state costs more than the rest of it.
    """
    entrance = Entrance(quick, Door(limits), set())
    server = type("Server", (Server,), {"connections": entrance.connections, "door": entrance.door})
    hypercorn.asyncio.run.TCPServer = server  # type: ignore[assignment, attr-defined]
    setattr(hypercorn.protocol, "H11Protocol", Http1)  # noqa: B010 - mypy knows the module too well
    hypercorn.protocol.ws_stream.server_extensions_handshake = lambda *_: None  # type: ignore[attr-defined]
    # In that module alone: `asyncio.start_server` is the whole of what it asks for connections.
    streams = SimpleNamespace(**{**vars(asyncio), "start_server": entrance.listen})
    hypercorn.asyncio.run.asyncio = streams  # type: ignore[assignment, attr-defined]
    return entrance
