"""CHAIN_CONTRACTS and CHAIN_RPC_URLS, read."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.core.addresses import is_address
from app.core.contract.state import ContractState

_DECIMALS = 7
"""Of a token that the Stellar Asset Contract wraps."""

_MOST_DECIMALS = 38
_MOST_LEDGER = 2**31 - 1
_FORM = "must be C...[:decimals[:TOKEN]][@start-ledger], comma-separated"


@dataclass(frozen=True, slots=True)
class ConfiguredContract:
    """A contract, and the ledger from which it is polled first; None: from the oldest that a node has."""

    state: ContractState
    start: int | None


def parse_contracts(texts: Sequence[str]) -> tuple[ConfiguredContract, ...]:
    """Read the contracts. Raises ValueError."""
    contracts = tuple(map(_contract, texts))
    if len({each.state.contract_id for each in contracts}) < len(contracts):
        message = "names a contract twice"
        raise ValueError(message)
    return contracts


def parse_rpc_urls(text: str) -> tuple[str, ...]:
    """Read addresses of Stellar RPC, comma-separated. Raises ValueError, which never repeats them."""
    # Their paths and users may be keys.
    urls = tuple(filter(None, map(str.strip, text.split(","))))
    for url in urls:
        try:
            parts = urlsplit(url)
            fit = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            fit = False
        if not fit:
            message = "is not a list of http:// or https:// addresses"
            raise ValueError(message)
    if len(set(urls)) < len(urls):
        message = "names an address twice"
        raise ValueError(message)
    return urls


def _contract(text: str) -> ConfiguredContract:
    head, at, start = text.strip().partition("@")
    contract_id, *rest = head.split(":")
    decimals, token = (*rest, None, None)[:2]
    if (
        len(rest) > 2  # noqa: PLR2004 - decimals and token
        or not is_address(contract_id, "C")
        or (decimals is not None and not _number(decimals, _MOST_DECIMALS))
        or (token is not None and not is_address(token, "C"))
        or (at and not _number(start, _MOST_LEDGER))
    ):
        raise ValueError(_FORM)
    state = ContractState(contract_id, _DECIMALS if decimals is None else int(decimals), token)
    return ConfiguredContract(state, int(start) if at else None)


def _number(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most
