"""The contract's own records of its streams, as `getLedgerEntries` gives them (XDR, CAP-46-05)."""

from base64 import b64decode, b64encode
from binascii import Error
from struct import pack
from typing import Any, Final

from app.chain import scval, strkey
from app.chain.answers import RawItem
from app.chain.xdr import Reader, Undecodable
from app.core.contract.audit import STATUSES, StreamRecord

_CONTRACT_DATA: Final = 6
_CONTRACT_ADDRESS: Final = 1
_VEC, _SYMBOL, _U64 = 16, 15, 5
_PERSISTENT: Final = 1
_TYPES: Final = {
    "sender": "address",
    "recipient": "address",
    "deposit_amount": "i128",
    "rate_per_second": "i128",
    "start_time": "u64",
    "cliff_time": "u64",
    "end_time": "u64",
    "withdrawn_amount": "i128",
    "status": "u32",
}


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
    return StreamRecord(
        number=number,
        sender=fields["sender"],
        recipient=fields["recipient"],
        deposit=fields["deposit_amount"],
        rate=fields["rate_per_second"],
        start=fields["start_time"],
        cliff=fields["cliff_time"],
        end=fields["end_time"],
        withdrawn=fields["withdrawn_amount"],
        status=STATUSES[fields["status"]],
        cancelled_at=fields["cancelled_at"],
        modified=modified,
    )


def _number(key: scval.Value) -> int:
    match key:
        case scval.Value("vec", (scval.Value("symbol", "Stream"), scval.Value("u64", int() as number))):
            return number
    raise Undecodable("not a stream's key")


def _fields(value: scval.Value) -> dict[str, Any]:
    if value.type != "map":
        raise Undecodable("a record that is no map")
    given = {key.content: each for key, each in value.content}
    fields: dict[str, Any] = {}
    for name, wanted in _TYPES.items():
        each = given.get(name)
        if each is None or each.type != wanted:
            raise Undecodable(f"{name}: {wanted} expected")
        fields[name] = each.content
    if fields["status"] >= len(STATUSES):
        raise Undecodable(f"status: {fields['status']} is not known")
    cancelled = given.get("cancelled_at")
    fields["cancelled_at"] = cancelled.content if cancelled and cancelled.type == "u64" else None
    return fields
