"""The recorded scripts, folded from their raw items, against what they must give."""

import random

import pytest

from app.chain.item import Ignored
from app.core.contract.batch import fold_all
from app.core.contract.fold import fold
from app.core.contract.parked import Parked
from app.core.contract.record import state_of, state_record, stream_of, stream_record
from app.core.contract.seen import Seen
from tests.support.chain import as_expected, contract_of, differences, event_id, hint_of, load, read_row

SCRIPTS = ["lifecycle", "sparse", "dense", "poison"]


def seen_of(row, contract, *, hints):
    """What a row says, with the hint that an indexer would post with it."""
    seen = read_row(row, contract)
    if hints and isinstance(seen, Seen):
        return Seen(seen.contract_id, seen.place, seen.fact, seen.topic, hint_of(row))
    return seen


def walk(script, *, hints):
    """Fold a script one by one; give each row of the contract with what became of it. All goes through the store."""
    first = contract = contract_of(script, hints=hints)
    streams, log = {}, []
    for row in script["events"]:
        seen = seen_of(row, contract, hints=hints)
        outcome, touched = "ignored", {}
        if isinstance(seen, Parked):
            outcome = "parked"
        elif isinstance(seen, Seen):
            step = fold(contract, {n: streams[n] for n in seen.fact.streams() if n in streams}, seen)
            contract = state_of(first, state_record(step.contract))
            assert contract == step.contract
            touched = {each.stream.number: stream_of(stream_record(each.stream)) for each in step.outcomes}
            assert list(touched.values()) == [each.stream for each in step.outcomes]
            streams |= touched
            outcome = "parked" if step.parked else "taken"
        else:
            assert isinstance(seen, Ignored)
        if row["contract"] != script["token"]:
            log.append((row, outcome, touched))
    return streams, log


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_gives_what_it_must_after_every_event(name):
    script, expected = load(f"script_{name}"), load(f"expected_{name}")
    streams, log = walk(script, hints=True)
    assert len(log) == len(expected["events"])
    known = {}
    for (row, outcome, touched), wanted in zip(log, expected["events"], strict=True):
        known |= touched
        assert (event_id(row), outcome) == (wanted["id"], wanted["outcome"]), row
        for number, state in wanted.get("after", {}).items():
            assert not differences(as_expected(known[int(number)]), state), (row["name"], number)
    assert {str(number) for number in streams} == set(expected["streams"])
    for number, state in expected["streams"].items():
        assert not differences(as_expected(streams[int(number)], expected["at"]), state), number


def test_the_lifecycle_without_hints_and_transfers():
    script, expected = load("script_lifecycle"), load("expected_lifecycle_alone")
    streams, _ = walk(script, hints=False)
    assert {str(number) for number in streams} == set(expected["streams"])
    for number, state in expected["streams"].items():
        assert not differences(as_expected(streams[int(number)], expected["at"]), state), number


def test_each_item_of_the_poison_is_treated_as_the_script_says():
    script = load("script_poison")
    _, log = walk(script, hints=True)
    for row, outcome, _ in log:
        assert row["expect"].startswith(outcome), row["expect"]


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("hints", [True, False], ids=["hints", "alone"])
def test_batches_of_any_size_in_any_order_give_the_same(name, hints):
    script = load(f"script_{name}")
    contract = contract_of(script, hints=hints)
    alone, _ = walk(script, hints=hints)
    found = [seen_of(row, contract, hints=hints) for row in script["events"]]
    events = [each for each in found if isinstance(each, Seen)]
    rng = random.Random(name)
    contracts, streams = {contract.contract_id: contract}, {}
    while events:
        batch, events = events[: (size := rng.randrange(1, 60))], events[size:]
        rng.shuffle(batch)
        folded = fold_all(contracts, streams, batch)
        contracts, streams = folded.contracts, folded.streams
    assert {number: stream for (_, number), stream in streams.items()} == alone


def test_the_lifecycle_tells_every_cause():
    script = load("script_lifecycle")
    contract = contract_of(script, hints=True)
    events = [seen_of(row, contract, hints=True) for row in script["events"]]
    folded = fold_all({contract.contract_id: contract}, {}, [e for e in events if isinstance(e, Seen)])
    causes = {outcome.cause for _, step in folded.steps for outcome in step.outcomes}
    assert causes == {
        "created", "cloned", "renewed", "offer_accepted", "share_delegated", "withdrawn", "completed", "cancelled",
        "keeper_cancelled", "paused", "resumed", "topped_up", "rate_changed", "end_changed", "recipient_changed",
        "claim_owner_changed", "auto_claim_set", "auto_claim_revoked", "decommissioned", "closed",
    }  # fmt: skip
    assert not [step.parked for _, step in folded.steps if step.parked]
