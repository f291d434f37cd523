"""The Python client on the real service: each event once, whatever the connection does."""

import asyncio
import json
import subprocess
import sys
import textwrap

import pytest

from app.client import FeedRefused, FeedReset, StreamFeed, SyncStreamFeed
from tests.conftest import api_of
from tests.support.data import new_stream
from tests.support.server import KEY, environment


async def create(api, count: int) -> list[str]:
    return [(await api.post("/api/streams", json=new_stream())).json()["id"] for _ in range(count)]


async def take(feed: StreamFeed, count: int, seconds: float = 30) -> list[dict]:
    found = []
    async with asyncio.timeout(seconds):
        async for event in feed:
            found.append(event)
            if len(found) == count:
                return found
    raise AssertionError


@pytest.mark.parametrize("transport", ["auto", "sse"])
async def test_a_restart_in_the_middle_of_a_burst(make_server, transport):
    server = make_server(retry_ms=50)
    feed = StreamFeed(server.base, transport=transport)
    async with api_of(server) as api:
        taking = asyncio.create_task(take(feed, 120))
        while not feed.stats.connects:
            await asyncio.sleep(0.01)
        made = await create(api, 60)
        await asyncio.to_thread(server.restart)
        made += await create(api, 60)
        events = await taking
    assert [event["streamId"] for event in events] == made
    assert feed.stats.connects >= 2
    if transport != "auto":
        assert feed.stats.transport == transport


async def test_a_filter_a_cursor_and_a_checkpoint_after_each_event(make_server):
    server = make_server()
    async with api_of(server) as api:
        start = (await api.get("/api/streams")).headers["Last-Event-ID"]
        made = await create(api, 3)
        stored = []
        feed = StreamFeed(server.base, last_event_id=start, filter={"streamId": made[1:]}, checkpoint=stored.append)
        events = await take(feed, 2)
        assert [event["streamId"] for event in events] == made[1:]
        assert stored == [events[0]["id"]], "the last one is not handled yet"
        again = StreamFeed(server.base, last_event_id=stored[-1], transport="sse")
        assert [event["id"] for event in await take(again, 1)] == [events[1]["id"]]


async def test_where_upgrades_are_blocked_it_takes_sse(make_server):
    """A proxy that knows no upgrades, as many companies have."""
    server = make_server()

    async def pipe(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def proxy(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if b"upgrade" in head.lower():
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        behind, ahead = await asyncio.open_connection("127.0.0.1", server.port)
        ahead.write(head)
        await asyncio.gather(pipe(reader, ahead), pipe(behind, writer), return_exceptions=True)

    front = await asyncio.start_server(proxy, "127.0.0.1", 0)
    feed = StreamFeed(f"http://127.0.0.1:{front.sockets[0].getsockname()[1]}")
    async with api_of(server) as api:
        taking = asyncio.create_task(take(feed, 5))
        while not feed.stats.connects:
            await asyncio.sleep(0.01)
        made = await create(api, 5)
        assert [event["streamId"] for event in await taking] == made
    assert feed.stats.transport == "sse"
    front.close()


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_a_reset_is_raised_and_the_next_iteration_goes_on(make_server, transport):
    server = make_server()
    feed = StreamFeed(server.base, transport=transport, last_event_id="0000000000-5")
    with pytest.raises(FeedReset) as reset:
        await take(feed, 1)
    assert reset.value.reason == "epoch"
    assert feed.cursor == reset.value.cursor
    async with api_of(server) as api:
        made = await create(api, 1)
    assert (await take(feed, 1))[0]["streamId"] == made[0]


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_what_no_retry_mends_is_raised(make_server, transport):
    server = make_server(read_access="signed-in")
    with pytest.raises(FeedRefused) as refused:
        await take(StreamFeed(server.base, transport=transport), 1)
    assert refused.value.status == 401
    feed = StreamFeed(server.base, transport=transport, get_token=lambda: KEY, filter={"colour": "red"})
    with pytest.raises(FeedRefused, match="colour"):
        await take(feed, 1)


def test_without_asyncio(make_server):
    import httpx  # noqa: PLC0415

    server = make_server()
    start = httpx.get(f"{server.base}/api/streams").headers["Last-Event-ID"]
    headers = {"Authorization": f"Bearer {KEY}"}
    made = [httpx.post(f"{server.base}/api/streams", json=new_stream(), headers=headers).json()["id"] for _ in range(3)]
    feed = SyncStreamFeed(server.base, last_event_id=start)
    events = []
    for event in feed:
        events.append(event["streamId"])
        if len(events) == 3:
            break
    assert events == made


def test_it_is_imported_without_the_service_s_packages(tmp_path):
    program = """
        import sys
        class Block:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {"quart", "pydantic", "sqlalchemy", "databases", "orjson", "structlog"}:
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Block())
        from fluxora import StreamFeed, SyncStreamFeed
        import app.__main__, app.client.check, app.client.simulation
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, env=environment({}), check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def fluxora(*arguments: str, cwd, **variables: str) -> subprocess.CompletedProcess:
    env = environment({}) | variables
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)


async def test_the_commands(make_server, tmp_path):
    server = make_server()
    run = lambda *arguments, **variables: asyncio.to_thread(fluxora, *arguments, cwd=tmp_path, **variables)
    tail = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "tail", "--url", server.base, "--json", "--filter", "event=stream.created",
        stdout=subprocess.PIPE, env=environment({}), cwd=tmp_path,
    )  # fmt: skip
    async with api_of(server) as api:
        while not (await api.get("/health")).json()["wsConnections"]:
            await asyncio.sleep(0.05)
        [made] = await create(api, 1)
        assert json.loads(await asyncio.wait_for(tail.stdout.readline(), 10))["streamId"] == made
    tail.kill()
    await tail.wait()
    got = await run("get", made, "--url", server.base, "--at", "1900000000")
    assert json.loads(got.stdout)["accrued"]["at"] == 1900000000
    missing = await run("get", "stream-none", "--url", server.base)
    assert (missing.returncode, missing.stderr) == (1, "there is no stream stream-none\n")
    simulated = await run("simulate", "--url", server.base, "--rate", "100", "--seconds", "1", FLUXORA_KEY=KEY)
    assert simulated.returncode == 0, simulated.stderr
    assert (await run("simulate", "--url", server.base)).returncode == 1
    checked = await run("check", server.base, "--wait", "0", FLUXORA_KEY=KEY, COLUMNS="200")
    assert checked.returncode == 0, checked.stdout
    assert "40 events" in checked.stdout
    read_only = await run("check", server.base, "--wait", "0", COLUMNS="200")
    assert read_only.returncode == 0, read_only.stdout
    nobody = await run("check", "http://127.0.0.1:9", "--wait", "0")
    assert nobody.returncode == 1
