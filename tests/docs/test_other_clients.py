"""Clients of other people, unmodified, through a restart: every event once, in order."""

import sys
from pathlib import Path

import pytest

from tests.conftest import program
from tests.docs.test_examples import run, server, write  # noqa: F401 - two of them are fixtures
from tests.support.npm import SOURCES, installed
from tests.support.server import until
from tests.support.whole_run import ROOT


def command(library: str, base: str, home: Path) -> list[str]:
    """How to follow with a library."""
    if library == "aiohttp":
        return [sys.executable, str(ROOT / "tests" / "support" / "follow_aiohttp.py"), base]
    # Node looks for modules beside the script.
    (home / "node_modules").symlink_to(installed())
    (home / "follow.mjs").write_bytes((SOURCES / "follow.mjs").read_bytes())
    return [program("node"), str(home / "follow.mjs"), library, base]


@pytest.mark.parametrize("library", ["eventsource", "reconnecting-websocket", "ws", "aiohttp"])
def test_it_misses_and_repeats_nothing(server, run, tmp_path, library):  # noqa: F811
    client = run(*command(library, server.base, tmp_path)).until_ready(server)
    expected = write(server, 3)
    until(lambda: client.events() == expected)
    assert server.stop() == 0
    server.start()
    expected += write(server, 3)
    until(lambda: client.events() == expected, 15)
    expected += write(server, 3)
    until(lambda: client.events() == expected)
    assert not client.errors


def test_wscat_prints_the_feed(server, run):  # noqa: F811
    wscat = installed() / ".bin" / "wscat"
    client = run(program("node"), str(wscat), "--connect", f"{server.ws}?event=stream.created").until_ready(server)
    [expected, *_] = write(server, 3)
    until(lambda: any(f'"id":"{expected}"' in line for line in client.lines))
    assert sum('"event":"stream.' in line for line in client.lines) == 1
