"""What systemd, or another that starts the service, hands over and wants to hear."""

import os
import socket
from contextlib import suppress
from typing import Final

_FIRST: Final = 3
"""The descriptor of the first socket that is handed over, by `sd_listen_fds(3)`."""


def inherited_sockets() -> list[socket.socket]:
    """Return the listening sockets that were handed over (socket activation), once."""
    named, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if named != str(os.getpid()) or not count.isdigit():
        return []
    found = [socket.socket(fileno=number) for number in range(_FIRST, _FIRST + int(count))]
    for each in found:
        each.set_inheritable(False)
    return found


def notify(state: str) -> None:
    """Tell whoever started the service, if it asked for that (`sd_notify(3)`): `READY=1`, `STOPPING=1`."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith(("/", "@")):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            # It must not wait: nobody says that the other side reads.
            sender.setblocking(False)  # noqa: FBT003 - the standard library's signature
            sender.sendto(state.encode(), address.replace("@", "\0", 1))
