"""The live page for long, in a real browser: `python -m benchmarks.live_page [--minutes 60] [--rate 200]`.

5,000 streams, and as many events a second as asked for. Prints, each minute, the page's heap and its DOM nodes after a
garbage collection, and the tasks of over 50 ms since the line before.
"""

import argparse
import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from playwright.async_api import Page, async_playwright

from tests.support.data import created, stream_id, updated
from tests.support.server import KEY, QuietServer

STREAMS = 5_000
_BATCHES_A_SECOND = 4
_WATCH = """() => {
  window.longTasks = [];
  new PerformanceObserver(list => window.longTasks.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: "longtask" });
}"""
_TAKE = "() => window.longTasks.splice(0)"


@asynccontextmanager
async def live_page(server: QuietServer) -> AsyncIterator[Page]:
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if executable is None:
        raise SystemExit("Chromium is not installed (CHROMIUM=<its path>)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        page = await browser.new_page()
        await page.goto(server.base)
        await page.get_by_text(f"{STREAMS:,} streams").wait_for()
        await asyncio.sleep(3)  # what loading takes is not what is asked
        await page.evaluate(_WATCH)
        yield page
        await browser.close()


async def pay(api: httpx.AsyncClient, streams: list[str], rate: int) -> None:
    """Post `rate` changes a second, for ever."""
    paid = dict.fromkeys(streams, 0)
    started, turn = time.monotonic(), 0
    while True:
        turn += 1
        await asyncio.sleep(max(0.0, started + turn / _BATCHES_A_SECOND - time.monotonic()))
        batch = []
        for each in random.sample(streams, rate // _BATCHES_A_SECOND):
            paid[each] = paid[each] % 999 + 1
            batch.append(updated(each, streamedAmount=str(paid[each]), remainingAmount=str(1000 - paid[each])))
        (await api.post("/api/events", json={"events": batch})).raise_for_status()


async def watch(page: Page, minutes: int) -> None:
    session = await page.context.new_cdp_session(page)
    for minute in range(minutes + 1):
        if minute:
            await asyncio.sleep(60)
        tasks = sorted(await page.evaluate(_TAKE), reverse=True)
        # Collecting is a task of its own, not of the page.
        await session.send("HeapProfiler.collectGarbage")
        heap = (await session.send("Runtime.getHeapUsage"))["usedSize"]
        nodes = (await session.send("Memory.getDOMCounters"))["nodes"]
        await page.evaluate(_TAKE)
        worst = f", worst {', '.join(f'{each:.0f}' for each in tasks[:3])} ms" if tasks else ""
        print(f"minute {minute}: heap {heap / 1e6:.1f} MB, {nodes} nodes, {len(tasks)} long tasks{worst}", flush=True)


async def run(minutes: int, rate: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        server = QuietServer(Path(home), database_url=f"sqlite:///{home}/x.db").start()
        try:
            headers = {"Authorization": f"Bearer {KEY}"}
            async with httpx.AsyncClient(base_url=server.base, headers=headers, timeout=30) as api:
                made = [created() for _ in range(STREAMS)]
                for at in range(0, STREAMS, 1000):
                    (await api.post("/api/events", json={"events": made[at : at + 1000]})).raise_for_status()
                async with live_page(server) as page:
                    paying = asyncio.create_task(pay(api, [stream_id(each) for each in made], rate))
                    await watch(page, minutes)
                    paying.cancel()
        finally:
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60, help="how long")
    parser.add_argument("--rate", type=int, default=200, help="events a second")
    given = parser.parse_args()
    asyncio.run(run(given.minutes, given.rate))
