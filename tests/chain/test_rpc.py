"""Every answer that a node, or what stands before it, can give."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chain import rpc as rpc_module
from app.chain.answers import Page, error_of
from app.chain.faults import OurMistake, OutOfRange, RpcFault, TooHeavy, WrongNetwork
from app.chain.position import ChainPosition
from app.chain.rpc import StellarRpc, filters_of

CONTRACT = "CDLKTBMYEEXNOKPVXGSNDN77JXGBGQN37R2ATEZSLOIQOKMFEFBC6TU3"


@asynccontextmanager
async def node(answer: bytes | None, *, deadline: float = 5, pause: float = 0):
    """A socket that answers each request with these bytes, and closes; with None, never."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        asked.append(head + await reader.readexactly(length))
        if answer is None:
            await reader.read()
        for byte in [answer or b""] if not pause else [bytes([each]) for each in answer or b""]:
            writer.write(byte)
            await asyncio.sleep(pause)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with StellarRpc(f"http://127.0.0.1:{port}/key", deadline=deadline) as rpc:
        rpc.asked = asked
        yield rpc
    server.close()


def http(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


def result(value: object) -> bytes:
    return http(orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": value}))


def error(code: object, message: str = "no", status: str = "200 OK") -> bytes:
    return http(orjson.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}}), status)


HTML = b"<html><body>502</body></html>"

FAULTS = {
    "http_429": http(b"", "429 Too Many Requests"),
    "http_5xx": http(b"", "503 Service Unavailable"),
    "http_5xx of a gateway": http(HTML, "502 Bad Gateway"),
    "http_5xx of a timeout": http(b"", "504 Gateway Timeout"),
    "http_5xx of a request timeout": http(b"", "408 Request Timeout"),
    "not_json": http(HTML),
    "not_json of nothing": http(b""),
    "not_json cut inside": http(b'{"jsonrpc": "2.0", "id": 1, "result": {'),
    "not_json nested": http(b"[" * 100_000),
    "cut": http(b'{"jsonrpc"')[:-3],
    "cut before the head": b"HTTP/1.1 200 OK\r\nContent-",
    "malformed id": http(b'{"jsonrpc": "2.0", "id": 7, "result": {}}'),
    "malformed result": http(b'{"jsonrpc": "2.0", "id": 1, "result": []}'),
    "malformed array": http(b"[1, 2]"),
    "malformed error": error("x"),
    "malformed events": result({"latestLedger": 5, "events": [3]}),
    "malformed list": result({"latestLedger": 5, "events": {"a": 1}}),
    "malformed ledger": result({"latestLedger": "5", "events": []}),
    "malformed bool": result({"latestLedger": True, "events": []}),
    "malformed big": result({"latestLedger": 2**62, "events": []}),
    "malformed cursor": result({"latestLedger": 5, "events": [], "cursor": "soon"}),
    "malformed future": result({"latestLedger": 5, "events": [], "cursor": ChainPosition.end_of(6).cursor}),
    "malformed item": result({"latestLedger": 5, "events": [{"id": None}]}),
    "malformed gzip": http(b"x", Content_Encoding="gzip"),
    "rpc_32603": error(-32603, "latency is too high"),
    "rpc_32003": error(-32003),
    "rpc_other": error(-32099),
}
MISTAKES = {
    "http_4xx": http(b"", "401 Unauthorized"),
    "http_4xx of a path": http(HTML, "404 Not Found"),
    "http_other": http(b"", "301 Moved Permanently", Location="http://127.0.0.1:1/"),
    "rpc_32602": error(-32602, "limit must not exceed 100"),
    "rpc_32602 with a status": error(-32602, status="400 Bad Request"),
    "rpc_32601": error(-32601),
    "rpc_32600": error(-32600, "invalid request"),
}


@pytest.mark.parametrize(("name", "answer"), [*FAULTS.items(), *MISTAKES.items()], ids=[*FAULTS, *MISTAKES])
async def test_every_bad_answer_has_a_name(name: str, answer: bytes) -> None:
    async with node(answer) as rpc:
        with pytest.raises(RpcFault) as caught:
            await rpc.events([CONTRACT], 3)
    assert caught.value.outcome == name.split(maxsplit=1)[0]
    assert isinstance(caught.value, OurMistake) == (name in MISTAKES)


async def test_out_of_range_tells_the_range() -> None:
    async with node(error(-32600, "startLedger must be within the ledger range: 100 - 220", "400 Bad Request")) as rpc:
        with pytest.raises(OutOfRange) as caught:
            await rpc.events([CONTRACT], 3)
    assert (caught.value.oldest, caught.value.latest) == (100, 220)


async def test_too_heavy_is_told_apart() -> None:
    async with node(error(-32001, "request exceeded processing limit threshold")) as rpc:
        with pytest.raises(TooHeavy):
            await rpc.events([CONTRACT], 3)


async def test_a_node_that_is_not_there_or_says_nothing_is_a_fault() -> None:
    async with StellarRpc("http://127.0.0.1:1/") as rpc:
        with pytest.raises(RpcFault) as caught:
            await rpc.health()
        assert caught.value.outcome == "unreachable"
    async with StellarRpc("ftp://127.0.0.1/") as rpc:
        with pytest.raises(OurMistake):
            await rpc.health()
    async with node(None, deadline=0.2) as rpc:
        with pytest.raises(RpcFault) as caught:
            await rpc.health()
        assert caught.value.outcome == "timeout"


async def test_a_node_that_drips_bytes_is_given_up_at_the_deadline() -> None:
    async with node(result({"latestLedger": 5}), deadline=0.3, pause=0.02) as rpc:
        with pytest.raises(RpcFault) as caught:
            await rpc.health()
    assert caught.value.outcome == "timeout"


async def test_an_answer_is_read_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_module, "_MOST_BYTES", 1000)
    async with node(result({"latestLedger": 5, "padding": "x" * 1000})) as rpc:
        with pytest.raises(RpcFault) as caught:
            await rpc.health()
    assert caught.value.outcome == "too_large"


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("7", 7, 7),
        ("0.25", 0.25, 0.25),
        ("-3", 0, 0),
        ("99999", 300, 300),
        ("inf", 300, 300),
        ("nan", 0, 0),
        ("soon", 0, 0),
        ("in 100 seconds", 30, 100),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
    ],
)
async def test_retry_after_is_honoured_within_reason(text: str, least: float, most: float) -> None:
    if text == "in 100 seconds":
        text = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    async with node(http(b"", "429 Too Many Requests", Retry_After=text)) as rpc:
        with pytest.raises(RpcFault) as caught:
            await rpc.health()
    assert least <= caught.value.retry_after <= most


async def test_the_passphrase_is_compared_whole() -> None:
    async with node(result({"passphrase": "Test SDF Network ; September 2015 "})) as rpc:
        with pytest.raises(WrongNetwork):
            await rpc.check_network("Test SDF Network ; September 2015")
    async with node(result({"passphrase": "Test SDF Network ; September 2015"})) as rpc:
        await rpc.check_network("Test SDF Network ; September 2015")


async def test_entries_and_the_newest_ledger_are_read() -> None:
    async with node(result({"entries": [{"key": "k", "xdr": "x"}], "latestLedger": 9})) as rpc:
        assert await rpc.ledger_entries(["k"]) == ([{"key": "k", "xdr": "x"}], 9)
        with pytest.raises(ValueError, match="200"):
            await rpc.ledger_entries(["k"] * 201)
    async with node(result({"sequence": 12})) as rpc:
        assert await rpc.latest_ledger() == 12


async def test_a_cursor_never_goes_with_ledgers() -> None:
    answer = result({"latestLedger": 9, "events": []})
    async with node(answer) as rpc:
        await rpc.events([CONTRACT], ChainPosition.end_of(4), end_ledger=7)
        sent = orjson.loads(rpc.asked[0].partition(b"\r\n\r\n")[2])["params"]
    assert "startLedger" not in sent
    assert "endLedger" not in sent
    assert sent["pagination"]["cursor"] == ChainPosition.end_of(4).cursor


def test_filters_hold_five_contracts_each_and_are_five_at_most() -> None:
    many = filters_of([f"C{number}" for number in range(25)])
    assert [len(each["contractIds"]) for each in many] == [5] * 5
    for wrong in ([], ["C"] * 26):
        with pytest.raises(ValueError, match="25"):
            filters_of(wrong)


json = st.sampled_from([None, True, -1, 0, 5, 2**70, 1.5, "", "5", "1-1", "21474836480-7", [], [5], {}, {"id": "1-1"}])


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "events": json | st.lists(st.fixed_dictionaries({"id": json})),
            "latestLedger": json | st.integers(0, 9),
            "oldestLedger": json,
            "cursor": json,
        },
    )
)
def test_no_answer_makes_anything_but_a_page_or_a_fault(answer) -> None:
    try:
        page = Page.parse(answer)
    except RpcFault:
        return
    assert page.upto is None or page.upto.ledger <= page.window.latest


@given(json | st.fixed_dictionaries({"code": st.integers(), "message": json}))
def test_no_error_makes_anything_but_a_fault(value) -> None:
    assert isinstance(error_of(value), RpcFault)
