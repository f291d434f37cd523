"""The contract's own records of its streams, as `getLedgerEntries` gives them (XDR, CAP-46-05)."""

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Mapping
from struct import pack
from typing import Any, Final

from app.chain import scval, strkey
from app.chain.answers import RawItem
from app.chain.xdr import Reader, Undecodable
from app.core.accrual import Kind
from app.core.contract.audit import STATUSES, StreamRecord

_CONTRACT_DATA: Final = 6
_CONTRACT_ADDRESS: Final = 1
_VEC, _SYMBOL, _U64 = 16, 15, 5
_PERSISTENT: Final = 1
_TYPES: Final = {
    "sender": ("sender", "address"),
    "recipient": ("recipient", "address"),
    "deposit_amount": ("deposit", "i128"),
    "rate_per_second": ("rate", "i128"),
    "start_time": ("start", "u64"),
    "cliff_time": ("cliff", "u64"),
    "end_time": ("end", "u64"),
    "withdrawn_amount": ("withdrawn", "i128"),
    "status": ("status", "u32"),
}
"""The contract's fields, how we name them, and their types."""

_NEWER: Final = {
    "cancelled_at": ("cancelled_at", "u64"),
    "kind": ("kind", "u32"),
    "checkpointed_amount": ("checkpoint", "i128"),
    "checkpointed_at": ("checkpoint_at", "u64"),
    "withdraw_dust_threshold": ("dust", "i128"),
    "memo": ("memo", "bytes"),
    "metadata": ("metadata", "map"),
    "claim_owner": ("claim_owner", "address"),
    "decommissioned": ("decommissioned", "bool"),
    "is_pooled": ("pooled", "bool"),
    "parent_stream_id": ("parent", "u64"),
}
"""Those that may be missing, or void."""

_KINDS: Final = (Kind.LINEAR, Kind.CLIFF_ONLY, Kind.CLIFF_SLOPE)
"""In the order of the contract's numbers."""


def key_of(contract_id: str, number: int) -> str:
    """Return the ledger key of a stream's record, in base64: `Vec[Symbol("Stream"), U64(number)]`, persistent."""
    name = b"Stream"
    symbol = pack(">II", _SYMBOL, len(name)) + name + bytes(-len(name) % 4)
    key = pack(">III", _VEC, 1, 2) + symbol + pack(">IQ", _U64, number)
    contract = pack(">II", _CONTRACT_DATA, _CONTRACT_ADDRESS) + strkey.payload(contract_id)
    return b64encode(contract + key + pack(">I", _PERSISTENT)).decode()


def record_of(entry: RawItem) -> StreamRecord:
    """Read an entry. Raises Undecodable: it is no stream's record, or one of a revision that we do not know."""
    modified = entry.get("lastModifiedLedgerSeq")
    if not isinstance(modified, int):
        raise Undecodable("lastModifiedLedgerSeq: a number expected")
    try:
        reader = Reader(b64decode(str(entry.get("xdr")), validate=True))
    except (Error, ValueError) as error:
        raise Undecodable("xdr: no base64") from error
    if reader.u32() != _CONTRACT_DATA or reader.u32() != 0:
        raise Undecodable("no contract data")
    scval.take_address(reader)
    number = _number(scval.take(reader))
    reader.u32()
    fields = _fields(scval.take(reader))
    reader.end()
    return StreamRecord(number=number, modified=modified, **fields)


def _number(key: scval.Value) -> int:
    match key:
        case scval.Value("vec", (scval.Value("symbol", "Stream"), scval.Value("u64", int() as number))):
            return number
    raise Undecodable("not a stream's key")


def _fields(value: scval.Value) -> dict[str, Any]:
    if value.type != "map":
        raise Undecodable("a record that is no map")
    given = {key.content: each for key, each in value.content}
    fields = {}
    for theirs, (name, wanted) in _TYPES.items():
        each = given.get(theirs)
        if each is None or each.type != wanted:
            raise Undecodable(f"{theirs}: {wanted} expected")
        fields[name] = each.content
    if fields["status"] >= len(STATUSES):
        raise Undecodable(f"status: {fields['status']} is not known")
    fields["status"] = STATUSES[fields["status"]]
    return fields | _newer(given)


def _newer(given: Mapping[str, scval.Value]) -> dict[str, Any]:
    """Return what older revisions of the contract lack, or a stream may lack."""
    fields = {
        name: given[theirs].content
        for theirs, (name, wanted) in _NEWER.items()
        if theirs in given and given[theirs].type == wanted
    }
    amount, at, kind = (fields.pop(name, None) for name in ("checkpoint", "checkpoint_at", "kind"))
    if amount is not None and at is not None:
        fields["checkpoint"] = (amount, at)
    if kind is not None and kind < len(_KINDS):
        fields["kind"] = _KINDS[kind]
    if "memo" in fields:
        fields["memo"] = fields["memo"].hex()
    pairs = fields.pop("metadata", None)
    if pairs is not None and all((one.type, two.type) == ("bytes", "bytes") for one, two in pairs):
        fields["metadata"] = tuple((one.content.hex(), two.content.hex()) for one, two in pairs)
    return fields
