"""Reading the log from its beginning while its beginning is pruned."""

from app.bootstrap import Application
from app.core.errors import CursorExpired
from app.core.event import Event
from app.core.ports import Position
from app.settings import Settings


class PrunedMeanwhile:
    """A log whose floor moves between the look at it and the reading."""

    def __init__(self) -> None:
        self.floors = [0, 5]

    async def position(self) -> Position:
        return Position("e", 9, self.floors.pop(0))

    async def read(self, after, upto, wanted, limit) -> list[Event]:
        if after.seq < 5:
            raise CursorExpired("pruned")
        return [Event.committed("e", 6, "stream.created", "s", "a", "b", b'{"event":"stream.created"}')]


async def test_begins_at_what_is_the_oldest_now(tmp_path):
    application = Application(Settings(database_url=f"sqlite:///{tmp_path}/x.db"))
    application.services.log = PrunedMeanwhile()
    client = application.quart.test_client()
    page = await (await client.get("/api/events")).get_json()
    assert [event["id"] for event in page["events"]] == ["e-6"]
    application.services.log = PrunedMeanwhile()
    assert (await client.get("/api/events?after=e-2")).status_code == 410
