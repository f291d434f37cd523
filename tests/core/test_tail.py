"""The tail listens, finds out that nobody speaks, and comes back: against a server that only pretends."""

import asyncio

import pytest

from app.core.background import Background
from app.store.notifications import NotifyTail
from tests.support.virtual import settle, virtual


class Line:
    """A connection that is well, hangs, or is closed, as the test wants."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.closed = False
        self.hangs = False
        self.pings = 0

    def add_termination_listener(self, callback) -> None:
        self.terminated = callback

    async def add_listener(self, channel: str, callback) -> None:
        self.server.log.append("listen")
        self.hear = lambda payload: callback(self, 1, channel, payload)

    async def execute(self, query: str) -> None:
        self.pings += 1
        if self.hangs:
            await asyncio.sleep(3)
            raise TimeoutError

    async def close(self, *, timeout: float) -> None:
        self.closed = True


class Server:
    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.attempts: list[float] = []
        self.log: list[str] = []
        self.refusal: BaseException | None = None

    async def connect(self) -> Line:
        self.attempts.append(asyncio.get_running_loop().time())
        if self.refusal:
            raise self.refusal
        self.lines.append(Line(self))
        return self.lines[-1]

    def look_soon(self) -> None:
        self.log.append("look_soon")

    def offer(self, appended) -> None:
        raise AssertionError("it carries no events")


def listening() -> tuple[Server, asyncio.Task]:
    server = Server()
    tail = NotifyTail(server.connect, channel="feed", own="me")
    return server, asyncio.create_task(_run(tail, server))


async def _run(tail: NotifyTail, server: Server) -> None:
    """As the service does: what is no failure of the connection ends `run`, which is then started again."""
    async with Background().running({"tail": lambda: tail.run(server)}):
        await asyncio.Event().wait()


@virtual
async def test_it_listens_before_the_first_read_and_hears_only_others():
    server, running = listening()
    await settle()
    assert server.log == ["listen", "look_soon"]
    server.lines[0].hear("me")
    assert server.log == ["listen", "look_soon"]
    server.lines[0].hear("you")
    server.lines[0].hear("")
    assert server.log == ["listen", "look_soon", "look_soon", "look_soon"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert server.lines[0].closed


@virtual
async def test_a_connection_that_is_closed_is_opened_again_at_once():
    server, running = listening()
    await asyncio.sleep(10)
    server.log.clear()
    server.lines[0].terminated(server.lines[0])
    await asyncio.sleep(0.2)
    assert server.log == ["listen", "look_soon"]
    assert server.lines[0].closed
    running.cancel()


@virtual
async def test_a_connection_that_hangs_is_found_out_within_seconds():
    server, running = listening()
    await asyncio.sleep(10)
    assert server.lines[0].pings in {9, 10}
    server.lines[0].hangs = True
    server.log.clear()
    await asyncio.sleep(1 + 3 + 0.2)
    assert server.log == ["listen", "look_soon"]
    assert server.lines[0].closed
    running.cancel()


@pytest.mark.parametrize("refusal", [ConnectionRefusedError(), TimeoutError(), RuntimeError("a bug")])
@virtual
async def test_it_comes_back_less_and_less_often_and_never_gives_up(refusal):
    server, running = listening()
    server.refusal = refusal
    await asyncio.sleep(100)
    pauses = [later - earlier for earlier, later in zip(server.attempts, server.attempts[1:], strict=False)]
    assert pauses[0] <= 0.1
    assert all(2.5 <= pause <= 5 for pause in pauses[8:])
    assert len(set(pauses)) == len(pauses), "all processes would come at once"
    server.refusal = None
    await asyncio.sleep(5)
    assert server.log == ["listen", "look_soon"]
    server.lines[0].terminated(server.lines[0])
    begun = asyncio.get_running_loop().time()
    await asyncio.sleep(0.2)
    assert server.attempts[-1] - begun <= 0.1
    running.cancel()
