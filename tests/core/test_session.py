"""A client's bytes, cut anywhere: what a WebSocket session makes of them, and that its failure is its own."""

import asyncio
import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.filter import EventFilter
from app.web.feed.deflate import deflate
from app.web.feed.frame_scanner import FrameScanner
from app.web.feed.websocket_session import WebSocketSession
from tests.core.test_hub import process, publish
from tests.support.memory import row
from tests.support.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame
from tests.support.virtual import VirtualLoop, settle, virtual

SETTINGS = SimpleNamespace(max_message_bytes=4096, message_rate_limit=10, message_rate_window=10.0)


class Connection:
    """Remembers what is written, and how it ended."""

    def __init__(self) -> None:
        self.last_read = 0.0
        self.sent = b""
        self.finished = self.closed = self.eof = self.aborted = self.paused = False
        self.full = False

    def detach(self, receiver) -> None:
        self.receiver = receiver

    def write(self, data: bytes) -> bool:
        if self.finished:
            return False
        self.sent += data
        return True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def finish(self) -> None:
        self.finished = self.eof = True

    def close(self) -> None:
        self.finished = self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def heard(self) -> list[tuple]:
        """What the client reads: kinds of frames, and close codes, in order."""
        kinds = {TEXT: "text", PING: "ping", PONG: "pong", CLOSE: "close"}
        heard, data = [], self.sent
        while data:
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            payload, opcode = data[start : start + size], data[0] & 0x0F
            heard.append((kinds[opcode], int.from_bytes(payload[:2], "big")) if opcode == CLOSE else (kinds[opcode],))
            data = data[start + size :]
        return heard


class Registration:
    """A client's subscription; nothing else is counted here."""

    def __init__(self, subscription) -> None:
        self.subscription = subscription
        self.watched = SimpleNamespace(pinger=None)
        self.id = "test"
        self.reason = "client left"
        self.renew = lambda *_: None

    def end_soon(self, close) -> None:
        self.reason = close.reason

    def close(self) -> None:
        pass


async def connected(*, deflated: bool = False):
    here = await process()
    connection = Connection()
    subscription = here.feed.open(EventFilter(), None)
    session = WebSocketSession(Registration(subscription), connection, SETTINGS, deflated=deflated, greeting=False)
    return here, session, connection


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in itertools.pairwise(places)]


def outcome(pieces: list[bytes], *, deflated: bool) -> tuple:
    async def run() -> tuple:
        here, session, connection = await connected(deflated=deflated)
        for piece in pieces:
            session.received(piece)
            await settle()
        await asyncio.sleep(5)
        here.hub.publish(here.log.commit(row(1)))
        await settle()
        heard = connection.heard()
        # Answers that came before the end may be lost with it, and a pong may overtake one.
        shown = heard[-1:] if connection.finished else sorted(heard)
        return shown, connection.finished, connection.closed, connection.aborted

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


PING_MESSAGE = b'{"type":"ping"}'
frames = st.sampled_from(
    [
        frame(PONG),
        frame(PONG, b"abcd"),
        frame(PING, b"?"),
        frame(TEXT, PING_MESSAGE),
        frame(TEXT, PING_MESSAGE[:4], fin=False) + frame(PONG) + frame(CONTINUATION, PING_MESSAGE[4:]),
        frame(TEXT, "é€😀".encode()),
        frame(TEXT, deflate(PING_MESSAGE), rsv=4),
        frame(TEXT, deflate(b"x" * 5000), rsv=4),
        frame(TEXT, b"x" * 5000),
        frame(TEXT, b"?") * 11,
        frame(BINARY, b"x"),
        frame(TEXT, b"\xff"),
        frame(3),
        frame(CLOSE, b"\x03\xe8"),
        frame(CLOSE),
    ]
)
streams = st.lists(frames, max_size=6).map(b"".join) | st.binary(max_size=60)


@given(streams, st.lists(st.integers(0, 70_000), max_size=12), st.booleans())
def test_bytes_mean_the_same_however_they_are_cut(data, cuts, deflated):
    whole = outcome([data], deflated=deflated)
    assert outcome(pieces_of(data, cuts), deflated=deflated) == whole
    if not whole[1]:
        assert whole[0][-1] == ("text",), "the feed goes on"


@given(st.lists(frames, max_size=3).map(b"".join), st.booleans())
def test_bytes_mean_the_same_octet_by_octet(data, deflated):
    data = data[:300]
    assert outcome([data[at : at + 1] for at in range(len(data))], deflated=deflated) == outcome(
        [data], deflated=deflated
    )


@virtual
async def test_a_pong_whose_first_byte_comes_alone():
    here, session, connection = await connected()
    pong = frame(PONG, b"abcd")
    for at in range(len(pong)):
        session.received(pong[at : at + 1])
    publish(here, row(1))
    await settle()
    assert connection.heard() == [("text",)]


@virtual
async def test_too_many_messages_and_then_an_oversized_compressed_one():
    _, session, connection = await connected(deflated=True)
    session.received(frame(TEXT, b"?") * 11 + frame(TEXT, deflate(b"x" * 5000), rsv=4))
    await settle()
    assert connection.heard()[-1] == ("close", 1008)
    assert not connection.closed
    session.received(frame(CLOSE, b"\x03\xf0"))
    assert connection.closed
    assert not connection.aborted


@pytest.mark.parametrize("deflated", [False, True])
@virtual
async def test_after_our_close_frame_everything_is_dropped_up_to_the_clients(deflated):
    _, session, connection = await connected(deflated=deflated)
    session.received(frame(TEXT, fin=False))
    for _ in range(1300):
        session.received(frame(CONTINUATION, b"x" * 4096, fin=False))
        assert not connection.paused
    assert connection.heard() == [("close", 1009)]
    assert not connection.closed
    end = frame(CLOSE, b"\x03\xf1")
    session.received(end[:3])
    assert not connection.closed
    session.received(end[3:])
    assert (connection.closed, connection.aborted) == (True, False)


@virtual
async def test_a_client_that_never_stops_is_read_no_further_than_a_bound():
    _, session, connection = await connected()
    session.received(frame(BINARY, b"x"))
    dropped = 0
    while not connection.paused:
        session.received(frame(TEXT, b"x" * 60_000))
        dropped += 60_000
        assert dropped < 40 << 20
    assert (connection.eof, connection.aborted) == (True, False)


@virtual
async def test_what_fails_ends_the_client_alone(monkeypatch):
    here, session, connection = await connected()
    other = Connection()
    WebSocketSession(Registration(here.feed.open(EventFilter(), None)), other, SETTINGS, deflated=False, greeting=False)

    def broken(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr("app.web.feed.control.parse_control", broken)
    session.received(frame(TEXT, PING_MESSAGE))
    publish(here, row(1))
    await settle()
    assert connection.heard() == [("close", 1011)]
    assert other.heard() == [("text",)]


@virtual
async def test_a_write_that_fails_in_a_round_ends_its_client_alone():
    here, _, first = await connected()
    others = [Connection() for _ in range(5)]
    for each in others:
        WebSocketSession(
            Registration(here.feed.open(EventFilter(), None)), each, SETTINGS, deflated=False, greeting=False
        )

    def broken(_):
        raise RuntimeError("broken")

    first.write = broken
    publish(here, row(1))
    await settle()
    publish(here, row(2))
    await asyncio.sleep(1)
    assert all(each.heard() == [("text",), ("text",)] for each in others)
    assert first.aborted


@given(
    st.lists(
        st.tuples(st.sampled_from([TEXT, CONTINUATION, PING, PONG]), st.integers(0, 70_000), st.booleans()), max_size=5
    ),
    st.lists(st.integers(0, 200_000), max_size=8),
    st.booleans(),
)
def test_the_scanner_finds_the_close_frame_and_no_other(shapes, cuts, closes):
    data = b"".join(frame(opcode, b"\x88" * size, masked=masked) for opcode, size, masked in shapes)
    data += frame(CLOSE, b"\x03\xe8") if closes else b""
    scanner = FrameScanner()
    for piece in pieces_of(data, cuts):
        assert not scanner.closed
        scanner.feed(piece)
    assert scanner.closed is closes
