"""Several nodes of Stellar RPC, one of which is asked."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from app.chain.circuit import FIRST_SECONDS, MOST_SECONDS, Circuit
from app.chain.faults import RpcFault
from app.chain.progress import Progress
from app.chain.provider import Provider
from app.chain.rpc import StellarRpc

# Nodes of one network are a ledger or two apart at any time.
_BEHIND_LEDGERS: Final = 2
_COMPARE_SECONDS: Final = 60.0
_COMPARE_STALLED_SECONDS: Final = 10.0
# Loss is believed when each node has said so twice: a balancer answers from nodes with different windows.
_LOST_ANSWERS: Final = 2


class Providers:
    """Keeps to one node while it works, else takes the next; at times compares it with the others."""

    def __init__(
        self,
        urls: Sequence[str],
        passphrase: str,
        progress: Progress,
        *,
        first: float = FIRST_SECONDS,
        most: float = MOST_SECONDS,
    ) -> None:
        """`first` and `most`: seconds that a failed node is left alone, at first and at last."""
        if not urls:
            message = "at least one URL of Stellar RPC is needed"
            raise ValueError(message)
        self._all = [
            Provider(name, StellarRpc(url), Circuit(first, most), passphrase, progress)
            for name, url in zip(names_of(urls), urls, strict=True)
        ]
        self._current = self._all[0]
        self._compared = 0.0

    def __iter__(self) -> Iterator[Provider]:
        """Iterate over the nodes, in the order of the settings."""
        return iter(self._all)

    async def close(self) -> None:
        """Close all connections."""
        for provider in self._all:
            await provider.rpc.close()

    def pick(self) -> Provider | None:
        """Return the node to ask now, or None if all have to be left alone."""
        if not self._current.usable:
            usable = [provider for provider in self._all if provider.usable]
            if not usable:
                return None
            self._current = min(usable, key=lambda provider: provider.circuit.failures)
        return self._current

    @property
    def seconds(self) -> float:
        """How long all have to be left alone."""
        return min(provider.circuit.seconds for provider in self._all)

    @property
    def all_lost(self) -> bool:
        """Whether no node has the ledgers that come next."""
        return all(provider.lost >= _LOST_ANSWERS for provider in self._all)

    async def compare(self, still: float) -> None:
        """Change to a node that is well ahead, if it is time to look. `still`: seconds since the head moved."""
        now = asyncio.get_running_loop().time()
        due = _COMPARE_STALLED_SECONDS if still > _COMPARE_STALLED_SECONDS else _COMPARE_SECONDS
        if len(self._all) == 1 or (self._compared and now - self._compared < due):
            return
        self._compared = now
        for provider in self._all:
            if provider is not self._current and provider.usable:
                with suppress(RpcFault):
                    await provider.look()
        ahead = max((p for p in self._all if p.usable), key=lambda p: p.latest, default=self._current)
        if ahead.latest > self._current.latest + _BEHIND_LEDGERS:
            self._current = ahead

    def reason(self) -> str:
        """Say what is wrong with the nodes: to the feed's readers, so without names and words of theirs."""
        faults = sorted({provider.fault.outcome for provider in self._all if provider.fault})
        return f"no node gives new ledgers ({', '.join(faults)})" if faults else "no node gives new ledgers"


def names_of(urls: Sequence[str]) -> list[str]:
    """Return a name for each: its host and port, numbered where that is not enough. Paths and users hold keys."""
    names: list[str] = []
    for url in urls:
        parts = urlsplit(url)
        host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        count = sum(name == host or name.startswith(f"{host}#") for name in names)
        names.append(f"{host}#{count + 1}" if count else host)
    return names
