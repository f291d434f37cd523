"""The live page, in a real browser."""

import asyncio
import json

import httpx
import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Watch
from tests.conftest import api_of
from tests.support.data import SENDER, created, new_stream
from tests.support.server import KEY, Server, run_app

pytestmark = pytest.mark.browser

VIEWS = ("", "stream", "connection", "write")
TITLES = ("Server-Sent Events", "WebSocket")


def column(page: Page, title: str) -> Locator:
    return page.locator(".feed").filter(has=page.get_by_role("heading", name=title, exact=True))


async def open_live(page: Page, site: Server) -> None:
    """The view with both transports side by side."""
    await page.goto(f"{site.base}/#/connection")
    await expect(page.locator("#line")).to_have_text("live")
    for title in TITLES:
        await expect(column(page, title).locator(".state")).to_have_text("Live")


async def visit(page: Page, name: str) -> None:
    await page.get_by_role("navigation", name="Views").get_by_role("link", name=name, exact=True).click()


async def open_view(page: Page, site: Server, view: str) -> None:
    """A view with something in it."""
    async with api_of(site) as api:
        stream = (await api.post("/api/streams", json=new_stream())).json()["id"]
        await page.goto(f"{site.base}/#/{view}" + (f"/{stream}" if view == "stream" else ""))
        await expect(page.locator("#line")).to_have_text("live")
        await api.patch(f"/api/streams/{stream}", json={"status": "paused"})
    if view == "connection":
        await expect_counts(page, 1)
    elif view == "write":
        await expect(page.locator("#stream")).to_contain_text("paused")
    else:
        await expect(page.locator(".told li:visible").first).to_contain_text("paused")


async def press(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


async def shown(page: Page, title: str) -> list[str]:
    """The ids of the events in a column, newest first."""
    return await column(page, title).locator(".events li").evaluate_all("rows => rows.map(row => row.dataset.id)")


async def expect_counts(page: Page, count: int) -> None:
    for title in TITLES:
        await expect(column(page, title).locator(".count")).to_have_text(str(count))
    assert await shown(page, TITLES[0]) == await shown(page, TITLES[1])


async def head(site: Server) -> str:
    async with api_of(site) as api:
        return (await api.get("/health")).json()["log"]["head"]


async def test_what_is_made_appears_in_both_columns(page, site, watch: Watch):
    before = await head(site)
    await open_live(page, site)
    await visit(page, "Write")
    await page.get_by_label("API key").fill(KEY)
    answer = page.locator("#answer")
    await press(page, "Create a stream")
    await expect(answer).to_contain_text("Created ")
    await press(page, "Pause")
    await expect(answer).to_contain_text("is paused")
    await press(page, "Resume")
    await expect(answer).to_contain_text("is active, 0 of 1000")
    await press(page, "Stream a tenth")
    await expect(answer).to_contain_text("is active, 100 of 1000")
    await press(page, "Cancel")
    await expect(answer).to_contain_text("is cancelled")
    await press(page, "Make ten events")
    await expect(answer).to_contain_text("10 events in one transaction")
    await visit(page, "Connection")
    await expect_counts(page, 15)
    await expect(page.locator("#parity")).to_have_attribute("data-same", "true")

    async with api_of(site) as api:
        log = (await api.get("/api/events", params={"after": before})).json()["events"]
    assert await shown(page, "WebSocket") == [event["id"] for event in reversed(log)]
    for title in TITLES:
        rows = column(page, title).locator(".events li")
        await expect(column(page, title).locator(".last")).to_have_text(log[-1]["id"])
        paid, cancelled = rows.nth(11), rows.nth(10)
        await expect(paid).to_contain_text("100 of 1000")
        await expect(paid).to_contain_text("changed streamedAmount, remainingAmount")
        await expect(cancelled.locator(".name")).to_have_text("stream.cancelled")
        await expect(cancelled.locator(".status")).to_have_text("cancelled")
    await expect(page.locator("#status")).to_have_text("ok")
    await expect(page.locator("#figures")).to_contain_text("1 SSE · 2 WebSocket")

    assert watch.errors == []
    assert watch.elsewhere == []
    assert {"/sse/streams", "/ws/streams"} <= {httpx.URL(url).path for url in watch.urls}


async def test_the_key_stays_in_the_tab(page, site, watch: Watch):
    await page.goto(f"{site.base}/#/write")
    await page.get_by_label("API key").fill("a-key-nobody-knows")
    await press(page, "Create a stream")
    await expect(page.locator("#answer")).to_contain_text("the key is not known")
    await expect(page.get_by_label("API key")).to_be_focused()
    await page.reload()
    await expect(page.get_by_label("API key")).to_have_value("a-key-nobody-knows")
    assert await page.evaluate("localStorage.length") == 0
    assert await page.context.cookies() == []
    assert not [url for url in watch.urls if "nobody-knows" in url]


async def test_follows_only_what_is_asked_for(page, site):
    async with api_of(site) as api:
        mine, other = [(await api.post("/api/streams", json=new_stream())).json()["id"] for _ in range(2)]
        await open_live(page, site)
        field = page.get_by_label("Only this stream, sender or recipient")
        await field.fill(mine)
        await press(page, "Apply")
        await expect_filter(page, f"streamId={mine}")
        for each in (other, mine):
            await api.patch(f"/api/streams/{each}", json={"status": "paused"})
        await expect_counts(page, 1)
        await expect(column(page, "WebSocket").locator(".stream")).to_have_attribute("title", f"Follow only {mine}")
        await field.fill(SENDER)
        await press(page, "Apply")
        await expect_filter(page, f"participant={SENDER}")
        await api.patch(f"/api/streams/{other}", json={"status": "active"})
        await expect_counts(page, 1)
        await field.fill("GABC")
        await press(page, "Apply")
        await expect(page.locator("#filter:invalid")).to_be_visible()
        assert "Stellar address" in await field.evaluate("field => field.validationMessage")
        await press(page, "All")
        await expect(page.locator("#filter:invalid")).to_have_count(0)


async def expect_filter(page: Page, query: str) -> None:
    """Both feeds have been opened anew, with this filter."""
    for title in TITLES:
        await expect(column(page, title).locator(".state[data-state=live]")).to_have_attribute("data-query", query)


async def test_says_what_is_out_of_order_as_text(page, site):
    report = {"source": "stellar-rpc", "reason": "<img src=x onerror=alert(1)> & behind"}
    await open_live(page, site)
    async with api_of(site) as api:
        await api.post("/api/service/degraded", json=report)
        await expect(page.get_by_role("alert")).to_contain_text(report["reason"])
        await expect(page.get_by_role("alert").locator("img")).to_have_count(0)
        await expect(page.locator("#status")).to_have_text("degraded")
        await api.post("/api/service/recovered", json=report)
        await expect(page.get_by_role("alert")).to_be_empty()


async def test_shows_a_bounded_list(page, site):
    await open_live(page, site)
    async with api_of(site) as api:
        for count in range(1, 13):
            await api.post("/api/events", json={"events": [created() for _ in range(10)]})
            await expect_counts(page, 10 * count)
    assert len(await shown(page, "WebSocket")) == 100
    assert (await shown(page, "WebSocket"))[0] == await head(site)
    await expect(page.locator("#parity")).to_have_attribute("data-same", "true")


async def test_goes_on_after_disconnects_and_restarts(page, site):
    await open_live(page, site)
    async with api_of(site) as api:
        await api.post("/api/streams", json=new_stream())
        await expect_counts(page, 1)
        for title in TITLES:
            await column(page, title).get_by_role("button", name="Disconnect").click()
        await api.post("/api/streams", json=new_stream())
        for title in TITLES:
            await column(page, title).get_by_role("button", name="Connect").click()
        await expect_counts(page, 2)
        await asyncio.to_thread(site.restart)
        await api.post("/api/streams", json=new_stream())
        await expect_counts(page, 3)


async def test_says_that_the_log_is_another(page, site):
    await open_live(page, site)
    assert await asyncio.to_thread(site.stop) == 0
    await expect(page.locator("#status")).to_have_text("unreachable")
    done = await asyncio.to_thread(run_app, "new-epoch", cwd=site.cwd, **site.settings)
    assert done.returncode == 0, done.stderr
    await asyncio.to_thread(site.start)
    await expect(page.get_by_role("alert")).to_contain_text("(epoch)")
    for title in TITLES:
        await expect(column(page, title).locator(".state")).to_have_text("Live")
    async with api_of(site) as api:
        await api.post("/api/streams", json=new_stream())
    await expect_counts(page, 1)
    await press(page, "Understood")
    await expect(page.get_by_role("alert")).to_be_empty()


async def hide(page: Page, *, hidden: bool) -> None:
    """As another tab before it does: a headless browser shows every page."""
    await page.evaluate(
        """hidden => {
          Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
          document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
        }""",
        hidden,
    )


async def test_the_seventh_tab_loads_and_the_first_misses_nothing(page, site):
    """Over HTTP/1.1 a browser has six connections to a service: a hidden page holds none of them."""
    await open_live(page, site)
    tabs = [page]
    for _ in range(6):
        await hide(tabs[-1], hidden=True)
        for title in TITLES:
            await expect(column(tabs[-1], title).locator(".state")).to_have_text("Paused while hidden")
        tabs.append(await page.context.new_page())
        await open_live(tabs[-1], site)
    async with api_of(site) as api:
        await api.post("/api/streams", json=new_stream())
        await expect_counts(tabs[-1], 1)
        assert (await api.get("/health")).json()["sseConnections"] == 1
    await hide(tabs[-1], hidden=True)
    await hide(page, hidden=False)
    await expect_counts(page, 1)
    for tab in tabs[1:]:
        await tab.close()


@pytest.mark.parametrize("view", VIEWS)
async def test_everything_that_is_pressed_is_large_enough_for_a_finger(page, site, view):
    """24 pixels at least (WCAG 2.5.8), on a phone; and nothing is wider than it."""
    await page.set_viewport_size({"width": 360, "height": 740})
    await open_view(page, site, view)
    small = await page.locator("a:not(.skip), button, input, select").evaluate_all(
        """found => found.map(each => [each.outerHTML.slice(0, 60), each.getBoundingClientRect()])
          .filter(([, { width, height }]) => height && (width < 24 || height < 24))
          .map(([text, { width, height }]) => `${text}: ${width} x ${height}`)"""
    )
    assert small == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("path", ["/", "/static/page/live.js", "/static/page/live.css", "/favicon.ico"])
async def test_files_are_checked_for_a_new_version_each_time(site, path):
    async with httpx.AsyncClient(base_url=site.base) as http:
        answer = await http.get(path)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-cache"
        assert "Expires" not in answer.headers
        assert "'unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        again = await http.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304


async def test_serves_nothing_but_its_files(site):
    async with httpx.AsyncClient(base_url=site.base) as http:
        for path in ("/static/../settings.py", "/static/%2e%2e/settings.py", "/static/none.js", "/docs/assets/none.js"):
            answer = await http.get(path)
            assert answer.status_code == 404, path
            assert answer.headers["Content-Type"] == "application/problem+json", path
            assert json.loads(answer.text)["status"] == 404
