"""A filter is found under its keys, and the log is asked for no less than it wants."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.filter import EVERYTHING, AnyOf, EventFilter, any_of, filters_of, keys_of
from tests.support.memory import row

some = st.frozensets(st.sampled_from("abc"), max_size=2)
names = st.frozensets(st.sampled_from(["stream.created", "stream.updated"]), max_size=1)
filters = st.builds(EventFilter, some, some, some, names, some, some, some)
wanted = filters | st.lists(filters, min_size=1, max_size=4).map(tuple).map(any_of)
events = st.builds(
    lambda name, stream, sender, recipient, contract_id, cause, parties: row(
        1,
        name=name,
        stream_id=stream,
        sender=sender,
        recipient=recipient,
        contract_id=contract_id,
        cause=cause,
        parties=tuple(parties),
    ).event("one"),
    st.sampled_from(["stream.created", "stream.updated"]),
    *[st.sampled_from("abc")] * 3,
    *[st.none() | st.sampled_from("abc")] * 2,
    st.lists(st.sampled_from("abc"), max_size=2, unique=True),
)


@given(wanted, events)
def test_an_event_that_is_wanted_names_the_filter(chosen, event):
    if chosen.matches(event):
        assert set(chosen.keys()) & set(keys_of(event))
        assert chosen.in_log().matches(event)


@given(wanted)
def test_only_a_filter_of_everything_is_under_the_key_of_all(chosen):
    keys = list(chosen.keys())
    assert (EVERYTHING in keys) == (chosen == EventFilter())
    assert len(keys) == len(set(keys))


@given(events)
def test_an_event_names_each_key_once(event):
    assert len(keys_of(event)) == len(set(keys_of(event)))


@given(st.lists(filters, min_size=1, max_size=4).map(tuple), events)
def test_several_filters_want_what_one_of_them_wants(chosen, event):
    joined = any_of(chosen)
    assert joined.matches(event) == any(each.matches(event) for each in chosen)
    assert any_of(filters_of(joined)) == joined


def test_the_log_is_asked_for_a_field_that_all_filters_have():
    one, two = EventFilter(senders=frozenset("a")), EventFilter(senders=frozenset("b"), events=frozenset("x"))
    assert AnyOf((one, two)).in_log() == EventFilter(senders=frozenset("ab"))
    assert AnyOf((one, EventFilter(recipients=frozenset("b")))).in_log() == EventFilter()
