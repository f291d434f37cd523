"""Makes Hypercorn use our classes; it has no setting for them."""

import hypercorn.asyncio.run
import hypercorn.protocol
import hypercorn.protocol.ws_stream

from app.server.connection import Connection
from app.server.http1 import Http1
from app.server.tcp import Server


def install() -> set[Connection]:
    """Replace Hypercorn's classes, and return the set of its open connections.

    Also turns permessage-deflate off, for which Hypercorn has no switch: a message of 200 MB of one letter took 316 MB,
    and a connection's compression state costs more than the rest of it.
    """
    connections: set[Connection] = set()
    server = type("Server", (Server,), {"connections": connections})
    hypercorn.asyncio.run.TCPServer = server  # type: ignore[assignment, attr-defined]
    setattr(hypercorn.protocol, "H11Protocol", Http1)  # noqa: B010 - mypy knows the module too well
    hypercorn.protocol.ws_stream.server_extensions_handshake = lambda *_: None  # type: ignore[attr-defined]
    return connections
