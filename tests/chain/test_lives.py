"""Random lives of streams: the fold after every event is what the contract holds, however the events arrive."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from app.chain.item import parse, read
from app.core.contract.batch import fold_all
from app.core.contract.state import ContractState
from tests.support.chain_encode import raw_of
from tests.support.contract_sim import Sim

SAME = (
    "number", "sender", "recipient", "deposit", "rate", "start", "cliff", "end", "dust", "memo", "status", "withdrawn",
    "cancelled_at", "paused_at", "paused_seconds", "claim_owner", "auto_claim", "decommissioned", "pooled", "parent",
    "source", "previous", "next", "refunded", "keeper_paid", "keeper_fee", "relayer_fees",
)  # fmt: skip
SEEDS = st.integers(0, 2**32)


def life(seed, calls=120):
    """The simulator as it was after each call, with the call's events."""
    sim = Sim(random.Random(seed))
    for _ in range(calls):
        if events := sim.call():
            yield sim, events


def contract_of(sim):
    return ContractState(sim.address, 7, sim.token)


def assert_same(stream, record):
    reading = stream.readings[0]
    assert {name: getattr(stream, name) for name in SAME} == {name: getattr(record, name) for name in SAME}
    assert (stream.closed_at is not None) == record.closed
    assert (reading.checkpoint, reading.checkpoint_at) == (record.checkpoint, record.checkpoint_at)
    assert reading.kind is record.kind


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_with_hints_every_stream_is_the_contract_s_own_record_after_every_call(seed):
    contracts, streams = None, {}
    for sim, events in life(seed):
        folded = fold_all(contracts or {sim.address: contract_of(sim)}, streams, events)
        contracts, streams = folded.contracts, folded.streams
        assert not [step.parked for _, step in folded.steps if step.parked]
        assert {number for _, number in streams} == set(sim.streams)
        assert contracts[sim.address].paused == sim.paused
        for (_, number), stream in streams.items():
            assert not stream.assumed
            assert_same(stream, sim.streams[number])


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_without_hints_what_is_not_marked_as_assumed_is_the_contract_s_own_record(seed):
    contracts, streams = None, {}
    for sim, events in life(seed):
        bare = [seen._replace(hint=None) for seen in events]
        folded = fold_all(contracts or {sim.address: contract_of(sim)}, streams, bare)
        contracts, streams = folded.contracts, folded.streams
        for (_, number), stream in streams.items():
            if stream.assumed:
                continue
            record = sim.streams[number]
            for at in (sim.now, record.cliff, record.end):
                assert stream.accrued_by(at) == record.accrued(at)
            assert (stream.deposit, stream.status, stream.rate) == (record.deposit, record.status, record.rate)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_any_split_with_duplicates_gives_the_same(seed):
    rng, events = random.Random(seed), []
    for sim, told in life(seed):  # noqa: B007 - the last of them is looked at
        events += told
    start = {sim.address: contract_of(sim)}
    whole = fold_all(start, {}, events)
    contracts, streams, seen, at = start, {}, set(), 0
    while at < len(events):
        upto = at + rng.randrange(1, 25)
        batch = events[max(0, at - rng.randrange(40)) : upto]  # pages overlap, and end inside transactions
        fresh = [each for each in batch if each.contract_id == sim.token or each.place not in seen]
        rng.shuffle(fresh)
        folded = fold_all(contracts, streams, fresh)
        contracts, streams, at = folded.contracts, folded.streams, upto
        seen |= {each.place for each in batch}
    assert streams == whole.streams
    assert contracts == whole.contracts


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_every_event_comes_back_from_its_bytes(seed):
    for sim, events in life(seed, calls=60):
        for seen in events:
            item = parse(raw_of(seen, sim.people[0]))
            assert read(item, {sim.address}, {sim.token}) == seen._replace(hint=None)
