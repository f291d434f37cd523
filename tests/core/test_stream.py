"""Amounts, and what may become of a stream."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.core.chain import StreamCancelled, StreamCreated, StreamUpdated
from app.core.errors import Conflict, NotFound
from app.core.event import EventName
from app.core.stream import JSON_NAMES, Status, Stream, StreamChange, parse_amount

ALLOWED = {
    ("active", "active"),
    ("active", "paused"),
    ("active", "completed"),
    ("active", "cancelled"),
    ("paused", "paused"),
    ("paused", "active"),
    ("paused", "cancelled"),
}
STREAM = Stream(
    id="stream-1",
    sender="a",
    recipient="b",
    deposit_amount="1000",
    streamed_amount="10.5",
    remaining_amount="989.5",
    rate_per_second="0.5",
    start_time=1_700_000_000,
    end_time=0,
    status=Status.ACTIVE,
    contract_id=None,
    transaction_hash=None,
    event_index=None,
    version=3,
    created_at="2026-01-01T00:00:00.000Z",
    updated_at="2026-01-01T00:00:00.000Z",
)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
amounts = st.decimals("0", "999999999999", places=7).map(lambda number: f"{number:f}")


@pytest.mark.parametrize(
    "text", ["0", "1", "0.5", "0.0000001", "10", "1.50", "9999999999999999999", "123456789012.1234567"]
)
def test_amounts_stay_as_they_were_given(text):
    assert parse_amount(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        "1e3",
        "1.",
        ".5",
        "01",
        "00",
        "0.12345678",
        " 1",
        "1\n",
        "1,5",
        "NaN",
        "Infinity",
        "٣",
        "1_000",
        "1" + "0" * 19,
        "1234567890123.1234567",
    ],
)
def test_what_is_no_amount(text):
    with pytest.raises(ValueError):
        parse_amount(text)


@given(st.text("0123456789.-+eE ", max_size=24))
def test_an_amount_is_a_number_of_at_most_7_decimals_and_19_digits(text):
    try:
        parse_amount(text)
    except ValueError:
        plain = re.fullmatch(r"[0-9]+(\.[0-9]+)?", text)
        assert (
            plain is None
            or (text[0] == "0" and text[1:2].isdigit())
            or len(plain[1] or ".") - 1 > 7
            or sum(character.isdigit() for character in text) > 19
        )
    else:
        number = Decimal(text)
        assert number.is_finite()
        assert number >= 0
        assert -number.as_tuple().exponent <= 7
        assert len(text.replace(".", "")) <= 19


@pytest.mark.parametrize("before", Status)
@pytest.mark.parametrize("after", Status)
def test_the_status_machine(before, after):
    stream, change = replace(STREAM, status=before), StreamChange(status=after)
    if (before.value, after.value) not in ALLOWED:
        with pytest.raises(Conflict) as caught:
            stream.changed_by(change, NOW)
        assert caught.value.field == "status"
        return
    result, names = stream.changed_by(change, NOW)
    if before == after:
        assert result is stream
        assert names == ()
    else:
        assert result == replace(stream, status=after, version=4, updated_at="2026-01-02T00:00:00.000Z")
        assert names == ("status",)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.CANCELLED])
def test_nothing_of_a_terminal_stream_changes(status):
    with pytest.raises(Conflict) as caught:
        replace(STREAM, status=status).changed_by(StreamChange(remaining_amount="1"), NOW)
    assert caught.value.field == "remainingAmount"


@pytest.mark.parametrize(("end", "works"), [(0, True), (1_700_000_000, False), (1_700_000_001, True), (1, False)])
def test_a_stream_ends_after_its_start(end, works):
    stream = replace(STREAM, end_time=1_800_000_000)
    if works:
        after, names = stream.changed_by(StreamChange(end_time=end), NOW)
        assert (after.end_time, names) == (end, ("endTime",))
    else:
        with pytest.raises(Conflict):
            stream.changed_by(StreamChange(end_time=end), NOW)


@given(
    st.builds(
        StreamChange,
        status=st.none() | st.sampled_from([Status.ACTIVE, Status.PAUSED]),
        streamed_amount=st.none() | amounts,
        remaining_amount=st.none() | amounts,
        end_time=st.none() | st.integers(1_700_000_001, 1_900_000_000),
    )
)
def test_a_change_names_exactly_what_differs_and_is_none_the_second_time(change):
    after, names = STREAM.changed_by(change, NOW)
    json_before, json_after = STREAM.to_json(), after.to_json()
    differing = {name for name in json_before if json_before[name] != json_after[name]}
    assert differing == (set(names) | {"version", "updatedAt"} if names else set())
    assert after.version == STREAM.version + bool(names)
    assert after.changed_by(change, NOW) == (after, ())


def test_the_same_number_is_no_change():
    change = StreamChange(streamed_amount="10.50", remaining_amount="989.5000000")
    assert STREAM.changed_by(change, NOW) == (STREAM, ())


def test_json_has_the_wire_names_in_their_order():
    assert list(STREAM.to_json()) == list(JSON_NAMES.values())
    assert ",".join(STREAM.to_json()) == (
        "id,sender,recipient,depositAmount,streamedAmount,remainingAmount,ratePerSecond,startTime,endTime,status,"
        "contractId,transactionHash,eventIndex,version,createdAt,updatedAt,chainStreamId"
    )


def test_a_new_stream_is_active_at_its_first_version():
    terms = {
        "sender": "a",
        "recipient": "b",
        "deposit_amount": "5.5",
        "rate_per_second": "1",
        "start_time": 1,
        "end_time": 0,
        "now": NOW,
    }
    stream = Stream.begin(**terms, contract_id="C", transaction_hash="AB" * 32, event_index=3)
    assert (stream.id, stream.version, stream.status) == (f"stream-{'ab' * 32}-3", 1, Status.ACTIVE)
    assert (stream.streamed_amount, stream.remaining_amount) == ("0", "5.5")
    assert stream.created_at == stream.updated_at == "2026-01-02T00:00:00.000Z"
    own = Stream.begin(**terms)
    assert re.fullmatch(r"stream-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", own.id)
    assert own.id != Stream.begin(**terms).id


def test_chain_events_on_a_stream():
    created = StreamCreated(STREAM.id, ("t", 0), lambda _: STREAM)
    assert created.target == STREAM.id
    assert created.apply(None, NOW).name is EventName.CREATED
    assert created.apply(replace(STREAM, version=9), NOW) is None
    cancelled = StreamCancelled(STREAM.id, ("t", 1)).apply(STREAM, NOW)
    assert (cancelled.name, cancelled.changed) == (EventName.CANCELLED, ("status",))
    cancelled_by_update = StreamUpdated(STREAM.id, ("t", 2), StreamChange(status=Status.CANCELLED)).apply(STREAM, NOW)
    assert cancelled_by_update == cancelled
    assert StreamCancelled(STREAM.id, ("t", 3)).apply(cancelled.stream, NOW) is None
    with pytest.raises(NotFound):
        StreamCancelled(STREAM.id, ("t", 3)).apply(None, NOW)


def test_what_happened_on_the_chain_is_taken_in_every_status_but_the_status_holds():
    paid = StreamUpdated(STREAM.id, ("t", 1), StreamChange(streamed_amount=STREAM.deposit_amount))
    resumed = StreamUpdated(STREAM.id, ("t", 2), StreamChange(status=Status.ACTIVE))
    for status in (Status.COMPLETED, Status.CANCELLED):
        final = replace(STREAM, status=status)
        assert paid.apply(final, NOW).changed == ("streamedAmount",)
        with pytest.raises(Conflict, match="final"):
            resumed.apply(final, NOW)
        with pytest.raises(Conflict, match="final"):
            final.changed_by(paid.change, NOW)
    completed = StreamChange(status=Status.COMPLETED)
    paused = replace(STREAM, status=Status.PAUSED)
    assert StreamUpdated(STREAM.id, ("t", 3), completed).apply(paused, NOW).stream.status is Status.COMPLETED
    with pytest.raises(Conflict, match="paused to completed"):
        paused.changed_by(completed, NOW)


@given(amounts)
def test_the_chain_never_streams_less(amount):
    assume(Decimal(amount) != Decimal(STREAM.streamed_amount))
    event = StreamUpdated(STREAM.id, ("t", 0), StreamChange(streamed_amount=amount))
    if Decimal(amount) < Decimal(STREAM.streamed_amount):
        with pytest.raises(Conflict):
            event.apply(STREAM, NOW)
    else:
        assert event.apply(STREAM, NOW).changed == ("streamedAmount",)
