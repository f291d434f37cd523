"""A real browser, and pages that tell what went wrong in them."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from tests.conftest import skip_or_fail
from tests.support.server import Server

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever a page asks of another host fails, and is seen to.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    # A page that a test makes up comes from nowhere, and Chromium takes that for the public internet.
    "--disable-features=LocalNetworkAccessChecks",
)
expect.set_options(timeout=15_000)


class Watch:
    """What a page did that it should not have: errors, and requests to others than its server."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.errors: list[str] = []
        self.urls: list[str] = []
        self._own = urlsplit(server.base).netloc
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.urls.append(request.url))
        page.on("websocket", lambda socket: self.urls.append(socket.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.text} {message.location}")

    @property
    def elsewhere(self) -> list[str]:
        parts = [urlsplit(url) for url in self.urls]
        return [part.geturl() for part in parts if part.scheme not in ("data", "blob") and part.netloc != self._own]


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if executable is None:
        skip_or_fail("Chromium is not installed (CHROMIUM=<its path>)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield browser
        # Chromium may have died with its page; that is some test's failure, not this one's.
        with suppress(Exception):
            await browser.close()


@pytest.fixture(scope="session")
def site(new_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One service for all pages; clients are asked to come back soon, so that restarts don't take long."""
    server = Server(tmp_path_factory.mktemp("site"), database_url=new_database("sqlite"), retry_ms=200).start()
    yield server
    assert server.stop() == 0


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context()
    yield await context.new_page()
    await context.close()


@pytest.fixture
async def watch(page: Page, site: Server) -> Watch:
    # Async, for Playwright wants a running loop: whether there is a current one depends on the test before.
    return Watch(page, site)
