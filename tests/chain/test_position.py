"""Places in the chain's order."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chain.position import ChainPosition

places = st.tuples(
    st.integers(0, 2**31 - 1), st.integers(0, 2**20 - 1), st.integers(0, 2**12 - 1), st.integers(0, 2**32 - 1)
)


def cursor(ledger: int, transaction: int, operation: int, index: int) -> str:
    return f"{ledger << 32 | transaction << 12 | operation}-{index}"


@given(places, places)
def test_positions_sort_as_ledger_transaction_operation_and_index(one, other) -> None:
    first, second = ChainPosition.parse(cursor(*one)), ChainPosition.parse(cursor(*other))
    assert (first < second) == (one < other)
    assert first.ledger == one[0]
    assert first <= ChainPosition.end_of(one[0])
    assert ChainPosition.parse(first.cursor) == first


@given(places)
def test_the_next_ledger_is_the_first_that_may_have_more(place) -> None:
    position = ChainPosition.parse(cursor(*place))
    assert position.next_ledger == place[0] + (place[1:] == (2**20 - 1, 2**12 - 1, 2**32 - 1))
    assert ChainPosition.before(place[0] + 1).next_ledger == place[0] + 1


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        "",
        "-",
        "1",
        "1-",
        "-1",
        "1-2-3",
        "a-1",
        "1-4294967296",
        "9223372036854775808-0",
        " 1-1",
        "\uff11-1",
        "+1-1",
        "1" * 40 + "-1",
    ],
)
def test_what_is_no_cursor_is_refused(text) -> None:
    with pytest.raises(ValueError):
        ChainPosition.parse(text)


@given(st.one_of(st.text(), st.from_regex(r"\A\d+-\d+\Z")))
def test_no_text_does_anything_but_parse_or_be_refused(text) -> None:
    with suppress(ValueError):
        assert 0 <= ChainPosition.parse(text).ledger < 2**31
