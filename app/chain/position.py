"""A place in the chain's order of events, as Stellar RPC writes it."""

import re
from dataclasses import dataclass
from typing import Final, Self

# An id is `<TOID>-<index>`: the TOID holds the ledger (32 bits), the transaction (20) and the operation (12).
_TOID_DIGITS: Final = 19
_INDEX_DIGITS: Final = 10
_CURSOR: Final = re.compile(r"([0-9]{1,19})-([0-9]{1,10})")
_LEDGER_SHIFT: Final = 32
_LAST_IN_LEDGER: Final = 2**_LEDGER_SHIFT - 1
_MOST_TOID: Final = 2**63 - 1
_MOST_INDEX: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, order=True)
class ChainPosition:
    """Everything up to here, this place included, was read. `cursor` sorts as text in the chain's order."""

    cursor: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read an event's id or a page's cursor. Raises ValueError."""
        toid, dash, index = text.partition("-") if isinstance(text, str) and text.isascii() else ("", "", "")
        # The lengths keep a hostile number from being worked out at all.
        if not (
            dash and toid.isdigit() and index.isdigit() and len(toid) <= _TOID_DIGITS and len(index) <= _INDEX_DIGITS
        ):
            message = "not a cursor of Stellar RPC"
            raise ValueError(message)
        return cls._of(int(toid), int(index))

    @classmethod
    def end_of(cls, ledger: int) -> Self:
        """Return the place after the last event that this ledger can have. Raises ValueError."""
        return cls._of(ledger << _LEDGER_SHIFT | _LAST_IN_LEDGER, _MOST_INDEX)

    @classmethod
    def before(cls, ledger: int) -> Self:
        """Return the place from which reading begins with this ledger. Raises ValueError."""
        return cls.end_of(ledger - 1)

    @classmethod
    def _of(cls, toid: int, index: int) -> Self:
        if not (0 <= toid <= _MOST_TOID and 0 <= index <= _MOST_INDEX):
            message = "no ledger has this number"
            raise ValueError(message)
        return cls(f"{toid:0{_TOID_DIGITS}d}-{index:0{_INDEX_DIGITS}d}")

    @property
    def ledger(self) -> int:
        """The ledger it is in."""
        return int(self.cursor[:_TOID_DIGITS]) >> _LEDGER_SHIFT

    @property
    def ends_ledger(self) -> bool:
        """Whether nothing of its ledger can come after it."""
        return self == ChainPosition.end_of(self.ledger)

    @property
    def next_ledger(self) -> int:
        """The first ledger that may have something after it."""
        return self.ledger + 1 if self.ends_ledger else self.ledger
