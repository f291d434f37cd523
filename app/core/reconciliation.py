"""Streams put right by the contract's own records, where its events could not be read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from app.core.chain_entity import entity
from app.core.changes import Changes, Ingested
from app.core.clock import timestamp
from app.core.contract.audit import StreamRecord, adopted, reconciled
from app.core.contract.batch import StreamKey
from app.core.contract.state import ContractState
from app.core.contract.stream import ChainStream
from app.core.contract.view import changed
from app.core.event import Draft, EventName
from app.core.ports import Rows
from app.core.stream import Stream

CAUSE: Final = "reconciled"


async def reconcile(
    unit: Rows, changes: Changes, contract: ContractState, records: Sequence[StreamRecord], upto: int
) -> set[StreamKey]:
    """Compare a contract's streams with its records, which have all up to a ledger; each difference is told.

    Returns the streams that were not known.
    """
    contract_id = contract.contract_id
    await unit.chain.lock_contracts([contract_id])
    by_number = {record.number: record for record in records}
    await changes.load(unit, await unit.chain.stream_ids({(contract_id, number) for number in by_number}))
    known = {each.chain.number: each for each in list(changes.streams.values()) if each.chain is not None}
    for number, record in sorted(by_number.items()):
        stream = known.get(number)
        if stream is None:
            _adopt(changes, adopted(contract, record, upto), upto)
        elif stream.chain is not None:
            _correct(changes, stream, reconciled(stream.chain, record, upto), upto)
    await changes.write(unit)
    return {(contract_id, number) for number in by_number if number not in known}


def _adopt(changes: Changes, chain: ChainStream, upto: int) -> None:
    _tell(changes, Draft(EventName.CREATED, entity(chain, None, changes.now), (), ""), chain, upto)


def _correct(changes: Changes, before: Stream, after: ChainStream, upto: int) -> None:
    names = () if before.chain is None else changed(before.chain, after)
    if not names:  # nothing to tell; but what the record has must not be taken from late events once more
        changes.keep(replace(before, chain=after))
        return
    name = EventName.CANCELLED if "status" in names and after.status == "cancelled" else EventName.UPDATED
    parties = () if after.recipient == before.recipient else (before.recipient,)
    _tell(changes, Draft(name, entity(after, before, changes.now), names, "", parties=parties), after, upto)


def _tell(changes: Changes, draft: Draft, after: ChainStream, ledger: int) -> None:
    chain = {
        "contractId": after.contract_id,
        "streamId": str(after.number),
        "ledger": ledger,
        "closedAt": None,
        "transactionHash": None,
        "eventIndex": None,
        "topic": None,
    }
    detail = {"fields": list(draft.changed)}
    told = replace(draft, timestamp=timestamp(changes.now), cause=CAUSE, detail=detail, chain=chain)
    changes.tell(told, Ingested(None, after.id, told.name.removeprefix("stream.")))
