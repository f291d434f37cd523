"""The poller with all that it needs, as it runs in a process."""

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Final

from app.chain.leader import Leader
from app.chain.poller import Poller
from app.chain.polling import Polling
from app.chain.ports import Announcer, Lease
from app.chain.progress import Progress
from app.chain.providers import Providers
from app.chain.sink import ServiceSink
from app.core.ports import Store
from app.core.stream_service import StreamService

LEASE: Final = "poller"


class Indexer:
    """Reads the chain into the service: at once if it is alone, else while it holds the lease."""

    def __init__(
        self,
        contracts: Mapping[str, int | None],
        urls: Sequence[str],
        passphrase: str,
        *,
        streams: StreamService,
        store: Store,
        announcer: Announcer,
        lease: Lease | None,
    ) -> None:
        """`contracts`: each with the ledger to begin with. `lease` None: no other process reads the chain."""
        self.progress = Progress()
        self._contracts = contracts
        self._urls = urls
        self._passphrase = passphrase
        self._sink = ServiceSink(streams, store, tuple(contracts))
        self._announcer = announcer
        self._lease = lease

    async def run(self) -> None:
        """Read until cancelled."""
        providers = Providers(self._urls, self._passphrase, self.progress)
        poller = Poller(Polling(self._contracts), providers, self._sink, self._announcer, self.progress)
        try:
            if self._lease is None:
                self.progress.leader = True
                await poller.run()
            else:
                await Leader(self._lease, owner(), poller.run, self.progress).run()
        finally:
            self.progress.leader = False
            await asyncio.shield(providers.close())


def owner() -> str:
    """Return this process's own name."""
    return f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
