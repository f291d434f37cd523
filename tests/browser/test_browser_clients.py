"""Clients as others write them, in a real browser: they resume by themselves, and miss and repeat nothing."""

import asyncio
import json

import httpx
import pytest
from playwright.async_api import expect

from tests.browser.conftest import Watch
from tests.conftest import api_of
from tests.support.data import created, stream_id, updated
from tests.support.server import Server

pytestmark = pytest.mark.browser

EVENT_SOURCE = """
window.sse = {ids: [], texts: [], opened: 0};
const source = new EventSource("/sse/streams");
source.onopen = () => { sse.opened += 1; };
for (const name of ["stream.created", "stream.updated", "stream.cancelled", "feed.reset"])
  source.addEventListener(name, (event) => { sse.ids.push(event.lastEventId); sse.texts.push(event.data); });
"""
WEB_SOCKET = """
window.socket = {ids: [], texts: [], opened: 0, closes: []};
(function open(lastEventId) {
  const query = lastEventId ? `?lastEventId=${lastEventId}` : "";
  const connection = new WebSocket(`ws://${location.host}/ws/streams${query}`);
  connection.onopen = () => { socket.opened += 1; };
  connection.onmessage = ({data}) => {
    const {id, cursor} = JSON.parse(data);
    lastEventId = id ?? cursor ?? lastEventId;
    if (!id) return;
    socket.ids.push(id);
    socket.texts.push(data);
  };
  connection.onclose = ({code, reason}) => {
    socket.closes.push([code, reason]);
    setTimeout(() => open(lastEventId), Number(/retry in (\\d+) ms/.exec(reason)?.[1] ?? 100));
  };
})();
"""


async def write_burst(site: Server, batches: int, halfway: asyncio.Event) -> None:
    """Write without a pause; what fails meanwhile is written again, as an indexer does: batches are idempotent."""
    async with api_of(site) as api:
        for number in range(batches):
            if number == batches // 2:
                halfway.set()
            first = created()
            streamed = [updated(stream_id(first), streamedAmount=str(amount)) for amount in range(1, 5)]
            while not await written(api, [first, *streamed]):
                pass


async def written(api: httpx.AsyncClient, events: list[dict]) -> bool:
    try:
        answer = await api.post("/api/events", json={"events": events})
    except httpx.TransportError:
        return False
    assert answer.status_code in {200, 503}, answer.text
    return answer.status_code == 200


async def whole_log(site: Server, after: str) -> list[dict]:
    events: list[dict] = []
    async with api_of(site) as api:
        while True:
            page = (await api.get("/api/events", params={"after": after, "limit": 1000})).json()
            if not page["events"]:
                return events
            events += page["events"]
            after = page["cursor"]


async def test_clients_resume_across_a_restart_in_the_middle_of_a_burst(page, site, watch: Watch):
    await page.goto(f"{site.base}/asyncapi.json")
    await page.evaluate(EVENT_SOURCE)
    await page.evaluate(WEB_SOCKET)
    await until(page, "sse.opened && socket.opened")
    async with api_of(site) as api:
        before = (await api.get("/health")).json()["log"]["head"]

    halfway = asyncio.Event()
    writing = asyncio.create_task(write_burst(site, 120, halfway))
    await halfway.wait()
    await asyncio.to_thread(site.restart)
    await writing

    log = await whole_log(site, before)
    assert len(log) == 600
    await until(page, f"sse.texts.length >= {len(log)} && socket.texts.length >= {len(log)}")
    async with api_of(site) as api:
        last = (await api.post("/api/events", json={"events": [created()]})).json()["results"][0]["id"]
    # Anything sent twice would have come before this one.
    await until(page, f"sse.ids.at(-1) === '{last}' && socket.ids.at(-1) === '{last}'")
    for name in ("sse", "socket"):
        client = await page.evaluate(name)
        assert client["opened"] >= 2, f"{name} was not interrupted"
        assert list(map(json.loads, client["texts"][:-1])) == log, name
        assert client["ids"] == [*(event["id"] for event in log), last], name
    assert await page.evaluate("sse.texts.join() === socket.texts.join()")
    code, reason = (await page.evaluate("socket.closes"))[0]
    assert code == 1012
    assert reason.startswith("service restart; retry in ")
    assert watch.elsewhere == []


async def until(page, condition: str) -> None:
    """Wait for what a page's script can see."""
    await page.wait_for_function(f"() => {condition}", timeout=20_000)


async def test_the_documentation_needs_nobody_else(page, site, watch: Watch):
    await page.goto(f"{site.base}/docs")
    await expect(page.get_by_role("heading", name="Fluxora streams")).to_be_visible()
    await expect(page.locator(".opblock-summary-path").filter(has_text="/api/streams").first).to_be_visible()
    shown = set(await page.locator(".opblock-summary-path").evaluate_all("all => all.map(each => each.dataset.path)"))
    async with httpx.AsyncClient(base_url=site.base) as http:
        described = set((await http.get("/openapi.json")).json()["paths"])
    assert shown == described
    await page.locator(".opblock-post .opblock-summary-control").first.click()
    await expect(
        page.locator(".opblock-body .model-example, .opblock-body .parameters-container").first
    ).to_be_visible()
    assert watch.errors == []
    assert watch.elsewhere == []
    assert any(url.endswith("/docs/assets/swagger-ui-bundle.js") for url in watch.urls)
