"""Streams put right by the contract's own records, where its events could not be read."""

from collections.abc import Sequence

from app.core.chain_entity import entity
from app.core.changes import Changes, Ingested
from app.core.clock import timestamp
from app.core.contract.audit import StreamRecord, reconciled
from app.core.contract.view import changed
from app.core.event import Draft, EventName
from app.core.ports import Rows

CAUSE = "reconciled"


async def reconcile(
    unit: Rows, changes: Changes, contract_id: str, records: Sequence[StreamRecord], ledger: int
) -> None:
    """Compare records with the streams of a contract, as they were at a ledger; each difference is told."""
    await unit.chain.lock_contracts([contract_id])
    by_number = {record.number: record for record in records}
    await changes.load(unit, await unit.chain.stream_ids({(contract_id, number) for number in by_number}))
    for stream in list(changes.streams.values()):
        if stream.chain is None:
            continue
        after = reconciled(stream.chain, by_number[stream.chain.number])
        names = changed(stream.chain, after)
        if not names:
            continue
        cancelled = "status" in names and after.status == "cancelled"
        chain = {
            "contractId": contract_id,
            "streamId": str(after.number),
            "ledger": ledger,
            "closedAt": None,
            "transactionHash": None,
            "eventIndex": None,
            "topic": None,
        }
        draft = Draft(
            EventName.CANCELLED if cancelled else EventName.UPDATED,
            entity(after, stream, changes.now),
            names,
            timestamp(changes.now),
            CAUSE,
            {"fields": list(names)},
            chain,
            () if after.recipient == stream.recipient else (stream.recipient,),
        )
        changes.tell(draft, Ingested(None, stream.id, "updated"))
    await changes.write(unit)
