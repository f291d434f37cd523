"""What nodes of Stellar RPC answer, checked: any version of the form, nothing of a broken one."""

import re
from dataclasses import dataclass
from typing import Any, Final, Self

from app.chain.faults import OurMistake, OutOfRange, RpcFault, TooHeavy
from app.chain.position import ChainPosition

RawItem = dict[str, Any]

_RANGE: Final = re.compile(r"\brange: (\d{1,10}) - (\d{1,10})\b")
_TOO_HEAVY: Final = -32001
_INVALID_REQUEST: Final = -32600
_OUR_MISTAKES: Final = frozenset({_INVALID_REQUEST, -32601, -32602, -32700})
_NAMED_CODES: Final = _OUR_MISTAKES | {-32603, -32003}


def malformed(message: str) -> RpcFault:
    """Return the fault of an answer that is not what the protocol says."""
    return RpcFault("malformed", f"the answer makes no sense: {message}")


def error_of(error: object) -> RpcFault:
    """Return the fault that a JSON-RPC error stands for."""
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        return malformed("an error without a code")
    code, message = error["code"], str(error.get("message", ""))[:200]
    if code == _TOO_HEAVY:
        return TooHeavy("rpc_32001", message)
    if code == _INVALID_REQUEST and (found := _RANGE.search(message)):
        return OutOfRange(int(found[1]), int(found[2]))
    if code in _OUR_MISTAKES:
        return OurMistake(f"rpc_{-code}", message)
    return RpcFault(f"rpc_{-code}" if code in _NAMED_CODES else "rpc_other", message)


@dataclass(frozen=True, slots=True)
class Window:
    """The ledgers that a node has, both ends included; `oldest` is None where the answer does not tell."""

    oldest: int | None
    latest: int

    @classmethod
    def parse(cls, answer: dict[str, Any]) -> Self:
        """Read the window out of an answer. Raises RpcFault."""
        oldest, latest = answer.get("oldestLedger"), answer.get("latestLedger")
        return cls(None if oldest is None else _ledger(oldest), _ledger(latest))


@dataclass(frozen=True, slots=True)
class Page:
    """Events of the contracts asked for, in the chain's order, as the node wrote them.

    `upto` is the place up to which the node has looked, None where it does not say.
    """

    items: tuple[tuple[ChainPosition, RawItem], ...]
    upto: ChainPosition | None
    window: Window

    @classmethod
    def parse(cls, answer: dict[str, Any]) -> Self:
        """Read a page of getEvents. Raises RpcFault.

        What the contract wrote (topics, value) is not looked at. A bad id or cursor is the node's own doing: to go on
        from there could skip events.
        """
        window = Window.parse(answer)
        found, cursor = answer.get("events"), answer.get("cursor")
        if found is None:  # Go writes an empty list so where nobody made it
            found = []
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            message = "events are no list of objects"
            raise malformed(message)
        try:
            placed = {ChainPosition.parse(item.get("id")): item for item in found}
            said = [ChainPosition.parse(cursor)] if cursor else []
        except ValueError as error:
            raise malformed(str(error)) from None
        upto = max((*placed, *said), default=None)
        if upto is not None and upto.ledger > window.latest:
            message = f"a place in ledger {upto.ledger}, after the latest, {window.latest}"
            raise malformed(message)
        return cls(tuple(sorted(placed.items(), key=lambda pair: pair[0])), upto, window)

    def after(self, position: ChainPosition) -> list[RawItem]:
        """Return the items behind a place."""
        return [item for place, item in self.items if place > position]


def _ledger(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        message = "no ledger numbers"
        raise malformed(message)
    return value
