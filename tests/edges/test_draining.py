"""Who connects while the service drains is told to come back, in a way that its client understands."""

from app.bootstrap import Application
from app.settings import Settings


async def test_an_event_source_that_comes_back_too_early_is_told_when(tmp_path):
    application = Application(Settings(database_url=f"sqlite:///{tmp_path}/x.db"))
    application.services.feed.closed.set()
    answer = await application.quart.test_client().get("/sse/streams")
    assert answer.status_code == 200
    assert answer.mimetype == "text/event-stream"
    text = (await answer.get_data()).decode()
    retry, event, data, end = text.split("\n", 3)
    assert 1000 <= int(retry.removeprefix("retry: ")) <= 3000
    assert event == "event: feed.closing"
    assert data.startswith('data: {"event":"feed.closing","reason":"service restart","cursor":"')
    assert end.startswith("id: ")
