"""The decoder against the Stellar SDK: alike on all that it takes, and it never takes what the SDK refuses."""

from base64 import b64decode, b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import StrKey, scval, xdr

from app.chain.scval import MAX_DEPTH, MAX_TEXT, Value, decode
from app.chain.xdr import Undecodable
from tests.support.chain import load

KINDS = xdr.SCValType
ADDRESSES = (
    st.binary(min_size=32, max_size=32).map(StrKey.encode_ed25519_public_key)
    | st.binary(min_size=32, max_size=32).map(StrKey.encode_contract)
    | st.binary(min_size=40, max_size=40).map(StrKey.encode_med25519_public_key)
    | st.binary(min_size=32, max_size=32).map(lambda raw: StrKey.encode_claimable_balance(bytes(1) + raw))
    | st.binary(min_size=32, max_size=32).map(StrKey.encode_liquidity_pool)
)


def integers(bits, signed):
    low = -(1 << bits - 1) if signed else 0
    return st.integers(low, low + (1 << bits) - 1)


PLAIN = st.one_of(
    st.just(scval.to_void()),
    st.booleans().map(scval.to_bool),
    integers(32, False).map(scval.to_uint32),
    integers(32, True).map(scval.to_int32),
    integers(64, False).map(scval.to_uint64),
    integers(64, True).map(scval.to_int64),
    integers(64, False).map(scval.to_timepoint),
    integers(64, False).map(scval.to_duration),
    integers(128, False).map(scval.to_uint128),
    integers(128, True).map(scval.to_int128),
    integers(256, False).map(scval.to_uint256),
    integers(256, True).map(scval.to_int256),
    st.binary(max_size=70).map(scval.to_bytes),
    st.binary(max_size=70).map(scval.to_string),
    st.text("abcXYZ019_", max_size=32).map(scval.to_symbol),
    ADDRESSES.map(scval.to_address),
)


def maps(values):
    pairs = st.lists(st.tuples(values, values), max_size=4, unique_by=lambda pair: pair[0].to_xdr())
    return pairs.map(lambda found: xdr.SCVal(KINDS.SCV_MAP, map=xdr.SCMap([xdr.SCMapEntry(k, v) for k, v in found])))


VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4).map(scval.to_vec) | maps(inner), max_leaves=12)


READ = {
    KINDS.SCV_VOID: lambda _: None,
    KINDS.SCV_VEC: lambda value: tuple(of_sdk(each) for each in value.vec.sc_vec),
    KINDS.SCV_MAP: lambda value: tuple((of_sdk(entry.key), of_sdk(entry.val)) for entry in value.map.sc_map),
    KINDS.SCV_ADDRESS: lambda value: scval.from_address(value).address,
    KINDS.SCV_BYTES: scval.from_bytes,
    KINDS.SCV_STRING: lambda value: value.str.sc_string,
    KINDS.SCV_SYMBOL: lambda value: value.sym.sc_symbol.decode("ascii"),
}


def of_sdk(value):
    """The SDK's value as ours."""
    return Value(value.type.name.removeprefix("SCV_").lower(), READ.get(value.type, scval.to_native)(value))


def corpus():
    rows = load("golden_events")["events"] + load("snapshots_real")["shapes"]
    for name in ("lifecycle", "sparse", "dense", "poison"):
        rows = rows + load(f"script_{name}")["events"]
    return sorted({text for row in rows for text in (*row["topic"], row["value"])})


CORPUS = corpus()


def test_the_recorded_values_are_what_the_sdk_reads():
    assert len(CORPUS) > 900
    for text in CORPUS:
        assert decode(text) == of_sdk(xdr.SCVal.from_xdr(text)), text


@given(VALUES)
def test_any_value_is_what_the_sdk_reads(value):
    assert decode(value.to_xdr()) == of_sdk(value)


@st.composite
def mutated(draw):
    data = bytearray(b64decode(draw(st.sampled_from(CORPUS))))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["flip", "cut", "insert", "drop", "repeat"])):
            case "flip" if data:
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[place:]
            case "insert":
                data[place:place] = draw(st.binary(min_size=1, max_size=8))
            case "drop":
                del data[place : place + 4]
            case _:
                data += data[place : place + 16]
    return bytes(data)


@settings(max_examples=1500)
@given(mutated())
def test_it_never_takes_what_the_sdk_refuses_and_never_raises_anything_else(data):
    try:
        ours = decode(b64encode(data).decode())
    except Undecodable:
        return
    theirs = xdr.SCVal.from_xdr_bytes(data)
    assert theirs.to_xdr_bytes() == data
    assert ours == of_sdk(theirs)


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_any_bytes_are_a_value_or_undecodable(data):
    for text in (b64encode(data).decode(), data.decode("latin-1"), data.decode("utf-8", "replace")):
        try:
            decode(text)
        except Undecodable:
            continue


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "ends too early"),
        ("AAAA", "ends too early"),
        ("AAAAAQ==AAAA", "no base64"),
        ("AAAA AQ==", "no base64"),
        ("äAAAAQ==", "no base64"),
        ("AAAAAR==", "another form"),
        ("AAAAAQA=", "left over"),
        ("AAAAAQAAAAA=", "left over"),
        (b64encode(b"\0\0\0\0\0\0\0\2").decode(), "neither 0 nor 1"),
        (b64encode(b"\0\0\0\15\0\0\0\1a\0\0\1").decode(), "padding"),
        (b64encode(b"\0\0\0\17\0\0\0\1-\0\0\0").decode(), "symbol"),
        (b64encode(b"\0\0\0\17\0\0\0\41" + b"a" * 36).decode(), "longer than 32"),
        (b64encode(b"\0\0\0\20\0\0\0\0").decode(), "without its elements"),
        (b64encode(b"\0\0\0\20\0\0\0\1\377\377\377\377").decode(), "more elements"),
        (b64encode(b"\0\0\0\21\0\0\0\1\0\0\0\2" + b"\0\0\0\1" * 4).decode(), "one key twice"),
        (b64encode(b"\0\0\0\2\0\0\0\0\0\0\0\0").decode(), "type 2"),
        (b64encode(b"\0\0\0\22\0\0\0\0\0\0\0\1" + bytes(32)).decode(), "ed25519"),
        (b64encode(b"\0\0\0\22\0\0\0\7" + bytes(32)).decode(), "address of type 7"),
        ("A" * (MAX_TEXT + 4), "longer than"),
    ],
)
def test_a_reason(text, reason):
    with pytest.raises(Undecodable, match=reason):
        decode(text)


def nested(depth):
    return b64encode(b"\0\0\0\20\0\0\0\1\0\0\0\1" * depth + b"\0\0\0\1").decode()


def test_depth_is_bounded():
    assert decode(nested(MAX_DEPTH)).type == "vec"
    with pytest.raises(Undecodable, match="deeper"):
        decode(nested(MAX_DEPTH + 1))
    with pytest.raises(Undecodable):
        decode(nested(4000))


@pytest.mark.parametrize("text", ["AAAAAQ==\n", "\nAAAAAQ==", "AAAA\r\nAQ==", "AAAAAQ==\0"])
def test_a_line_end_is_refused(text):
    with pytest.raises(Undecodable):
        decode(text)
