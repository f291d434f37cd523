import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chain import scjson, scval
from app.chain.item import Ignored, parse, read
from app.chain.xdr import Undecodable
from app.core.contract.facts import Created
from app.core.contract.notices import TokenMoved
from app.core.contract.parked import Parked, Why
from app.core.contract.place import Hint, Place, hint_for
from app.core.contract.seen import Seen
from tests.support.chain import load, raw_item

SCRIPT = load("script_lifecycle")
ROWS = SCRIPT["events"]
CONTRACT, TOKEN = SCRIPT["contract"], SCRIPT["token"]
CREATED = raw_item(next(row for row in ROWS if row["name"] == "created"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def escaped(content):
    text = "".join(chr(b) if 32 <= b < 127 and b != 92 else f"\\x{b:02x}" for b in content)
    return text.replace("\\x5c", "\\\\").replace("\\x00", "\\0")


WRITE = {
    "vec": lambda content: [to_json(each) for each in content],
    "map": lambda content: [{"key": to_json(key), "val": to_json(each)} for key, each in content],
    "bytes": bytes.hex,
    "string": escaped,
    "i128": str,
}


def to_json(value):
    """Our value as RPC 22 and later write it with `xdrFormat: "json"`."""
    if value.type == "void":
        return "void"
    return {value.type: WRITE.get(value.type, lambda content: content)(value.content)}


def test_an_item_names_its_place():
    item = parse(CREATED)
    place = item.place
    assert place.id == CREATED["id"]
    assert (place.ledger, place.transaction, place.operation, place.index) == (3700005, 9, 0, 1)
    assert (place.closed_at, place.transaction_hash) == (1767225625, CREATED["txHash"])
    assert (item.type, item.contract_id, item.failed, item.json) == ("contract", CONTRACT, False, False)


def test_places_sort_in_chain_order_like_their_ids():
    places = [parse(raw_item(row)).place for row in ROWS]
    assert sorted(places) == sorted(places, key=lambda place: place.id) == places
    assert Place.from_json(places[3].to_json()) == places[3]


@pytest.mark.parametrize(
    "gone", ["pagingToken", "operationIndex", "transactionIndex", "inSuccessfulContractCall", "ledger"]
)
def test_members_that_came_and_went_with_the_servers_versions_need_not_be_there(gone):
    raw = {name: value for name, value in CREATED.items() if name != gone} | {"grown": {"later": 1}}
    assert parse(raw) == parse(CREATED)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"id": None}, "id: a string"),
        ({"id": "7"}, "id: 19 digits"),
        ({"id": "9999999999999999999-0000000001"}, "id: 19 digits"),
        ({"id": "0000000000000000001-9999999999"}, "id: 19 digits"),
        ({"ledger": 7}, "ledger"),
        ({"txHash": "AB" * 32}, "txHash"),
        ({"contractId": CONTRACT[:-1] + "A"}, "contractId"),
        ({"contractId": 7}, "contractId: a string"),
        ({"type": "diagnostic"}, "type"),
        ({"ledgerClosedAt": "yesterday"}, "ledgerClosedAt: an ISO"),
        ({"ledgerClosedAt": "2026-01-01T00:00:00"}, "ledgerClosedAt: a time with its zone"),
        ({"topic": "AAAA"}, "topic"),
        ({"topic": ["AAAAAQ=="] * 17}, "topic"),
        ({"topic": [7]}, "base64"),
        ({"value": None}, "base64"),
    ],
)
def test_a_broken_envelope_names_its_member(changed, reason):
    with pytest.raises(Undecodable, match=reason):
        parse(CREATED | changed)


@given(st.dictionaries(st.sampled_from([*sorted(CREATED), "topicJson", "valueJson"]), JSON))
def test_no_envelope_raises_anything_else(changed):
    for raw in (changed, CREATED | changed, {k: v for k, v in CREATED.items() if k != "topic"} | changed):
        try:
            item = parse(raw)
        except Undecodable:
            continue
        assert isinstance(read(item, {CONTRACT}, {TOKEN}), Seen | Ignored | Parked)


def test_who_published_it_is_looked_at_first():
    item = parse(CREATED)
    assert isinstance(read(item, {CONTRACT}).fact, Created)
    assert read(item, set()) == Ignored("a contract that is not configured")
    assert read(parse(CREATED | {"inSuccessfulContractCall": False}), {CONTRACT}) == Ignored("the call failed")
    assert read(item, set(), {CONTRACT}) == Ignored("an event of the token that moves nothing")
    transfer = next(row for row in ROWS if row["contract"] == TOKEN)
    seen = read(parse(raw_item(transfer)), {CONTRACT}, {TOKEN})
    assert (seen.contract_id, seen.topic) == (TOKEN, "transfer")
    assert seen.fact == TokenMoved(transfer["topics"][1], int(transfer["data"]))


def test_what_cannot_be_understood_is_parked_with_its_reason():
    def parked(**changed):
        found = read(parse(CREATED | changed), {CONTRACT})
        assert isinstance(found, Parked)
        return found.why, found.message

    assert parked(value="AAAA") == (Why.BROKEN, "value: it ends too early")
    assert parked(topic=[CREATED["topic"][0], "?"]) == (Why.BROKEN, "topic 1: no base64")
    assert parked(topic=["AAAADwAAAAdzcGFya2xlAA=="]) == (Why.UNKNOWN_TOPIC, "unknown topic sparkle")
    assert parked(topic=["AAAADwAAAAdzcGFya2xlAA=="], type="system")[0] is Why.UNKNOWN_TOPIC


@pytest.mark.parametrize("name", ["lifecycle", "dense", "sparse"])
def test_rpc_s_json_says_the_same_as_its_base64(name):
    for row in load(f"script_{name}")["events"]:
        raw = raw_item(row)
        topics = [to_json(scval.decode(text)) for text in raw.pop("topic")]
        as_json = raw | {"topicJson": topics, "valueJson": to_json(scval.decode(raw.pop("value")))}
        as_json = json.loads(json.dumps(as_json))
        both = [read(parse(each), {CONTRACT}, {TOKEN}) for each in (raw_item(row), as_json)]
        assert both[0] == both[1]


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ({"i128": {"hi": 0, "lo": 10000000}}, 10**7),
        ({"i128": {"hi": -1, "lo": 2**64 - 1}}, -1),
        ({"u64": "18446744073709551615"}, 2**64 - 1),
        ({"string": "a\\xff\\n\\\\n\\0"}, b"a\xff\n\\n\0"),
    ],
)
def test_json_forms_of_different_servers(value, content):
    assert scjson.decode(value).content == content


@pytest.mark.parametrize(
    "value",
    [None, 7, "no", {}, {"u64": 1, "u32": 1}, {"u64": -1}, {"u64": True}, {"u64": "1e3"}, {"u64": "٣"}, {"i128": {}},
     {"u32": 2**32}, {"symbol": "a-b"}, {"symbol": "a" * 33}, {"bytes": "0"}, {"address": "G"},
     {"map": [{"key": "void"}]},
     {"map": [{"key": "void", "val": "void"}] * 2}, {"vec": None}, {"error": 1}, {"bool": 1}, {"string": None}],
)  # fmt: skip
def test_json_that_is_no_value(value):
    with pytest.raises(Undecodable):
        scjson.decode(value)


def test_a_hint_holds_from_its_event_to_the_transaction_s_next():
    place = Place(1, 1, 0, 5, 0, "a")
    hints = [Hint("a"), Hint("a", "late", event_index=6), Hint("a", "here", event_index=3), Hint("b", event_index=5)]
    assert hint_for(place, hints) == hints[2]
    assert hint_for(Place(1, 1, 0, 2, 0, "a"), hints) == hints[0]
    assert hint_for(Place(1, 1, 0, 2, 0, "c"), hints) is None
