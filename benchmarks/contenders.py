"""The servers that are measured: ours, and what people would pick instead. Each runs in one process, on loopback."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tests.support.data import created
from tests.support.postgres import free_port
from tests.support.server import KEY, environment, run_app
from tests.support.whole_run import ROOT

HERE = Path(__file__).parent
CACHE = ROOT / ".bench"


class Skipped(Exception):
    """A contender that cannot be had here; says why."""


class Contender(ABC):
    """A server under test. `size` is how many events of a burst it is given in the time that all get."""

    name: str
    paths: dict[str, str]
    cores = {0}
    """The server has a core of its own; the load generator and the publisher have the other."""

    def __init__(self) -> None:
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="fluxora-bench-"))
        self.sequence = 0
        self.process: subprocess.Popen | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return how to start it."""

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def version(self) -> str:
        return ""

    def start(self) -> None:
        log = (self.home / "log").open("w")
        self.process = subprocess.Popen(
            self.command(), cwd=self.home, env=self.environment(), stdout=log, stderr=subprocess.STDOUT
        )
        os.sched_setaffinity(self.process.pid, self.cores if (os.cpu_count() or 1) > 1 else {0})
        deadline = time.monotonic() + 30
        while True:
            try:
                asyncio.run(_connect(self.port))
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Skipped(f"{self.name} did not start: {(self.home / 'log').read_text()[-500:]}") from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def cpu(self) -> float:
        """Seconds of CPU so far, of all its threads and processes."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes())

    def memory(self) -> int:
        """Resident bytes."""
        return sum(process.memory_info().rss for process in self._processes())

    def _processes(self) -> list[psutil.Process]:
        assert self.process
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    async def publish(self, count: int) -> None:
        """Publish that many events in one go, and return when the server has taken them."""
        lines = [self.message() for _ in range(count)]
        await post(self.port, "/publish", "\n".join(lines).encode())

    def message(self) -> str:
        """Return an event of the same size as ours, with its time."""
        self.sequence += 1
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = created()
        stream = f"stream-{event['transactionHash']}-0"
        return json.dumps(
            {
                "id": f"3e103cebe1-{self.sequence}",
                "event": "stream.created",
                "streamId": stream,
                "version": 1,
                "payload": {
                    "id": stream,
                    "sender": event["sender"],
                    "recipient": event["recipient"],
                    "depositAmount": "1000",
                    "streamedAmount": "0",
                    "remainingAmount": "1000",
                    "ratePerSecond": "0.5",
                    "startTime": 1700000000,
                    "endTime": 0,
                    "status": "active",
                    "contractId": event["contractId"],
                    "transactionHash": event["transactionHash"],
                    "eventIndex": 0,
                    "version": 1,
                    "createdAt": stamp,
                    "updatedAt": stamp,
                },
                "changed": [],
                "timestamp": stamp,
            },
            separators=(",", ":"),
        )


class Fluxora(Contender):
    """This project. Each burst is a batch of chain events: parsed, checked, committed and then sent."""

    name = "fluxora"
    paths = {"ws": "/ws/streams", "sse": "/sse/streams"}

    def __init__(self) -> None:
        super().__init__()
        self.database_url = f"sqlite:///{self.home}/fluxora.db"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "app"]

    def environment(self) -> dict[str, str]:
        return environment(
            {
                "port": self.port,
                "api_keys": KEY,
                "database_url": self.database_url,
                "max_connections": 100_000,
                "max_connections_per_address": 100_000,
                "log_level": "warning",
                "ring_events": 20_000,
            }
        )

    def start(self) -> None:
        assert run_app("migrate", cwd=self.home, database_url=self.database_url).returncode == 0
        super().start()

    async def publish(self, count: int) -> None:
        await self.ingest([created() for _ in range(count)])

    async def ingest(self, events: list[dict]) -> None:
        answer = await post(self.port, "/api/events", json.dumps({"events": events}).encode())
        assert b'"rejected":0' in answer and f'"accepted":{len(events)}'.encode() in answer, answer[-300:]


class PlainFluxora(Fluxora):
    """The same app under Hypercorn's own command, which offers no straight way: plain ASGI send."""

    name = "fluxora, ASGI send"

    def command(self) -> list[str]:
        bind = f"127.0.0.1:{self.port}"
        return [
            str(Path(sys.executable).parent / "hypercorn"),
            "-b",
            bind,
            "--backlog",
            "2048",
            "app.bootstrap:create_app()",
        ]


class Node(Contender):
    """Node and its `ws` package."""

    name = "Node ws"
    paths = {"ws": "/ws", "sse": "/sse"}

    def __init__(self) -> None:
        super().__init__()
        if not shutil.which("node"):
            raise Skipped("Node is not installed")
        if not (CACHE / "node" / "node_modules" / "ws").exists():
            (CACHE / "node").mkdir(parents=True, exist_ok=True)
            npm = shutil.which("npm")
            if (
                not npm
                or subprocess.run([npm, "install", "--silent", "ws"], cwd=CACHE / "node", check=False).returncode
            ):
                raise Skipped("npm could not install ws")

    def command(self) -> list[str]:
        return ["node", str(HERE / "peers" / "node.js"), str(self.port)]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "NODE_PATH": str(CACHE / "node" / "node_modules"), "NODE_ENV": "production"}

    def version(self) -> str:
        package = json.loads((CACHE / "node/node_modules/ws/package.json").read_text())
        return f"Node {_output('node', '--version')}, ws {package['version']}"


class Starlette(Contender):
    """Starlette on uvicorn (uvloop), sse-starlette, a queue for each client."""

    name = "Starlette"
    paths = {"ws": "/ws", "sse": "/sse"}

    def __init__(self) -> None:
        super().__init__()
        self.python = CACHE / "starlette" / "bin" / "python"
        if not self.python.exists():
            subprocess.run([sys.executable, "-m", "venv", CACHE / "starlette"], check=True)
            packages = ["starlette", "uvicorn[standard]", "sse-starlette"]
            if subprocess.run([self.python, "-m", "pip", "install", "-q", *packages], check=False).returncode:
                raise Skipped("pip could not install Starlette")

    def command(self) -> list[str]:
        app = ["starlette_app:app", "--app-dir", str(HERE / "peers"), "--port", str(self.port)]
        quiet = ["--loop", "uvloop", "--log-level", "error", "--ws-per-message-deflate", "false", "--backlog", "2048"]
        return [str(self.python), "-m", "uvicorn", *app, *quiet]

    def version(self) -> str:
        names = ("starlette", "uvicorn", "uvloop", "sse-starlette")
        code = f"from importlib.metadata import version; print(', '.join(n + ' ' + version(n) for n in {names}))"
        return _output(str(self.python), "-c", code)


class Nchan(Contender):
    """nginx with the nchan module, one worker."""

    name = "nginx nchan"
    paths = {"ws": "/ws", "sse": "/sse"}

    def __init__(self) -> None:
        super().__init__()
        self.nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        found = sorted(Path("/usr/lib/nginx/modules").glob("ngx_nchan_module.so"))
        if not self.nginx or not found:
            raise Skipped("nginx with nchan is not installed (Debian: nginx-core, libnginx-mod-nchan)")
        self.modules = str(found[0].parent)

    def command(self) -> list[str]:
        template = (HERE / "peers" / "nginx.conf").read_text()
        config = self.home / "nginx.conf"
        config.write_text(template.format(home=self.home, port=self.port, modules=self.modules))
        return [str(self.nginx), "-c", str(config), "-p", str(self.home)]

    def version(self) -> str:
        done = subprocess.run([str(self.nginx), "-v"], capture_output=True, text=True, check=False)
        return done.stderr.strip().removeprefix("nginx version: ")

    async def publish(self, count: int) -> None:
        """One request a message, pipelined: the module takes no more at a time."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for _ in range(count):
            body = self.message().encode()
            writer.write(b"POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        answered = 0
        while answered < count:
            answered += (await reader.read(1 << 16)).count(b"HTTP/1.1 20")
        writer.close()


class Physical(Contender):
    """One send(2) a message and client, in C, and nothing else: no feed, but what the kernel alone costs."""

    name = "physical: one send(2) each, in C"
    paths = {"ws": "/ws", "sse": "/sse"}

    def command(self) -> list[str]:
        return [str(compiled(HERE / "peers" / "physical.c")), str(self.port)]


def compiled(source: Path) -> Path:
    """Compile a program in C. Raises Skipped."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise Skipped("there is no C compiler")
    CACHE.mkdir(exist_ok=True)
    program = CACHE / source.stem
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return program


CONTENDERS: tuple[type[Contender], ...] = (Fluxora, Node, Nchan, Starlette, PlainFluxora)


async def post(port: int, path: str, body: bytes) -> bytes:
    """POST on a connection of its own, and return the answer's body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    status, _, content = answer.partition(b"\r\n\r\n")
    assert b" 200" in status[:20], answer[:500]
    return content


async def _connect(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
