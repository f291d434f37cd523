"""Cursors, encoding, and filters."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.audience import Audience
from app.core.clock import timestamp
from app.core.cursor import Cursor
from app.core.event import Draft, Event, EventName
from app.core.filter import EventFilter, keys_of
from tests.core.test_stream import NOW, STREAM
from tests.support.memory import row

some = st.frozensets(st.sampled_from("abc"), max_size=2)
names = st.frozensets(st.sampled_from([*EventName]).map(str), max_size=2)
filters = st.builds(EventFilter, some, some, some, names)
events = st.builds(
    lambda stream_id, sender, recipient, name: row(
        1, stream_id=stream_id, sender=sender, recipient=recipient, name=name
    ).event("e"),
    *[st.sampled_from("abc")] * 3,
    st.sampled_from([*EventName]).map(str),
)


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=32), st.integers(0, 10**18 - 1))
def test_a_cursor_is_read_as_it_was_written(epoch, seq):
    cursor = Cursor(epoch, seq)
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "a-",
        "-1",
        "a-01",
        "a--1",
        "A-1",
        "a-1 ",
        "a-1\n",
        "a-1.0",
        "a-1-1",
        "a" * 33 + "-1",
        "é-1",
        "a-٣",
        "a-1" + "0" * 18,
        "a-+1",
        "a_1",
    ],
)
def test_what_is_no_cursor(text):
    with pytest.raises(ValueError):
        Cursor.parse(text)


@given(st.text(max_size=60))
def test_a_cursor_has_one_spelling(text):
    try:
        cursor = Cursor.parse(text)
    except ValueError:
        return
    assert str(cursor) == text


def test_an_event_has_the_wire_form():
    body = Draft(EventName.UPDATED, STREAM, ("status",), timestamp(NOW)).body()
    event = Event.committed("k7f2", 1042, "stream.updated", STREAM.id, "a", "b", body)
    assert orjson.loads(event.data) == {
        "id": "k7f2-1042",
        "event": "stream.updated",
        "streamId": STREAM.id,
        "version": 3,
        "cause": "api",
        "detail": {},
        "chain": None,
        "payload": STREAM.to_json(),
        "changed": ["status"],
        "timestamp": timestamp(NOW),
    }
    assert list(orjson.loads(event.data)) == [
        "id", "event", "streamId", "version", "cause", "detail", "chain", "payload", "changed", "timestamp",
    ]  # fmt: skip
    assert event.id == "k7f2-1042"
    assert b"\n" not in event.data


@given(filters, events)
def test_a_filter_is_or_within_a_field_and_and_across(wanted, event):
    values = {
        "streamId": event.stream_id,
        "sender": event.sender,
        "recipient": event.recipient,
        "event": event.name,
    }
    assert wanted.matches(event) == all(values[field] in allowed for field, allowed in wanted.fields().items())


@given(filters, events)
def test_the_keys_find_every_filter_that_matches(wanted, event):
    keys = list(wanted.keys())
    assert keys
    assert len(keys) == len(set(keys))
    if wanted.matches(event):
        assert set(keys) & set(keys_of(event))


class Listener:
    def __init__(self, wanted: EventFilter) -> None:
        self.wanted = wanted


@given(st.lists(filters, max_size=8), st.lists(events, min_size=1, max_size=4))
def test_an_audience_finds_by_index_whom_a_full_look_finds(wanted, published):
    audience = Audience(0)
    listeners = [Listener(each) for each in wanted]
    for listener in listeners:
        audience.join(listener, listener.wanted)
    expected = {listener for listener in listeners if any(map(listener.wanted.matches, published))}
    found = {listener for each in audience.chosen(published) for listener in audience.wanting(each)}
    assert found == expected
    for listener in listeners:
        audience.leave(listener, listener.wanted)
    assert not audience._groups
    assert not audience._index
