"""`POST /api/events`: the indexer's batches, on each database."""

import asyncio
import random
from datetime import UTC, datetime

import asyncpg
import pytest
from sqlalchemy import text

from app.core.errors import WriteCollision
from app.core.stream import Stream
from app.store.address import dialect_for, parse_database_url
from app.store.store import SqlStore
from app.web.api.domain import chain_event
from app.web.api.requests import ChainCreated
from tests.support.data import RECIPIENT, address, cancelled, created, new_stream, stream_id, transaction, updated
from tests.support.feeds import follow


@pytest.fixture
async def ingest(api):
    """Sends a batch and returns the results; any answer but 200 is a failure."""

    async def send(*events: dict) -> list[dict]:
        answer = await api.post("/api/events", json={"events": events})
        assert answer.status_code == 200, answer.text
        document = answer.json()
        actions = [result["action"] for result in document["results"]]
        assert document["ignored"] == actions.count("ignored")
        assert document["rejected"] == actions.count("rejected")
        assert document["accepted"] + document["ignored"] + document["rejected"] == len(actions) == len(events)
        for result, event in zip(document["results"], events, strict=True):
            assert result["eventId"] == f"{event['transactionHash'].lower()}-{event['eventIndex']}"
            assert ("id" in result) == (result["action"] in ("created", "updated", "cancelled"))
            assert ("error" in result) == (result["action"] == "rejected")
        return document["results"]

    return send


@pytest.fixture
async def logged(api):
    """Returns the events that were logged since the test began."""
    start = (await api.get("/health")).json()["log"]["head"]

    async def read(**filters) -> list[dict]:
        found, cursor = [], start
        while True:
            params = {"after": cursor, "limit": 1000, **filters}
            page = (await api.get("/api/events", params=params)).json()
            found += page["events"]
            if page["cursor"] == cursor:
                return found
            cursor = page["cursor"]

    return read


def actions(results: list[dict]) -> list[str]:
    return [result["action"] for result in results]


async def test_a_thousand_events_in_the_order_of_their_batch(server, api, ingest, logged, transport):
    streams = [created() for _ in range(400)]
    batch = streams + [updated(stream_id(event), status="paused") for event in streams[::-1]]
    batch += [cancelled(stream_id(event)) for event in streams[:200]]
    assert len(batch) == 1000
    async with follow(server, transport) as client:
        results = await ingest(*batch)
        await client.count(1000, seconds=30)
    ids = [result["id"] for result in results]
    assert ids == sorted(ids, key=lambda text: int(text.split("-")[1]))
    assert len(set(ids)) == 1000
    assert [event["id"] for event in client.events] == ids
    # What was published when it was committed is what is stored.
    assert client.events == await logged()
    assert [event["streamId"] for event in client.events] == [result["streamId"] for result in results]
    assert [event["event"] for event in client.events] == [f"stream.{result['action']}" for result in results]


async def test_creates_what_the_chain_says(api, ingest):
    event = created(amount="12.5", ratePerSecond="0.0000001", endTime=1_800_000_000, eventIndex=7)
    [result] = await ingest(event)
    assert result["streamId"] == stream_id(event)
    stream = (await api.get(f"/api/streams/{result['streamId']}")).json()
    del stream["createdAt"], stream["updatedAt"]
    same = ("sender", "recipient", "ratePerSecond", "startTime", "endTime", "contractId", "transactionHash")
    assert stream == {
        **{name: event[name] for name in same},
        "id": stream_id(event),
        "eventIndex": 7,
        "depositAmount": "12.5",
        "streamedAmount": "0",
        "remainingAmount": "12.5",
        "status": "active",
        "version": 1,
        "chainStreamId": None,
    }


async def test_what_was_seen_before_is_ignored(server, ingest, transport):
    event = created()
    events = [event, updated(stream_id(event), streamedAmount="5"), cancelled(stream_id(event))]
    async with follow(server, transport) as client:
        for each in events:
            await ingest(each)
        for each in events:
            assert actions(await ingest(each)) == ["ignored"]
            upper = {**each, "transactionHash": each["transactionHash"].upper()}
            assert actions(await ingest(upper)) == ["ignored"]
        assert actions(await ingest(*events)) == ["ignored"] * 3
        last = created()
        await ingest(last)
        await client.until(lambda: client.events and client.events[-1]["streamId"] == stream_id(last))
    assert [e["event"] for e in client.events] == [
        "stream.created",
        "stream.updated",
        "stream.cancelled",
        "stream.created",
    ]


async def test_an_update_that_changes_nothing_is_ignored_for_good(ingest, logged):
    event = created()
    same = updated(stream_id(event), status="active", streamedAmount="0.0")
    assert actions(await ingest(event, same)) == ["created", "ignored"]
    assert actions(await ingest(same)) == ["ignored"]
    assert len(await logged()) == 1


async def test_the_same_event_twice_in_a_batch_counts_once(ingest, logged):
    event = created()
    change = updated(stream_id(event), streamedAmount="1")
    results = await ingest(event, event, change, change, {**event, "amount": "7"})
    assert actions(results) == ["created", "ignored", "updated", "ignored", "ignored"]
    assert [event["version"] for event in await logged()] == [1, 2]


async def test_a_whole_life_in_one_batch(api, ingest, logged):
    event = created()
    life = [event, updated(stream_id(event), streamedAmount="9"), cancelled(stream_id(event))]
    assert actions(await ingest(*life)) == ["created", "updated", "cancelled"]
    log = await logged()
    assert [each["version"] for each in log] == [1, 2, 3]
    assert [each["payload"]["status"] for each in log] == ["active", "active", "cancelled"]
    assert [each["payload"]["streamedAmount"] for each in log] == ["0", "9", "9"]
    assert [each["changed"] for each in log[1:]] == [["streamedAmount"], ["status"]]
    assert (await api.get(f"/api/streams/{stream_id(event)}")).json() == log[-1]["payload"]


async def test_what_comes_out_of_order_is_rejected_while_the_rest_goes_through(ingest, logged):
    late, good = created(), created()
    early = updated(stream_id(late), status="paused")
    results = await ingest(early, cancelled(stream_id(late)), good, late, updated(stream_id(late), streamedAmount="5"))
    assert actions(results) == ["rejected", "rejected", "created", "created", "updated"]
    assert results[0]["error"]["type"] == "urn:fluxora:problem:not-found"
    assert results[0]["error"]["status"] == 404
    assert stream_id(late) in results[0]["error"]["detail"]
    # Rejected is not seen: sent again at its time, it counts.
    assert actions(await ingest(early)) == ["updated"]
    backwards = updated(stream_id(late), streamedAmount="4.9999999", status="active")
    [result, other] = await ingest(backwards, updated(stream_id(late), streamedAmount="10"))
    assert result["error"]["errors"][0]["field"] == "streamedAmount"
    assert result["error"]["status"] == 409
    assert other["action"] == "updated"
    versions = [event["version"] for event in await logged(streamId=stream_id(late))]
    assert versions == [1, 2, 3, 4]


async def test_amounts_go_forward_as_numbers_not_as_texts(ingest):
    event = created()
    amounts = ("9", "10", "10.0", "100.5", "99.9", "100.4999999", "100.5000001")
    results = await ingest(event, *(updated(stream_id(event), streamedAmount=amount) for amount in amounts))
    expected = ["created", "updated", "updated", "ignored", "updated", "rejected", "rejected", "updated"]
    assert actions(results) == expected


async def test_the_status_machine(ingest):
    one, two, three = created(), created(), created()
    results = await ingest(
        *(one, two, three),
        updated(stream_id(one), status="completed"),
        updated(stream_id(one), status="active"),
        updated(stream_id(one)),
        cancelled(stream_id(one)),
        updated(stream_id(two), status="paused"),
        updated(stream_id(two), status="completed"),
        updated(stream_id(two), status="cancelled"),
        updated(stream_id(two), streamedAmount="1"),
        updated(stream_id(three), endTime=5),
    )
    assert actions(results)[3:] == [
        *("updated", "rejected", "ignored", "rejected"),
        *("updated", "updated", "rejected", "updated", "rejected"),
    ]
    for result in results:
        if result["action"] == "rejected":
            assert result["error"]["status"] == 409
            assert result["error"]["detail"]


async def test_an_event_says_why_it_is_there_and_where_on_the_chain(ingest, logged, api):
    event = created()
    later = [updated(stream_id(event), **change) for change in ({"streamedAmount": "1"}, {"status": "paused"})]
    later += [updated(stream_id(event), status="active"), cancelled(stream_id(event))]
    await ingest(event, *later)
    other = await api.post("/api/streams", json=new_stream())
    log = await logged()
    assert [each["cause"] for each in log] == ["created", "updated", "paused", "resumed", "cancelled", "api"]
    assert {str(each["detail"]) for each in log} == {"{}"}
    for given, each in zip([event, *later], log, strict=False):
        assert each["chain"] == {
            "contractId": event["contractId"], "streamId": None, "ledger": None, "closedAt": None, "topic": None,
            "transactionHash": given["transactionHash"], "eventIndex": given["eventIndex"],
        }  # fmt: skip
    assert log[-1]["chain"] is None
    assert log[-1]["streamId"] == other.json()["id"]
    assert [each["cause"] for each in await logged(cause=["paused", "api"])] == ["paused", "api"]
    assert [each["id"] for each in await logged(contractId=event["contractId"])] == [each["id"] for each in log[:-1]]


async def test_too_many_events_are_refused(api, logged):
    answer = await api.post("/api/events", json={"events": [created() for _ in range(1001)]})
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["events"]
    assert await logged() == []


async def test_an_empty_batch_is_no_work(ingest, logged):
    assert await ingest() == []
    assert await logged() == []


async def test_a_malformed_event_is_named_and_nothing_is_written(api, logged):
    def without(event: dict, *names: str) -> dict:
        return {name: value for name, value in event.items() if name not in names}

    some_id = f"stream-{transaction()}-0"
    wrong = [
        (created(sender="x"), "sender"),
        (created(recipient=RECIPIENT.lower()), "recipient"),
        (created(amount="0"), "amount"),
        (created(amount=5), "amount"),
        (created(endTime=1), "endTime"),
        (created(startTime=None), "startTime"),
        (created(eventIndex=-1), "eventIndex"),
        (created(eventIndex=2**31), "eventIndex"),
        (created(eventIndex="0"), "eventIndex"),
        (created(transactionHash="x"), "transactionHash"),
        (created(contractId=address("an account")), "contractId"),
        (created(streamId=some_id), "streamId"),
        (without(created(), "contractId"), "contractId"),
        (updated("x"), "streamId"),
        (updated("stream-\x00"), "streamId"),
        (updated(some_id, status="gone"), "status"),
        (updated(some_id, streamedAmount="-1"), "streamedAmount"),
        (cancelled(some_id, status="cancelled"), "status"),
        (cancelled(None), "streamId"),
    ]
    for event, field in wrong:
        answer = await api.post("/api/events", json={"events": [created(), created(), created(), event]})
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert [error["field"] for error in answer.json()["errors"]] == [f"events.3.{field}"]
    for event in ({}, {"type": "StreamEaten"}, without(created(), "type"), None, 5, []):
        answer = await api.post("/api/events", json={"events": [created(), event]})
        assert [error["field"] for error in answer.json()["errors"]] == ["events.1"]
    for body in ({}, {"events": None}, {"events": {}}, {"events": "x"}):
        answer = await api.post("/api/events", json=body)
        assert [error["field"] for error in answer.json()["errors"]] == ["events"]
    assert await logged() == []


async def test_batches_that_touch_the_same_streams_at_once(api, ingest, logged):
    """In any order, of any kind: none waits in a circle, and no change is lost."""
    shared = [created() for _ in range(20)]
    streams = [stream_id(event) for event in shared]
    await ingest(*shared)
    fresh = [created() for _ in range(20)]

    async def one(seed: int) -> list[dict]:
        order = random.Random(seed)
        batch = [updated(each, endTime=1_800_000_000 + seed) for each in streams]
        order.shuffle(batch)
        new = list(fresh)
        order.shuffle(new)
        return await ingest(*batch, *new)

    results = [result for batch in await asyncio.gather(*map(one, range(12))) for result in batch]
    assert actions(results).count("updated") == 12 * 20
    assert actions(results).count("created") == 20
    assert actions(results).count("ignored") == 11 * 20
    for each in streams:
        log = await logged(streamId=each)
        assert [event["version"] for event in log] == list(range(1, 14))
        assert {event["payload"]["endTime"] for event in log[1:]} == {1_800_000_000 + n for n in range(12)}
        assert (await api.get(f"/api/streams/{each}")).json() == log[-1]["payload"]


@pytest.mark.postgresql
async def test_writers_of_the_same_new_streams_do_not_wait_in_a_circle(server, backend):
    """One holds the first stream and comes for the second; the other, whatever its batch's order, has to want
    the first one first."""
    if backend != "postgresql":
        pytest.skip("SQLite has one writer")
    url = parse_database_url(server.settings["database_url"])
    dialect = dialect_for(url, pool_size=6, timeout=20)
    one, two = sorted((stream_of(created()), stream_of(created())), key=lambda stream: stream.id)
    async with dialect.connect() as database:
        store = SqlStore(database, dialect)

        async def other() -> None:
            async with store.begin() as unit:
                await unit.insert([two, one])
                await unit.lock(["any"])  # what is inserted goes before what is read

        async with store.begin() as unit:
            await unit.insert([one])
            await unit.lock(["any"])
            waiting = asyncio.create_task(other())
            blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
            async with asyncio.timeout(15):
                while not await asyncio.create_task(database.fetch_val(blocked)):
                    await asyncio.sleep(0)
            await unit.insert([two])
            await unit.commit()
        with pytest.raises(WriteCollision) as collision:
            await waiting
    assert isinstance(collision.value.__cause__, asyncpg.UniqueViolationError)


def stream_of(event: dict) -> Stream:
    return chain_event(ChainCreated.model_validate(event)).begin(datetime(2026, 1, 1, tzinfo=UTC))


async def test_the_same_batch_at_once_counts_once(ingest, logged):
    batch = [created() for _ in range(1000)]
    orders = [batch, batch[::-1]] * 3
    results = await asyncio.gather(*(ingest(*order) for order in orders))
    assert sum(actions(each).count("created") for each in results) == 1000
    assert sorted(event["streamId"] for event in await logged()) == sorted(map(stream_id, batch))


async def test_a_batch_and_the_api_change_the_same_stream(api, ingest, logged):
    made = (await api.post("/api/streams", json=new_stream())).json()["id"]
    await asyncio.gather(
        *(api.patch(f"/api/streams/{made}", json={"remainingAmount": str(n)}) for n in range(20)),
        *(ingest(updated(made, endTime=1_800_000_000 + n)) for n in range(20)),
    )
    log = await logged(streamId=made)
    assert [event["version"] for event in log] == list(range(1, 42))
    assert log[-1]["payload"]["endTime"] >= 1_800_000_000
    assert (await api.get(f"/api/streams/{made}")).json() == log[-1]["payload"]
