"""The loop that reads the chain's events, all of them, once and in order, and hands them on."""

import asyncio
from typing import Final

import structlog

from app.chain.answers import Page, RawItem
from app.chain.circuit import Circuit
from app.chain.faults import OutOfRange, RpcFault
from app.chain.pace import Pace
from app.chain.polling import Polling
from app.chain.ports import Announcer, ChainSink, FenceLost, Gap, Standing
from app.chain.position import ChainPosition
from app.chain.progress import Progress
from app.chain.provider import Provider, is_lost
from app.chain.providers import Providers
from app.core.chain_port import STELLAR_RPC
from app.core.errors import Unavailable, WriteCollision

_MOST_TROUBLE_SECONDS: Final = 15.0
_LONGEST_WAIT: Final = 5.0
# Of the nodes' window: half of it is left to put things right.
_ALARM: Final = 0.5

_logger = structlog.stdlib.get_logger(__name__)


class Poller:
    """Goes on from the stored position, for ever. Nothing that matters is kept in memory alone."""

    def __init__(
        self, polling: Polling, providers: Providers, sink: ChainSink, announcer: Announcer, progress: Progress
    ) -> None:
        """`progress` is told how far it is."""
        self._polling = polling
        self._providers = providers
        self._sink = sink
        self._announcer = announcer
        self._progress = progress
        self._pace = Pace(polling.look_seconds)
        self._trouble = Circuit(polling.trouble_seconds, _MOST_TROUBLE_SECONDS)
        self._standing = Standing()
        self._position: ChainPosition | None = None
        self._stored_at = 0.0
        self._advanced_at = 0.0
        self._head = 0
        self._asked: Provider | None = None
        self._alarmed = False

    async def run(self) -> None:
        """Poll until cancelled; begin again from the stored position after every failure."""
        self._advanced_at = self._now
        while True:
            try:
                await self._load()
                while True:
                    await self._turn()
            except FenceLost:
                _logger.info("chain_position_moved_by_another")
            except (Unavailable, WriteCollision) as error:
                _logger.warning("chain_not_stored", reason=str(error) or type(error).__name__)
            except Exception:
                # A fault of ours must not end the feed: it is told, and tried again.
                _logger.exception("chain_poller_failed")
            self._trouble.failure()
            await self._tell_silence("events cannot be stored")
            await asyncio.sleep(self._trouble.seconds)

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def _old(self) -> bool:
        return self._now - self._stored_at > self._polling.store_seconds

    async def _load(self) -> None:
        """Take the stored state for true."""
        self._standing = await self._sink.standing()
        self._position = self._standing.position
        self._progress.gap = self._standing.gap is not None
        if self._standing.gap is not None:
            await self._announcer.degraded(STELLAR_RPC, _gap_reason(self._standing.gap))

    async def _turn(self) -> None:
        """Make one call, store what it brought, and wait as long as is right."""
        provider = self._providers.pick()
        if provider is None:
            await self._tell_silence(self._providers.reason())
            await asyncio.sleep(min(self._providers.seconds, _LONGEST_WAIT))
            return
        try:
            position = self._position or await self._begin(provider)
            wait = await self._read(provider, position)
        except OutOfRange as fault:
            await self._out_of_range(provider, fault)
        except RpcFault:
            self._asked = None  # the node counted and logged it; its last page may have been a bad one
        else:
            await self._tell_silence(self._providers.reason())
            await self._providers.compare(self._pace.still)
            await asyncio.sleep(wait)

    async def _begin(self, provider: Provider) -> ChainPosition:
        """Return where to read from when nothing is stored, and store it: from now on a loss can be told."""
        start = self._polling.start
        if start is None:
            window = await provider.look()
            start = min((window.oldest or window.latest) + self._polling.margin, window.latest)
        self._position = ChainPosition.before(start)
        await self._store([], self._position)
        return self._position

    async def _read(self, provider: Provider, position: ChainPosition) -> float:
        """Read a page and store it; returns the seconds to wait before the next one."""
        # Another node, or the same one after a failure: its last page may have come from one that lagged.
        again = provider is not self._asked
        asked = self._now
        page = await provider.read(self._polling.contracts, position, again=again, limit=self._polling.page)
        self._asked = provider
        self._pace.seen(page.window.latest, asked)
        upto = max(position, page.upto or position)
        caught_up = upto.ledger >= page.window.latest and (upto.ends_ledger or upto == position)
        if upto == position and not caught_up and not again:
            provider.failed(RpcFault("no_progress", "the node does not go on, though more follows"))
            raise RpcFault("no_progress", "the node does not go on")
        items = self._wanted(page, position, again=again)
        if items or self._standing.gap or (upto != self._standing.position and (not caught_up or self._old)):
            await self._store(items, upto)
        await self._advance(provider, upto)
        if not caught_up:
            return 1.0 / self._polling.calls_per_second
        if self._standing.reread_due:
            await self._reread(provider, upto)
        return self._pace.seconds()

    def _wanted(self, page: Page, position: ChainPosition, *, again: bool) -> list[RawItem]:
        """Return what is new, or with `again` all: the sink knows what it has."""
        return [
            item
            for place, item in page.items
            if (again or place > position) and self._polling.wants(item.get("contractId"), place.ledger)
        ]

    async def _store(self, items: list[RawItem], upto: ChainPosition) -> None:
        """Store items and position in one transaction, fenced by the position that was stored before."""
        taken = await self._sink.take(items, self._standing.position, upto)
        self._trouble.success()
        self._progress.took(taken)
        self._standing = Standing(upto, reread_due=self._standing.reread_due)
        self._stored_at = self._now

    async def _advance(self, provider: Provider, upto: ChainPosition) -> None:
        """Note how far we are; whoever was told of an outage is told that it is over."""
        progress = self._progress
        if upto != self._position or provider.latest > self._head:
            self._advanced_at = self._now
            progress.gap = False
            await self._announcer.recovered(STELLAR_RPC, "new ledgers are read again")
        self._position = upto
        self._head = max(self._head, provider.latest)
        progress.position, progress.provider = upto.ledger, provider.name
        progress.lag_seconds = progress.lag_ledgers * self._pace.interval + self._pace.still
        alarm = progress.window_used > _ALARM
        if alarm and not self._alarmed:
            _logger.warning("chain_window_half_used", behind=progress.lag_ledgers, oldest=progress.oldest)
        self._alarmed = alarm

    async def _reread(self, provider: Provider, upto: ChainPosition) -> None:
        if self._standing.position != upto:
            await self._store([], upto)
        await self._sink.reread(provider.rpc, upto)
        await self._load()

    async def _out_of_range(self, provider: Provider, fault: OutOfRange) -> None:
        """Tell a node that is behind from ledgers that are lost; go on after a loss with an operator's word alone."""
        position = self._position
        self._asked = None
        if position is None or not is_lost(position, fault):
            return
        provider.lost += 1
        if not self._providers.all_lost:
            return
        gap = Gap(position.next_ledger, fault.oldest - 1)
        await self._load()
        if self._standing.resumed:
            await self._skip(gap, fault)
            return
        if self._standing.gap is None:
            await self._sink.gap(gap, self._fence())
            _logger.error("chain_gap", first=gap.first, last=gap.last)
            await self._load()
        await asyncio.sleep(self._polling.gap_seconds)

    async def _skip(self, gap: Gap, fault: OutOfRange) -> None:
        upto = ChainPosition.before(min(fault.oldest + self._polling.margin, fault.latest))
        await self._sink.skip(Gap(gap.first, upto.ledger), self._fence(), upto)
        _logger.warning("chain_gap_skipped", first=gap.first, last=upto.ledger)
        await self._load()

    def _fence(self) -> ChainPosition:
        if self._standing.position is None:
            message = "no position is stored"
            raise FenceLost(message)
        return self._standing.position

    async def _tell_silence(self, reason: str) -> None:
        if self._standing.gap is None and self._now - self._advanced_at > self._polling.silent_seconds:
            await self._announcer.degraded(STELLAR_RPC, reason)


def _gap_reason(gap: Gap) -> str:
    return f"ledgers {gap.first} to {gap.last} are lost to every node; an operator's `chain resume` goes on after them"
