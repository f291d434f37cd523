"""The streaming contract, small: what its calls check, change and publish, for lives that no script tells.

It holds what the contract holds, and gives each call's events, the token's among them. A call that the contract refuses
raises Refused and publishes nothing. What no event tells (witnesses, lookback windows, rate caps) is left out.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from stellar_sdk import StrKey

from app.core.accrual import Kind, Terms, accrued_by
from app.core.contract import facts, notices
from app.core.contract.place import Hint, Place
from app.core.contract.seen import Seen
from tests.support.chain_encode import TOPICS

GRACE = 604_800
COOLDOWN = 17


def contract_address(name: str) -> str:
    """A contract's address, always the same for a name."""
    return StrKey.encode_contract(hashlib.sha256(name.encode()).digest())


class Refused(Exception):
    """The contract's error."""


def need(condition: object) -> None:
    if not condition:
        raise Refused


@dataclass
class Record:
    """The contract's own record of a stream, and what an observer of its payments counts."""

    number: int
    sender: str
    recipient: str
    deposit: int
    rate: int
    start: int
    cliff: int
    end: int
    kind: Kind
    checkpoint_at: int
    dust: int = 0
    memo: str | None = None
    status: str = "active"
    withdrawn: int = 0
    checkpoint: int = 0
    cancelled_at: int | None = None
    paused_at: int | None = None
    paused_seconds: int = 0
    closed: bool = False
    claim_owner: str | None = None
    auto_claim: str | None = None
    decommissioned: bool = False
    pooled: bool = False
    parent: int | None = None
    source: int | None = None
    previous: int | None = None
    next: int | None = None
    refunded: int = 0
    keeper_paid: int = 0
    keeper_fee: int = 0
    relayer_fees: int = 0
    rate_changed: int = 0

    def accrued(self, now: int) -> int:
        terms = Terms(self.kind, self.rate, self.deposit, self.cliff, self.end, self.checkpoint, self.checkpoint_at)
        return accrued_by(terms, now)


@dataclass
class Sim:
    """One contract and its token; `call` makes a random call, one transaction."""

    rng: random.Random
    now: int = 1_700_000_000
    ledger: int = 1000
    address: str = contract_address("fluxora")
    token: str = contract_address("usdc")
    people: list[str] = field(default_factory=lambda: [contract_address(f"person {n}") for n in range(5)])
    streams: dict[int, Record] = field(default_factory=dict)
    paused: bool = False

    def call(self) -> list[Seen]:
        """Advance a while, make one call, and return its events; none if the contract refused."""
        leap = GRACE // 5 + 1000 if self.rng.random() < 0.02 else self.rng.choice([1, 1, 3, 20, 60, 200])
        self.ledger, self.now = self.ledger + leap, self.now + 5 * leap
        before = {number: replace(record) for number, record in self.streams.items()}
        function = self.rng.choice(CALLS)
        try:
            published = function(self)
        except Refused:
            self.streams = before
            return []
        digest = hashlib.sha256(str(self.ledger).encode()).hexdigest()
        seen = []
        for index, fact in enumerate(published):
            place = Place(self.ledger, 1, 0, index, self.now, digest)
            ours = not isinstance(fact, notices.TokenMoved)
            kind = self.streams[fact.stream_id].kind if isinstance(fact, facts.Created) else None
            hint = Hint(digest, function.__name__, kind, index) if ours else None
            topic = TOPICS[type(fact)] if ours else "transfer"
            seen.append(Seen(self.address if ours else self.token, place, fact, topic, hint))
        return seen

    def some(self, *statuses: str) -> Record:
        found = [each for each in self.streams.values() if each.status in statuses and not each.closed]
        need(found)
        return self.rng.choice(found)

    def live(self) -> Record:
        return self.some("active", "paused")

    def linear(self, *, guarded: bool = True) -> Record:
        record = self.live()
        need(record.kind is Kind.LINEAR and self.now < record.end)
        need(not (guarded and (record.decommissioned or self.paused)))
        return record

    def moved(self, amount: int, source: str | None = None) -> list[Any]:
        return [notices.TokenMoved(source or self.address, amount)] if amount > 0 else []

    def begin(self, sender: str, recipient: str, kind: Kind, **more: Any) -> list[Any]:
        start = self.now + self.rng.choice([0, 0, self.rng.randrange(500)])
        end = start + self.rng.randrange(1, 3000)
        cliff = self.rng.choice([start, start, self.rng.randrange(start, end + 1), end])
        rate = 0 if kind is Kind.CLIFF_ONLY else self.rng.randrange(1, 50)
        return self.make(sender, recipient, kind, rate=rate, start=start, cliff=cliff, end=end, **more)

    def like(self, model: Record, **more: Any) -> list[Any]:
        """Begin a stream on another's terms: its cliff and its end are as far from the start."""
        parties, start = (model.sender, model.recipient), self.now
        cliff, end = start + model.cliff - model.start, start + model.end - model.start
        return self.make(*parties, model.kind, rate=model.rate, start=start, cliff=cliff, end=end, **more)

    def make(
        self, sender: str, recipient: str, kind: Kind, *, rate: int, start: int, cliff: int, end: int, **more: Any
    ) -> list[Any]:
        need(not self.paused)
        least = {Kind.LINEAR: rate * (end - start), Kind.CLIFF_SLOPE: rate * (end - cliff)}.get(kind, 100)
        record = Record(
            len(self.streams), sender, recipient, max(1, least) + self.rng.choice([0, 0, 300]), rate, start, cliff, end,
            kind, start, self.rng.choice([0, 5]), self.rng.choice([None, "6d656d6f"]),
            pooled=sender == recipient, **more,
        )  # fmt: skip
        self.streams[record.number] = record
        created = facts.Created(
            record.number, sender, recipient, record.deposit, rate, start, cliff, end, record.dust, record.memo
        )
        return [*self.moved(record.deposit, sender), created]

    def pay(self, record: Record, amount: int) -> list[Any]:
        """Count a withdrawal; the event that tells, if it was the last."""
        record.withdrawn += amount
        if record.status in {"active", "paused"} and record.withdrawn == record.deposit:
            record.status, record.paused_at = "completed", None
            return [facts.Completed(record.number)]
        return []

    def owed(self, record: Record) -> int:
        need(not self.paused)
        need(record.status != "paused" or self.now >= record.end)
        amount = record.accrued(self.now if record.cancelled_at is None else record.cancelled_at) - record.withdrawn
        need(amount > 0)
        return amount


def create_stream(sim: Sim) -> list[Any]:
    sender, recipient = sim.rng.sample(sim.people, 2)
    return sim.begin(sender, recipient, sim.rng.choice([Kind.LINEAR] * 4 + [Kind.CLIFF_ONLY, Kind.CLIFF_SLOPE]))


def create_pooled_stream(sim: Sim) -> list[Any]:
    sender = sim.rng.choice(sim.people)
    return sim.begin(sender, sender, Kind.LINEAR)


def clone_stream(sim: Sim) -> list[Any]:
    source = sim.live()
    need(source.sender != source.recipient)
    events = sim.like(source, source=source.number)
    made = sim.streams[len(sim.streams) - 1]
    told = facts.Cloned(
        made.number, source.number, made.sender, made.recipient, made.deposit, made.rate, made.start, made.cliff,
        made.end, made.dust,
    )  # fmt: skip
    return [*events, told]


def renew_stream(sim: Sim) -> list[Any]:
    old = sim.some("completed")
    need(old.next is None and old.sender != old.recipient)
    events = sim.like(old, previous=old.number)
    old.next = len(sim.streams) - 1
    return [*events, facts.Renewed(old.next, old.number)]


def accept_stream_offer(sim: Sim) -> list[Any]:
    events = create_stream(sim)[1:]
    return [*events, facts.OfferAccepted(events[0].stream_id, events[0].start_time, events[0].recipient)]


def delegate_recipient_share(sim: Sim) -> list[Any]:
    parent, bps = sim.linear(guarded=False), sim.rng.randrange(1, 9999)
    delegatee = sim.rng.choice(sim.people)
    child_rate = parent.rate * bps // 10_000
    accrued = parent.accrued(sim.now)
    rate = parent.rate - child_rate
    kept = accrued + rate * (parent.end - sim.now)
    need(not sim.paused and 0 < child_rate < parent.rate and kept <= parent.deposit and delegatee != parent.recipient)
    child = Record(
        len(sim.streams), parent.sender, delegatee, parent.deposit - kept, child_rate, sim.now,
        max(parent.cliff, sim.now), parent.end, Kind.LINEAR, sim.now, parent.dust, parent.memo, parent=parent.number,
    )  # fmt: skip
    parent.checkpoint, parent.checkpoint_at, parent.rate, parent.deposit = accrued, sim.now, rate, kept
    sim.streams[child.number] = child
    return [facts.ShareDelegated(parent.number, child.number, parent.recipient, delegatee, bps, rate, child_rate)]


def pause_stream(sim: Sim) -> list[Any]:
    record = sim.some("active")
    need(sim.now < record.end)
    record.status, record.paused_at = "paused", sim.now
    return [facts.Paused(record.number, "Operational")]


def resume_stream(sim: Sim) -> list[Any]:
    record = sim.some("paused")
    need(sim.now < record.end)
    assert record.paused_at is not None
    record.paused_seconds += sim.now - record.paused_at
    record.status, record.paused_at = "active", None
    return [facts.Resumed(record.number)]


def cancel_stream(sim: Sim) -> list[Any]:
    record = sim.live()
    refund = record.deposit - record.accrued(sim.now)
    record.status, record.cancelled_at, record.paused_at = "cancelled", sim.now, None
    record.refunded += refund
    return [*sim.moved(refund), facts.Cancelled(record.number)]


def bulk_cancel_streams(sim: Sim) -> list[Any]:
    record = sim.live()
    accrued = record.accrued(sim.now)
    owed, refund = max(0, accrued - record.withdrawn), record.deposit - accrued
    record.status, record.cancelled_at, record.paused_at = "cancelled", sim.now, None
    record.withdrawn, record.refunded = record.withdrawn + owed, record.refunded + refund
    paid = [*sim.moved(owed), facts.Withdrew(record.number, owed, record.recipient)] if owed else []
    health = facts.HealthChecked(record.number, False, 0, 0)
    return [*paid, facts.Cancelled(record.number), health, *sim.moved(refund)]


def keeper_cancel(sim: Sim) -> list[Any]:
    record = sim.live()
    need(sim.now >= record.end + GRACE)
    accrued = record.accrued(sim.now)
    owed, rest = max(0, accrued - record.withdrawn), record.deposit - accrued
    fee = rest * 50 // 10_000
    record.status, record.cancelled_at, record.paused_at = "cancelled", sim.now, None
    record.keeper_paid, record.keeper_fee, record.refunded = owed, fee, record.refunded + rest - fee
    told = facts.KeeperCancelled(record.number, sim.people[0], fee, owed, rest - fee)
    return [*sim.moved(owed), *sim.moved(rest - fee), *sim.moved(fee), told]


def withdraw(sim: Sim) -> list[Any]:
    record = sim.some("active", "paused", "cancelled")
    amount = sim.owed(record)
    told = facts.Withdrew(record.number, amount, record.recipient)
    return [*sim.moved(amount), told, *sim.pay(record, amount)]


def batch_withdraw(sim: Sim) -> list[Any]:
    events = []
    for record in list(sim.streams.values())[:4]:
        if record.status == "active" and not sim.paused and (amount := record.accrued(sim.now) - record.withdrawn) > 0:
            told = facts.WithdrewTo(record.number, record.recipient, record.recipient, amount)
            events += [*sim.moved(amount), told, *sim.pay(record, amount)]
    return events


def delegated_withdraw(sim: Sim) -> list[Any]:
    record = sim.some("active", "paused", "cancelled")
    amount = sim.owed(record)
    fee = sim.rng.choice([0, 1, amount, amount // 2])
    told = facts.Withdrew(record.number, amount - fee, record.recipient)
    record.relayer_fees += fee
    return [*sim.moved(amount - fee), *sim.moved(fee), told, *sim.pay(record, amount)]


def withdraw_from_pool(sim: Sim) -> list[Any]:
    record = sim.live()
    need(record.pooled)
    amount = sim.owed(record) // 2
    need(amount)
    told = facts.Withdrew(record.number, amount, sim.rng.choice(sim.people))
    return [*sim.moved(amount), told, *sim.pay(record, amount)]


def trigger_auto_claim(sim: Sim) -> list[Any]:
    record = sim.live()
    need(record.auto_claim and sim.now >= record.end)
    assert record.auto_claim is not None
    amount = sim.owed(record)
    told = facts.WithdrewTo(record.number, record.recipient, record.auto_claim, amount)
    triggered = facts.AutoClaimTriggered(record.number, record.auto_claim, amount)
    return [triggered, told, *sim.pay(record, amount), *sim.moved(amount)]


def top_up_stream(sim: Sim) -> list[Any]:
    record, amount = sim.linear(), sim.rng.randrange(1, 5000)
    record.deposit += amount
    told = facts.ToppedUp(record.number, amount, record.deposit, record.end)
    return [*sim.moved(amount, sim.people[1]), told]


def update_rate_per_second(sim: Sim) -> list[Any]:
    record = sim.linear()
    rate = record.rate + sim.rng.randrange(1, 5)
    need(not record.rate_changed or sim.ledger >= record.rate_changed + COOLDOWN)
    need(record.deposit >= rate * (record.end - record.start))
    record.checkpoint, record.checkpoint_at = record.accrued(sim.now), sim.now
    old, record.rate, record.rate_changed = record.rate, rate, sim.ledger
    return [facts.RateUpdated(record.number, old, rate, sim.now)]


def update_rate(sim: Sim) -> list[Any]:
    record = sim.live()
    need(record.kind is Kind.LINEAR and sim.now < record.end and not record.decommissioned)
    old, record.rate = record.rate, max(1, record.rate + sim.rng.randrange(-3, 4))
    return [facts.RateUpdated(record.number, old, record.rate, sim.now)]


def decrease_rate_per_second(sim: Sim) -> list[Any]:
    record = sim.linear()
    rate = record.rate - 1
    accrued = record.accrued(sim.now)
    deposit = accrued + rate * (record.end - sim.now)
    need(rate > 0 and deposit <= record.deposit)
    need(not record.rate_changed or sim.ledger >= record.rate_changed + COOLDOWN)
    refund, old = record.deposit - deposit, record.rate
    record.checkpoint, record.checkpoint_at, record.rate, record.deposit = accrued, sim.now, rate, deposit
    record.rate_changed, record.refunded = sim.ledger, record.refunded + refund
    return [*sim.moved(refund), facts.RateDecreased(record.number, old, rate, sim.now, accrued, refund)]


def shorten_stream_end_time(sim: Sim) -> list[Any]:
    record = sim.linear(guarded=False)
    end = sim.rng.randrange(sim.now, record.end)
    need(not sim.paused and sim.now < end and end > record.start and end >= record.cliff)
    deposit = max(record.rate * (end - record.start), record.accrued(sim.now))
    need(deposit <= record.deposit)
    refund, old = record.deposit - deposit, record.end
    record.end, record.deposit, record.refunded = end, deposit, record.refunded + refund
    return [*sim.moved(refund), facts.EndShortened(record.number, old, end, refund)]


def extend_stream_end_time(sim: Sim) -> list[Any]:
    record = sim.linear()
    end = record.end + sim.rng.randrange(1, 100)
    need(record.rate * (end - record.start) <= record.deposit)
    old, record.end = record.end, end
    return [facts.EndExtended(record.number, old, end)]


def accept_recipient_update(sim: Sim) -> list[Any]:
    record, new = sim.some("active", "paused", "completed", "cancelled"), sim.rng.choice(sim.people)
    need(new != record.recipient)
    old, record.recipient = record.recipient, new
    return [facts.RecipientChanged(record.number, old, new)]


def transfer_claim_ownership(sim: Sim) -> list[Any]:
    record = sim.some("active", "paused", "completed", "cancelled")
    old, record.claim_owner = record.claim_owner, sim.rng.choice(sim.people)
    return [facts.ClaimOwnerChanged(record.number, old, record.claim_owner)]


def set_auto_claim(sim: Sim) -> list[Any]:
    record = sim.some("active", "paused", "completed", "cancelled")
    record.auto_claim = sim.rng.choice(sim.people)
    return [facts.AutoClaimSet(record.number, record.auto_claim)]


def revoke_auto_claim(sim: Sim) -> list[Any]:
    record = sim.live()
    record.auto_claim = None
    return [facts.AutoClaimRevoked(record.number)]


def set_stream_decommissioned(sim: Sim) -> list[Any]:
    record = sim.live()
    record.decommissioned = sim.rng.random() < 0.5
    return [facts.Decommissioned(record.number, record.decommissioned)]


def close_stream(sim: Sim) -> list[Any]:
    record = sim.some("completed", "cancelled")
    ended = record.cancelled_at
    need(record.status == "completed" or (ended is not None and record.accrued(ended) <= record.withdrawn))
    record.closed = True
    return [facts.Closed(record.number)]


def set_global_emergency_paused(sim: Sim) -> list[Any]:
    sim.paused = sim.rng.random() < 0.3
    return [notices.GloballyPaused(sim.paused)]


CALLS: list[Callable[[Sim], list[Any]]] = [
    create_stream, create_stream, create_pooled_stream, clone_stream, renew_stream, accept_stream_offer,
    delegate_recipient_share, pause_stream, resume_stream, cancel_stream, bulk_cancel_streams, keeper_cancel, withdraw,
    withdraw, batch_withdraw, delegated_withdraw, withdraw_from_pool, trigger_auto_claim, trigger_auto_claim,
    top_up_stream, update_rate_per_second, update_rate, decrease_rate_per_second, shorten_stream_end_time,
    extend_stream_end_time, accept_recipient_update, transfer_claim_ownership, set_auto_claim, set_auto_claim,
    revoke_auto_claim, set_stream_decommissioned, close_stream, set_global_emergency_paused,
]  # fmt: skip
