"""Events as messages of a broker: what goes in comes out, in messages that follow one another."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.message import decode, encode, in_pieces
from app.core.cursor import Cursor
from app.core.event import Event
from app.core.ports import Appended

texts = st.text(max_size=20)
events = st.lists(
    st.builds(
        lambda seq, size, *texts: Event(seq, *texts, f"k7-{seq}", b'{"x":"%b"}' % (b"y" * size)),
        st.integers(1, 10**17),
        st.sampled_from([0, 10, 100_000, 300_000]),
        texts,
        texts,
        texts,
        texts,
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda event: event.seq,
).map(lambda found: sorted(found, key=lambda event: event.seq))


def facts(event: Event) -> tuple:
    return event.seq, event.name, event.stream_id, event.sender, event.recipient, event.id, event.data


@given(events)
def test_what_goes_in_comes_out(given_events):
    after = Cursor("k7", 0)
    pieces = [decode(encode(piece)) for piece in in_pieces(after, given_events)]
    assert [facts(event) for piece in pieces for event in piece.events] == [facts(event) for event in given_events]
    for piece in pieces:
        assert piece.after == after
        assert len(piece.events) == 1 or sum(len(event.data) for event in piece.events) <= 262_144
        after = Cursor("k7", piece.events[-1].seq)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"after":"k7-1"}', b'{"after":"k7","events":[]}', b'{"after":"k7-1","events":[[1]]}']
)
def test_anything_else_is_refused(data):
    with pytest.raises(ValueError):
        decode(data)


def test_nothing_is_no_message():
    assert list(in_pieces(Cursor("k7", 3), [])) == []
    assert isinstance(decode(encode(Appended(Cursor("k7", 3), []))), Appended)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**60) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(["after", "events", "x"]), inner),
    max_leaves=20,
)


@given(
    st.binary(max_size=50)
    | json.map(orjson.dumps)
    | st.builds(lambda events: orjson.dumps({"after": "k7-3", "events": events}), json)
)
def test_what_others_send_is_refused_in_one_way(data):
    try:
        found = decode(data)
    except ValueError:
        return
    assert isinstance(found, Appended)


def test_events_out_of_order_are_not_ours():
    row = ["stream.created", "s", "a", "b", "{}"]
    for ids in ([3], [5, 4], [4, 4]):
        with pytest.raises(ValueError):
            decode(orjson.dumps({"after": "k7-3", "events": [[seq, *row] for seq in ids]}))
