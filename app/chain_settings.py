"""The settings of reading the chain."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from app.base_settings import BaseServiceSettings
from app.chain.configured import ConfiguredContract, parse_contracts, parse_rpc_urls


class ChainSettings(BaseServiceSettings):
    """What is read, and from where."""

    chain_contracts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="contracts whose events are read, comma-separated: `C...[:decimals[:TOKEN]][@start-ledger]`"
    )
    chain_rpc_urls: SecretStr | None = Field(
        None, description="`https://` addresses of Stellar RPC, comma-separated: the service reads the chain itself"
    )
    chain_passphrase: str | None = Field(
        None, description="network of those servers, as in `Test SDF Network ; September 2015`; another is refused"
    )
    chain_poller: Literal["auto", "off"] = Field(
        "auto", description="`off`: the chain is read by `python -m app index` alone, not by the processes that serve"
    )

    @field_validator("chain_contracts")
    @classmethod
    def _known_contracts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_contracts(value)
        return value

    @field_validator("chain_rpc_urls")
    @classmethod
    def _known_nodes(cls, value: SecretStr | None) -> SecretStr | None:
        parse_rpc_urls(value.get_secret_value() if value else "")
        return value

    @model_validator(mode="after")
    def _whole_chain(self) -> Self:
        if self.chain_rpc_urls and not self.chain_contracts:
            message = "CHAIN_RPC_URLS needs CHAIN_CONTRACTS: which contracts are read?"
            raise ValueError(message)
        if self.chain_rpc_urls and not self.chain_passphrase:
            message = "CHAIN_RPC_URLS needs CHAIN_PASSPHRASE: a server of another network would be believed"
            raise ValueError(message)
        return self

    @property
    def polls(self) -> bool:
        """Whether a process that serves also reads the chain."""
        return self.chain_rpc_urls is not None and self.chain_poller == "auto"

    @property
    def rpc_urls(self) -> tuple[str, ...]:
        """`chain_rpc_urls`, read. They may hold keys: never show them."""
        return parse_rpc_urls(self.chain_rpc_urls.get_secret_value() if self.chain_rpc_urls else "")

    @property
    def contracts(self) -> tuple[ConfiguredContract, ...]:
        """`chain_contracts`, read."""
        return parse_contracts(self.chain_contracts)
