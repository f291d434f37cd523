"""A client of one node of Stellar RPC: JSON-RPC 2.0 over HTTP, with every failure named."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self

import httpx
import orjson

from app.chain.answers import Page, RawItem, Window, error_of, malformed
from app.chain.faults import OurMistake, RpcFault, WrongNetwork
from app.chain.position import ChainPosition
from app.core.clock import utc_now

# The protocol's own bounds on filters.
_CONTRACTS_A_FILTER: Final = 5
_FILTERS: Final = 5
MOST_CONTRACTS: Final = _CONTRACTS_A_FILTER * _FILTERS
MOST_KEYS: Final = 200

# An event is at most 16 KiB of XDR by the network's settings, a third more in base64: a page of 1,000 stays below.
_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_RETRY_AFTER: Final = 300.0
# stellar-rpc itself gives up after 25 seconds.
_TIMEOUT: Final = httpx.Timeout(15.0, connect=5.0)
_DEADLINE_SECONDS: Final = 30.0
_RATE_LIMITED: Final = 429
_LATER: Final = frozenset({408, 425, 429})


# It writes each request's whole URL at INFO, and URLs of providers hold keys.
logging.getLogger("httpx").setLevel(logging.WARNING)


class StellarRpc:
    """One node. `url` may hold a key, so it is never logged."""

    def __init__(self, url: str, *, deadline: float = _DEADLINE_SECONDS) -> None:
        """`deadline`: seconds in which a whole answer must have come."""
        # Bodies are asked for uncompressed: a few bytes can't become gigabytes before they are counted.
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, headers=headers)
        self._url = url
        self._deadline = deadline
        self._id = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def check_network(self, passphrase: str) -> None:
        """Raise WrongNetwork if the node follows another network."""
        answer = await self._call("getNetwork")
        if answer.get("passphrase") != passphrase:
            raise WrongNetwork(str(answer.get("passphrase")))

    async def health(self) -> Window:
        """Return the ledgers that the node has, if it is well."""
        return Window.parse(await self._call("getHealth"))

    async def latest_ledger(self) -> int:
        """Return the number of its newest ledger."""
        answer = await self._call("getLatestLedger")
        return Window.parse({"latestLedger": answer.get("sequence")}).latest

    async def events(
        self,
        contracts: Sequence[str],
        start: ChainPosition | int,
        *,
        end_ledger: int | None = None,
        limit: int = 1000,
    ) -> Page:
        """Return a page of the contracts' events after a place, or from a ledger on (up to `end_ledger`, exclusive)."""
        pagination: dict[str, Any] = {"limit": limit}
        params: dict[str, Any] = {"filters": filters_of(contracts), "pagination": pagination}
        if isinstance(start, ChainPosition):
            pagination["cursor"] = start.cursor
        else:
            params["startLedger"] = start
            if end_ledger is not None:
                params["endLedger"] = end_ledger
        return Page.parse(await self._call("getEvents", params))

    async def ledger_entries(self, keys: Sequence[str]) -> tuple[list[RawItem], int]:
        """Return the entries of at most 200 keys (base64 XDR), and the ledger as of which they are so."""
        if len(keys) > MOST_KEYS:
            message = f"at most {MOST_KEYS} keys a call"
            raise ValueError(message)
        answer = await self._call("getLedgerEntries", {"keys": list(keys)})
        entries = answer.get("entries") or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            message = "entries are no list of objects"
            raise malformed(message)
        return entries, Window.parse(answer).latest

    async def _call(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        self._id += 1
        request: dict[str, Any] = {"jsonrpc": "2.0", "id": self._id, "method": method}
        if params is not None:
            request["params"] = params
        status, headers, body = await self._post(orjson.dumps(request))
        return _result(status, headers, body, self._id)

    async def _post(self, body: bytes) -> tuple[int, httpx.Headers, bytes]:
        received = bytearray()
        try:
            async with (
                asyncio.timeout(self._deadline),
                self._client.stream("POST", self._url, content=body) as response,
            ):
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    message = "compressed, though we did not offer it"
                    raise malformed(message)
                async for chunk in response.aiter_raw():
                    received += chunk
                    if len(received) > _MOST_BYTES:
                        raise RpcFault("too_large", f"the answer is over {_MOST_BYTES} bytes")
                return response.status_code, response.headers, bytes(received)
        except (TimeoutError, httpx.TimeoutException):
            raise RpcFault("timeout", "no answer in time") from None
        except httpx.RemoteProtocolError as error:
            raise RpcFault("cut", f"the answer was cut: {error}") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise OurMistake("bad_url", "the URL is not one of HTTP") from None
        except httpx.HTTPError as error:
            raise RpcFault("unreachable", f"the node cannot be reached: {type(error).__name__}") from None


def filters_of(contracts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the filters for these contracts, all with contract ids: before 27.1.1 a mixture lost events."""
    if not 0 < len(contracts) <= MOST_CONTRACTS:
        message = f"between 1 and {MOST_CONTRACTS} contracts can be followed"
        raise ValueError(message)
    parts = [list(contracts[at : at + _CONTRACTS_A_FILTER]) for at in range(0, len(contracts), _CONTRACTS_A_FILTER)]
    return [{"type": "contract", "contractIds": part} for part in parts]


def _result(status: int, headers: httpx.Headers, body: bytes, request_id: int) -> dict[str, Any]:
    answer = _json(body)
    if status == _RATE_LIMITED:
        raise RpcFault("http_429", "too many requests", retry_after=_retry_after(headers))
    # Some providers send JSON-RPC errors with a status of 400 or 500: the error says more.
    if isinstance(answer, dict) and answer.get("error") is not None and answer.get("jsonrpc") == "2.0":
        raise error_of(answer["error"])
    if status != httpx.codes.OK:
        raise _http_fault(status, headers)
    if answer is None:
        raise RpcFault("not_json", "the answer is no JSON")
    if not isinstance(answer, dict) or answer.get("id") != request_id or not isinstance(answer.get("result"), dict):
        message = "no result of this request"
        raise malformed(message)
    result: dict[str, Any] = answer["result"]
    return result


def _http_fault(status: int, headers: httpx.Headers) -> RpcFault:
    message = f"HTTP status {status}"
    if status < httpx.codes.INTERNAL_SERVER_ERROR and status not in _LATER:
        return OurMistake("http_4xx" if status >= httpx.codes.BAD_REQUEST else "http_other", message)
    return RpcFault("http_5xx", message, retry_after=_retry_after(headers))


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _retry_after(headers: httpx.Headers) -> float:
    """Read `Retry-After`: seconds (some send a fraction) or a date, by RFC 9110 10.2.3."""
    text = headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        seconds = _until(text)
    return min(max(seconds, 0.0), _MOST_RETRY_AFTER) if seconds == seconds else 0.0  # noqa: PLR0124 - "nan"


def _until(text: str) -> float:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - utc_now()).total_seconds()
