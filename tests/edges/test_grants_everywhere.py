"""Random rights and random filters, on every way to an event: nobody gets one outside, nobody misses one inside.

Two processes, both transports; live, out of memory, out of the database; by pages and by REST; renewed in the middle.
What is right is told here by hand, without a line of the product.
"""

import asyncio
import json
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.conftest import api_of
from tests.edges.test_access import SECRET, bearer, listen, token
from tests.support.data import address, cancelled, created, stream_id, updated
from tests.support.feeds import TRANSPORTS, FeedClient
from tests.support.server import Server

PEOPLE = [address(f"person {number}") for number in range(5)]
CONTRACTS = [address(f"treasury {number}", "C") for number in range(3)]
LIMITS = {"own": "addresses", "streamIds": "streamIds", "contracts": "contracts"}
PARTIES = ("sender", "recipient", "contractId")
WATCHERS, ROUNDS, EACH_ROUND = 48, 4, 55


@dataclass
class Right:
    """What somebody may read, by hand; without a field: nothing."""

    limit: dict[str, list[str]]

    def admits(self, event: dict[str, Any]) -> bool:
        return (
            bool({event["sender"], event["recipient"]} & set(self.limit.get("own", ())))
            or event["streamId"] in self.limit.get("streamIds", ())
            or event["contractId"] in self.limit.get("contracts", ())
        )

    def token(self, name: str) -> str:
        details = [{"type": "fluxora-streams", **{LIMITS[field]: values for field, values in self.limit.items()}}]
        return token(name, authorization_details=details)


def wants(chosen: dict[str, list[str]], event: dict[str, Any]) -> bool:
    parties = {event["sender"], event["recipient"]}
    return all(
        bool(parties & set(values)) if field == "participant" else event[field] in values
        for field, values in chosen.items()
    )


def place(cursor: str) -> int:
    return int(cursor.split("-")[1])


def some(chance: random.Random, values: list[str]) -> list[str]:
    return chance.sample(values, min(len(values), chance.randint(1, 2)))


def a_right(chance: random.Random, streams: list[str]) -> Right:
    fields = {"own": PEOPLE, "streamIds": streams, "contracts": CONTRACTS}
    return Right({name: some(chance, fields[name]) for name in chance.sample(list(fields), chance.randint(1, 3))})


def a_filter(chance: random.Random, streams: list[str]) -> dict[str, list[str]]:
    fields = {
        "participant": PEOPLE,
        "sender": PEOPLE,
        "recipient": PEOPLE,
        "streamId": streams,
        "contractId": CONTRACTS,
        "event": ["stream.created", "stream.updated", "stream.cancelled"],
    }
    return {name: some(chance, fields[name]) for name in chance.sample(list(fields), chance.choice([0, 0, 1, 1, 2]))}


class Treasury:
    """Makes events at random, by any of the processes."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.open: list[str] = []
        self.streams: list[str] = []

    def birth(self) -> dict[str, Any]:
        sender, recipient = self.chance.sample(PEOPLE, 2)
        event = created(sender=sender, recipient=recipient, contractId=self.chance.choice(CONTRACTS))
        self.open.append(stream_id(event))
        self.streams.append(stream_id(event))
        return event

    def events(self, count: int) -> list[dict[str, Any]]:
        return [self._event() for _ in range(count)]

    def _event(self) -> dict[str, Any]:
        if len(self.open) < 3 or self.chance.random() < 0.3:
            return self.birth()
        one = self.chance.choice(self.open)
        if self.chance.random() < 0.15:
            self.open.remove(one)
            return cancelled(one)
        return updated(one, status=self.chance.choice(["paused", "active"]))


@dataclass
class Watcher:
    """Somebody with a right that may change, a filter, and what came."""

    name: str
    server: Server
    transport: str
    chosen: dict[str, list[str]]
    rights: list[Right]
    changes: list[str]
    """The id of the last event before each change of the right."""

    client: FeedClient

    def expected(self, log: list[dict[str, Any]], after: str) -> list[str]:
        ids, right, changes = [], 0, list(self.changes)
        for event in log:
            if place(event["id"]) > place(after) and self.rights[right].admits(event) and wants(self.chosen, event):
                ids.append(event["id"])
            if changes and event["id"] == changes[0]:
                changes.pop(0)
                right += 1
        return ids

    async def renew(self, right: Right, after: str) -> None:
        """Show a token of the same name with another right, once all of before is here."""
        told = len([each for each in self.client.messages if each["event"] == "authorized"])
        await self.client.connection.send(json.dumps({"type": "auth", "token": right.token(self.name)}))
        await self.client.until(
            lambda: len([each for each in self.client.messages if each["event"] == "authorized"]) > told
        )
        self.rights.append(right)
        self.changes.append(after)


async def whole_log(api: httpx.AsyncClient, after: str, **chosen: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while True:
        page = (await api.get("/api/events", params={"after": after, "limit": 100, **chosen})).json()
        if not page["events"]:
            return events
        events += [event | {name: event["payload"][name] for name in PARTIES} for event in page["events"]]
        after = page["cursor"]


@pytest.mark.timeout(120)
async def test_rights_and_filters_on_every_way(backend, migrated_database, make_server):
    url, closed = migrated_database(backend), {"read_access": "signed-in", "jwt_secret": SECRET, "ring_events": 100}
    first = make_server(database_url=url, poll_interval=0.05, **closed)
    servers = [first, make_server(database_url=url, migrate=False, poll_interval=0.05, **closed)]
    chance = random.Random(7)
    treasury = Treasury(chance)
    async with AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(api_of(server)) for server in servers]
        begin = (await apis[0].get("/api/streams")).headers["Last-Event-ID"]
        await post(apis[0], [treasury.birth() for _ in range(12)])
        cursors = [begin]
        watchers: list[Watcher] = []
        for number in range(ROUNDS):
            # The oldest cursor is out of memory soon; the newest is where the log ends.
            for count in range(WATCHERS // ROUNDS):
                after = chance.choice([begin, cursors[-1]])
                name, right = f"watcher {number} {count}", a_right(chance, treasury.streams)
                server, transport = servers[count % 2], TRANSPORTS[count // 2 % 2]
                chosen = a_filter(chance, treasury.streams)
                client = await stack.enter_async_context(
                    listen(server, transport, right.token(name), cursor=after, **chosen)
                )
                client.after = after
                watchers.append(Watcher(name, server, transport, chosen, [right], [], client))
            await post(chance.choice(apis), treasury.events(EACH_ROUND))
            log = await whole_log(apis[0], begin)
            cursors.append(log[-1]["id"])
            await arrived(watchers, log)
            for each in watchers:
                if each.transport == "websocket" and chance.random() < 0.5:
                    await each.renew(a_right(chance, treasury.streams), log[-1]["id"])
        assert len(log) > 150
        assert sum(len(each.changes) for each in watchers) > 20
        await asyncio.sleep(0.3)
        got = {each.name: [event["id"] for event in each.client.events] for each in watchers}
        assert got == {each.name: each.expected(log, each.client.after) for each in watchers}
        assert sum(map(len, got.values())) > 500
        for each in watchers:
            await by_pages_and_by_rest(each, log, begin)


async def post(api: httpx.AsyncClient, events: list[dict[str, Any]]) -> None:
    answer = await api.post("/api/events", json={"events": events})
    assert answer.status_code == 200, answer.text


async def arrived(watchers: list[Watcher], log: list[dict[str, Any]]) -> None:
    for each in watchers:
        wanted = each.expected(log, each.client.after)
        try:
            await each.client.count(len(wanted))
        except TimeoutError:
            pytest.fail(f"{each} misses {set(wanted) - {event['id'] for event in each.client.events}}")


async def by_pages_and_by_rest(each: Watcher, log: list[dict[str, Any]], begin: str) -> None:
    right = each.rights[-1]
    async with httpx.AsyncClient(base_url=each.server.base, headers=bearer(right.token(each.name))) as http:
        page = await whole_log(http, begin, **each.chosen)
        assert [event["id"] for event in page] == [
            event["id"] for event in log if right.admits(event) and wants(each.chosen, event)
        ]
        readable = {event["streamId"] for event in log if right.admits(event)}
        listed = (await http.get("/api/streams", params={"limit": 100})).json()["streams"]
        assert {stream["id"] for stream in listed} == readable
        streams = sorted({event["streamId"] for event in log})
        for one in random.Random(each.name).sample(streams, 4):
            assert (await http.get(f"/api/streams/{one}")).status_code == (200 if one in readable else 404)
