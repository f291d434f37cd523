"""After a gap: the streams, compared with the contract's own records of them."""

from typing import Final

import structlog

from app.chain.ledger_entry import key_of, record_of
from app.chain.rpc import MOST_KEYS, StellarRpc
from app.chain.xdr import Undecodable
from app.core.contract.audit import StreamRecord  # noqa: TC001 - with the others
from app.core.stream_service import StreamService

_logger = structlog.stdlib.get_logger(__name__)
_READY: Final = "the contract's records are newer than what was read of its events"


async def reread(streams: StreamService, rpc: StellarRpc, contract_id: str, upto: int) -> bool:
    """Compare the contract's streams with its records; each difference becomes an event of cause `reconciled`.

    `upto` is the ledger up to which its events were taken. False: a record was changed after it, so its events are
    still to come, and would count twice: try again later. Raises RpcFault, Unavailable.
    """
    numbers = await streams.open_chain_streams(contract_id)
    records: list[StreamRecord] = []
    latest = upto
    for first in range(0, len(numbers), MOST_KEYS):
        keys = [key_of(contract_id, number) for number in numbers[first : first + MOST_KEYS]]
        entries, latest = await rpc.ledger_entries(keys)
        for entry in entries:
            try:
                records.append(record_of(entry))
            except Undecodable as error:
                _logger.warning("chain_record_unknown", contract=contract_id, reason=str(error))
    if any(record.modified > upto for record in records):
        _logger.info("chain_reread_later", contract=contract_id, reason=_READY)
        return False
    changed = await streams.reconcile(contract_id, records, ledger=latest)
    _logger.warning("chain_reread", contract=contract_id, streams=len(records), reconciled=changed)
    return True
