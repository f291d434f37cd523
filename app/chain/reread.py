"""After a gap: the streams, compared with the contract's own records of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import structlog

from app.chain.answers import RawItem
from app.chain.ledger_entry import key_of, record_of
from app.chain.rpc import MOST_KEYS, StellarRpc
from app.chain.xdr import Undecodable
from app.core.contract.audit import StreamRecord
from app.core.stream_service import StreamService

_logger = structlog.stdlib.get_logger(__name__)
_READY: Final = "the contract's records are newer than what was read of its events"


async def reread(streams: StreamService, rpc: StellarRpc, contract_id: str, upto: int) -> bool:
    """Compare the contract's streams with its records; each difference becomes an event of cause `reconciled`.

    `upto` is the ledger up to which its events were taken. False: a record was changed after it, so its events are
    still to come, and would count twice: try again later. Raises RpcFault, Unavailable.
    """
    known = await streams.known_chain_streams(contract_id)
    records: list[StreamRecord] = []
    last, unknown = max(known, default=-1), 0
    for numbers in _numbers(known):
        entries, _ = await rpc.ledger_entries([key_of(contract_id, number) for number in numbers])
        found = [record for entry in entries if (record := _record(contract_id, entry)) is not None]
        records += found
        unknown += len(entries) - len(found)
        # The contract counts its streams; where a whole call finds none after the last one known, there are no more.
        if not entries and numbers[0] > last:
            break
    if any(record.modified > upto for record in records):
        _logger.info("chain_reread_later", contract=contract_id, reason=_READY)
        return False
    if not unknown:
        _tell_lost(contract_id, known, records)
    changed = await streams.reconcile(contract_id, records, upto=upto)
    _logger.warning("chain_reread", contract=contract_id, streams=len(records), reconciled=changed)
    return True


def _numbers(known: Mapping[int, bool]) -> Iterator[Sequence[int]]:
    """Give the streams to look for, a call's worth at a time: those that may have a record, and then new ones.

    Below the first one known was never read, so nothing is missing there.
    """
    first, last = min(known, default=0), max(known, default=-1)
    wanted = [number for number in range(first, last + 1) if known.get(number, True)]
    for start in range(0, len(wanted), MOST_KEYS):
        yield wanted[start : start + MOST_KEYS]
    while True:
        yield range(last + 1, last + 1 + MOST_KEYS)
        last += MOST_KEYS


def _record(contract_id: str, entry: RawItem) -> StreamRecord | None:
    try:
        return record_of(entry)
    except Undecodable as error:
        _logger.warning("chain_record_unknown", contract=contract_id, reason=str(error))
        return None


def _tell_lost(contract_id: str, known: Mapping[int, bool], records: Sequence[StreamRecord]) -> None:
    """Tell of streams whose record is gone: they were closed or archived, and nothing says how they ended."""
    lost = {number for number, has_record in known.items() if has_record} - {record.number for record in records}
    if lost:
        _logger.warning("chain_records_gone", contract=contract_id, streams=sorted(lost))
