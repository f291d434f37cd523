"""A small Stellar RPC for tests: getHealth, getLatestLedger, getNetwork, getVersionInfo and getEvents over a script, with faults.

    python fake_rpc.py --port 8123 --script script_lifecycle.json
    python fake_rpc.py --port 8123 --script script_sparse.json --latest 3750000 --retention 120960
    python fake_rpc.py --port 0 --script script_dense.json --every 0.2 --shape v30 --faults 'http429=0.2,slow=0.1:0.5,reset=0.1' --seed 7
    python fake_rpc.py --port 8123 --second-port 8124 --second-lag 3 --second-faults stale=0.3:5 --script script_lifecycle.json

It prints one line of JSON for each port when it listens. Standard library only; it binds to 127.0.0.1 alone.

What it follows is stellar-rpc 41b2f0f (v28): get_events.go, protocol/get_events.go and cursor.go (v24.0.0), backlogQ.go: the messages, the
codes, the cursor arithmetic (10,000 ledgers a scan, max cursor of the last ledger scanned when a page is not full), the filters.

Shapes of an event and of the response, by RPC version:
  v22  pagingToken, inSuccessfulContractCall; no operationIndex, transactionIndex; response: events, latestLedger, cursor
  v23  pagingToken gone, operationIndex, transactionIndex added; response: + oldestLedger, latestLedgerCloseTime, oldestLedgerCloseTime
  v28  as v23 (inSuccessfulContractCall deprecated, still there); getHealth has close times
  v30  inSuccessfulContractCall gone
In v22 the index in the id also counts diagnostic events, so the same event has another id: --v22-diagnostics N adds N before each.

The head is where --latest puts it, moved by --every SECONDS per ledger, or by the control calls below. Faults are drawn for each request
from --seed; NAME=PROBABILITY[:ARGUMENT], comma-separated:
  http429[:retry-after seconds]  http503  http504  html (502 with a page of a proxy)   before the method runs
  slow:seconds                    the answer comes late
  reset                           the connection is reset instead of an answer
  cut                             the answer ends in the middle
  rpc32001  rpc32603              JSON-RPC errors: processing limit (what a heavy scan gets), internal error
  stale:ledgers                   this answer comes from a node that many ledgers behind (a balanced provider)
  dup:events                      the page begins that many events too early: the client has seen them
  empty                           no events and a cursor that has hardly moved, though more follow
  short                           at most 3 events whatever the limit; the cursor is right
  miss                            one event of the page is left out (RPC before 27.1.1 did, #832): only another provider or the chain tells
  nocursor                        no `cursor` in the response

Control, JSON-RPC methods beside the real ones: fake_set {"latest": N | "ledgers": +N, "retention": N, "faults": "...", "paused": bool},
fake_stats {} -> calls by method and outcome, what was asked for.
"""

# ruff: noqa: E501, PLR1714, PTH123, SIM105, TRY301

from __future__ import annotations

import argparse
import hashlib
import json
import random
import socket
import struct
import sys
import threading
import time
from base64 import b64decode
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SCAN_LIMIT = 10_000
MAX_TX, MAX_OP, MAX_EVENT = 2**20 - 1, 2**12 - 1, 2**32 - 1
Position = tuple[int, int, int, int]


class RpcError(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def cursor_of(place: Position) -> str:
    ledger, tx, op, event = place
    return f"{ledger << 32 | tx << 12 | op:019d}-{event:010d}"


def parse_cursor(text: Any) -> Position:
    try:
        head, tail = text.split("-", 1)
        toid, event = int(head), int(tail)
        if not 0 <= event <= MAX_EVENT:
            raise ValueError
    except (AttributeError, ValueError) as error:
        raise RpcError(-32602, f"invalid event id {text}") from error
    return toid >> 32, toid >> 12 & MAX_TX, toid & MAX_OP, event


class Chain:
    """The script, and how much of it has happened."""

    def __init__(
        self, script: dict[str, Any], latest: int | None, every: float, retention: int, v22_diagnostics: int
    ) -> None:
        self.script, self.every, self.retention = script, every, retention
        self.first, self.last, self.base_time = script["first"], script["last"], script["base_time"]
        self.base, self.began, self.paused = latest or self.last, time.monotonic(), False
        self.lock = threading.Lock()
        self.times = {e["ledger"]: e["now"] for e in script["events"]}
        self.events: list[tuple[Position, dict[str, Any]]] = []
        counts: dict[tuple[str, int], int] = {}
        for event in script["events"]:
            shift = 0
            if v22_diagnostics:
                key = (event["txHash"], event["opIndex"])
                counts[key] = counts.get(key, 0) + v22_diagnostics
                shift = counts[key]
            self.events.append(
                ((event["ledger"], event["txIndex"], event["opIndex"], event["eventIndex"] + shift), event)
            )
        self.events.sort(key=lambda pair: pair[0])

    def latest(self) -> int:
        with self.lock:
            moved = 0 if not self.every or self.paused else int((time.monotonic() - self.began) / self.every)
            return min(self.base + moved, self.last)

    def set(self, **change: Any) -> None:
        now = self.latest()
        with self.lock:
            self.base, self.began = change.get("latest", now + change.get("ledgers", 0)), time.monotonic()
            self.base = min(self.base, self.last)
            self.retention = change.get("retention", self.retention)
            self.paused = change.get("paused", self.paused)

    def oldest(self, latest: int) -> int:
        return max(self.first, latest - self.retention + 1)

    def close_time(self, ledger: int) -> int:
        """Known from the script where it has events; else 5 seconds a ledger after the nearest one before."""
        before = max((seen for seen in self.times if seen <= ledger), default=None)
        return (
            self.base_time + 5 * (ledger - self.first) if before is None else self.times[before] + 5 * (ledger - before)
        )


class Faults:
    def __init__(self, text: str, seed: int) -> None:
        self.rng, self.lock = random.Random(seed), threading.Lock()
        self.set(text)

    def set(self, text: str) -> None:
        self.table = {}
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            probability, _, argument = value.partition(":")
            self.table[name.strip()] = (float(probability or 1), float(argument) if argument else None)

    def hit(self, name: str, default: float = 0) -> float | None:
        """The fault's argument if it strikes now, else None."""
        if name not in self.table:
            return None
        probability, argument = self.table[name]
        with self.lock:
            return (default if argument is None else argument) if self.rng.random() < probability else None


class Provider:
    """One RPC node (or a balancer in front of several): a view of the chain, a shape, faults."""

    def __init__(
        self,
        chain: Chain,
        *,
        shape: str,
        lag: int,
        faults: str,
        seed: int,
        passphrase: str | None,
        scan: int,
        limits: tuple[int, int],
    ) -> None:
        self.chain, self.shape, self.lag, self.scan = chain, shape, lag, scan
        self.faults = Faults(faults, seed)
        self.passphrase = passphrase or chain.script["network"]["passphrase"]
        self.default_limit, self.max_limit = limits
        self.stats: dict[str, int] = {}
        self.asked: list[dict[str, Any]] = []

    def count(self, what: str) -> None:
        self.stats[what] = self.stats.get(what, 0) + 1

    def head(self) -> int:
        behind = self.faults.hit("stale", 5)
        return max(self.chain.first, self.chain.latest() - self.lag - int(behind or 0))

    # -- methods

    def call(self, method: str, params: Any) -> Any:
        run = {
            "getEvents": self.get_events,
            "getHealth": self.get_health,
            "getLatestLedger": self.get_latest_ledger,
            "getNetwork": self.get_network,
            "getVersionInfo": self.get_version_info,
            "fake_set": self.fake_set,
            "fake_stats": self.fake_stats,
        }.get(method)
        if run is None:
            raise RpcError(-32601, "method not found")
        if params is None:
            params = {}
        if not isinstance(params, dict):
            raise RpcError(-32602, "invalid parameters")
        if not method.startswith("fake_"):
            if self.faults.hit("rpc32001") is not None:
                raise RpcError(-32001, "request exceeded processing limit threshold")
            if self.faults.hit("rpc32603") is not None:
                raise RpcError(-32603, "could not get latest ledger")
        return run(params)

    def fake_set(self, params: dict[str, Any]) -> dict[str, Any]:
        if "faults" in params:
            self.faults.set(params["faults"])
        self.chain.set(**{k: v for k, v in params.items() if k != "faults"})
        return {"latestLedger": self.chain.latest() - self.lag}

    def fake_stats(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"counts": self.stats, "asked": self.asked[-200:]}

    def get_health(self, params: dict[str, Any]) -> dict[str, Any]:
        latest = self.head()
        oldest = self.chain.oldest(latest)
        out = {
            "status": "healthy",
            "latestLedger": latest,
            "oldestLedger": oldest,
            "ledgerRetentionWindow": self.chain.retention,
        }
        if self.shape in ("v28", "v30"):
            out |= {
                "latestLedgerCloseTime": str(self.chain.close_time(latest)),
                "oldestLedgerCloseTime": str(self.chain.close_time(oldest)),
            }
        return out

    def get_latest_ledger(self, params: dict[str, Any]) -> dict[str, Any]:
        latest = self.head()
        out = {
            "id": hashlib.sha256(f"ledger {latest}".encode()).hexdigest(),
            "protocolVersion": self.chain.script["network"]["protocolVersion"],
            "sequence": latest,
        }
        if self.shape in ("v28", "v30"):
            out["closeTime"] = str(self.chain.close_time(latest))
        return out

    def get_network(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"passphrase": self.passphrase, "protocolVersion": self.chain.script["network"]["protocolVersion"]}

    def get_version_info(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            "version": {"v22": "22.1.5", "v23": "23.0.4", "v28": "28.0.0", "v30": "30.0.0"}[self.shape],
            "commitHash": "fake",
            "buildTimestamp": "",
            "captiveCoreVersion": "fake",
            "protocolVersion": self.chain.script["network"]["protocolVersion"],
        }

    def get_events(self, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(params)
        pagination = params.get("pagination") or {}
        cursor, start_ledger, end_ledger = (
            pagination.get("cursor"),
            params.get("startLedger") or 0,
            params.get("endLedger") or 0,
        )
        if cursor is not None:
            start = parse_cursor(cursor)
            if start_ledger or end_ledger:
                raise RpcError(-32602, "ledger ranges and cursor cannot both be set")
            start = (*start[:3], (start[3] + 1) & MAX_EVENT)
        else:
            if not isinstance(start_ledger, int) or start_ledger <= 0:
                raise RpcError(-32602, "startLedger must be positive")
            start = (start_ledger, 0, 0, 0)
        limit = pagination.get("limit") or self.default_limit
        if limit > self.max_limit:
            raise RpcError(-32602, f"limit must not exceed {self.max_limit}")
        filters = params.get("filters") or []
        self.check(filters)
        latest = self.head()
        oldest = self.chain.oldest(latest)
        if not oldest <= start[0] <= latest:
            raise RpcError(-32600, f"startLedger must be within the ledger range: {oldest} - {latest}")
        end = min(latest + 1, start[0] + self.scan)
        if end_ledger:
            end = min(end_ledger, end)
        if (early := self.faults.hit("dup", 3)) is not None:
            seen = [
                place
                for place, event in self.chain.events
                if place < start and place[0] >= oldest and self.matches(filters, event)
            ]
            start = seen[-int(early) :][0] if seen and early else start
        full = 3 if self.faults.hit("short") is not None else limit
        found = [
            (place, event)
            for place, event in self.chain.events
            if start <= place < (end, 0, 0, 0) and self.matches(filters, event)
        ][:full]
        if len(found) == full or (full < limit and found):
            cursor_out = cursor_of(found[-1][0])
        else:
            cursor_out = cursor_of((end - 1, MAX_TX, MAX_OP, MAX_EVENT))
        if self.faults.hit("empty") is not None:
            found, cursor_out = (
                [],
                cursor_of((*start[:3], (start[3] - 1) & MAX_EVENT if start[3] else 0))
                if start[3]
                else cursor_of((start[0] - 1, MAX_TX, MAX_OP, MAX_EVENT)),
            )
            if parse_cursor(cursor_out)[0] < oldest:
                cursor_out = cursor_of((start[0], 0, 0, 0))
        if found and self.faults.hit("miss") is not None:
            found.pop(self.faults.rng.randrange(len(found)))
        if self.shape == "v30":  # it serves no event of a failed call, hence no flag
            found = [(place, event) for place, event in found if not event.get("failed")]
        out: dict[str, Any] = {
            "events": [self.item(place, event) for place, event in found],
            "latestLedger": latest,
            "cursor": cursor_out,
        }
        if self.shape != "v22":
            out |= {
                "oldestLedger": oldest,
                "latestLedgerCloseTime": str(self.chain.close_time(latest)),
                "oldestLedgerCloseTime": str(self.chain.close_time(oldest)),
            }
        if self.faults.hit("nocursor") is not None:
            del out["cursor"]
        return out

    def item(self, place: Position, event: dict[str, Any]) -> dict[str, Any]:
        identity = cursor_of(place)
        out = {
            "type": event["type"],
            "ledger": event["ledger"],
            "ledgerClosedAt": datetime.fromtimestamp(event["now"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "contractId": event["contract"],
            "id": identity,
        }
        if self.shape == "v22":
            out["pagingToken"] = identity
        else:
            out |= {"operationIndex": event["opIndex"], "transactionIndex": event["txIndex"]}
        if self.shape != "v30":
            out["inSuccessfulContractCall"] = not event.get("failed", False)
        return out | {"txHash": event["txHash"], "topic": event["topic"], "value": event.get("broken", event["value"])}

    # -- filters (protocol/get_events.go)

    @staticmethod
    def check(filters: Any) -> None:
        if not isinstance(filters, list):
            raise RpcError(-32602, "invalid parameters")
        if len(filters) > 5:
            raise RpcError(-32602, "maximum 5 filters per request")
        for number, wanted in enumerate(filters, 1):

            def bad(text: str, number: int = number) -> RpcError:
                return RpcError(-32602, f"filter {number} invalid: {text}")

            for kind in filter(None, (wanted.get("type") or "").split(",")):
                if kind not in ("system", "contract"):
                    raise bad("filter type invalid: if set, type must be either 'system' or 'contract'")
            if len(wanted.get("contractIds") or []) > 5:
                raise bad("maximum 5 contract IDs per filter")
            for position, contract in enumerate(wanted.get("contractIds") or [], 1):
                if len(contract) != 56 or contract[0] != "C":
                    raise bad(f"contract ID {position} invalid")
            topics = wanted.get("topics") or []
            if len(topics) > 5:
                raise bad("maximum 5 topics per filter")
            for position, segments in enumerate(topics, 1):
                if not segments:
                    raise bad(f"topic {position} invalid: topic must have at least 1 segment")
                fixed = segments[:-1] if segments[-1] == "**" else segments
                if "**" in fixed:
                    raise bad(
                        f"topic {position} invalid: segment {fixed.index('**') + 1} invalid: wildcard '**' is only allowed as the last segment"
                    )
                if len(fixed) > 4:
                    raise bad(f"topic {position} invalid: topic cannot have more than 4 segments")
                for segment in fixed:
                    if segment != "*":
                        try:
                            b64decode(segment, validate=True)
                        except ValueError as error:
                            raise RpcError(-32602, "invalid parameters") from error

    @staticmethod
    def matches(filters: list[dict[str, Any]], event: dict[str, Any]) -> bool:
        if not filters:
            return True
        for wanted in filters:
            kinds = [k for k in (wanted.get("type") or "").split(",") if k]
            if kinds and event["type"] not in kinds:
                continue
            if wanted.get("contractIds") and event["contract"] not in wanted["contractIds"]:
                continue
            topics = wanted.get("topics") or []
            if not topics or any(Provider.topic_matches(segments, event["topic"]) for segments in topics):
                return True
        return False

    @staticmethod
    def topic_matches(segments: list[str], topic: list[str]) -> bool:
        if segments[-1] == "**":
            segments = segments[:-1]
            if len(topic) < len(segments):
                return False
        elif len(topic) != len(segments):
            return False
        return all(segment == "*" or segment == part for segment, part in zip(segments, topic, strict=False))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: the second would wait 40 ms for an ACK
    provider: Provider

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        return

    def do_POST(self) -> None:
        p = self.provider
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            request = json.loads(body)
            method = request["method"]
        except (ValueError, KeyError, TypeError):
            self.answer(200, {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "parse error"}})
            return
        p.count(method)
        if not method.startswith("fake_") and self.disturbed(p):
            return
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request.get("id")}
        try:
            answer["result"] = p.call(method, request.get("params"))
        except RpcError as error:
            p.count(f"error {error.code}")
            answer["error"] = {"code": error.code, "message": error.message}
        if not method.startswith("fake_"):
            if (seconds := p.faults.hit("slow", 1)) is not None:
                p.count("slow")
                time.sleep(seconds)
            if p.faults.hit("cut") is not None:
                p.count("cut")
                self.answer(200, answer, cut=True)
                return
        self.answer(200, answer)

    def disturbed(self, p: Provider) -> bool:
        if (wait := p.faults.hit("http429", 1)) is not None:
            p.count("http429")
            self.answer(429, {"error": "too many requests"}, retry_after=wait)
        elif p.faults.hit("http503") is not None:
            p.count("http503")
            self.answer(503, None)  # what stellar-rpc's queue limiter sends: no body
        elif p.faults.hit("http504") is not None:
            p.count("http504")
            self.answer(504, None)
        elif p.faults.hit("html") is not None:
            p.count("html")
            self.raw(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html")
        elif p.faults.hit("reset") is not None:
            p.count("reset")
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        else:
            return False
        return True

    def answer(self, status: int, value: Any, *, retry_after: float | None = None, cut: bool = False) -> None:
        self.raw(status, b"" if value is None else json.dumps(value).encode(), "application/json", retry_after, cut)

    def raw(self, status: int, data: bytes, kind: str, retry_after: float | None = None, cut: bool = False) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            if retry_after is not None:
                self.send_header("Retry-After", f"{retry_after:g}")
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = self.close_connection or cut
        except OSError:
            self.close_connection = True


def serve(port: int, provider: Provider) -> ThreadingHTTPServer:
    """Listen on 127.0.0.1; port 0 picks a free one."""
    handler = type("Bound", (Handler,), {"provider": provider})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--script", required=True)
    parser.add_argument("--latest", type=int, help="head at the start; default: the script's last ledger")
    parser.add_argument("--every", type=float, default=0, help="seconds for each further ledger; 0: only by fake_set")
    parser.add_argument("--retention", type=int, default=120_960)
    parser.add_argument("--scan", type=int, default=SCAN_LIMIT, help="ledgers that one getEvents looks at")
    parser.add_argument("--default-limit", type=int, default=100)
    parser.add_argument("--max-limit", type=int, default=10_000)
    parser.add_argument("--shape", choices=["v22", "v23", "v28", "v30"], default="v28")
    parser.add_argument("--v22-diagnostics", type=int, default=0)
    parser.add_argument("--lag", type=int, default=0, help="ledgers that this provider is behind")
    parser.add_argument("--faults", default="")
    parser.add_argument("--passphrase", help="claim another network")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--second-port", type=int)
    parser.add_argument("--second-lag", type=int, default=0)
    parser.add_argument("--second-faults", default="")
    parser.add_argument("--second-shape", choices=["v22", "v23", "v28", "v30"])
    parser.add_argument("--second-passphrase")
    args = parser.parse_args(argv)
    with open(args.script, encoding="utf-8") as file:
        chain = Chain(
            json.load(file), args.latest, args.every, args.retention, args.v22_diagnostics if args.shape == "v22" else 0
        )
    limits = (args.default_limit, args.max_limit)
    servers = [
        serve(
            args.port,
            Provider(
                chain,
                shape=args.shape,
                lag=args.lag,
                faults=args.faults,
                seed=args.seed,
                passphrase=args.passphrase,
                scan=args.scan,
                limits=limits,
            ),
        )
    ]
    if args.second_port is not None:
        servers.append(
            serve(
                args.second_port,
                Provider(
                    chain,
                    shape=args.second_shape or args.shape,
                    lag=args.second_lag,
                    faults=args.second_faults,
                    seed=args.seed + 1,
                    passphrase=args.second_passphrase,
                    scan=args.scan,
                    limits=limits,
                ),
            )
        )
    for server in servers:
        print(
            json.dumps(
                {
                    "url": f"http://127.0.0.1:{server.server_port}",
                    "latestLedger": chain.latest(),
                    "contract": chain.script["contract"],
                }
            ),
            flush=True,
        )
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main(sys.argv[1:])
