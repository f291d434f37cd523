"""Real runs of the contract: the fold of their events is the contract's own record of each stream."""

import pytest

from app.chain.event import fact_of
from app.chain.scval import decode
from app.core.accrual import accrued
from app.core.contract import facts
from app.core.contract.fold import fold
from app.core.contract.place import Hint, Place
from app.core.contract.seen import Seen
from app.core.contract.state import ContractState
from tests.support.chain import load

RUNS = load("snapshots_real")["folds"]
STATUS = ["active", "paused", "completed", "cancelled"]
FIELDS = {
    "sender": "sender", "recipient": "recipient", "deposit_amount": "deposit", "rate_per_second": "rate",
    "start_time": "start", "cliff_time": "cliff", "end_time": "end", "withdrawn_amount": "withdrawn",
    "cancelled_at": "cancelled_at",
}  # fmt: skip
AMOUNTS = {"deposit_amount", "rate_per_second", "withdrawn_amount"}


@pytest.mark.parametrize(
    "run", RUNS, ids=[f"{n}-{run['from']['path'].rsplit('/', 1)[1]}" for n, run in enumerate(RUNS)]
)
def test_a_real_run(run):
    records = {int(number): record for number, record in run["entries"].items()}
    contract, streams = ContractState("C"), {}
    for index, item in enumerate(run["events"]):
        fact = fact_of([decode(text) for text in item["topic"]], decode(item["value"]))
        now = run["timestamp"]
        if isinstance(fact, facts.Cancelled):  # the run's clock at that moment is in the record alone
            now = records[fact.stream_id]["cancelled_at"]
        place = Place(1, 1, 0, index, now, "0" * 64)
        step = fold(contract, streams, Seen("C", place, fact, "", Hint("0" * 64, "update_rate")))
        assert step.parked is None
        contract = step.contract
        streams |= {outcome.stream.number: outcome.stream for outcome in step.outcomes}
        if isinstance(fact, facts.Cancelled):
            assert step.outcomes[0].detail["refund"] == str(int(item["paid_out"]))
    for number, stream in streams.items():
        record = records.get(number)
        assert (stream.closed_at is not None) == (record is None)
        if record is not None:
            wanted = {ours: int(record[name]) if name in AMOUNTS else record.get(name) for name, ours in FIELDS.items()}
            assert {ours: getattr(stream, ours) for ours in FIELDS.values()} == wanted
            assert stream.status == STATUS[record["status"]]
    if known := run["calculate_accrued"]:
        assert accrued(streams[int(known["stream"])].holding, known["at"]) == int(known["accrued"])
