"""Wires what reads the chain, and what tells the outages that all processes share."""

from app.chain.indexer import LEASE, Indexer
from app.chain.position import ChainPosition
from app.chain.sink import contract_set
from app.core.background import Runner
from app.core.chain_port import StoredPosition
from app.core.shared_outages import SharedOutages
from app.settings import Settings
from app.store.chain_lease import SqlLease
from app.store.store import SqlStore
from app.web.services import Services


def chain_runners(settings: Settings, services: Services, store: SqlStore, *, reads: bool) -> dict[str, Runner]:
    """Return the tasks of the chain, none without contracts. `reads`: this process reads the chain."""
    if not settings.chain_contracts:
        return {}
    contracts = {each.state.contract_id: each.start for each in settings.contracts}

    def known(parked: int, stored: StoredPosition) -> None:
        chain = services.chain
        chain.parked, chain.gap = parked, stored.gap is not None
        chain.ledger = None if stored.position is None else ChainPosition.parse(stored.position).ledger

    outages = SharedOutages(
        services.outages, store, services.streams, contract_set=contract_set(list(contracts)), known=known
    )
    runners: dict[str, Runner] = {"outages": outages.run}
    if reads:
        indexer = Indexer(
            contracts,
            settings.rpc_urls,
            settings.chain_passphrase or "",
            streams=services.streams,
            store=store,
            announcer=outages,
            lease=None if settings.on_sqlite else SqlLease(store, LEASE),
        )
        services.chain.progress = indexer.progress
        runners["indexer"] = indexer.run
    return runners
