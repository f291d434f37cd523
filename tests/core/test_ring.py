"""The newest part of the log: what it keeps, and what it admits to not having."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import ring as ring_module
from app.core.ring import Ring
from tests.support.memory import row

# The distance to the next event (holes are normal), and its size.
batches = st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 300)), min_size=1, max_size=6), max_size=20)


@given(st.integers(0, 50), batches, st.integers(1, 12), st.integers(100, 3000), st.integers(0, 5))
def test_it_is_a_suffix_of_the_log_within_its_bounds(floor, batches, max_events, max_bytes, slack):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring_module, "_SLACK", slack)
        ring = Ring(floor, max_events=max_events, max_bytes=max_bytes)
        log, seq = [], floor
        for batch in batches:
            events = []
            for step, size in batch:
                seq += step
                events.append(row(seq, size=size).event("e"))
            log += events
            ring.extend(events)
            assert ring.head == seq
            kept = ring.since(ring.floor)
            assert len(kept) <= max_events + slack
            assert sum(len(event.data) for event in kept) <= max_bytes
            for cursor in range(floor, seq + 2):
                expected = [event for event in log if event.seq > cursor]
                if cursor < ring.floor:
                    assert ring.since(cursor) is None
                else:
                    assert ring.since(cursor) == expected
                    assert ring.since(cursor, 3) == expected[:3]


@given(batches)
def test_it_keeps_all_that_fits(batches):
    ring = Ring(0, max_events=1000, max_bytes=10**9)
    seq, count = 0, 0
    for batch in batches:
        events = [row(seq := seq + step, size=size).event("e") for step, size in batch]
        ring.extend(events)
        count += len(events)
    assert ring.floor == 0
    assert len(ring.since(0)) == count


def test_an_event_too_big_to_keep_leaves_no_gap():
    ring = Ring(0, max_events=10, max_bytes=500)
    ring.extend([row(1).event("e"), row(2, size=1000).event("e")])
    assert (ring.floor, ring.head) == (2, 2)
    assert ring.since(1) is None
    assert ring.since(2) == []
    ring.extend([row(3).event("e")])
    assert [event.seq for event in ring.since(2)] == [3]
