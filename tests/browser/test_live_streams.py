"""What flows, on the live page: totals, the table, one stream's own page, and the page's connection."""

import asyncio
import random
import re
import time
from fractions import Fraction

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Watch
from tests.browser.test_live_page import VIEWS, open_view, visit
from tests.conftest import api_of
from tests.support.data import RECIPIENT, SENDER, created, new_stream, stream_id, updated
from tests.support.npm import installed
from tests.support.server import KEY, Server

pytestmark = pytest.mark.browser

MANY = 5_000
LONG_TASKS = """() => {
  window.longTasks = [];
  new PerformanceObserver(list => window.longTasks.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: "longtask" });
}"""


@pytest.fixture
def own(new_database, tmp_path):
    """A service with nothing in it."""
    server = Server(tmp_path, database_url=new_database("sqlite"), retry_ms=200).start()
    yield server
    assert server.stop() == 0


async def open_streams(page: Page, site: Server) -> None:
    await page.goto(site.base)
    await expect(page.locator("#line")).to_have_text("live")


def rows(page: Page) -> Locator:
    return page.locator("#flows tbody tr:not(.space)")


async def exact_sum(api, at: int) -> Fraction:
    streams = (await api.get("/api/streams", params={"at": at, "limit": 500})).json()["streams"]
    return sum((Fraction(each["accrued"]["amount"]) for each in streams), Fraction()) / 10**7


async def test_the_totals_are_exact_to_the_last_unit(page, own, watch_own):
    start = int(time.time())
    async with api_of(own) as api:
        for deposit, rate, began in (("1000", "0.1234567", 90), ("5000.0000001", "2", 500), ("7", "1", 3600)):
            body = new_stream(depositAmount=deposit, ratePerSecond=rate, startTime=start - began)
            assert (await api.post("/api/streams", json=body)).status_code == 201
        await open_streams(page, own)
        await expect(page.locator("#totals .flow")).to_have_text("2.1234567")
        await expect(page.locator("#totals .active")).to_have_text("3")
        seen = set()
        for _ in range(6):
            text = await page.locator("#totals .streamed-so-far b").inner_text()
            now = int(time.time())  # once: the second may pass while the API answers
            near = [await exact_sum(api, now + off) for off in (-2, -1, 0, 1)]
            assert Fraction(text.replace(",", "")) in near
            seen.add(text)
            await asyncio.sleep(0.7)
        assert len(seen) > 2
    assert watch_own.errors == []


@pytest.fixture
async def watch_own(page: Page, own: Server) -> Watch:
    return Watch(page, own)


async def test_the_table_moves_and_is_searched(page, own):
    async with api_of(own) as api:
        bodies = [new_stream(), new_stream(sender=RECIPIENT, recipient=SENDER), new_stream()]
        first, other, last = [(await api.post("/api/streams", json=body)).json()["id"] for body in bodies]
        await open_streams(page, own)
        await expect(rows(page)).to_have_count(3)
        await expect(rows(page).first).to_have_attribute("data-id", last)
        await api.patch(f"/api/streams/{first}", json={"status": "paused"})
        await expect(rows(page).first).to_have_attribute("data-id", first)
        await expect(rows(page).first.locator(".status")).to_have_text("paused")
        await page.get_by_label("Status").select_option("paused")
        await expect(rows(page)).to_have_count(1)
        await page.get_by_label("Status").select_option("")
        await page.get_by_label("Search").fill(other[-8:])
        await expect(rows(page)).to_have_count(1)
        await expect(rows(page).first).to_have_attribute("data-id", other)
        await expect(page.locator("#shown")).to_have_text("1 of 3 streams")
        await page.get_by_label("Search").fill("nothing like it")
        await expect(page.locator(".nothing")).to_have_text("No stream fits the search.")


async def test_rows_do_not_move_under_the_pointer(page, own):
    async with api_of(own) as api:
        first, second = [(await api.post("/api/streams", json=new_stream())).json()["id"] for _ in range(2)]
        await open_streams(page, own)
        await rows(page).first.hover()
        await api.patch(f"/api/streams/{first}", json={"status": "paused"})
        await expect(rows(page).nth(1).locator(".status")).to_have_text("paused")
        await expect(rows(page).first).to_have_attribute("data-id", second)
        await page.get_by_role("button", name="Order held").click()
        await expect(rows(page).first).to_have_attribute("data-id", first)


async def test_a_streams_own_page_tells_its_life(page, own):
    born = created()
    async with api_of(own) as api:
        await api.post("/api/events", json={"events": [born]})
        await open_streams(page, own)
        await rows(page).first.get_by_role("link").click()
        await expect(page.get_by_role("heading", name=stream_id(born))).to_be_visible()
        told = page.locator("#one .told li")
        await expect(told).to_have_count(1)
        await expect(told.first).to_contain_text("1,000 from ")
        await api.patch(f"/api/streams/{stream_id(born)}", json={"streamedAmount": "250", "remainingAmount": "750"})
        await expect(told.first.locator(".words")).to_have_text("streamed 0 → 250, remaining 1000 → 750")
        await page.reload()
        await expect(told).to_have_count(2)
        await expect(page.locator("#one .facts")).to_contain_text(SENDER)
        await page.goto(f"{own.base}/#/stream/stream-none")
        await expect(page.locator("#one .problem")).to_contain_text("no stream")


async def test_the_list_can_be_held(page, own):
    await open_streams(page, own)
    told = page.locator("#happens .told li")
    async with api_of(own) as api:
        await api.post("/api/streams", json=new_stream())
        await expect(told).to_have_count(1)
        await page.get_by_role("button", name="Hold").click()
        await api.post("/api/streams", json=new_stream())
        await expect(page.locator("#happens .count")).to_have_text("2 events")
        await expect(told).to_have_count(1)
        await page.get_by_role("button", name="Go on").click()
        await expect(told).to_have_count(2)


async def test_a_cut_loses_nothing_and_plots_show_it(page, own):
    await open_view(page, own, "connection")
    await page.get_by_role("button", name="Cut it").click()
    async with api_of(own) as api:
        await api.post("/api/streams", json=new_stream())
    await expect(page.locator("#counted")).to_contain_text("2 events, 2 dials, 0 resets")
    await expect(page.locator("#own-state")).to_contain_text("live")
    await expect(page.locator("#latency svg")).to_have_attribute("aria-label", re.compile(r"\d ms now, most \d+ ms"))


async def test_reading_with_a_key_where_it_is_closed(page, new_database, tmp_path):
    settings = {"database_url": new_database("sqlite"), "read_access": "signed-in"}
    server = Server(tmp_path, **settings).start()
    try:
        async with api_of(server) as api:
            await api.post("/api/streams", json=new_stream())
            await page.goto(server.base)
            await expect(page.get_by_role("alert")).to_contain_text("Reading needs a key")
            await page.get_by_role("link", name="Give one").click()
            await page.get_by_label("API key").fill(KEY)
            await page.get_by_label("API key").press("Enter")
            await expect(page.locator("#line")).to_have_text("live")
            await visit(page, "Streams")
            await expect(rows(page)).to_have_count(1)
            await visit(page, "Connection")
            for state in await page.locator(".feed .state").all():
                await expect(state).to_have_text("Live")
            await api.post("/api/streams", json=new_stream())
            await expect(page.locator("#parity")).to_contain_text("the same 1 event")
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
async def test_axe_finds_nothing(page, site, view, scheme):
    """Names, roles, contrast, order: what a program can find of WCAG 2.2 AA."""
    source = (installed() / "axe-core" / "axe.min.js").read_text()
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await open_view(page, site, view)
    await page.evaluate(source)
    found = await page.evaluate(
        "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))"
    )
    assert found == []


async def test_at_200_percent_nothing_is_cut_off(page, site):
    """1280 x 900 at 200 % are 640 x 450 pixels of CSS."""
    await page.set_viewport_size({"width": 640, "height": 450})
    for view in VIEWS:
        await open_view(page, site, view)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 640, view


async def test_by_keyboard(page, own):
    async with api_of(own) as api:
        made = (await api.post("/api/streams", json=new_stream())).json()["id"]
    await open_streams(page, own)
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")
    for _ in range(12):
        await page.keyboard.press("Tab")
        if await rows(page).first.get_by_role("link").evaluate("link => link === document.activeElement"):
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name=made)).to_be_visible()
    await expect(page.locator("main")).to_be_focused()


async def test_5000_streams_and_200_events_a_second_without_a_long_task(page, own, watch_own):
    """Long: over 50 ms in one piece, when the page has loaded."""
    async with api_of(own) as api:
        made = [created() for _ in range(MANY)]
        for at in range(0, MANY, 1000):
            assert (await api.post("/api/events", json={"events": made[at : at + 1000]})).status_code == 200
        await open_streams(page, own)
        await expect(page.locator("#shown")).to_have_text("5,000 streams")
        await asyncio.sleep(2)
        await page.evaluate(LONG_TASKS)
        paid = dict.fromkeys((stream_id(each) for each in made), 0)
        started = time.monotonic()
        for turn in range(32):
            await asyncio.sleep(max(0.0, started + turn / 4 - time.monotonic()))
            await api.post("/api/events", json={"events": [pay(each, paid) for each in random.sample(list(paid), 50)]})
        await expect(page.locator("#happens .count")).to_have_text("1,600 events")
        assert await rows(page).count() < 40
        slow = sorted(await page.evaluate("window.longTasks"))
        # The machine has other work: what must not be is a page that stands still.
        assert sum(slow) < 0.05 * 8_000, slow
    assert watch_own.errors == []


def pay(stream: str, paid: dict[str, int]) -> dict:
    paid[stream] += 1
    return updated(stream, streamedAmount=str(paid[stream]), remainingAmount=str(1000 - paid[stream]))
