"""Items of `getEvents` through `POST /api/events`, on each database."""

import random

import pytest

from tests.conftest import api_of
from tests.support.chain import as_expected, differences, load
from tests.support.chain_api import configured, log_of, post, stored

SCRIPTS = ["lifecycle", "sparse", "dense", "poison"]


@pytest.fixture
def serve(make_server, backend):
    def make(script, *, token=True):
        return make_server(backend=backend, chain_contracts=configured(script, token=token))

    return make


def check(streams, expected) -> None:
    assert set(streams) == set(expected["streams"])
    for number, state in expected["streams"].items():
        assert not differences(as_expected(streams[number], expected["at"]), state), number


def actions(results) -> list[str]:
    return [result["action"] for result in results]


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_script_gives_what_it_must(serve, name):
    script, expected = load(f"script_{name}"), load(f"expected_{name}")
    server = serve(script)
    async with api_of(server) as api:
        results = await post(api, script["events"], hints=True)
        check(await stored(str(server.settings["database_url"])), expected)
        outcomes = iter(expected["events"])
        for row, result in zip(script["events"], results, strict=True):
            if row["contract"] == script["token"]:
                assert result["action"] == "ignored"
                continue
            wanted = next(outcomes)["outcome"]
            assert (result["action"] == "parked") == (wanted == "parked"), (row, result)
        events = await log_of(api)
        ids = [event_id for result in results for event_id in result.get("ids", [result.get("id")]) if event_id]
        assert sorted(ids) == sorted(event["id"] for event in events)
        again = await post(api, script["events"], hints=True)
        assert set(actions(again)) <= {"ignored", "parked"}
        assert actions(again).count("parked") == actions(results).count("parked")
        assert len(await log_of(api)) == len(events)


async def test_the_lifecycle_without_hints_and_transfers(serve):
    script, expected = load("script_lifecycle"), load("expected_lifecycle_alone")
    server = serve(script, token=False)
    async with api_of(server) as api:
        await post(api, script["events"], hints=False)
        check(await stored(str(server.settings["database_url"])), expected)


@pytest.mark.parametrize("name", ["lifecycle", "dense"])
async def test_any_split_in_any_order_with_duplicates_gives_the_same(serve, name):
    script, expected = load(f"script_{name}"), load(f"expected_{name}")
    server = serve(script)
    rng = random.Random(name)
    rows = list(script["events"])
    async with api_of(server) as api:
        while rows:
            size = rng.randrange(1, 90)
            batch, rows = rows[:size], rows[size:]
            batch += rng.sample(batch, len(batch) // 4)
            rng.shuffle(batch)
            await post(api, batch, hints=True)
        check(await stored(str(server.settings["database_url"])), expected)
