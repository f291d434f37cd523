"""What is delivered is what was chosen and may be read, on every way to an event."""

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.access.grant import Limit, Narrowed, Scope, chosen_of, kept_within, narrowed
from app.core.access.principal import Principal
from app.core.filter import EventFilter, any_of, keys_of
from tests.core.test_filter import events, filters, some, wanted

limits = st.builds(Limit, some, some, some)
reaches = st.none() | limits


@settings(max_examples=3000)
@given(wanted, reaches, events)
def test_grant_and_filter_is_the_same_by_index_by_log_and_by_hand(chosen, limit, event):
    both = narrowed(chosen, limit)
    right = chosen.matches(event) and (limit is None or limit.admits(event))
    assert both.matches(event) == right
    if right:
        assert set(both.keys()) & set(keys_of(event)), "the hub would not find who wants it"
        assert both.in_log().matches(event), "a replay from the database would miss it"
    keys = list(both.keys())
    assert len(keys) == len(set(keys))


@given(wanted, reaches, reaches)
def test_a_later_choice_stays_within_the_limit_and_a_renewal_keeps_the_choice(chosen, before, after):
    first = narrowed(chosen, before)
    assert chosen_of(first) == chosen
    assert narrowed(first, after) == narrowed(chosen, after)
    assert kept_within(EventFilter(), first) == narrowed(EventFilter(), before)
    assert first.to_json() == chosen.to_json()


@given(limits, filters)
def test_who_may_read_nothing_in_particular_is_not_everybody(limit, chosen):
    nobody = narrowed(chosen, Limit())
    assert list(nobody.keys()) == [] or all(name == "streamId" for name, _ in nobody.keys())  # noqa: SIM118
    if limit == Limit():
        return
    assert ("", "") not in set(Narrowed(limit, any_of((chosen, EventFilter()))).keys())


@given(st.sets(st.sampled_from(Scope)), reaches, st.none() | st.floats(0, 1e10), st.none() | st.text())
def test_a_principal_comes_back_from_json(scopes, limit, expires_at, credential):
    one = Principal("jwt:x", frozenset(scopes), limit, expires_at, credential)
    assert Principal.from_json(one.to_json()) == one
