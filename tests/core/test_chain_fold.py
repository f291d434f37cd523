from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.accrual import Kind
from app.core.contract import facts, notices, unpublished
from app.core.contract.audit import StreamRecord, adopted, reconciled
from app.core.contract.batch import begun, fold_all, needed
from app.core.contract.fold import Step, fold
from app.core.contract.parked import Why
from app.core.contract.place import Hint, Place
from app.core.contract.record import state_of, state_record, stream_of, stream_record
from app.core.contract.seen import Seen
from app.core.contract.state import ContractState
from app.core.contract.tokens import in_tokens
from app.core.contract.view import view

START, END = 1000, 2000
HASH = "ab" * 32
CONTRACT = ContractState("C1", 7, "TOKEN")
CREATED = facts.Created(0, "alice", "bob", 1000, 1, START, START, END, memo="6869")


class Life:
    """One contract that folds facts one by one, each a ledger later unless it says where it stands."""

    def __init__(self, *begin):
        self.contract, self.streams, self.ledgers, self.seen = CONTRACT, {}, count(10), []
        for fact in begin:
            self.take(fact)

    def place(self, now=START, *, ledger=None, index=0, tx=HASH):
        return Place(ledger or next(self.ledgers), 1, 0, index, now, tx)

    def take(self, fact, now=START, *, topic="t", hint=None, contract_id="C1", **where):
        seen = Seen(contract_id, self.place(now, **where), fact, topic, hint)
        return self.fold(seen)

    def fold(self, seen):
        known = {number: self.streams[number] for number in seen.fact.streams() if number in self.streams}
        step = fold(self.contract, known, seen)
        self.contract = step.contract
        self.streams |= {outcome.stream.number: outcome.stream for outcome in step.outcomes}
        self.seen.append(seen)
        return step

    def told(self, fact, now=START, **more):
        """The only outcome, without its stream and place."""
        (outcome,) = self.take(fact, now, **more).outcomes
        return outcome.name, outcome.cause, outcome.detail, outcome.changed


def test_a_creation_is_an_event_with_the_whole_stream():
    life = Life()
    (outcome,) = life.take(CREATED, START, topic="created", ledger=7, index=3).outcomes
    assert (outcome.name, outcome.cause, outcome.detail, outcome.changed) == ("stream.created", "created", {}, ())
    assert outcome.chain == {
        "contractId": "C1", "streamId": "0", "ledger": 7, "closedAt": START, "transactionHash": HASH, "eventIndex": 3,
        "topic": "created",
    }  # fmt: skip
    assert view(outcome.stream) == {
        "id": f"stream-{HASH}-3", "sender": "alice", "recipient": "bob", "depositAmount": "0.0001",
        "streamedAmount": "0", "remainingAmount": "0.0001", "ratePerSecond": "0.0000001", "startTime": START,
        "endTime": END, "status": "active", "contractId": "C1", "transactionHash": HASH, "eventIndex": 3,
        "chainStreamId": "0", "token": {"contractId": "TOKEN", "decimals": 7}, "kind": "linear", "assumed": [],
        "base": {
            "deposit": "1000", "withdrawn": "0", "ratePerSecond": "1", "checkpoint": "0", "refunded": "0",
            "dustThreshold": "0", "keeperPaid": "0", "keeperFee": "0", "relayerFees": "0", "startTime": "1000",
            "endTime": "2000", "cliffTime": "1000", "checkpointAt": "1000",
        },
        "cliffTime": START, "checkpointAt": START, "cancelledAt": None, "pausedAt": None, "pausedSeconds": 0,
        "closedAt": None, "pauseReason": None, "memo": "6869", "memoText": "hi", "metadata": None, "claimOwner": None,
        "autoClaim": None, "decommissioned": False, "parent": None, "source": None, "previous": None, "next": None,
        "pooled": False, "ledger": 7, "lastEvent": {"ledger": 7, "transactionHash": HASH, "eventIndex": 3},
    }  # fmt: skip


def test_what_does_not_fit_a_json_number_or_a_date_is_exact_in_base():
    life = Life(replace(CREATED, end_time=2**64 - 1, deposit_amount=2**127 - 1, memo="00ff"))
    seen = view(life.streams[0])
    assert (seen["endTime"], seen["base"]["endTime"]) == (253402300799, str(2**64 - 1))
    assert seen["depositAmount"] == "17014118346046923173168730371588.4105727"
    assert (seen["memo"], seen["memoText"]) == ("00ff", None)
    assert view(replace(life.streams[0], decimals=None))["depositAmount"] == str(2**127 - 1)
    assert view(replace(life.streams[0], decimals=None))["token"] is None


def test_money_is_taken_in_every_status():
    life = Life(CREATED)
    assert life.told(facts.Withdrew(0, 100, "bob"), 1100) == (
        "stream.updated", "withdrawn", {"amount": "100", "recipient": "bob", "destination": "bob", "fee": "0"},
        ("streamedAmount", "remainingAmount", "base.withdrawn"),
    )  # fmt: skip
    life.take(facts.Cancelled(0), 1500)
    detail = life.told(facts.WithdrewTo(0, "bob", "vault", 400), 1600)[2]
    assert detail == {"amount": "400", "recipient": "bob", "destination": "vault", "fee": "0"}
    assert (life.streams[0].withdrawn, life.streams[0].remaining) == (500, 0)
    assert life.told(facts.Closed(0), 1700)[1] == "closed"
    assert life.told(facts.Withdrew(0, 1, "bob"), 1800)[1] == "withdrawn"
    assert life.streams[0].remaining == 0


def test_a_cancellation_tells_refund_and_what_is_left_to_claim():
    life = Life(CREATED)
    life.take(facts.Withdrew(0, 100, "bob"), 1100)
    assert life.told(facts.Cancelled(0), 1400) == (
        "stream.cancelled", "cancelled", {"refund": "600", "claimable": "300"},
        ("remainingAmount", "status", "cancelledAt", "base.refunded"),
    )  # fmt: skip


def test_a_keeper_s_cancellation_pays_twice_and_never_leaves_less_than_nothing():
    life = Life(CREATED)
    name, cause, detail, _ = life.told(facts.KeeperCancelled(0, "keeper", 0, 1000, 0), 9 * 10**5)
    assert (name, cause) == ("stream.cancelled", "keeper_cancelled")
    assert detail == {"keeper": "keeper", "keeperFee": "0", "recipientAmount": "1000", "refund": "0"}
    assert (life.streams[0].withdrawn, life.streams[0].keeper_paid) == (0, 1000)
    life.take(facts.Withdrew(0, 1000, "bob"), 9 * 10**5 + 5)
    assert life.streams[0].remaining == 0
    assert view(life.streams[0])["streamedAmount"] == "0.0002"
    assert life.told(facts.KeeperCancelled(0, "keeper", 1, 0, 0), 10**6)[0] == "stream.updated"


def test_a_pause_and_its_end():
    life = Life(CREATED)
    assert life.told(facts.Paused(0, "Compliance"), 1100) == (
        "stream.updated", "paused", {"reason": "Compliance"}, ("status", "pausedAt", "pauseReason")
    )  # fmt: skip
    assert life.take(facts.Paused(0, "again"), 1200).outcomes == ()
    assert life.told(facts.Resumed(0), 1300)[2] == {"pausedSeconds": 200}
    assert life.take(facts.Resumed(0), 1400).outcomes == ()
    assert (life.streams[0].paused_at, life.streams[0].pause_reason, life.streams[0].paused_seconds) == (
        None,
        None,
        200,
    )


def test_a_paused_stream_completes_after_its_end():
    life = Life(CREATED)
    life.take(facts.Paused(0), 1100)
    life.take(facts.Withdrew(0, 1000, "bob"), 2000)
    assert life.told(facts.Completed(0), 2000) == (
        "stream.updated", "completed", {}, ("status", "pausedAt")
    )  # fmt: skip


@pytest.mark.parametrize("end", [facts.Completed(0), facts.Cancelled(0)])
def test_only_a_change_of_status_out_of_a_terminal_one_is_parked(end):
    life = Life(CREATED, end)
    status = life.streams[0].status
    assert life.take(end).outcomes == ()
    others = {facts.Paused(0), facts.Resumed(0), facts.Completed(0), facts.Cancelled(0)} - {end}
    for fact in others:
        step = life.take(fact)
        assert (step.outcomes, step.parked.why) == ((), Why.TERMINAL)
        assert status in step.parked.message
    for fact in (
        facts.RecipientChanged(0, "bob", "carol"),
        facts.ClaimOwnerChanged(0, None, "carol"),
        facts.AutoClaimSet(0, "vault"),
        facts.AutoClaimRevoked(0),
        facts.Closed(0),
    ):
        assert len(life.take(fact).outcomes) == 1
    assert life.streams[0].status == status


def test_a_keeper_cannot_cancel_what_is_completed():
    life = Life(CREATED, facts.Completed(0))
    assert life.take(facts.KeeperCancelled(0, "keeper", 0, 0, 0)).parked.why is Why.TERMINAL


def test_a_change_of_recipient_is_told_to_the_old_one_too():
    life = Life(CREATED)
    (outcome,) = life.take(facts.RecipientChanged(0, "bob", "carol")).outcomes
    assert (outcome.parties, outcome.detail) == (("bob",), {"from": "bob", "to": "carol"})
    assert (outcome.stream.recipient, outcome.changed) == ("carol", ("recipient",))


def test_options_are_told_once():
    life = Life(CREATED)
    assert life.told(facts.Decommissioned(0, True))[1] == "decommissioned"
    assert life.take(facts.Decommissioned(0, True)).outcomes == ()
    assert life.told(facts.Decommissioned(0, False))[1] == "recommissioned"
    assert life.told(facts.AutoClaimSet(0, "vault")) == (
        "stream.updated", "auto_claim_set", {"destination": "vault"}, ("autoClaim",)
    )  # fmt: skip
    assert life.told(facts.AutoClaimRevoked(0))[2] == {"destination": "vault"}
    assert life.take(facts.HealthChecked(0, False, 0, 0)).outcomes == ()


def test_a_delegated_share_parts_the_parent_and_begins_a_child():
    life = Life(replace(CREATED, deposit_amount=1100))
    step = life.take(facts.ShareDelegated(0, 1, "bob", "carol", 2500, 3, 1), 1400, tx="cd" * 32, index=2)
    parent, child = step.outcomes
    assert (parent.name, child.name) == ("stream.updated", "stream.created")
    assert {parent.cause, child.cause} == {"share_delegated"}
    assert parent.detail["childStreamId"] == "1"
    assert parent.detail["bps"] == 2500
    assert (parent.stream.deposit, child.stream.deposit) == (400 + 3 * 600, 1100 - 2200)
    assert (child.stream.id, child.stream.parent, child.stream.recipient) == (f"stream-{'cd' * 32}-2", 0, "carol")
    again = fold(life.contract, life.streams, life.seen[-1])
    assert (again.outcomes, again.parked) == ((), None)


def test_clones_renewals_and_accepted_offers_are_told_after_their_creation():
    life = Life(replace(CREATED, rate_per_second=0), replace(CREATED, stream_id=1), replace(CREATED, stream_id=2))
    cloned = facts.Cloned(1, 0, "alice", "bob", 1000, 1, START, START, END, 0)
    assert life.told(cloned)[1:] == ("cloned", {"sourceStreamId": "0"}, ("kind", "source"))
    old, new = life.take(facts.Renewed(2, 0)).outcomes
    assert (old.stream.next, new.stream.previous, new.stream.readings[0].kind) == (2, 0, Kind.CLIFF_ONLY)
    assert {old.cause, new.cause} == {"renewed"}
    assert life.told(facts.OfferAccepted(2, START, "bob"))[1:3] == ("offer_accepted", {"offerId": "2"})
    assert len(life.take(facts.Renewed(1, 77)).outcomes) == 1


@pytest.mark.parametrize(
    "fact",
    [facts.Cloned(5, 0, "a", "b", 1, 1, 0, 0, 1, 0), facts.Renewed(5, 0), facts.Paused(5), facts.Withdrew(5, 1, "b"),
     facts.HealthChecked(5, False, 0, 0), facts.AutoClaimTriggered(5, "v", 1)],
)  # fmt: skip
def test_a_stream_that_nobody_has_seen_is_waited_for(fact):
    step = Life(CREATED).take(fact)
    assert (step.parked.why, step.parked.missing) == (Why.UNKNOWN_STREAM, (5,))


def test_terms_are_told_from_and_to():
    life = Life(CREATED)
    assert life.told(facts.RateUpdated(0, 1, 1, 1200), 1200, hint=Hint(HASH, "update_rate_per_second"))[2] == {
        "from": "1", "to": "1", "refund": "0", "retroactive": False,
    }  # fmt: skip
    assert life.told(facts.ToppedUp(0, 1000, 2000, END))[2:] == (
        {"amount": "1000"},
        ("depositAmount", "remainingAmount", "base.deposit"),
    )
    assert life.told(facts.EndExtended(0, END, END + 9))[2] == {"from": "2000", "to": "2009", "refund": "0"}
    assert life.told(facts.EndShortened(0, END + 9, 1900, 109))[2] == {"from": "2009", "to": "1900", "refund": "109"}
    assert life.told(facts.RateDecreased(0, 2, 1, 1500, 500, 7), 1500)[2]["refund"] == "7"


def test_which_call_changed_a_rate_may_stay_open_until_a_withdrawal_settles_it():
    life = Life(replace(CREATED, deposit_amount=10_000))
    _, _, detail, changed = life.told(facts.RateUpdated(0, 1, 2, 1500), 1500)
    assert (detail["retroactive"], life.streams[0].assumed) == (None, ("checkpoint",))
    assert "assumed" in changed
    life.take(facts.Withdrew(0, 2 * 600, "bob"), 1600)
    assert (life.streams[0].assumed, life.streams[0].readings[0].checkpoint) == ((), 0)
    assert life.told(facts.RateUpdated(0, 2, 1, 1700), 1700)[2]["retroactive"] is True


def test_the_kind_is_open_only_where_two_fit():
    def kinds(hint=None, **terms):
        life = Life()
        life.take(replace(CREATED, **terms), hint=hint)
        return [reading.kind for reading in life.streams[0].readings]

    assert kinds(rate_per_second=0) == [Kind.CLIFF_ONLY]
    assert kinds(deposit_amount=999) == [Kind.CLIFF_SLOPE]
    assert kinds() == [Kind.LINEAR]
    assert kinds(cliff_time=1500) == [Kind.LINEAR, Kind.CLIFF_SLOPE]
    assert kinds(Hint(HASH, kind=Kind.CLIFF_SLOPE), cliff_time=1500) == [Kind.CLIFF_SLOPE]


def test_a_relayer_s_fee_is_what_left_the_contract_beside_the_withdrawal():
    life, here = Life(CREATED), {"ledger": 50, "tx": "cd" * 32}
    for index, amount, source in ((0, 90, "C1"), (1, 10, "C1"), (0, 90, "C1"), (2, 500, "someone")):
        life.take(notices.TokenMoved(source, amount), 1100, index=index, contract_id="TOKEN", **here)
    assert life.told(facts.Withdrew(0, 90, "bob"), 1100, index=3, **here)[2]["fee"] == "10"
    assert (life.streams[0].withdrawn, life.streams[0].relayer_fees) == (100, 10)
    life.take(notices.TokenMoved("C1", 90), 1100, index=0, contract_id="TOKEN", **here)
    assert life.told(facts.Withdrew(0, 5, "bob"), 1100, index=4, **here)[2]["fee"] == "0"
    life.take(notices.TokenMoved("C1", 99), 1100, ledger=51, contract_id="TOKEN", tx="ef" * 32)
    assert life.told(facts.Withdrew(0, 50, "bob"), 1150, ledger=52)[2]["fee"] == "0"


def test_an_automatic_claim_is_merged_into_its_withdrawal():
    life = Life(CREATED)
    assert life.take(facts.AutoClaimTriggered(0, "vault", 100), 1100, ledger=50).outcomes == ()
    detail = life.told(facts.WithdrewTo(0, "bob", "vault", 100), 1100, ledger=50, index=1)[2]
    assert detail["auto"] is True
    assert "auto" not in life.told(facts.WithdrewTo(0, "bob", "vault", 1), 1101, ledger=51)[2]


def test_a_late_withdrawal_is_added_and_any_other_late_event_parked():
    life = Life(CREATED)
    life.take(facts.Paused(0), 1500, ledger=500)
    assert life.take(facts.Resumed(0), 1400, ledger=400).parked.why is Why.LATE
    assert life.told(facts.Withdrew(0, 100, "bob"), 1400, ledger=400)[2]["late"] is True
    assert (life.streams[0].withdrawn, life.streams[0].last.ledger) == (100, 500)


def test_a_late_withdrawal_is_not_counted_twice_when_the_total_is_known():
    life = Life(CREATED)
    life.take(facts.Completed(0), 2000, ledger=500)
    assert life.streams[0].relayer_fees == 1000
    life.take(facts.Withdrew(0, 400, "bob"), 1400, ledger=400)
    assert (life.streams[0].withdrawn, life.streams[0].relayer_fees) == (1000, 600)


def test_an_id_that_is_taken_is_parked_and_the_same_event_again_is_nothing():
    life = Life(CREATED)
    assert life.take(CREATED).parked.why is Why.EXISTS
    again = fold(life.contract, life.streams, life.seen[0])
    assert (again.outcomes, again.parked) == ((), None)


def test_what_no_ledger_should_hold_is_parked():
    for fact in (
        unpublished.RateCapped(0, 1, 1),
        unpublished.SenderChanged(0, "a", "b"),
        unpublished.Migrated(1, 2, 3),
    ):
        assert Life(CREATED).take(fact).parked.why is Why.UNKNOWN_TOPIC


def test_emergencies_are_a_set_of_reasons():
    life = Life()
    life.take(notices.CreationPaused(True))
    life.take(notices.ProtocolPaused("admin", "drill", START))
    assert (life.contract.reasons, life.contract.pause_reason) == ({"ct_pause", "pr_pause"}, "drill")
    assert (life.contract.paused, life.contract.source) == (True, "contract:C1")
    life.take(notices.GloballyResumed(START))
    assert (life.contract.reasons, life.contract.pause_reason, life.contract.paused) == ({"ct_pause"}, None, False)
    life.take(notices.CreationPaused(False))
    life.take(notices.GloballyPaused(True), ledger=900)
    assert life.take(notices.ProtocolResumed("admin", START), ledger=800).parked.why is Why.LATE
    life.take(notices.Upgraded("00" * 32, 9, START, "admin"), ledger=901)
    life.take(notices.GloballyPaused(False), ledger=902)
    assert life.contract.reasons == {"upgraded"}
    assert life.contract.confirmed().reasons == frozenset()


def test_what_is_of_no_stream_is_taken_in_silence():
    life = Life()
    for fact in (notices.OfferWithdrawn(0, "a", 1), notices.ExcessSwept("a", "b", 1), notices.ExecutableUpdated()):
        step = life.take(fact)
        assert (step.outcomes, step.parked, step.contract.reasons) == ((), None, frozenset())


def test_a_batch_is_folded_in_chain_order():
    life = Life()
    cloned = facts.Cloned(1, 0, "alice", "bob", 1000, 1, START, START, END, 0)
    shared = facts.ShareDelegated(0, 2, "bob", "carol", 1, 1, 1)
    order = [CREATED, replace(CREATED, stream_id=1), cloned, facts.Paused(1), shared]
    events = [Seen("C1", life.place(START + n), fact, "t") for n, fact in enumerate(order)]
    assert needed(events) == {("C1", 0), ("C1", 1), ("C1", 2)}
    assert begun(events[1:]) == {("C1", 1), ("C1", 2)}
    folded = fold_all({"C1": CONTRACT}, {}, events[::-1])
    causes = [(index, [each.cause for each in step.outcomes]) for index, step in folded.steps]
    assert causes == [
        (4, ["created"]),
        (3, ["created"]),
        (2, ["cloned"]),
        (1, ["paused"]),
        (0, ["share_delegated"] * 2),
    ]


def test_what_a_stream_came_of_is_never_late():
    life = Life(CREATED)
    life.take(replace(CREATED, stream_id=1), ledger=500)
    life.take(facts.Paused(1), ledger=502)
    cloned = facts.Cloned(1, 0, "alice", "bob", 1000, 1, START, START, END, 0)
    assert life.told(cloned, ledger=501)[1] == "cloned"
    assert (life.streams[1].last.ledger, life.streams[1].source) == (502, 0)


@given(st.integers(-(2**127), 2**127 - 1), st.integers(0, 38))
def test_tokens_are_base_units_exactly(base, decimals):
    text = in_tokens(base, decimals)
    whole, _, part = text.partition(".")
    assert int(whole + part.ljust(decimals, "0")) == base
    assert not part.endswith("0")
    assert whole.lstrip("-") == "0" or not whole.lstrip("-").startswith("0")
    assert "e" not in text.lower()


def test_nothing_is_lost_in_the_store():
    life = Life(replace(CREATED, cliff_time=1500, metadata=(("6b", "76"),)), notices.ProtocolPaused("a", "drill", 1))
    life.take(notices.TokenMoved("C1", 2**100), contract_id="TOKEN")
    life.take(facts.Paused(0, "Compliance"))
    stream = replace(life.streams[0], parent=2**64 - 1, end=2**64 - 1)
    assert stream_of(stream_record(stream)) == stream
    assert state_of(CONTRACT, state_record(life.contract)) == life.contract
    assert state_of(CONTRACT, state_record(CONTRACT)) == CONTRACT


def test_what_the_contract_s_own_record_has_is_not_taken_once_more():
    life = Life(CREATED)
    record = StreamRecord(0, "alice", "bob", 1000, 1, START, START, END, 300, "active", modified=20)
    life.streams[0] = reconciled(life.streams[0], record, 20)
    assert life.take(facts.Withdrew(0, 300), START + 300, ledger=15) == Step(life.contract)
    assert life.take(facts.Paused(0, "late"), START + 300, ledger=19) == Step(life.contract)
    (outcome,) = life.take(facts.AutoClaimSet(0, "shop"), START + 300, ledger=20).outcomes  # no record tells it
    assert outcome.stream.auto_claim == "shop"
    (outcome,) = life.take(facts.Withdrew(0, 100), START + 400, ledger=21).outcomes
    assert (outcome.stream.withdrawn, outcome.stream.status) == (400, "active")


def test_a_stream_whose_beginning_is_lost_is_as_its_record_says():
    terms = {"deposit": 1000, "rate": 1, "start": START, "cliff": START + 10, "end": END}
    record = StreamRecord(7, "alice", "bob", **terms, withdrawn=5, status="active", modified=20)
    open_ = adopted(CONTRACT, record, 20)
    assert (open_.id, open_.token, open_.assumed) == ("stream-c1-7", "TOKEN", ("kind",))
    known = adopted(CONTRACT, replace(record, kind=Kind.CLIFF_SLOPE, checkpoint=(0, START), dust=3, parent=2), 20)
    assert (known.assumed, known.dust, known.parent) == ((), 3, 2)
    assert stream_of(stream_record(known)) == known
    assert (view(known)["transactionHash"], view(known)["lastEvent"]) == (None, None)
    life = Life()
    life.streams[7] = known
    created = replace(CREATED, stream_id=7)
    assert life.take(created, START, ledger=12) == Step(life.contract)
    (outcome,) = life.take(facts.Withdrew(7, 100), START + 400, ledger=21).outcomes
    assert (outcome.stream.withdrawn, view(outcome.stream)["lastEvent"]["ledger"]) == (105, 21)


def test_a_record_of_an_older_version_lacks_what_came_later():
    stream = Life(CREATED).streams[0]
    record = stream_record(stream)
    for name in ("audited", "doubtful", "rate_changed_ledger", "next"):
        del record[name]
    assert stream_of(record) == stream
    assert stream_record(stream_of(record)) == stream_record(stream)
