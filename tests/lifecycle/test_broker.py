"""NATS JetStream between the processes: as exact as without it, whatever breaks, and PostgreSQL is asked less."""

import asyncio
import re
import time
from itertools import pairwise

import asyncpg
import nats
import pytest

from app.broker.jetstream import STREAM, Broker, subject_of
from app.broker.message import decode
from app.broker.publisher import Publisher
from app.core.cursor import Cursor
from app.core.ports import Appended
from tests.conftest import api_of
from tests.support.data import created, new_stream
from tests.support.feeds import follow
from tests.support.hopper import FLAWLESS, Hopper, judge
from tests.support.memory import MemoryLog, row
from tests.support.nats import PASSWORD, Nats
from tests.support.processes import Indexers, head, logged, sql
from tests.support.server import Server

pytestmark = [pytest.mark.nats, pytest.mark.postgresql]
EVENTS = 20_000
ELECTION_LOCK = 0x466C7579
HOLDERS = "FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = $1"


async def ways(server: Server) -> dict[str, float]:
    """Events that this process published, by the way they came."""
    async with api_of(server) as api:
        text = (await api.get("/metrics")).text
    return {way: float(count) for way, count in re.findall(r'relay_events_total{way="(\w+)"} ([\d.e+]+)', text)}


async def elected(servers: list[Server]) -> Server:
    """The process that carries the log: its session has the lock, and it said so last."""
    assert len(await sql(servers[0], f"SELECT pid {HOLDERS}", ELECTION_LOCK)) <= 1, "two are elected"
    return max(
        (server for server in servers if server.logged("relay_elected") and server.process.poll() is None),
        key=lambda server: server.logged("relay_elected")[-1]["timestamp"],
    )


async def consuming(servers: list[Server], count: int = 1) -> None:
    for server in servers:
        await logged(server, "tail_consumes", count, 15)


@pytest.mark.timeout(120)
async def test_every_fault_while_events_go_by(own_cluster, broker, start):
    servers = await start(None, None, None, None, relay_url=broker.url)
    await consuming(servers)
    cursor = await head(servers[0])
    hoppers = [Hopper(servers, cursor) for _ in range(6)]
    following = [asyncio.create_task(hopper.run()) for hopper in hoppers]
    async with Indexers(servers, 8) as indexers:
        await asyncio.sleep(1)
        await asyncio.to_thread(broker.restart)
        await asyncio.sleep(1)
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(1.5)
        await asyncio.to_thread(broker.start)
        await consuming(servers, 3)
        victim = await elected(servers)
        await asyncio.to_thread(victim.kill)
        await asyncio.sleep(1.5)
        assert await elected(servers) is not victim
        await asyncio.to_thread(victim.start)
        await terminate_the_elected(own_cluster)
        while indexers.written < EVENTS:
            await asyncio.sleep(0.05)
    log = [row["id"] for row in await sql(servers[0], "SELECT id FROM stream_events ORDER BY id")]
    assert len(log) == indexers.written >= EVENTS
    ended = time.monotonic()
    while any(not hopper.got or hopper.got[-1] < log[-1] for hopper in hoppers):
        assert time.monotonic() - ended < 30, [await ways(server) for server in servers]
        await asyncio.sleep(0.05)
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    assert [judge(hopper.got, log) for hopper in hoppers] == [FLAWLESS] * len(hoppers)
    assert [hopper.resets for hopper in hoppers] == [0] * len(hoppers)
    assert PASSWORD not in str([server.lines for server in servers])
    print(f"{len(log)} events; by way: {[await ways(server) for server in servers]}")


async def terminate_the_elected(cluster) -> None:
    connection = await asyncpg.connect(cluster.url("feed"))
    done = await connection.fetch(f"SELECT pg_terminate_backend(pid) {HOLDERS}", ELECTION_LOCK)
    await connection.close()
    assert len(done) == 1


async def test_postgresql_is_not_asked_for_each_event_by_each_process(broker, start):
    servers = await start(None, None, None, relay_url=broker.url)
    await consuming(servers)
    writer, *others = servers
    async with api_of(writer) as api, follow(others[0], "websocket") as client:
        for _ in range(100):
            answer = await api.post("/api/events", json={"events": [created() for _ in range(20)]})
            assert answer.json()["accepted"] == 20
            await asyncio.sleep(0.01)
        await client.count(2000)
    for other in others:
        by_way = await ways(other)
        assert by_way["tail"] + by_way["log"] == 2000
        assert by_way["tail"] > 1600, by_way
    assert (await ways(writer))["commit"] > 1600


async def test_an_event_arrives_at_once_also_from_the_elected_one(broker, start):
    """The looks at the log are a minute apart, so only the stream can bring it."""
    servers = await start(None, None, relay_url=broker.url, poll_interval=60)
    await consuming(servers)
    await asyncio.sleep(1.2)
    for here, there in (servers, servers[::-1]):
        async with api_of(here) as api, follow(there, "sse") as client:
            for count in range(1, 4):
                await api.post("/api/streams", json=new_stream())
                await client.count(count, seconds=1)


async def test_without_the_broker_it_starts_and_delivers_and_with_it_again_it_is_used(broker, start):
    await asyncio.to_thread(broker.kill)
    servers = await start(None, None, relay_url=broker.url, poll_interval=0.3)
    one, other = servers
    await logged(one, "broker_lost", 1, 10)
    async with api_of(one) as api, follow(other, "websocket") as client:
        await api.post("/api/streams", json=new_stream())
        await client.count(1, seconds=2)
        await asyncio.to_thread(broker.start)
        await consuming(servers)
        brought = 0.0
        async with asyncio.timeout(10):
            while not brought:
                await api.post("/api/streams", json=new_stream())
                await asyncio.sleep(0.1)
                brought = (await ways(other))["tail"]
    assert PASSWORD not in str(one.lines + other.lines)


async def chain(broker: Nats, epoch: str) -> list[Appended]:
    """All messages of the stream, in its order."""
    client = await nats.connect(broker.url)
    stream = client.jetstream()
    state = (await stream.stream_info(STREAM)).state
    found = [await stream.get_msg(STREAM, number) for number in range(state.first_seq, state.last_seq + 1)]
    await client.close()
    return [decode(message.data) for message in found if message.subject == subject_of(epoch)]


async def test_one_that_was_deposed_and_does_not_know_breaks_nothing(broker):
    log = MemoryLog()
    log.add(3)
    one, other = Publisher(log, Broker(broker.url)), Publisher(log, Broker(broker.url))
    async with Broker(broker.url).connected() as (first, _), Broker(broker.url).connected() as (second, _):
        await one.forward(first)
        await other.forward(second)
        for turn in range(6):
            log.add(2)
            # Both believe that they are elected; each time another is first.
            await asyncio.gather(one.forward(first), other.forward(second))
            publishers = (one, first), (other, second)
            for publisher, stream in publishers if turn % 2 else publishers[::-1]:
                await publisher.forward(stream)
    messages = await chain(broker, log.epoch)
    events = [event.seq for message in messages for event in message.events]
    assert events == list(range(4, log.head + 1))
    for before, after in pairwise(messages):
        assert after.after == Cursor(log.epoch, before.events[-1].seq)


async def test_a_message_larger_than_the_broker_takes_is_split(broker):
    log = MemoryLog()
    async with Broker(broker.url).connected() as (stream, _):
        publisher = Publisher(log, Broker(broker.url))
        await publisher.forward(stream)
        log.commit(*(row(seq, size=4000) for seq in range(log.head + 1, log.head + 1001)))
        await publisher.forward(stream)
    messages = await chain(broker, log.epoch)
    assert len(messages) > 10
    assert sum(len(message.events) for message in messages) == 1000


async def test_what_is_not_ours_is_passed_over(broker, start):
    [server] = await start(None, relay_url=broker.url)
    await consuming([server])
    epoch = (await head(server)).split("-")[0]
    client = await nats.connect(broker.url)
    for data in (
        b"not JSON",
        b'{"after":"other-5","events":[]}',
        b'{"after":"' + epoch.encode() + b'-1","events":[[7]]}',
    ):
        await client.jetstream().publish(subject_of(epoch), data)
    await client.close()
    await logged(server, "broker_message_ignored", 2, 5)
    async with api_of(server) as api, follow(server, "websocket") as feed:
        await api.post("/api/streams", json=new_stream())
        await feed.count(1)


@pytest.mark.parametrize("data", [b"not JSON", b'{"after":"k7-1","events":[]}', b"[]", b"", b'{"after":7,"events":0}'])
async def test_a_foreign_message_that_is_the_last_stops_nobody(broker, data):
    log = MemoryLog()
    log.add(3)
    client = await nats.connect(broker.url)
    async with Broker(broker.url).connected() as (stream, _):
        await client.jetstream().publish(subject_of(log.epoch), data)
        publisher = Publisher(log, Broker(broker.url))
        await publisher.forward(stream)
        log.add(2)
        await publisher.forward(stream)
        last = await stream.get_last_msg(STREAM, subject_of(log.epoch))
    await client.close()
    assert [event.seq for event in decode(last.data).events] == [4, 5]
