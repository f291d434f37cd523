"""What a WebSocket client may say, and what it is told when it says something else."""

import json
from collections.abc import Iterator

import pytest
import websockets

from tests.conftest import api_of
from tests.support.data import address, created, stream_id, updated
from tests.support.feeds import follow
from tests.support.server import PlainServer, Server

ALICE, BOB, CAROL = address("alice"), address("bob"), address("carol")


@pytest.fixture(scope="module", params=[Server, PlainServer], ids=["straight", "plain"])
def server(request, migrated_database, tmp_path_factory) -> Iterator[Server]:
    server = request.param(
        tmp_path_factory.mktemp("control"), database_url=migrated_database("sqlite"), message_rate_limit=1_000
    ).start()
    yield server
    assert server.stop() == 0
    assert not server.logged("feed_failed")


@pytest.fixture
async def api(server):
    async with api_of(server) as client:
        yield client


async def publish(api, *events: dict) -> list[str]:
    """Commit chain events and return the ids of what they became."""
    answer = (await api.post("/api/events", json={"events": list(events)})).json()
    assert answer["accepted"] == len(events), answer
    return [result["id"] for result in answer["results"]]


async def say(client, message: object) -> None:
    await client.connection.send(message if isinstance(message, str) else json.dumps(message))


async def answered(client, count: int = 1, name: str = "subscribed") -> dict:
    """The `count`th message of a name."""
    await client.until(lambda: sum(m["event"] == name for m in client.messages) >= count)
    return [m for m in client.messages if m["event"] == name][count - 1]


def ids(client) -> list[str]:
    return [event["id"] for event in client.events]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sender", ALICE),
        ("sender", [ALICE]),
        ("sender", [CAROL, ALICE]),
        ("recipient", BOB),
        ("recipient", [BOB, CAROL]),
        ("event", "stream.created"),
        ("event", ["stream.cancelled", "stream.created"]),
        ("streamId", "{mine}"),
        ("streamId", ["{mine}", "stream-other"]),
    ],
)
async def test_subscribe_chooses_with_a_string_or_a_list(server, api, field, value):
    mine, other = created(sender=ALICE, recipient=BOB), created(sender=address("x"), recipient=address("y"))
    mine_id = stream_id(mine)
    value = json.loads(json.dumps(value).replace("{mine}", mine_id))
    async with follow(server, "websocket") as client:
        await say(client, {"type": "subscribe", "filter": {field: value}})
        told = await answered(client)
        assert told["filter"] == {field: sorted(value) if isinstance(value, list) else [value]}
        assert told["cursor"] == (await api.get("/health")).json()["log"]["head"]
        first = await publish(api, other, mine)
        last = await publish(api, updated(stream_id(other), status="paused"), updated(mine_id, status="paused"))
        wanted = [*first, last[1]] if field == "event" else [first[1], last[1]]
        if field == "event":
            wanted = first
        await client.count(len(wanted))
        await say(client, {"type": "ping"})
        await answered(client, name="pong")
    assert ids(client) == wanted


async def test_subscribe_joins_fields_with_and(server, api):
    async with follow(server, "websocket") as client:
        await say(client, {"type": "subscribe", "filter": {"sender": [ALICE, CAROL], "recipient": BOB}})
        await answered(client)
        published = await publish(
            api,
            created(sender=ALICE, recipient=CAROL),
            created(sender=BOB, recipient=BOB),
            created(sender=CAROL, recipient=BOB),
        )
        await client.count(1)
    assert ids(client) == published[2:]


@pytest.mark.parametrize("nothing", [{"type": "subscribe"}, {"type": "subscribe", "filter": {}}])
async def test_subscribe_without_a_filter_chooses_everything(server, api, nothing):
    async with follow(server, "websocket", sender=CAROL) as client:
        await say(client, nothing)
        assert (await answered(client))["filter"] == {}
        published = await publish(api, created(), created(sender=ALICE))
        await client.count(2)
    assert ids(client) == published


async def test_subscribe_replaces_the_filter(server, api):
    async with follow(server, "websocket", sender=ALICE) as client:
        [one, _] = await publish(api, created(sender=ALICE), created(sender=BOB))
        await client.count(1)
        await say(client, {"type": "subscribe", "filter": {"sender": BOB}})
        told = await answered(client)
        [_, two] = await publish(api, created(sender=ALICE), created(sender=BOB))
        await client.count(2)
    assert ids(client) == [one, two]
    # What the old filter skipped stays skipped: only `lastEventId` rewinds.
    assert [m["event"] for m in client.messages] == ["stream.created", "subscribed", "stream.created"]
    assert told["filter"] == {"sender": [BOB]}


async def test_subscribe_rewinds_to_the_cursor_it_names(server, api):
    async with follow(server, "websocket") as client:
        published = await publish(api, *(created(sender=sender) for sender in (ALICE, BOB, ALICE, BOB, ALICE)))
        await client.count(5)
        await say(client, {"type": "subscribe", "filter": {"sender": ALICE}, "lastEventId": published[0]})
        assert (await answered(client))["cursor"] == published[0]
        await client.count(7)
        [live] = await publish(api, created(sender=ALICE))
        await client.count(8)
    assert ids(client) == [*published, published[2], published[4], live]


@pytest.mark.parametrize(("cursor", "reason"), [("nonsense", "malformed"), ("0000-1", "epoch")])
async def test_subscribe_to_a_cursor_that_cannot_be_served_is_a_reset(server, api, cursor, reason):
    async with follow(server, "websocket") as client:
        await say(client, {"type": "subscribe", "lastEventId": cursor})
        reset = await client.message("feed.reset")
        assert reset["reason"] == reason
        assert reset["cursor"] == (await api.get("/health")).json()["log"]["head"]
        published = await publish(api, created())
        await client.count(1)
    assert ids(client) == published


async def test_unsubscribe_pauses_and_its_cursor_resumes_exactly(server, api):
    async with follow(server, "websocket") as client, follow(server, "websocket") as other:
        before = await publish(api, created())
        await client.count(1)
        await say(client, {"type": "unsubscribe"})
        paused = await answered(client)
        assert (paused["filter"], paused["cursor"]) == (None, before[0])
        missed = await publish(api, created(), created())
        await other.count(3)
        await say(client, {"type": "ping"})
        await answered(client, name="pong")
        assert ids(client) == before
        await say(client, {"type": "subscribe", "lastEventId": paused["cursor"]})
        await client.count(3)
        after = await publish(api, created())
        await client.count(4)
    assert ids(client) == [*before, *missed, *after]


async def test_subscribe_after_unsubscribe_goes_on_live_where_it_names_no_cursor(server, api):
    async with follow(server, "websocket") as client:
        await say(client, {"type": "unsubscribe"})
        await answered(client)
        missed = await publish(api, created())
        await say(client, {"type": "subscribe"})
        assert (await answered(client, 2))["cursor"] == missed[0]
        live = await publish(api, created())
        await client.count(1)
    assert ids(client) == live


async def test_service_messages_reach_a_paused_client(server, api):
    async with follow(server, "websocket") as client:
        await say(client, {"type": "unsubscribe"})
        await answered(client)
        report = {"source": "stellar-rpc", "reason": "it lags"}
        assert (await api.post("/api/service/degraded", json=report)).status_code == 204
        assert (await api.post("/api/service/recovered", json=report)).status_code == 204
        await client.message("service.recovered")
    assert [m["event"] for m in client.messages] == ["subscribed", "service.degraded", "service.recovered"]


async def test_ping_gets_a_pong(server):
    async with follow(server, "websocket") as client:
        await say(client, {"type": "ping"})
        pong = await client.message("pong")
        assert pong["cursor"] == client.about[0]["cursor"]
    assert set(pong) == {"event", "cursor", "timestamp"}


WRONG = {
    "not JSON": "hello",
    "half of it": '{"type":"ping"',
    "empty": "",
    "a surrogate": '{"type":"\\ud800"}',
    "NaN": '{"type":NaN}',
    "a list": [],
    "a string": '"ping"',
    "a number": "7",
    "null": "null",
    "deep": "[" * 2_000 + "]" * 2_000,
    "no type": {},
    "type is a number": {"type": 1},
    "type is a list": {"type": ["ping"]},
    "type is null": {"type": None},
    "unknown type": {"type": "dance"},
    "type in capitals": {"type": "PING"},
    "filter is a list": {"type": "subscribe", "filter": [ALICE]},
    "filter is a string": {"type": "subscribe", "filter": ALICE},
    "filter is a number": {"type": "subscribe", "filter": 7},
    "unknown field": {"type": "subscribe", "filter": {"reciever": BOB}},
    "field is a number": {"type": "subscribe", "filter": {"sender": 7}},
    "field is null": {"type": "subscribe", "filter": {"sender": None}},
    "field is an object": {"type": "subscribe", "filter": {"sender": {"is": ALICE}}},
    "list of numbers": {"type": "subscribe", "filter": {"sender": [1]}},
    "wrong address": {"type": "subscribe", "filter": {"sender": ALICE[:-1] + "A"}},
    "wrong event": {"type": "subscribe", "filter": {"event": "stream.eaten"}},
    "empty value": {"type": "subscribe", "filter": {"streamId": ""}},
    "cursor is a number": {"type": "subscribe", "lastEventId": 7},
    "cursor is a list": {"type": "subscribe", "lastEventId": []},
    "cursor is false": {"type": "subscribe", "lastEventId": False},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_what_is_wrong_gets_an_error_and_changes_nothing(server, api, wrong):
    async with follow(server, "websocket", sender=ALICE) as client:
        await say(client, wrong)
        await say(client, {"type": "ping"})
        await answered(client, name="pong")
        [error, _] = client.messages
        assert set(error) == {"event", "code", "message"}
        assert error["event"] == "error"
        unknown = wrong in (WRONG["unknown type"], WRONG["type in capitals"])
        assert error["code"] == ("unknown-type" if unknown else "invalid-message")
        assert error["message"]
        [_, mine] = await publish(api, created(sender=BOB), created(sender=ALICE))
        await client.count(1)
    assert ids(client) == [mine]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ("unknown field", "filter.reciever"),
        ("field is a number", "filter.sender"),
        ("cursor is a number", "lastEventId"),
        ("wrong address", "sender"),
        ("unknown type", "type"),
        ("not JSON", "JSON"),
    ],
)
async def test_an_error_names_the_field(server, wrong, field):
    async with follow(server, "websocket") as client:
        await say(client, WRONG[wrong])
        assert field in (await client.message("error"))["message"]


@pytest.mark.parametrize("wrong", [False, [], 0, "", {"sender": []}], ids=repr)
async def test_a_filter_that_is_no_object_does_not_choose_everything(server, wrong):
    async with follow(server, "websocket", sender=ALICE) as client:
        await say(client, {"type": "subscribe", "filter": wrong})
        await say(client, {"type": "ping"})
        await answered(client, name="pong")
        assert [m["event"] for m in client.messages] == ["error", "pong"]


async def test_an_unknown_filter_is_refused_before_the_upgrade(server):
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"{server.ws}?reciever={BOB}")
    assert refused.value.response.status_code == 400
    assert refused.value.response.headers["Content-Type"] == "application/problem+json"
    assert json.loads(refused.value.response.body)["errors"][0]["field"] == "reciever"
