"""A chain stream as a stream of the service."""

from datetime import datetime

from app.core.clock import timestamp
from app.core.contract.replacing import replace
from app.core.contract.stream import ChainStream
from app.core.contract.view import view
from app.core.stream import DECIMALS, Status, Stream, base_units


def entity(chain: ChainStream, before: Stream | None, now: datetime) -> Stream:
    """Return the stream's next version, its first if there is none before."""
    shown = view(chain)
    return Stream(
        id=chain.id,
        sender=chain.sender,
        recipient=chain.recipient,
        deposit_amount=shown["depositAmount"],
        streamed_amount=shown["streamedAmount"],
        remaining_amount=shown["remainingAmount"],
        rate_per_second=shown["ratePerSecond"],
        start_time=shown["startTime"],
        end_time=shown["endTime"],
        status=Status(chain.status),
        contract_id=chain.contract_id,
        transaction_hash=shown["transactionHash"],
        event_index=shown["eventIndex"],
        version=before.version + 1 if before else 1,
        created_at=before.created_at if before else timestamp(now),
        updated_at=timestamp(now),
        chain_stream_id=shown["chainStreamId"],
        chain=chain,
    )


def lifted(chain: ChainStream, seed: Stream) -> ChainStream:
    """Return a stream as its `created` tells it, with what seed events told of it since.

    Their keys are known, so the chain's own events of the same are not taken again.
    """
    withdrawn = base_units(seed.streamed_amount, DECIMALS if chain.decimals is None else chain.decimals)
    grown = replace(chain, withdrawn=max(chain.withdrawn, withdrawn), end=seed.end_time or chain.end)
    return grown.ended(seed.status) if seed.status in {Status.COMPLETED, Status.CANCELLED} else _paused(grown, seed)


def _paused(chain: ChainStream, seed: Stream) -> ChainStream:
    return replace(chain, status=str(seed.status))
