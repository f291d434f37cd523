"""permessage-deflate: the same feed in half the bytes, compressed once for all, and no bomb goes off."""

import asyncio
import json
import zlib

import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st

from app.web.feed.deflate import ANSWER, acceptable, deflate
from tests.conftest import api_of
from tests.support.data import created
from tests.support.feeds import follow
from tests.support.raw import BINARY, CONTINUATION, PING, PONG, TEXT, frame, raw_websocket

OFFER = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
COMPRESSED = 0b100


def compressed(text: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


def alone(data: bytes) -> bytes:
    """Decompressed by somebody who has seen nothing before."""
    return zlib.decompressobj(-15).decompress(data + b"\x00\x00\xff\xff")


@given(st.lists(st.binary(max_size=3000), max_size=20))
def test_each_message_can_be_read_alone(messages):
    assert [alone(deflate(message)) for message in messages] == messages


@pytest.mark.parametrize(
    ("offers", "accepted"),
    [
        (["permessage-deflate"], True),
        (["permessage-deflate; client_max_window_bits"], True),
        (["permessage-deflate; client_max_window_bits=10; server_no_context_takeover"], True),
        (["x-webkit-deflate-frame, permessage-deflate;client_no_context_takeover"], True),
        (["permessage-deflate; server_max_window_bits=10, permessage-deflate"], True),
        (["permessage-bzip2", "permessage-deflate"], True),
        (["permessage-deflate; server_max_window_bits=10"], False),
        (["permessage-deflate; window=3"], False),
        (["permessage-deflate; client_no_context_takeover; client_no_context_takeover"], False),
        (["permessage-deflates"], False),
        ([";;,,"], False),
        ([""], False),
        ([], False),
    ],
)
def test_what_is_accepted(offers, accepted):
    assert acceptable(offers) is accepted


async def test_it_is_the_same_feed_in_half_the_bytes(server):
    async with (
        websockets.connect(f"{server.ws}?greeting=false", compression="deflate") as small,
        follow(server, "websocket") as plain,
        raw_websocket(server, **OFFER) as raw,
        api_of(server) as api,
    ):
        assert small.response.headers["Sec-WebSocket-Extensions"] == ANSWER
        assert ANSWER in raw.response
        await (await small.ping())
        await api.post("/api/events", json={"events": [created() for _ in range(300)]})
        await plain.count(300)
        got: list[str] = []
        async with asyncio.timeout(15):
            while len(got) < len(plain.raw):
                got.append(await small.recv())
        assert got == plain.raw
        sizes = []
        for text in plain.raw:
            opcode, payload = await raw.frame()
            assert (opcode, alone(payload)) == (TEXT, text.encode())
            sizes.append(len(payload))
        assert sum(sizes) < 0.65 * sum(map(len, plain.raw))


async def test_a_resume_and_service_messages_are_the_same(server):
    async with api_of(server) as api, follow(server, "websocket") as plain:
        await api.post("/api/events", json={"events": [created() for _ in range(50)]})
        await plain.count(50)
    start = plain.events[9]["id"]
    async with websockets.connect(f"{server.ws}?greeting=false&lastEventId={start}", compression="deflate") as small:
        async with asyncio.timeout(15):
            assert [json.loads(await small.recv())["id"] for _ in range(40)] == [e["id"] for e in plain.events[10:]]
            await small.send(json.dumps({"type": "subscribe", "filter": {"streamId": ["stream-x" + "y" * 100]}}))
            assert json.loads(await small.recv())["event"] == "subscribed"
            await small.send('{"type":"ping"}')
            assert json.loads(await small.recv())["event"] == "pong"


async def test_compressed_messages_are_read_in_any_pieces(server):
    async with raw_websocket(server, **OFFER) as client:
        data = compressed(b'{"type":"ping"}')
        await client.send(frame(TEXT, data, rsv=COMPRESSED))
        assert b"pong" in (await client.frame())[1]
        await client.send(frame(TEXT, data[:3], fin=False, rsv=COMPRESSED))
        await client.send(frame(CONTINUATION, data[3:], fin=False) + frame(CONTINUATION))
        assert b"pong" in (await client.frame())[1]
        await client.send(frame(TEXT, b'{"type":"ping"}'))
        assert b"pong" in (await client.frame())[1]
        await client.send(frame(PING) + frame(TEXT, data[:3], fin=False, rsv=COMPRESSED) + frame(PING))
        await client.send(frame(CONTINUATION, data[3:]) + frame(PING) + frame(TEXT, data, rsv=COMPRESSED))
        opcodes = [(await client.frame())[0] for _ in range(5)]
        assert (opcodes.count(PONG), opcodes.count(TEXT)) == (3, 2)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, compressed(b"x" * 5000), rsv=COMPRESSED), 1009),
        (frame(TEXT, compressed(b"x" * 20_000_000), rsv=COMPRESSED), 1009),
        (frame(TEXT, compressed("\u20ac".encode() * 100_000), rsv=COMPRESSED), 1009),
        (frame(TEXT, b"\xff\xff\xff", rsv=COMPRESSED), 1007),
        (frame(TEXT, compressed(b"\xff"), rsv=COMPRESSED), 1007),
        (frame(BINARY, compressed(b"x"), rsv=COMPRESSED), 1003),
        (frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", rsv=COMPRESSED), 1002),
        (frame(PING, b"x", rsv=COMPRESSED), 1002),
    ],
    ids=["large", "bomb", "large, cut in a character", "nonsense", "no UTF-8", "binary", "in the middle", "ping"],
)
async def test_what_breaks_the_rules_is_closed_with_its_code(server, sent, code):
    before = server.memory()
    async with raw_websocket(server, **OFFER) as client:
        await client.send(sent)
        assert await client.close_code() == code
        await client.cut()
    assert server.memory() - before < 10_000_000


async def test_without_an_offer_nothing_is_compressed(server):
    async with raw_websocket(server) as client:
        assert "extensions" not in client.response.lower()
        await client.send(frame(TEXT, compressed(b'{"type":"ping"}'), rsv=COMPRESSED))
        assert await client.close_code() == 1002
