"""What readers get of the chain: exact streams, what has accrued, causes, and what waits."""

import pytest

from tests.conftest import api_of
from tests.support.chain import load, raw_item
from tests.support.chain_api import configured, hint_item, log_of, post
from tests.support.feeds import TRANSPORTS, follow

LIFECYCLE = load("script_lifecycle")
POISON = load("script_poison")


@pytest.fixture
def server(make_server, backend):
    return make_server(backend=backend, chain_contracts=configured(LIFECYCLE))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_old_and_new_recipient_hear_of_the_change_once_and_replays_say_the_same(server, transport):
    [row] = [row for row in LIFECYCLE["events"] if row["name"] == "recp_upd"]
    before = LIFECYCLE["events"][: LIFECYCLE["events"].index(row)]
    async with api_of(server) as api:
        await post(api, before, hints=True)
        start = (await api.get("/api/streams")).headers["Last-Event-ID"]
        chosen = [{"recipient": name} for name in row["topics"][1:] if str(name).startswith("G")]
        [event] = [each for each in (await post(api, [row], hints=True)) if each.get("id")]
        told = (await api.get("/api/events", params={"after": start})).json()["events"][0]
        assert told["cause"] == "recipient_changed"
        old, new = told["detail"]["from"], told["detail"]["to"]
        assert told["payload"]["recipient"] == new != old
        chosen = [{"recipient": old}, {"recipient": new}, {"participant": [old, new]}, {"cause": "recipient_changed"}]
        chosen += [{"contractId": LIFECYCLE["contract"]}, {"contractId": LIFECYCLE["contract"], "recipient": old}]
        for filters in chosen:
            async with follow(server, transport, cursor=start, **filters) as client:
                assert [each["id"] for each in await client.count(1)] == [event["id"]]
            page = await api.get("/api/events", params={"after": start, **filters})
            assert [each["id"] for each in page.json()["events"]] == [event["id"]]
        sender = told["payload"]["sender"]
        nobody = await api.get("/api/events", params={"after": start, "sender": [old] if old != sender else [new]})
        assert nobody.json()["events"] == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_who_lives_on_a_filter_of_the_chain_alone_gets_nothing_else(server, transport):
    async with (
        api_of(server) as api,
        follow(server, transport, cause=["withdrawn", "topped_up"]) as causes,
        follow(server, transport, contractId=LIFECYCLE["contract"]) as contract,
        follow(server, transport) as everything,
    ):
        await api.post("/api/streams", json={
            "sender": LIFECYCLE["contract"], "recipient": LIFECYCLE["token"], "depositAmount": "1",
            "ratePerSecond": "1",
        })  # fmt: skip
        await post(api, LIFECYCLE["events"], hints=True)
        log = await log_of(api)
        for client, wanted in (
            (everything, log),
            (contract, log[1:]),
            (causes, [each for each in log if each["cause"] in {"withdrawn", "topped_up"}]),
        ):
            assert wanted
            assert await client.count(len(wanted)) == wanted


async def test_amounts_at_a_time_are_what_the_contract_would_say(server):
    expected = load("expected_lifecycle")
    async with api_of(server) as api:
        await post(api, LIFECYCLE["events"], hints=True)
        page = (await api.get("/api/streams", params={"at": expected["at"], "limit": 500})).json()["streams"]
        assert len(page) == len(expected["streams"])
        for stream in page:
            state = expected["streams"][stream["chainStreamId"]]
            accrued = {
                "at": expected["at"],
                "amount": state["accrued"],
                "claimable": state["claimable"],
                "withdrawable": state["withdrawable"],
            }
            assert stream["accrued"] == accrued
            alone = await api.get(f"/api/streams/{stream['id']}", params={"at": expected["at"]})
            assert alone.json() == stream
            assert stream["base"]["deposit"] == state["deposit"]
            assert int(stream["base"]["startTime"]) == state["start"]
        for wrong in ("-1", "1.5", "1e3", "", "9" * 20, "\u0661"):
            answer = await api.get("/api/streams", params={"at": wrong})
            assert answer.status_code == 400
            assert answer.json()["errors"][0]["field"] == "at"


async def test_an_open_stream_of_the_api_accrues_until_its_deposit_is_used_up(server):
    async with api_of(server) as api:
        made = await api.post("/api/streams", json={
            "sender": LIFECYCLE["contract"], "recipient": LIFECYCLE["token"], "depositAmount": "10",
            "ratePerSecond": "0.5", "startTime": 1_000_000,
        })  # fmt: skip
        path = f"/api/streams/{made.json()['id']}"
        for at, amount in ((999_999, "0"), (1_000_003, "15000000"), (1_000_020, "100000000"), (10**18, "100000000")):
            assert (await api.get(path, params={"at": at})).json()["accrued"]["amount"] == amount
        paused = await api.patch(path, json={"status": "paused", "streamedAmount": "1"})
        assert paused.is_success
        shown = (await api.get(path, params={"at": 1_000_003})).json()["accrued"]
        assert shown == {"at": 1_000_003, "amount": "15000000", "claimable": "5000000", "withdrawable": "0"}


async def test_a_stream_of_the_chain_is_changed_by_the_chain_alone(server):
    async with api_of(server) as api:
        await post(api, LIFECYCLE["events"][:20], hints=True)
        stream = (await api.get("/api/streams")).json()["streams"][0]
        for answer in (
            await api.patch(f"/api/streams/{stream['id']}", json={"status": "paused"}),
            await api.delete(f"/api/streams/{stream['id']}"),
        ):
            assert answer.status_code == 409
            assert answer.json()["errors"][0]["field"] == "chainStreamId"
        seed = {
            "type": "StreamCancelled", "contractId": stream["contractId"], "transactionHash": "ab" * 32,
            "eventIndex": 0, "streamId": stream["id"],
        }  # fmt: skip
        [result] = (await api.post("/api/events", json={"events": [seed]})).json()["results"]
        assert (result["action"], result["error"]["status"]) == ("rejected", 409)


async def test_what_waits_for_a_stream_is_taken_when_it_comes(server):
    created = next(row for row in LIFECYCLE["events"] if row["name"] == "created")
    topped = next(
        row for row in LIFECYCLE["events"] if row["name"] == "withdrew" and row["topics"][1] == created["topics"][1]
    )
    async with api_of(server) as api:
        [early] = await post(api, [topped], hints=False)
        assert (early["action"], early["why"]) == ("parked", "unknown_stream")
        [waiting] = (await api.get("/api/chain/parked")).json()["parked"]
        assert waiting["item"] == raw_item(topped)
        assert (waiting["waitsFor"], waiting["why"], waiting["tries"]) == (created["topics"][1], "unknown_stream", 0)
        again = (await api.post(f"/api/chain/parked/{waiting['id']}/retry")).json()
        assert again["action"] == "parked"
        assert (await api.get("/api/chain/parked")).json()["parked"][0]["tries"] == 1
        [born] = await post(api, [created], hints=False)
        assert born["action"] == "created"
        assert (await api.get("/api/chain/parked")).json() == {"parked": [], "next": None}
        assert [each["cause"] for each in await log_of(api)] == ["created", "withdrawn"]
        assert (await api.post(f"/api/chain/parked/{waiting['id']}/retry")).status_code == 404


async def test_parked_items_come_in_pages_and_a_retry_needs_a_key(server):
    async with api_of(server) as api:
        broken = [
            raw_item(LIFECYCLE["events"][1] | {"eventIndex": number}) | {"value": "AAAA"} for number in range(50, 55)
        ]
        results = (await api.post("/api/events", json={"events": broken})).json()
        assert results["parked"] == 5
        seen, after = [], 0
        while after is not None:
            page = (await api.get("/api/chain/parked", params={"limit": 2, "after": after})).json()
            seen += page["parked"]
            after = page["next"]
        assert [each["item"] for each in seen] == broken
        path = f"/api/chain/parked/{seen[0]['id']}/retry"
        assert (await api.post(path, headers={"Authorization": ""})).status_code == 401
        assert (await api.post(path)).json()["action"] == "parked"
        for wrong in ("x", "-1", "9" * 30, str(2**63 - 1)):
            assert (await api.post(f"/api/chain/parked/{wrong}/retry")).status_code == 404
        for field, wrong in (("after", "x"), ("limit", "0"), ("no", "1")):
            assert (await api.get("/api/chain/parked", params={field: wrong})).status_code == 400


async def test_no_item_makes_a_400_and_a_hint_may_stand_anywhere(make_server, backend):
    server = make_server(backend=backend, chain_contracts=configured(POISON))
    odd = [
        {"type": "contract"},
        {"type": "system", "id": 5, "topic": "x"},
        {"type": "contract", "contractId": POISON["contract"], "id": "x-y", "txHash": None, "topic": [1, None, {}]},
        {"type": "contract", "contractId": POISON["contract"], "value": {"deep": [[[]]]}, "topic": []},
        {"type": "contract", "contractId": "somebody else's"},
    ]
    async with api_of(server) as api:
        rows = [raw_item(row) for row in POISON["events"]]
        hints = [hint_item(row) for row in POISON["events"] if row.get("function")]
        answer = await api.post("/api/events", json={"events": odd + rows + hints})
        assert answer.status_code == 200
        results = answer.json()["results"]
        assert len(results) == len(odd) + len(rows) + len(hints)
        assert {each["action"] for each in results} <= {"created", "updated", "cancelled", "ignored", "parked"}
        assert [each["action"] for each in results[: len(odd)]] == ["parked", "parked", "parked", "parked", "ignored"]
        large = await api.post("/api/events", json={"events": odd[:1], "padding": "x" * 5_000_000})
        assert large.status_code == 413
