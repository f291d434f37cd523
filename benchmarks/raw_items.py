"""Items of `getEvents` through the API, in batches of 1,000: `python -m benchmarks.raw_items`, on each database.

The items are of simulated contracts, whose tokens are configured. A client posts the next batch after the answer; of
two, each posts those of its own contracts.
"""

import asyncio
import json
import random
import sys
import time
from typing import Any, Final

from app.core.contract.seen import Seen
from benchmarks.contenders import post
from benchmarks.databases import on_each
from benchmarks.single_writes import cpu
from tests.support.chain_encode import raw_of
from tests.support.contract_sim import Sim, contract_address
from tests.support.server import Server

CONTRACTS: Final = 12
ITEMS: Final = 12_000
BATCH: Final = 1000


def lives() -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return contracts with their tokens, and the items of all, in the chain's order."""
    sims = [
        Sim(random.Random(number), address=contract_address(f"c{number}"), token=contract_address(f"t{number}"))
        for number in range(CONTRACTS)
    ]
    seen: list[Seen] = []
    while len(seen) < ITEMS:
        for number, sim in enumerate(sims):
            seen += [own(each, number) for each in sim.call()]
    seen.sort(key=lambda each: (each.place.ledger, each.place.transaction_hash, each.place.index))
    return {sim.address: sim.token for sim in sims}, [raw_of(each, sims[0].people[0]) for each in seen[:ITEMS]]


def own(seen: Seen, number: int) -> Seen:
    """Return an event in a transaction that no other contract has."""
    digest = f"{number:02x}{seen.place.transaction_hash[2:]}"
    return seen._replace(place=seen.place._replace(transaction_hash=digest))


async def measure(server: Server, shares: list[list[dict[str, Any]]]) -> tuple[float, float]:
    """Return items a second, and microseconds of CPU for each, of a client for each share."""
    clients = [
        [json.dumps({"events": items[start : start + BATCH]}).encode() for start in range(0, len(items), BATCH)]
        for items in shares
    ]

    async def client(bodies: list[bytes]) -> None:
        for body in bodies:
            answer = await post(server.port, "/api/events", body)
            if b'"parked":0' not in answer:
                sys.exit(answer[-300:].decode())

    count = sum(map(len, shares))
    spent, begun = cpu(server), time.perf_counter()
    await asyncio.gather(*map(client, clients))
    return count / (time.perf_counter() - begun), (cpu(server) - spent) / count * 1e6


def shared(items: list[dict[str, Any]], contracts: dict[str, str], clients: int) -> list[list[dict[str, Any]]]:
    """Return what each client posts, in the chain's order: all of a contract and of its token."""
    owner = {address: number % clients for number, pair in enumerate(contracts.items()) for address in pair}
    shares: list[list[dict[str, Any]]] = [[] for _ in range(clients)]
    for item in items:
        shares[owner[item["contractId"]]].append(item)
    return shares


def main() -> None:
    """Measure SQLite, and PostgreSQL if it is here."""
    contracts, items = lives()
    configured = ",".join(f"{address}:7:{token}" for address, token in contracts.items())
    for clients in (1, 2):
        for name, server in on_each(rounds=3, chain_contracts=configured):
            rate, spent = asyncio.run(measure(server, shared(items, contracts, clients)))
            print(f"{name}, {clients} clients: {rate:,.0f} items/s, {spent:.0f} us of CPU an item", flush=True)


if __name__ == "__main__":
    main()
