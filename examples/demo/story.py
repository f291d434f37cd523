"""What happens to a small treasury: streams that begin, are topped up, withdrawn, paused, changed and cancelled."""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from stellar_sdk import StrKey

from app.core.accrual import Kind
from app.core.contract import facts
from app.core.contract.place import Place
from app.core.contract.seen import Seen
from tests.support import contract_sim as sim
from tests.support.chain_encode import TOPICS, encoded

LEDGER_SECONDS: Final = 5
FIRST_LEDGER: Final = 3_700_000
STREAMS: Final = 12
USDC: Final = 10**7
DAY: Final = 86_400


def account(name: str) -> str:
    """Return an account's address, always the same for a name."""
    return StrKey.encode_ed25519_public_key(hashlib.sha256(name.encode()).digest())


PAYEES: Final = tuple(account(f"payee {number}") for number in range(9))

# What is paid, USDC, seconds until the cliff, and until the end.
PLANS: Final = (
    ("Salary, design", 6_500, 0, 30 * DAY),
    ("Salary, engineering", 9_200, 0, 30 * DAY),
    ("Salary, operations", 5_400, 0, 30 * DAY),
    ("Grant, wallet research", 40_000, 0, 90 * DAY),
    ("Vesting, founder", 250_000, 600, 365 * DAY),
    ("Audit, second half", 18_000, 900, 900),
    ("Rent, office", 3_100, 0, 31 * DAY),
    ("Support, night shift", 240, 0, 3_600),
    ("Translation, release notes", 90, 0, 1_200),
    ("Hosting", 310, 0, 7_200),
)


class Treasury(sim.Sim):
    """The contract, and who calls it."""

    def __init__(self, rng: random.Random, now: int) -> None:
        super().__init__(rng, now=now, ledger=FIRST_LEDGER)
        self.people = [account(f"treasury {number}") for number in range(3)]

    def pass_ledgers(self, until: int) -> Iterator[list[Seen]]:
        """Let ledgers close until a time, and yield the events of those that have some."""
        while self.now < until:
            self.ledger, self.now = self.ledger + 1, self.now + LEDGER_SECONDS
            before = {number: replace(record) for number, record in self.streams.items()}
            call = self._next_call()
            try:
                published = call(self) if call else []
            except sim.Refused:
                self.streams = before
                continue
            if published:
                yield self._seen(published)

    def _next_call(self) -> Callable[[sim.Sim], list[Any]] | None:
        running = [each for each in self.streams.values() if each.status in {"active", "paused"}]
        if len(running) < STREAMS and self.rng.random() < 0.5:  # noqa: PLR2004 - a new one every other ledger
            return begin
        calls, weights = zip(*CALLS, strict=True)
        return self.rng.choices(calls, weights)[0]

    def _seen(self, published: list[Any]) -> list[Seen]:
        digest = hashlib.sha256(str(self.ledger).encode()).hexdigest()
        seen = []
        for index, fact in enumerate(published):
            ours = type(fact) in TOPICS
            place = Place(self.ledger, 1, 0, index, self.now, digest)
            topic = TOPICS[type(fact)] if ours else "transfer"
            seen.append(Seen(self.address if ours else self.token, place, fact, topic))
        return seen


def begin(treasury: sim.Sim) -> list[Any]:
    """Begin to pay somebody."""
    memo, amount, cliff, length = treasury.rng.choice(PLANS)
    sender, recipient = treasury.rng.choice(treasury.people), treasury.rng.choice(PAYEES)
    kind = Kind.CLIFF_ONLY if cliff == length else Kind.LINEAR
    start = treasury.now
    rate = 0 if kind is Kind.CLIFF_ONLY else amount * USDC // length
    moved, created = treasury.make(
        sender, recipient, kind, rate=rate, start=start, cliff=start + cliff, end=start + length
    )
    record = treasury.streams[created.stream_id]
    record.memo = memo.encode().hex()
    if kind is Kind.CLIFF_ONLY:
        record.deposit = amount * USDC
    return [replace(moved, amount=record.deposit), replace(created, memo=record.memo, deposit_amount=record.deposit)]


def top_up(treasury: sim.Sim) -> list[Any]:
    """Put more money into a stream."""
    record = treasury.linear()
    amount = treasury.rng.choice([50, 100, 250, 1_000]) * USDC
    record.deposit += amount
    told = facts.ToppedUp(record.number, amount, record.deposit, record.end)
    return [*treasury.moved(amount, treasury.people[1]), told]


def change_recipient(treasury: sim.Sim) -> list[Any]:
    """Pay another account from now on."""
    record = treasury.some("active")
    old, record.recipient = record.recipient, treasury.rng.choice(PAYEES)
    sim.need(old != record.recipient)
    return [facts.RecipientChanged(record.number, old, record.recipient)]


CALLS: Final[tuple[tuple[Callable[[sim.Sim], list[Any]] | None, int], ...]] = (
    (None, 40),
    (sim.withdraw, 34),
    (top_up, 8),
    (sim.pause_stream, 4),
    (sim.resume_stream, 6),
    (sim.update_rate_per_second, 3),
    (change_recipient, 2),
    (sim.cancel_stream, 1),
)


def script(now: int, *, before: int, after: int, passphrase: str, seed: int = 7) -> dict[str, Any]:
    """Return the story as a chain for `tests.support.fake_rpc`: some seconds before `now`, and some after."""
    treasury = Treasury(random.Random(seed), now - before)  # noqa: S311 - a story, not a secret
    events = [_row(seen, treasury.people[0]) for ledger in treasury.pass_ledgers(now + after) for seen in ledger]
    return {
        "network": {"passphrase": passphrase, "protocolVersion": 23},
        "contract": treasury.address,
        "token": treasury.token,
        "decimals": 7,
        "first": FIRST_LEDGER,
        "last": treasury.ledger,
        "base_time": now - before,
        "head": FIRST_LEDGER + before // LEDGER_SECONDS,
        "events": events,
    }


def _row(seen: Seen, somebody: str) -> dict[str, Any]:
    topic, value = encoded(seen.fact, somebody)
    place = seen.place
    return {
        "type": "contract",
        "contract": seen.contract_id,
        "ledger": place.ledger,
        "now": place.closed_at,
        "txHash": place.transaction_hash,
        "txIndex": place.transaction,
        "opIndex": place.operation,
        "eventIndex": place.index,
        "topic": topic,
        "value": value,
    }
