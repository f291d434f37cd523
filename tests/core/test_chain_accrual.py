from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.accrual import I128_MAX, Holding, Kind, Terms, accrued, accrued_by, claimable, withdrawable
from tests.support.chain import load

VECTORS = load("accrual_vectors")["vectors"]
ONE = Terms(Kind.LINEAR, 1, 1000, 100, 1100, 0, 100)


def test_there_are_78_vectors():
    assert len(VECTORS) == 78


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_a_vector(vector):
    numbers = {name: int(text) for name, text in vector["in"].items() if name not in {"kind", "now"}}
    terms = Terms(kind=Kind(vector["in"]["kind"]), **numbers)
    now = int(vector["in"]["now"])
    assert accrued_by(terms, now) == int(vector["out"])
    assert accrued(Holding(terms, "active", 0), now) == int(vector["out"])


@given(
    st.sampled_from(Kind),
    st.lists(st.integers(0, I128_MAX), min_size=3, max_size=3),
    st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=3),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
)
def test_accrual_is_within_the_deposit_and_never_falls_with_time(kind, amounts, times, one, other):
    rate, deposit, checkpoint = amounts
    start, cliff, end = sorted(times)
    terms = Terms(kind, rate, deposit, cliff, end, min(checkpoint, deposit), start)
    early, late = (accrued_by(terms, now) for now in sorted((one, other)))
    assert 0 <= early <= late <= deposit


def test_an_open_stream_accrues_until_its_deposit_is_used_up():
    open_ = replace(ONE, end=None)
    assert [accrued_by(open_, now) for now in (99, 100, 600, 1100, 10**18)] == [0, 0, 500, 1000, 1000]
    assert withdrawable(Holding(open_, "paused", 0), 10**18) == 0


def test_a_pause_holds_withdrawals_back_until_the_end_and_never_accrual():
    paused = Holding(ONE, "paused", 100)
    assert [(accrued(paused, at), claimable(paused, at), withdrawable(paused, at)) for at in (600, 1100)] == [
        (500, 400, 0),
        (1000, 900, 900),
    ]


def test_the_end_of_a_stream_ends_its_accrual():
    cancelled = Holding(ONE, "cancelled", 100, cancelled_at=600)
    assert (accrued(cancelled, 5000), claimable(cancelled, 5000), withdrawable(cancelled, 5000)) == (500, 400, 400)
    assert accrued(Holding(ONE, "cancelled", 100), 5000) == 100
    completed = Holding(ONE, "completed", 1000)
    assert (accrued(completed, 0), claimable(completed, 5000)) == (1000, 0)


def test_a_rate_that_falls_may_leave_less_accrued_than_withdrawn():
    assert claimable(Holding(ONE, "active", 700), 600) == 0
