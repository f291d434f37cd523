"""A chain stream as a stream of the service."""

from datetime import datetime
from typing import Final

from app.core.clock import timestamp
from app.core.contract.replacing import made, replace
from app.core.contract.stream import ChainStream
from app.core.contract.view import view
from app.core.stream import DECIMALS, JSON_NAMES, Status, Stream, base_units

_OWN: Final = frozenset({"status", "version", "created_at", "updated_at"})
_VIEWED: Final = {name: shown for name, shown in JSON_NAMES.items() if name not in _OWN}
"""The fields that are members of the view, too, and their names there."""
_STATUSES: Final = {str(status): status for status in Status}


def entity(chain: ChainStream, before: Stream | None, now: datetime) -> Stream:
    """Return the stream's next version, its first if there is none before."""
    shown, at = view(chain), timestamp(now)
    return made(
        Stream,
        {
            **{name: shown[json_name] for name, json_name in _VIEWED.items()},
            "status": _STATUSES[chain.status],
            "version": before.version + 1 if before else 1,
            "created_at": before.created_at if before else at,
            "updated_at": at,
            "chain": chain,
        },
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
