"""`/api/streams`: what goes in, what comes out, and what is refused, on each database."""

import asyncio
import time

import httpx
import pytest

from tests.support.data import (
    CONTRACT,
    RECIPIENT,
    SENDER,
    address,
    cancelled,
    created,
    new_stream,
    transaction,
    updated,
)
from tests.support.feeds import follow

JSON = {"Content-Type": "application/json"}
UNKNOWN = "stream-00000000-0000-0000-0000-000000000000"


@pytest.fixture
async def stream(api, logged) -> dict:
    return (await api.post("/api/streams", json=new_stream())).json()


@pytest.fixture
async def logged(api):
    """Returns the events that were logged since the test began."""
    start = (await api.get("/health")).json()["log"]["head"]

    async def read(**filters) -> list[dict]:
        return (await api.get("/api/events", params={"after": start, "limit": 1000, **filters})).json()["events"]

    return read


def problem(answer: httpx.Response, status: int, *fields: str) -> dict:
    """The answer is a problem document with this status, which names just these fields."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["type"].startswith("urn:fluxora:problem:")
    assert document["title"]
    assert document["detail"]
    if fields:
        assert [error["field"] for error in document["errors"]] == list(fields)
        assert all(error["message"] for error in document["errors"])
    return document


async def test_creates(api):
    before = int(time.time())
    answer = await api.post("/api/streams", json={k: v for k, v in new_stream().items() if k != "startTime"})
    assert answer.status_code == 201
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["content-type"] == "application/json"
    made = answer.json()
    assert answer.headers["Location"] == f"/api/streams/{made['id']}"
    assert before <= made.pop("startTime") <= int(time.time())
    assert made.pop("createdAt") == made.pop("updatedAt")
    assert made.pop("id").startswith("stream-")
    assert made == {
        "sender": SENDER,
        "recipient": RECIPIENT,
        "depositAmount": "1000",
        "streamedAmount": "0",
        "remainingAmount": "1000",
        "ratePerSecond": "0.5",
        "endTime": 0,
        "status": "active",
        "contractId": None,
        "transactionHash": None,
        "eventIndex": None,
        "version": 1,
        "chainStreamId": None,
    }
    got = await api.get(answer.headers["Location"])
    assert got.content == answer.content
    assert got.headers["ETag"] == '"1"'


async def test_a_stream_of_the_chain_has_the_chains_id_and_exists_once(api, logged):
    key = {"transactionHash": transaction().upper(), "eventIndex": 2**31 - 1, "contractId": CONTRACT}
    made = (await api.post("/api/streams", json=new_stream(**key))).json()
    assert made["id"] == f"stream-{key['transactionHash'].lower()}-{2**31 - 1}"
    assert (made["transactionHash"], made["contractId"]) == (key["transactionHash"].lower(), CONTRACT)
    for other in (key, {**key, "transactionHash": key["transactionHash"].lower()}):
        problem(await api.post("/api/streams", json=new_stream(**other, depositAmount="7")), 409, "transactionHash")
    # The indexer sees the same creation on the chain.
    batch = [created(transactionHash=made["transactionHash"], eventIndex=2**31 - 1)]
    assert (await api.post("/api/events", json={"events": batch})).json()["ignored"] == 1
    assert [event["streamId"] for event in await logged()] == [made["id"]]


async def test_of_many_who_create_the_same_stream_one_does(api, logged):
    key = {"transactionHash": transaction(), "eventIndex": 0}
    answers = await asyncio.gather(*(api.post("/api/streams", json=new_stream(**key)) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert len(await logged()) == 1


async def test_a_chain_key_that_another_event_has_is_a_conflict(api, stream):
    event = updated(stream["id"], status="paused")
    await api.post("/api/events", json={"events": [event]})
    key = {"transactionHash": event["transactionHash"], "eventIndex": 0}
    problem(await api.post("/api/streams", json=new_stream(**key)), 409)


async def test_amounts_are_kept_to_the_digit(api):
    for amount in [
        "0.0000001",
        "1.0000000",
        "1",
        "9" * 19,
        "9" * 12 + "." + "9" * 7,
        "922337203685.4775807",
        "0.5",
        "1234567890",
    ]:
        answer = await api.post("/api/streams", json=new_stream(depositAmount=amount, ratePerSecond=amount))
        assert answer.status_code == 201
        got = (await api.get(answer.headers["Location"])).json()
        assert (got["depositAmount"], got["remainingAmount"], got["ratePerSecond"]) == (amount,) * 3


async def test_other_amounts_are_refused(api, stream):
    for amount in [
        *(
            "",
            " ",
            "-1",
            "+1",
            "1e3",
            "1E3",
            "01",
            "00",
            ".5",
            "5.",
            "1.00000000",
            "0.00000001",
            "1,5",
            "1_000",
            "0x10",
        ),
        *("9" * 20, "9" * 13 + "." + "9" * 7, "NaN", "Infinity", "-0", "1\n", " 1", "1\x00", "٣", "1.2.3", "a"),
        *(1, 1.5, 0, None, True, [], {}, ["1"]),
    ]:
        problem(await api.post("/api/streams", json=new_stream(depositAmount=amount)), 400, "depositAmount")
        problem(await api.post("/api/streams", json=new_stream(ratePerSecond=amount)), 400, "ratePerSecond")
        if amount is not None:
            patch = await api.patch(f"/api/streams/{stream['id']}", json={"streamedAmount": amount})
            problem(patch, 400, "streamedAmount")


async def test_a_deposit_is_more_than_nothing_but_a_rate_may_be_nothing(api):
    for zero in ["0", "0.0", "0.0000000"]:
        problem(await api.post("/api/streams", json=new_stream(depositAmount=zero)), 400, "depositAmount")
        assert (await api.post("/api/streams", json=new_stream(ratePerSecond=zero))).status_code == 201


async def test_addresses_have_a_checksum(api):
    for wrong in [
        *("", "G", SENDER[:-1], SENDER + "A", SENDER.lower(), SENDER[:-1] + ("A" if SENDER[-1] != "A" else "B")),
        *(" " + SENDER[1:], SENDER + "\n", SENDER[:-1] + "\x00", "S" + SENDER[1:], "G" * 56, "é" * 56, 1, None, []),
    ]:
        problem(await api.post("/api/streams", json=new_stream(sender=wrong)), 400, "sender")
        problem(await api.post("/api/streams", json=new_stream(recipient=wrong)), 400, "recipient")
        if wrong is not None:
            problem(await api.post("/api/streams", json=new_stream(contractId=wrong)), 400, "contractId")


async def test_contracts_may_send_and_receive_but_accounts_are_no_contracts(api):
    assert (await api.post("/api/streams", json=new_stream(sender=CONTRACT, recipient=CONTRACT))).status_code == 201
    problem(await api.post("/api/streams", json=new_stream(contractId=SENDER)), 400, "contractId")


async def test_times_are_seconds(api):
    for field in ["startTime", "endTime"]:
        for wrong in [-1, 253_402_300_800, 2**63, 10**400, 1.5, 1.0, "1", True, [], "2026-01-01"]:
            problem(await api.post("/api/streams", json=new_stream(**{field: wrong})), 400, field)


async def test_times_to_the_last_second(api):
    for times in ({"startTime": 0, "endTime": 1}, {"startTime": 253_402_300_798, "endTime": 253_402_300_799}):
        made = (await api.post("/api/streams", json=new_stream(**times))).json()
        assert {name: made[name] for name in times} == times


async def test_a_stream_ends_after_its_start(api):
    for times in (
        {"startTime": 5, "endTime": 5},
        {"startTime": 5, "endTime": 4},
        {"startTime": None, "endTime": 5},
    ):
        problem(await api.post("/api/streams", json=new_stream(**times)), 400, "endTime")


async def test_hash_and_index_belong_together(api):
    problem(await api.post("/api/streams", json=new_stream(transactionHash=transaction())), 400, "eventIndex")
    problem(await api.post("/api/streams", json=new_stream(eventIndex=0)), 400, "eventIndex")
    for wrong in (-1, 2**31, "0", 0.0, True):
        key = {"transactionHash": transaction(), "eventIndex": wrong}
        problem(await api.post("/api/streams", json=new_stream(**key)), 400, "eventIndex")
    for wrong in ("", "g" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", 1):
        key = {"transactionHash": wrong, "eventIndex": 0}
        problem(await api.post("/api/streams", json=new_stream(**key)), 400, "transactionHash")


async def test_every_wrong_field_is_named(api):
    answer = await api.post("/api/streams", json={"sender": "x", "depositAmount": 5, "colour": "red", "id": "mine"})
    fields = {error["field"] for error in problem(answer, 400)["errors"]}
    assert fields == {"sender", "recipient", "depositAmount", "ratePerSecond", "colour", "id"}


async def test_a_body_that_makes_no_sense_is_a_problem(api, stream):
    for content in [
        *(b"", b"{", b"[]", b"null", b'"x"', b"1", b"{}", b"\xff\xfe{", b'{"sender":"\xff"}', b"\xef\xbb\xbf{}"),
        *(b"[" * 200_000, b'{"a":' * 100_000, b"{'sender':1}", b'{"sender":NaN}', b'{"startTime":Infinity}'),
        *(b'{"startTime":' + b"9" * 5000 + b"}", b'{"startTime":1e999}', b'{"eventIndex":-0.0}', b'{"a":1}{"b":2}'),
        *(b'{"sender":"\\u0000"}', b'{"sender":"\\ud800"}', b'{"\\ud800":1}', b'{"\\u0000":1}', b'{"":1}'),
    ]:
        for method, path in (
            ("POST", "/api/streams"),
            ("PATCH", f"/api/streams/{stream['id']}"),
            ("POST", "/api/events"),
        ):
            problem(await api.request(method, path, content=content, headers=JSON), 400)


async def test_the_body_must_say_that_it_is_json(api, stream):
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        for method, path in (("POST", "/api/streams"), ("PATCH", f"/api/streams/{stream['id']}")):
            answer = await api.request(method, path, content=b"{}", headers={"Content-Type": content_type})
            problem(answer, 415)
    with_charset = {"Content-Type": "application/json; charset=utf-8"}
    assert (
        await api.post(
            "/api/streams",
            content=httpx.Request("POST", "http://x", json=new_stream()).content,
            headers=with_charset,
        )
    ).status_code == 201


async def test_a_body_that_is_too_big_is_refused(api):
    problem(await api.post("/api/streams", content=b" " * 1_048_577, headers=JSON), 413)

    async def chunks():
        for _ in range(20):
            yield b" " * 65_536

    problem(await api.post("/api/streams", content=chunks(), headers=JSON), 413)


async def test_pages_show_every_stream_once_newest_first(api):
    mine = address(f"pages {time.time_ns()}")
    # A batch's streams are created in the same millisecond: only their ids tell them apart.
    batch = {"events": [created(sender=mine) for _ in range(23)]}
    made = {result["streamId"] for result in (await api.post("/api/events", json=batch)).json()["results"]}
    made |= {(await api.post("/api/streams", json=new_stream(sender=mine))).json()["id"] for _ in range(3)}
    for limit in (1, 5, 13, 26, 500):
        seen, cursor = [], None
        while True:
            params = {"sender": mine, "limit": limit, **({"cursor": cursor} if cursor else {})}
            page = (await api.get("/api/streams", params=params)).json()
            assert 1 <= len(page["streams"]) <= limit
            seen += page["streams"]
            cursor = page["next"]
            if cursor is None:
                break
            assert len(page["streams"]) == limit
        assert len(seen) == len(made)
        assert {each["id"] for each in seen} == made
        assert [each["createdAt"] for each in seen] == sorted((each["createdAt"] for each in seen), reverse=True)


async def test_new_streams_do_not_disturb_a_walk(api):
    mine = address(f"walk {time.time_ns()}")
    first = [(await api.post("/api/streams", json=new_stream(sender=mine))).json()["id"] for _ in range(4)]
    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.get("/api/streams", params={"sender": mine, "limit": 1, "cursor": cursor})).json()
        seen += [each["id"] for each in page["streams"]]
        cursor = page["next"]
        await api.post("/api/streams", json=new_stream(sender=mine))
    assert seen == first[::-1]


async def test_lists_filter(api):
    one, two, three = (address(f"filter {name} {time.time_ns()}") for name in "abc")
    ids = [
        (await api.post("/api/streams", json=new_stream(sender=sender, recipient=recipient))).json()["id"]
        for sender, recipient in ((one, two), (one, three), (three, two))
    ]
    await api.patch(f"/api/streams/{ids[0]}", json={"status": "paused"})
    await api.delete(f"/api/streams/{ids[1]}")

    async def found(*params) -> list[str]:
        return [each["id"] for each in (await api.get("/api/streams", params=params)).json()["streams"]][::-1]

    assert await found(("sender", one)) == ids[:2]
    assert await found(("sender", one), ("sender", three)) == ids
    assert await found(("recipient", two), ("sender", one), ("sender", three)) == [ids[0], ids[2]]
    assert await found(("sender", one), ("recipient", two)) == ids[:1]
    assert await found(("sender", one), ("status", "paused")) == ids[:1]
    assert await found(("sender", one), ("status", "paused"), ("status", "cancelled")) == ids[:2]
    assert await found(("sender", two)) == []


async def test_a_query_that_makes_no_sense_is_a_problem(api):
    for query, field in [
        *((f"limit={value}", "limit") for value in ("0", "501", "-1", "", "x", "1.0", "%00", "%D9%A3", "1e2", "+1")),
        ("limit=000000001000000", "limit"),
        ("limit=000000001" + "9" * 30, "limit"),
        ("limit=" + "9" * 5000, "limit"),
        *((f"status={value}", "status") for value in ("", "ACTIVE", "gone", "%00", "active,paused")),
        *((f"sender={value}", "sender") for value in ("", "x", "%00", SENDER.lower())),
        ("recipient=x", "recipient"),
        *((f"cursor={value}", "cursor") for value in ("x", "%00", "2026-01-01T00:00:00.000Z", "_", "%FF", "9" * 5000)),
        ("cursor=2026-01-01T00:00:00.000Z_stream-%00", "cursor"),
        ("colour=red", "colour"),
    ]:
        problem(await api.get(f"/api/streams?{query}"), 400, field)


async def test_an_unknown_stream_is_not_found(api):
    for stream_id in [
        UNKNOWN,
        "x",
        "%00",
        "stream-%00",
        "%FF",
        "%ED%A0%80",
        "%F0%9F%92%B8",
        "%27%20OR%201=1",
        "x" * 5000,
        "%25",
        "..%5C",
    ]:
        path = f"/api/streams/{stream_id}"
        problem(await api.get(path), 404)
        problem(await api.patch(path, json={"status": "paused"}), 404)
        problem(await api.delete(path), 404)


async def test_snapshots_tell_where_to_follow_from(api, stream):
    head = (await api.get("/health")).json()["log"]["head"]
    for path in ("/api/streams", f"/api/streams/{stream['id']}"):
        assert (await api.get(path)).headers["Last-Event-ID"] == head
        assert (await api.head(path)).headers["Last-Event-ID"] == head


async def test_changes(api, stream, logged):
    path = f"/api/streams/{stream['id']}"
    changes = {"status": "paused", "streamedAmount": "10.5", "remainingAmount": "989.5", "endTime": 1_800_000_000}
    answer = await api.patch(path, json=changes)
    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"2"'
    after = answer.json()
    assert after == {**stream, **changes, "version": 2, "updatedAt": after["updatedAt"]}
    assert (await api.get(path)).json() == after
    _, event = await logged(streamId=stream["id"])
    assert (event["event"], event["version"], event["payload"]) == ("stream.updated", 2, after)
    assert event["changed"] == ["status", "streamedAmount", "remainingAmount", "endTime"]
    answer = await api.patch(path, json={"status": "active", "endTime": 0, "streamedAmount": None})
    assert (answer.json()["status"], answer.json()["endTime"], answer.json()["version"]) == ("active", 0, 3)


async def test_no_change_is_no_event(api, stream, logged):
    path = f"/api/streams/{stream['id']}"
    for same in (
        {"status": "active"},
        {"streamedAmount": "0.0"},
        {"remainingAmount": "1000.0000000"},
        {"endTime": 0, "status": "active"},
    ):
        answer = await api.patch(path, json=same, headers={"If-Match": '"1"'})
        assert answer.status_code == 200
        assert answer.json() == stream
        assert answer.headers["ETag"] == '"1"'
    assert len(await logged(streamId=stream["id"])) == 1


async def test_a_change_that_makes_no_sense_is_refused(api, stream):
    for wrong in [{}, {"status": None}, {"status": "gone"}, {"version": 5}, {"sender": SENDER}]:
        problem(await api.patch(f"/api/streams/{stream['id']}", json=wrong), 400)


async def test_if_match(api, stream, logged):
    path = f"/api/streams/{stream['id']}"
    for status, etag in (("paused", '"1"'), ("active", "2"), ("paused", 'W/"3"'), ("active", "*")):
        answer = await api.patch(path, json={"status": status}, headers={"If-Match": etag})
        assert answer.status_code == 200, etag
    for etag in ('"4"', '"6"', '"0"', "999999999"):
        for request in (("PATCH", path, {"status": "paused"}), ("DELETE", path, None)):
            method, url, json = request
            problem(await api.request(method, url, json=json, headers={"If-Match": etag}), 412)
    for etag in ('"4", "6"', '"٣"'.encode(), '"x"', '""', '"5x"', 'w/"5"'.upper().replace("5", "7")):
        problem(await api.patch(path, json={"status": "paused"}, headers={"If-Match": etag}), 412)
    for etag in ("", "x", '"5', '5"', "-1", "1.0", "5" * 50, "W/", "5 5", '"5" "4"', ",", '*, "5"'):
        problem(await api.patch(path, json={"status": "paused"}, headers={"If-Match": etag}), 400, "If-Match")
        problem(await api.delete(path, headers={"If-Match": etag}), 400, "If-Match")
    assert (await api.delete(path, headers={"If-Match": '"5"'})).json()["status"] == "cancelled"
    assert [event["version"] for event in await logged(streamId=stream["id"])] == [1, 2, 3, 4, 5, 6]


async def test_of_many_changes_of_the_same_version_one_wins(api, stream, logged):
    path = f"/api/streams/{stream['id']}"
    for version in range(1, 4):
        answers = await asyncio.gather(
            *(
                api.patch(path, json={"streamedAmount": f"{version}.{n}"}, headers={"If-Match": f'"{version}"'})
                for n in range(1, 21)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [412] * 19
        [won] = [answer.json() for answer in answers if answer.status_code == 200]
        assert (await api.get(path)).json() == won
    assert [event["version"] for event in await logged(streamId=stream["id"])] == [1, 2, 3, 4]


async def test_concurrent_changes_without_if_match_all_count(api, stream, logged):
    path = f"/api/streams/{stream['id']}"
    answers = await asyncio.gather(*(api.patch(path, json={"streamedAmount": str(n)}) for n in range(1, 31)))
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 32))
    assert [event["version"] for event in await logged(streamId=stream["id"])] == list(range(1, 32))


async def test_cancels_for_good(api, stream, logged):
    path = f"/api/streams/{stream['id']}"
    answer = await api.delete(path)
    assert (answer.status_code, answer.json()["status"], answer.headers["ETag"]) == (200, "cancelled", '"2"')
    # Once more is done already.
    assert (await api.delete(path)).content == answer.content
    for change in ({"status": "active"}, {"status": "cancelled"}, {"streamedAmount": "1"}, {"endTime": 0}):
        problem(await api.patch(path, json=change), 409, *change)
    assert [event["event"] for event in await logged(streamId=stream["id"])] == [
        "stream.created",
        "stream.cancelled",
    ]


async def test_the_status_machine(api):
    allowed = {
        "active": {"paused", "completed", "cancelled"},
        "paused": {"active", "cancelled"},
        "completed": set(),
        "cancelled": set(),
    }
    for before, following in allowed.items():
        for after in allowed:
            path = (await api.post("/api/streams", json=new_stream())).headers["Location"]
            if before != "active":
                assert (await api.patch(path, json={"status": before})).status_code == 200
            answer = await api.patch(path, json={"status": after})
            if after in following or (following and after == before):
                assert answer.json()["status"] == after
            else:
                problem(answer, 409, "status")


async def test_an_end_before_the_start_is_a_conflict(api, stream):
    path = f"/api/streams/{stream['id']}"
    for end in (1, stream["startTime"]):
        problem(await api.patch(path, json={"endTime": end}), 409, "endTime")
    assert (await api.patch(path, json={"endTime": stream["startTime"] + 1})).status_code == 200


async def test_repeating_a_request_with_its_key_repeats_the_answer(server, api, logged):
    headers = {"Idempotency-Key": f"repeat-{time.time_ns()}"}
    async with follow(server, "websocket") as client:
        first = await api.post("/api/streams", json=new_stream(), headers=headers)
        assert "Idempotency-Replayed" not in first.headers
        # The answer stays what it was, though the stream went on.
        await api.patch(first.headers["Location"], json={"status": "paused"})
        again = await api.post("/api/streams", json=new_stream(), headers=headers)
        await api.post("/api/streams", json=new_stream())
        await client.count(3)
    assert again.status_code == first.status_code == 201
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert [again.headers[name] for name in ("Location", "ETag")] == [first.headers[n] for n in ("Location", "ETag")]
    assert [event["event"] for event in client.events] == ["stream.created", "stream.updated", "stream.created"]
    assert len(await logged()) == 3


async def test_a_key_stands_for_one_request(api, logged):
    headers = {"Idempotency-Key": f"other-{time.time_ns()}"}
    assert (await api.post("/api/streams", json=new_stream(), headers=headers)).status_code == 201
    problem(await api.post("/api/streams", json=new_stream(depositAmount="2"), headers=headers), 422)
    # A request that failed did not use its key up.
    headers = {"Idempotency-Key": f"failed-{time.time_ns()}"}
    problem(await api.post("/api/streams", json={}, headers=headers), 400)
    assert (await api.post("/api/streams", json=new_stream(), headers=headers)).status_code == 201
    assert len(await logged()) == 2


async def test_the_same_key_at_once_makes_one_stream(api, logged):
    headers = {"Idempotency-Key": f"at-once-{time.time_ns()}"}
    answers = await asyncio.gather(*(api.post("/api/streams", json=new_stream(), headers=headers) for _ in range(16)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 15
    assert len(await logged()) == 1


async def test_a_key_that_is_none_is_refused(api):
    for key in ["", "a b", "é".encode(), "x" * 256, b"\x7f"]:
        answer = await api.post("/api/streams", json=new_stream(), headers={"Idempotency-Key": key})
        problem(answer, 400, "Idempotency-Key")


async def test_keys_of_any_printable_kind(api):
    for key in ("x" * 255, f"{time.time_ns()}-!\"#$%&'()*+,-./:;<=>?@[]^_`{{|}}~"):
        assert (await api.post("/api/streams", json=new_stream(), headers={"Idempotency-Key": key})).status_code == 201


async def test_the_log_as_events(api, stream):
    await api.post("/api/events", json={"events": [cancelled(stream["id"])]})
    log = (await api.get("/api/events", params={"streamId": stream["id"]})).json()["events"]
    assert [event["event"] for event in log] == ["stream.created", "stream.cancelled"]


@pytest.mark.parametrize("role", ["sender", "recipient"])
async def test_the_log_of_a_participant(api, stream, role):
    events = (await api.get("/api/events", params={"participant": stream[role], "limit": 1000})).json()["events"]
    own = {"participant": stream[role], "streamId": stream["id"]}
    assert [event["streamId"] for event in (await api.get("/api/events", params=own)).json()["events"]] == [
        stream["id"]
    ]
    assert events
    assert all(stream[role] in (event["payload"]["sender"], event["payload"]["recipient"]) for event in events)


async def test_a_look_at_the_log_that_makes_no_sense_is_a_problem(api):
    for query, field in [
        *((f"after={value}", "after") for value in ("x", "%00", "abc-", "abc--1", "abc-01", "abc-" + "9" * 19, "A-1")),
        *((f"limit={value}", "limit") for value in ("0", "1001", "%00", "000000001" + "9" * 30, "9" * 5000)),
        *((f"sender={value}", "sender") for value in ("", "x", "%00")),
        ("event=created", "event"),
        ("streamId=", "streamId"),
        ("stream=1", "stream"),
    ]:
        problem(await api.get(f"/api/events?{query}"), 400, field)


async def test_the_log_has_nothing_of_an_impossible_stream(api):
    for stream_id in ("%00", "stream-%00", "%FF", "x" * 3000):
        answer = await api.get(f"/api/events?streamId={stream_id}")
        assert (answer.status_code, answer.json()["events"]) == (200, [])


async def test_a_cursor_of_another_history_or_of_the_future_is_gone(api):
    epoch = (await api.get("/health")).json()["log"]["epoch"]
    for cursor, reason in (("0000000000-1", "epoch"), (f"{epoch}-{'9' * 18}", "future")):
        assert problem(await api.get("/api/events", params={"after": cursor}), 410)["reason"] == reason
