"""Our browser client, in a real browser, beside the real service: every event once, whatever happens."""

import asyncio
import json
import time

import jwt
import pytest
from playwright.async_api import BrowserContext, Page

from tests.browser.test_browser_clients import until, whole_log, write_burst
from tests.conftest import api_of
from tests.support.data import address, created, stream_id, updated
from tests.support.proxy import Buffering, NoUpgrades, Proxy
from tests.support.server import Server

pytestmark = pytest.mark.browser

START = """
async ([url, options]) => {
  const { StreamFeed } = await import("/static/fluxora-streams.js");
  window.got = { events: [], states: [], resets: [] };
  window.feed = new StreamFeed(url, {
    ...options,
    onState: (state) => got.states.push(state),
    onReset: (reset) => got.resets.push(reset),
  });
  (async () => { for await (const event of feed) got.events.push(event); })();
}
"""
SECRET = "a secret of thirty-two characters"
LIVE = "feed.state.name === 'live'"


async def open_feed(page: Page, base: str, url: str = "/", **options) -> None:
    await page.goto(f"{base}/asyncapi.json")
    await page.evaluate(START, [url, options])
    try:
        await until(page, LIVE)
    except Exception:
        raise AssertionError(await page.evaluate("JSON.stringify([feed.state, got.states])")) from None


async def head(site: Server) -> str:
    async with api_of(site) as api:
        return (await api.get("/health")).json()["log"]["head"]


async def write(site: Server, *events: dict) -> list[str]:
    async with api_of(site) as api:
        answer = (await api.post("/api/events", json={"events": list(events)})).json()
    return [result["id"] for result in answer["results"]]


async def expect_log(page: Page, log: list[dict]) -> None:
    """Exactly these events, in this order, each once."""
    try:
        await until(page, f"got.events.length >= {len(log)}")
    finally:
        ids = await page.evaluate("got.events.map((event) => event.id)")
        assert ids == [event["id"] for event in log], await page.evaluate("JSON.stringify(got.states)")
    assert await page.evaluate("got.events") == log
    assert await page.evaluate("got.resets") == []


@pytest.fixture
async def context(browser):
    context = await browser.new_context()
    yield context
    await context.close()


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_every_event_once_over_a_restart_in_the_middle_of_a_burst(page, site, transport):
    before = await head(site)
    await open_feed(page, site.base, transports=[transport], share=False)
    assert await page.evaluate("feed.state.transport") == transport
    halfway = asyncio.Event()
    writing = asyncio.create_task(write_burst(site, 60, halfway))
    await halfway.wait()
    await asyncio.to_thread(site.restart)
    await writing
    await write(site, created())
    await expect_log(page, await whole_log(site, before))
    assert await page.evaluate("feed.stats.dials") >= 2


@pytest.mark.parametrize("silent", [True, False])
async def test_where_upgrades_are_blocked_it_uses_sse_and_later_a_websocket(page, site, silent):
    before = await head(site)
    async with NoUpgrades(site.port, silent=silent) as proxy:
        await open_feed(page, f"http://127.0.0.1:{proxy.port}", share=False, retrySocket=1500)
        assert await page.evaluate("feed.state.transport") == "sse"
        assert "WebSocket did not get through" in await page.evaluate("feed.state.reason")
        await write(site, created(), created())
        proxy.blocking = False
        writing = asyncio.create_task(write_burst(site, 200, asyncio.Event()))
        await until(page, "feed.state.transport === 'websocket'")
        await writing
        await write(site, created())
        await expect_log(page, await whole_log(site, before))
    assert proxy.seen >= 1


@pytest.mark.parametrize("gives_head", [True, False])
async def test_where_sse_is_held_back_too_it_polls_and_later_takes_a_websocket(page, site, gives_head):
    before = await head(site)
    async with Buffering(site.port, gives_head=gives_head) as proxy:
        base = f"http://127.0.0.1:{proxy.port}"
        await open_feed(page, base, share=False, silence=700, retrySocket=2000, poll=100)
        assert await page.evaluate("feed.state.transport") == "poll"
        assert "by polling" in await page.evaluate("feed.state.reason")
        await write_burst(site, 20, asyncio.Event())
        await expect_log(page, await whole_log(site, before))
        proxy.blocking = False
        writing = asyncio.create_task(write_burst(site, 200, asyncio.Event()))
        await until(page, "feed.state.transport === 'websocket'")
        await writing
        await write(site, created())
        await expect_log(page, await whole_log(site, before))


async def test_polling_with_a_filter_and_a_cursor_that_is_no_more(page, site):
    person = address("polled")
    async with Buffering(site.port, gives_head=False) as proxy:
        base = f"http://127.0.0.1:{proxy.port}"
        options = {"share": False, "silence": 700, "poll": 100, "filter": {"recipient": person}}
        await open_feed(page, base, lastEventId="0123456789-1", **options)
        await until(page, "got.resets.length === 1")
        assert await page.evaluate("[got.resets[0].event, got.resets[0].reason]") == ["feed.reset", "epoch"]
        await write(site, created(), created(recipient=person), created())
        await until(page, "got.events.length === 1")
        # The cursor comes up to the head, though the newest event is not wanted.
        await until(page, f"feed.lastEventId === {json.dumps(await head(site))}")


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_page_that_is_frozen_in_the_background(context: BrowserContext, site, transport):
    page = await context.new_page()
    before = await head(site)
    await open_feed(page, site.base, transports=[transport], share=False)
    await write(site, created())
    await until(page, "got.events.length === 1")
    session = await context.new_cdp_session(page)
    await session.send("Page.setWebLifecycleState", {"state": "frozen"})
    await write_burst(site, 100, asyncio.Event())
    await session.send("Page.setWebLifecycleState", {"state": "active"})
    await write(site, created())
    await expect_log(page, await whole_log(site, before))


@pytest.fixture
def signed_in(make_server):
    return make_server(jwt_secret=SECRET, read_access="signed-in", token_expiring_seconds=1, retry_ms=200)


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_token_that_expires_costs_no_event(page, signed_in, transport):
    """A token for 3 s, and another each time that one is asked for."""
    before, reader = await head(signed_in), address("reader")
    given = []

    async def token() -> str:
        claims = {"sub": reader, "exp": time.time() + 3, "scope": "streams:read"}
        given.append(jwt.encode(claims, SECRET, "HS256"))
        return given[-1]

    await page.expose_function("newToken", token)
    await page.goto(f"{signed_in.base}/asyncapi.json")
    start = START.replace("...options,", "...options, getToken: newToken,")
    await page.evaluate(start, ["/", {"transports": [transport], "share": False}])
    await until(page, LIVE)
    end = time.monotonic() + 6
    while time.monotonic() < end:
        await write(signed_in, created(recipient=reader))
        await asyncio.sleep(0.05)
    await expect_log(page, await whole_log(signed_in, before))
    assert len(given) >= 3


async def test_an_open_but_dead_connection_is_noticed(page, site):
    before = await head(site)
    async with Proxy(site.port) as proxy:
        await open_feed(page, f"http://127.0.0.1:{proxy.port}", share=False, silence=1500, pong=500)
        await write(site, created())
        await until(page, "got.events.length === 1")
        assert proxy.cut(b"/ws/streams") == 1
        await write(site, created(), created())
        await expect_log(page, await whole_log(site, before))
        assert await page.evaluate("got.states.some(({ reason }) => reason.includes('dead connection'))")


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_offline_and_online(context: BrowserContext, site, transport):
    page = await context.new_page()
    before = await head(site)
    await open_feed(page, site.base, transports=[transport], share=False)
    await write(site, created())
    await until(page, "got.events.length === 1")
    await context.set_offline(True)
    await page.evaluate("feed.reconnect()")
    await until(page, "feed.state.name === 'waiting'")
    await write(site, created(), created())
    await context.set_offline(False)
    await expect_log(page, await whole_log(site, before))


async def test_a_filter_and_where_to_start(page, site):
    before = await head(site)
    mine = address("somebody of mine")
    await write(site, created(), created(recipient=mine), created())
    await open_feed(page, site.base, lastEventId=before, filter={"recipient": mine}, share=False)
    await write(site, created(), created(recipient=mine))
    log = [event for event in await whole_log(site, before) if event["payload"]["recipient"] == mine]
    assert len(log) == 2
    await expect_log(page, log)


async def test_a_cursor_that_is_no_more_is_told(page, site):
    await open_feed(page, site.base, lastEventId="0000-5", share=False)
    await until(page, "got.resets.length === 1")
    (last,) = await write(site, created())
    await until(page, f"got.events.at(-1)?.id === '{last}'")
    assert await page.evaluate("got.events.length") == 1


async def test_a_reload_goes_on_from_the_store(page, site):
    script = START.replace("...options,", "...options, store: client.localStore(),").replace(
        "const { StreamFeed } =", "const client = window.client ="
    )
    script = script.replace("new StreamFeed", "new client.StreamFeed")
    for kept in (script, script.replace("localStore", "indexedStore")):
        await page.goto(f"{site.base}/asyncapi.json")
        await page.evaluate(kept, ["/", {"share": False}])
        await until(page, LIVE)
        (first,) = await write(site, created())
        await until(page, f"feed.lastEventId === '{first}' && got.events.length === 1")
        await page.wait_for_timeout(400)
        await page.goto("about:blank")
        missed = await write(site, created(), created())
        await page.goto(f"{site.base}/asyncapi.json")
        await page.evaluate(kept, ["/", {"share": False}])
        await until(page, "got.events.length >= 2")
        assert await page.evaluate("got.events.map((event) => event.id)") == missed
        await page.evaluate("feed.close(); localStorage.clear()")


async def test_the_map_of_streams_follows(page, site):
    mine = address("the map's")
    events = [created(recipient=mine) for _ in range(3)]
    await write(site, *events)
    await page.goto(f"{site.base}/asyncapi.json")
    await page.evaluate(START + "\n", ["/", {"share": False, "filter": {"recipient": mine}}])
    await page.evaluate("feed.streams.ready.then(() => undefined)")
    assert await page.evaluate("feed.streams.size") == 3
    await until(page, LIVE)
    new = created(recipient=mine)
    await write(site, new, updated(stream_id(events[0]), streamedAmount="5"), created())
    await until(page, "feed.streams.size === 4")
    await until(page, f"feed.streams.get('{stream_id(events[0])}').streamedAmount === '5'")
    async with api_of(site) as api:
        listed = (await api.get("/api/streams", params={"recipient": mine})).json()["streams"]
    shown = await page.evaluate("[...feed.streams.values()]")
    assert sorted(map(json.dumps, shown)) == sorted(map(json.dumps, listed))


async def connections(site: Server) -> int:
    async with api_of(site) as api:
        health = (await api.get("/health")).json()
    return health["wsConnections"] + health["sseConnections"]


async def test_twenty_tabs_have_one_connection_and_the_next_takes_over(context: BrowserContext, site):
    before = await head(site)
    idle = await connections(site)
    tabs = [await context.new_page() for _ in range(20)]
    people = [address(f"tab {number % 4}") for number in range(20)]
    for tab, person in zip(tabs, people, strict=True):
        await open_feed(tab, site.base, filter={"recipient": person})
    assert await connections(site) == idle + 1

    async def burst() -> None:
        for number in range(100):
            await write(site, created(recipient=people[number % 4]), created(), created(recipient=people[0]))

    owners = await asyncio.gather(*(tab.evaluate("feed.state.owner") for tab in tabs))
    assert owners.count(True) == 1
    owner = owners.index(True)
    writing = asyncio.create_task(burst())
    await until(tabs[owner - 1], "got.events.length > 10")
    await tabs[owner].close()
    del tabs[owner], people[owner]
    await writing
    for person in set(people):
        await write(site, created(recipient=person))
    log = await whole_log(site, before)
    for tab, person in zip(tabs, people, strict=True):
        await expect_log(tab, [event for event in log if event["payload"]["recipient"] == person])
    assert await connections(site) == idle + 1


async def test_a_tab_that_joins_with_a_cursor_gets_what_it_missed(context: BrowserContext, site):
    before = await head(site)
    first, second = await context.new_page(), await context.new_page()
    await open_feed(first, site.base)
    await write(site, created(), created())
    writing = asyncio.create_task(write_burst(site, 60, asyncio.Event()))
    await open_feed(second, site.base, lastEventId=before)
    await writing
    log = await whole_log(site, before)
    await expect_log(second, log)
    await expect_log(first, log)


async def test_tabs_of_different_people_share_nothing(context: BrowserContext, site):
    idle = await connections(site)
    for principal in ("anna", "ben"):
        await open_feed(await context.new_page(), site.base, principal=principal)
    assert await connections(site) == idle + 2


async def test_without_locks_each_tab_has_its_own(context: BrowserContext, site):
    await context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined });")
    before, idle = await head(site), await connections(site)
    tabs = [await context.new_page() for _ in range(2)]
    for tab in tabs:
        await open_feed(tab, site.base)
    assert await connections(site) == idle + 2
    await write(site, created())
    for tab in tabs:
        await expect_log(tab, await whole_log(site, before))
