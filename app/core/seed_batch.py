"""The seed events of a batch: what an indexer says in the service's own words."""

from collections.abc import Sequence
from typing import Any

from app.core.chain import ChainEvent, Outcome
from app.core.changes import Changes, Ingested, draft_of
from app.core.errors import Conflict, NotFound
from app.core.stream import Stream


def take_seeds(changes: Changes, events: Sequence[tuple[ChainEvent, Ingested]]) -> None:
    """Apply events in their order; one that can't be applied leaves no trace."""
    for event, result in events:
        _take(changes, event, result)


def _take(changes: Changes, event: ChainEvent, result: Ingested) -> None:
    if event.key in changes.seen:
        return
    try:
        outcome = event.apply(_not_the_chains(changes.streams.get(event.target)), changes.now)
    except (Conflict, NotFound) as error:
        result.action, result.error = "rejected", error
        return
    changes.take(event.key)
    if outcome is not None:
        result.action = outcome.name.removeprefix("stream.")
        changes.tell(draft_of(outcome, changes.now, cause=_cause(outcome), chain=_chain(event, outcome)), result)


def _not_the_chains(stream: Stream | None) -> Stream | None:
    if stream is not None and stream.chain is not None:
        message = "the stream belongs to the chain: post the contract's own events of it"
        raise Conflict(message, field="streamId")
    return stream


def _cause(outcome: Outcome) -> str:
    """Return what happened, as far as it can be told: an amount may have been withdrawn or only have accrued."""
    if outcome.changed and "status" not in outcome.changed:
        return "updated"
    status = str(outcome.stream.status)
    return ("resumed" if status == "active" else status) if outcome.changed else "created"


def _chain(event: ChainEvent, outcome: Outcome) -> dict[str, Any]:
    transaction, index = event.key
    return {
        "contractId": outcome.stream.contract_id,
        "streamId": None,
        "ledger": None,
        "closedAt": None,
        "transactionHash": transaction,
        "eventIndex": index,
        "topic": None,
    }
