"""Autobahn's WebSocket test suite against our side of the protocol: `python -m benchmarks.autobahn [--quick]`.

The suite wants an echo, which the feed is not. So what reads the client's bytes, inflates, and frames the answers is
ours, and what it does with a message is this module's. The suite is for Python 2.7: without one, nothing is tested.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

from wsproto.events import CloseConnection, TextMessage
from wsproto.utilities import generate_accept_token

from app.core.messages import Close
from app.web.feed import incoming
from app.web.feed.deflate import ANSWER, acceptable, deflate
from app.web.feed.frames import text_frame
from benchmarks.contenders import CACHE

VERSION: Final = "0.8.2"
MOST: Final = 64 * 1024 * 1024
BINARY: Final = 0x82
DEFLATED: Final = 0x40
LONG: Final = ["9.*", "12.*", "13.*"]
"""Large messages, and compressed ones, a thousand each: some minutes. `--quick` leaves them out."""

FINE: Final = {"OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"}


class Echo(incoming.Incoming):
    """Answers each message with itself."""

    __slots__ = ("_deflated", "_pieces")

    def __init__(self, *, deflated: bool) -> None:
        """`deflated`: the answers are, too."""
        super().__init__(None, MOST, deflated=deflated)  # type: ignore[arg-type]
        self._deflated = deflated
        self._pieces: list[Any] = []

    def _take(self, event: Any, now: float) -> Any:
        del now
        text = isinstance(event, TextMessage)
        self._pieces.append(event.data.encode() if text else bytes(event.data))
        if not event.message_finished:
            return None
        data, self._pieces = b"".join(self._pieces), []
        first = 0x81 if text else BINARY
        return text_frame(deflate(data), first | DEFLATED) if self._deflated else text_frame(data, first)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take one connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}
    deflated = acceptable([fields.get("sec-websocket-extensions", "")])
    writer.write(
        b"HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + generate_accept_token(fields["sec-websocket-key"].encode())
        + (f"\r\nSec-WebSocket-Extensions: {ANSWER}".encode() if deflated else b"")
        + b"\r\n\r\n"
    )
    client = Echo(deflated=deflated)
    try:
        while data := await reader.read(1 << 16):
            client.feed(data)
            if act(client, writer):
                break
            await writer.drain()
        await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def act(client: Echo, writer: asyncio.StreamWriter) -> bool:
    """Answer what came; True: it was the end."""
    for action in client.actions(asyncio.get_running_loop().time()):
        if isinstance(action, CloseConnection | Close):
            writer.write(client.close_frame(action.code, action.reason))
            return True
        writer.write(action)
    return False


def python() -> str | None:
    """Return a Python 2.7 that works."""
    found = [*map(str, sorted(Path.home().glob(".pyenv/versions/2.7.*/bin/python2.7"))), shutil.which("python2.7")]
    working = (each for each in found if each and subprocess.run([each, "-c", ""], check=False).returncode == 0)
    return next(working, None)


def install(program: str) -> Path:
    """Install the suite, once."""
    home = CACHE / f"autobahn-{VERSION}"
    if not (home / "autobahntestsuite").exists():
        asked = [program, "-m", "pip", "install", "--quiet", "--target", str(home), f"autobahntestsuite=={VERSION}"]
        subprocess.run(asked, check=True, stderr=subprocess.DEVNULL)
    return home


async def run(program: str, home: Path, excluded: list[str]) -> dict[str, Any]:
    """Return the suite's report."""
    # The suite is no bearable client.
    setattr(incoming, "FRAMES_PER_SECOND", 10**9)  # noqa: B010 - it is final, for the service
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    port = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="fluxora-autobahn-") as folder:
        report = Path(folder) / "report"
        asked = {
            "outdir": str(report),
            "servers": [{"agent": "fluxora", "url": f"ws://127.0.0.1:{port}"}],
            "cases": ["*"],
            "exclude-cases": excluded,
        }
        (Path(folder) / "spec.json").write_text(json.dumps(asked))
        start = f"import site; site.addsitedir({str(home)!r}); from autobahntestsuite.wstest import run; run()"
        suite = await asyncio.create_subprocess_exec(
            *(program, "-c", start, "-m", "fuzzingclient", "-s", "spec.json"),
            cwd=folder,
            stdout=asyncio.subprocess.DEVNULL,
        )
        if await suite.wait():
            sys.exit("the suite did not run")
        found: dict[str, Any] = json.loads((report / "index.json").read_text())["fluxora"]
    server.close()
    return found


def main() -> None:
    """Run it, and say what was not as it should be."""
    program = python()
    if program is None:
        print("Autobahn: skipped, it needs a Python 2.7")
        return
    found = asyncio.run(run(program, install(program), LONG if "--quick" in sys.argv else []))
    counts = Counter(case["behavior"] for case in found.values())
    closing = Counter(case["behaviorClose"] for case in found.values())
    print(f"Autobahn {VERSION}: {len(found)} cases, {dict(counts)}; how they closed: {dict(closing)}")
    wrong = {name: case for name, case in found.items() if {case["behavior"], case["behaviorClose"]} - FINE}
    for name, case in sorted(wrong.items()):
        print(f"{name}: {case['behavior']}, closing {case['behaviorClose']}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
