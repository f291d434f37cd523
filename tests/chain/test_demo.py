"""The demo's story is one that the contract could tell."""

from app.chain.item import parse, read
from app.core.contract.batch import fold_all
from app.core.contract.seen import Seen
from examples.demo.story import STREAMS, script
from tests.support.chain import contract_of, raw_item


def test_every_event_of_the_story_is_understood_and_something_happens_each_minute():
    told = script(1_800_000_000, before=1800, after=7200, passphrase="demo")
    contract = contract_of(told, hints=True)
    seen = [read(parse(raw_item(row)), {told["contract"]}, {told["token"]}) for row in told["events"]]
    assert all(isinstance(each, Seen) for each in seen)
    folded = fold_all({told["contract"]: contract}, {}, seen)
    assert not [step.parked for _, step in folded.steps if step.parked]
    causes = {outcome.cause for _, step in folded.steps for outcome in step.outcomes}
    assert causes >= {
        "created",
        "withdrawn",
        "topped_up",
        "paused",
        "resumed",
        "cancelled",
        "rate_changed",
        "completed",
    }
    minutes = {(row["now"] - 1_800_000_000) // 60 for row in told["events"]}
    assert set(range(120)) <= minutes
    running = [each for each in folded.streams.values() if each.status in {"active", "paused"}]
    assert len(running) >= STREAMS // 2
