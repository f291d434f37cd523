"""What is written straight to the socket comes in order, and all of it, however slowly it is read."""

import asyncio
import hashlib
import random
import socket
import ssl

import pytest

from app.server.connection import WRITE_MARK, Connection


class Deaf:
    """Takes nothing, and waits for room."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.gone = asyncio.Event()

    def received(self, data: bytes) -> None:
        del data

    def writable(self) -> None:
        self.room.set()

    def left(self) -> bool:
        return False

    def lost(self) -> None:
        self.gone.set()


async def opened() -> tuple[Connection, Deaf, socket.socket]:
    """A detached connection, and the socket of its peer."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    connection, receiver = Connection(transport, loop.time), Deaf()
    connection.detach(receiver)
    return connection, receiver, theirs


async def drained(peer: socket.socket, size: int) -> bytes:
    loop, found = asyncio.get_running_loop(), bytearray()
    while len(found) < size:
        found += await loop.sock_recv(peer, random.choice((1, 100, 1 << 16)))
    return bytes(found)


@pytest.mark.parametrize("seed", range(5))
async def test_all_of_it_and_in_order(seed):
    chosen = random.Random(seed)
    connection, receiver, peer = await opened()
    sent = hashlib.sha256()
    pieces = [chosen.randbytes(chosen.choice((1, 300, 5000, WRITE_MARK, 3 * WRITE_MARK))) for _ in range(200)]
    reading = asyncio.create_task(drained(peer, sum(map(len, pieces))))
    straight = 0
    for piece in pieces:
        while connection.full:
            receiver.room.clear()
            await asyncio.wait_for(receiver.room.wait(), 5)
        connection.write(piece)
        straight += connection._send is not None
        sent.update(piece)
        if chosen.random() < 0.3:
            await asyncio.sleep(0)
    assert hashlib.sha256(await asyncio.wait_for(reading, 20)).digest() == sent.digest()
    assert connection.written == sum(map(len, pieces))
    assert straight
    connection.abort()
    peer.close()


async def test_nothing_follows_the_last_word():
    connection, _, peer = await opened()
    connection.write(b"one")
    connection.finished = True
    assert not connection.write(b"two")
    connection.close()
    await asyncio.sleep(0)
    assert await drained(peer, 3) == b"one"
    assert await asyncio.get_running_loop().sock_recv(peer, 10) == b""
    peer.close()


async def test_a_peer_that_is_gone_ends_the_connection():
    connection, receiver, peer = await opened()
    connection.write(b"one")
    peer.close()
    for _ in range(3):
        connection.write(b"x" * 1000)
    await asyncio.wait_for(receiver.gone.wait(), 5)
    assert connection.full
    assert not connection.write(b"more")


async def test_tls_is_not_written_past():
    """Bytes that went to the socket itself would be neither encrypted nor understood."""
    connection, _, peer = await opened()
    plain = connection._transport
    connection._transport = TlsTransport(plain)  # type: ignore[assignment]
    connection.write(b"one")
    assert connection._send is None
    plain.abort()
    peer.close()


class TlsTransport:
    """As asyncio's over TLS: it shows the socket below."""

    def __init__(self, below: asyncio.Transport) -> None:
        self._below = below

    def get_extra_info(self, name: str) -> object:
        return ssl.SSLObject if name == "ssl_object" else self._below.get_extra_info(name)

    def __getattr__(self, name: str) -> object:
        return getattr(self._below, name)
