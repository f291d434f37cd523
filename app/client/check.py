"""Is a feed what it says? Tried from outside, through whatever stands in front."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final

import httpx
import websockets
from websockets.asyncio.client import ClientConnection, connect

from app.client.checked import Failed, judge, reading, want
from app.client.finding import Finding, Skipped, found
from app.client.request import FeedRequest
from app.client.transports import over_sse, over_websocket

_FIRST_BYTE_SECONDS: Final = 5.0
_EVENT_SECONDS: Final = 15.0
_CHECK_SECONDS: Final = 30.0
_SSE: Final = "SSE opens at once"
_WEBSOCKET: Final = "WebSocket opens"
_UNKNOWN_CURSOR: Final = "0000000000-1"
_EVENTS: Final = 20
_ACCOUNTS: Final = (
    "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ",
    "GBRPYHIL2CI3FNQ4BXLFMNDLFJUNPU2HY3ZMFSHONUCEOASW7QC7OX2H",
)


@dataclass(slots=True)
class Check:
    """A service to look at. `key` may write; without one, only what reading shows is checked. `wait` is in seconds."""

    url: str
    token: str | None = None
    key: str | None = None
    wait: float = 20.0
    cursor: str | None = None
    made: list[str] = field(default_factory=list)

    async def run(self) -> AsyncIterator[Finding]:
        """Yield what is found, check by check. What needs a transport that does not open is not tried."""
        failed: set[str] = set()
        for name, check, needs in self._checks():
            if lacking := failed.intersection(needs):
                yield Finding(name, ok=None, detail=f"needs what failed: {', '.join(sorted(lacking))}")
                continue
            finding = await found(name, check, seconds=self.wait + _CHECK_SECONDS)
            if finding.ok is False:
                failed.add(name)
            yield finding

    def _checks(self) -> list[tuple[str, Callable[[], Awaitable[str]], tuple[str, ...]]]:
        return [
            ("health", self._health, ()),
            (_SSE, self._sse_opens, ()),
            (_WEBSOCKET, self._websocket_opens, ()),
            ("an unknown cursor is a reset", self._resets, (_SSE, _WEBSOCKET)),
            ("control messages", self._control, (_WEBSOCKET,)),
            ("limits and close codes", self._limits, (_WEBSOCKET,)),
            ("keepalive", self._keepalive, (_SSE,)),
            ("same events on both, in order, once", self._same_events, (_SSE, _WEBSOCKET)),
            ("resume, on each and across", self._resume, (_SSE, _WEBSOCKET)),
            ("a slow reader misses nothing", self._slow_reader, (_SSE,)),
        ]

    async def _health(self) -> str:
        async with self._client() as client:
            answer = await client.get("/health")
        if answer.status_code != httpx.codes.OK:
            message = f"/health answers {answer.status_code}"
            raise Failed(message)
        told = answer.json()
        return f"version {told.get('version')}, {told.get('status')}"

    async def _sse_opens(self) -> str:
        began, hop = time.monotonic(), "a hop in front"
        try:
            async with (
                asyncio.timeout(_FIRST_BYTE_SECONDS),
                self._client() as client,
                client.stream("GET", "/sse/streams") as answer,
            ):
                hop = _hop(answer)
                want(answer.status_code == httpx.codes.OK, f"HTTP {answer.status_code}")
                kind = answer.headers.get("Content-Type", "")
                want(kind.startswith("text/event-stream"), f"Content-Type is {kind or 'missing'}")
                first = await _first_block(answer)
        except TimeoutError:
            message = f"no block in {_FIRST_BYTE_SECONDS:g} s: {hop} buffers, and ignores X-Accel-Buffering"
            raise Failed(message) from None
        want("feed.opened" in first, "the first block is no feed.opened")
        want("no-transform" in answer.headers.get("Cache-Control", ""), f"{hop} changes Cache-Control")
        want("Content-Encoding" not in answer.headers, f"{hop} compresses the feed, so it is held back")
        return f"first block after {(time.monotonic() - began) * 1000:.0f} ms"

    async def _websocket_opens(self) -> str:
        try:
            async with self._websocket() as connection:
                first = json.loads(await asyncio.wait_for(connection.recv(), _FIRST_BYTE_SECONDS))
        except websockets.InvalidStatus as refused:
            response = refused.response
            said = bytes(response.body or b"").decode(errors="replace")[:300]
            hop = response.headers.get("Via") or response.headers.get("Server") or "what is in front"
            message = f"HTTP {response.status_code} from {hop}: {said or 'the upgrade was not passed on'}"
            raise Failed(message) from None
        want(first.get("event") == "feed.opened", f"the first message is {first.get('event')}")
        self.cursor = first.get("cursor")
        return f"cursor {self.cursor}"

    async def _resets(self) -> str:
        for source in (over_sse, over_websocket):
            for cursor, reasons in ((_UNKNOWN_CURSOR, {"epoch"}), ("nonsense", {"malformed"})):
                async with reading(source(self._request(cursor), 30)) as messages:
                    told = await messages.until(lambda m: m.get("event") == "feed.reset")
                    want(told["reason"] in reasons, f"{told['reason']} instead of {', '.join(reasons)}")
        return "on both"

    async def _control(self) -> str:
        async with self._websocket() as connection:
            for said, event in (({"type": "ping"}, "pong"), ({"type": "nonsense"}, "error")):
                await connection.send(json.dumps(said))
                await _message(connection, event)
            await connection.send(json.dumps({"type": "subscribe", "filter": {"event": "stream.cancelled"}}))
            told = await _message(connection, "subscribed")
        return f"subscribed from {told['cursor']}"

    async def _limits(self) -> str:
        for said, code in ((b"binary", 1003), ("x" * 100_000, 1009)):
            async with self._websocket() as connection:
                await connection.send(said)
                with suppress(websockets.ConnectionClosed):
                    while True:
                        await asyncio.wait_for(connection.recv(), _EVENT_SECONDS)
                want(connection.close_code == code, f"{connection.close_code} instead of {code}")
        return "1003, 1009"

    async def _keepalive(self) -> str:
        if not self.wait:
            message = "not waited for (--wait)"
            raise Skipped(message)
        async with self._client() as client, client.stream("GET", "/sse/streams") as answer:
            chunks, opening = answer.aiter_bytes(), b""
            async with asyncio.timeout(_FIRST_BYTE_SECONDS):
                while b"feed.opened" not in opening or not opening.endswith(b"\n\n"):
                    opening += await anext(chunks)
            began = time.monotonic()
            try:
                await asyncio.wait_for(anext(chunks), self.wait)
            except (TimeoutError, StopAsyncIteration, httpx.TransportError):
                message = f"nothing in {self.wait:g} s of silence, or the end: {_hop(answer)} cuts or holds back"
                raise Failed(message) from None
        return f"after {time.monotonic() - began:.0f} s"

    async def _same_events(self) -> str:
        async with (
            reading(over_sse(self._request(None), 60)) as one,
            reading(over_websocket(self._request(None), 60)) as two,
        ):
            self.cursor = (await one.until(lambda m: m.get("event") == "feed.opened"))["cursor"]
            await two.until(lambda m: m.get("event") == "feed.opened")
            await self._write()
            seen = [await each.of(self.made) for each in (one, two)]
        want(seen[0] == seen[1], "the transports differ")
        judge(seen[0], self.made)
        return f"{len(seen[0])} events"

    async def _resume(self) -> str:
        self._needs_events()
        got: list[dict[str, Any]] = []
        cursor = self.cursor
        sources = cycle((over_sse, over_websocket))
        while len(got) < 2 * len(self.made):
            async with reading(next(sources)(self._request(cursor), 30)) as messages:
                for _ in range(3):
                    event, moved = await messages.event()
                    if event["streamId"] in self.made:
                        got.append(event)
                    cursor = moved
                    if len(got) == 2 * len(self.made):
                        break
        judge(got, self.made)
        return f"{len(got)} events over {-(-len(got) // 3)} connections"

    async def _slow_reader(self) -> str:
        self._needs_events()
        async with reading(over_sse(self._request(self.cursor), 60)) as messages:
            messages.slow = 0.02
            judge(await messages.of(self.made), self.made)
        return "all there"

    def _needs_events(self) -> None:
        if not self.made:
            message = "needs a key that may write (FLUXORA_KEY)"
            raise Skipped(message)

    async def _write(self) -> None:
        """Make streams, and change each once."""
        if self.key is None:
            message = "needs a key that may write (FLUXORA_KEY)"
            raise Skipped(message)
        headers = {"Authorization": f"Bearer {self.key}"}
        sender, recipient = _ACCOUNTS
        body = {"sender": sender, "recipient": recipient, "depositAmount": "1", "ratePerSecond": "0.1"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30) as client:
            for _ in range(_EVENTS):
                answer = await client.post("/api/streams", json=body)
                want(answer.is_success, f"a POST answers {answer.status_code}: {answer.text[:200]}")
                self.made.append(answer.json()["id"])
            for made in self.made:
                want((await client.delete(f"/api/streams/{made}")).is_success, "a DELETE fails")

    def _request(self, cursor: str | None) -> FeedRequest:
        return FeedRequest(self.url, (), cursor, self.token)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=self._request(None).headers, timeout=30)

    @asynccontextmanager
    async def _websocket(self) -> AsyncIterator[ClientConnection]:
        request = self._request(None)
        async with connect(request.websocket_url, additional_headers=request.headers, max_size=None) as connection:
            yield connection


async def _first_block(answer: httpx.Response) -> str:
    chunks, first = answer.aiter_text(), ""
    while "\n\n" not in first:
        first += await anext(chunks)
    return first


async def _message(connection: ClientConnection, event: str) -> dict[str, Any]:
    async with asyncio.timeout(_EVENT_SECONDS):
        while True:
            message: dict[str, Any] = json.loads(await connection.recv())
            if message.get("event") == event:
                return message


def _hop(answer: httpx.Response) -> str:
    """Return the name of what stands in front, as far as it tells."""
    return answer.headers.get("Via") or answer.headers.get("Server") or "something in front"
