"""Our browser client outside a browser: on Node it runs as it is."""

import asyncio
import gzip
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.browser.test_browser_clients import whole_log, write_burst
from tests.browser.test_client import head, write
from tests.conftest import program
from tests.support.data import created
from tests.support.whole_run import ROOT

pytestmark = pytest.mark.browser

STATIC = ROOT / "app" / "static"
PACKAGE = ROOT / "clients" / "js"
MODULES = ("fluxora-streams.js", "fluxora-state.js", "fluxora-tabs.js", "fluxora-poll.js", "fluxora-testing.js")
MOST_BYTES = 8_000
EXPORTED = re.compile(r"^export (?:declare )?(?:async )?(?:class|function|const) (\w+)", re.MULTILINE)
FOLLOW = """
import { StreamFeed } from "%s";
const feed = new StreamFeed(process.argv[2], { onState: (state) => console.log(JSON.stringify({ state })) });
for await (const event of feed) console.log(JSON.stringify({ event }));
"""


@pytest.fixture(scope="session")
def node() -> str:
    return program("node")


def npm(*arguments: str, cwd: Path) -> str:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [program("npm"), *arguments], cwd=cwd, env=kept, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_parts(node):
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", str(Path(__file__).with_name("client.test.mjs"))],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout[-5000:]


def test_the_module_is_small():
    assert len(gzip.compress((STATIC / MODULES[0]).read_bytes(), 9)) < MOST_BYTES


def test_it_imports_nothing_but_its_own():
    for name in MODULES:
        wanted = re.findall(r"""(?:from|import\() ?["']([^"']+)""", (STATIC / name).read_text())
        assert {each.removeprefix("./") for each in wanted} <= set(MODULES), name


def test_the_types_name_what_is_exported():
    exports = set(EXPORTED.findall((STATIC / MODULES[0]).read_text()))
    # For the other modules, not for those who use the client.
    exports -= {"Line", "ask", "sleep", "isFinal"}
    types = (STATIC / "fluxora-streams.d.ts").read_text()
    assert set(EXPORTED.findall(types)) == exports | {"accrued", "matches"}
    testing = (STATIC / "fluxora-testing.d.ts").read_text()
    assert set(EXPORTED.findall(testing)) == {"FakeFeed", "fakeFeed"}


async def test_node_follows_over_a_restart(node, site, tmp_path):
    script = tmp_path / "follow.mjs"
    script.write_text(FOLLOW % (STATIC / MODULES[0]))
    before = await head(site)
    process = await asyncio.create_subprocess_exec(
        node, str(script), site.base, stdout=asyncio.subprocess.PIPE, limit=1 << 22
    )
    assert process.stdout
    try:
        states: list[dict] = []
        events: list[dict] = []

        async def read(condition) -> None:
            while not condition():
                line = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
                states.extend([line["state"]] if "state" in line else [])
                events.extend([line["event"]] if "event" in line else [])

        await read(lambda: states and states[-1]["name"] == "live")
        halfway = asyncio.Event()
        writing = asyncio.create_task(write_burst(site, 60, halfway))
        await halfway.wait()
        await asyncio.to_thread(site.restart)
        await writing
        (last,) = await write(site, created())
        await read(lambda: events and events[-1]["id"] == last)
        assert events == await whole_log(site, before)
        assert sum(state["name"] == "live" for state in states) >= 2
    finally:
        process.terminate()
        await process.wait()


def test_npm_packs_what_the_service_serves(node, tmp_path):
    (packed,) = json.loads(npm("pack", "--json", "--pack-destination", str(tmp_path), cwd=PACKAGE))
    names = {each["path"] for each in packed["files"]}
    assert names == {*MODULES, "fluxora-streams.d.ts", "fluxora-testing.d.ts", "package.json", "README.md"}
    user = tmp_path / "user"
    user.mkdir()
    (user / "package.json").write_text('{"type":"module"}')
    npm("install", "--offline", "--no-audit", "--no-fund", str(tmp_path / packed["filename"]), cwd=user)
    installed = user / "node_modules" / "fluxora-streams"
    for name in MODULES:
        assert (installed / name).read_bytes() == (STATIC / name).read_bytes()
    (user / "use.js").write_text(
        'import { StreamFeed, accrued } from "fluxora-streams"; import { fakeFeed } from "fluxora-streams/testing";\n'
        "const feed = fakeFeed(); feed.emit(); console.log(typeof StreamFeed, typeof accrued, feed.stats.events);\n"
    )
    done = subprocess.run([node, "use.js"], cwd=user, capture_output=True, text=True, check=False, timeout=20)
    assert done.stdout == "function function 1\n", done.stderr
    # Nothing is left in the tree.
    assert {each.name for each in PACKAGE.iterdir()} == {"package.json", "README.md", "pack.mjs"}
