import pytest

from app.chain.catalogue import SHAPES
from app.chain.event import UnknownTopic, fact_of, move_of
from app.chain.fields import types_of
from app.chain.scval import decode
from app.chain.xdr import Undecodable
from app.core.contract.notices import Notice, TokenMoved
from tests.support.chain import load

GOLDEN = load("golden_events")["events"]
REAL = load("snapshots_real")["shapes"]
OURS = [row for row in GOLDEN if row["family"] in {"stream", "legacy"}]
OTHERS = [row for row in GOLDEN if row["family"] in {"factory", "governance"}]
TOKENS = [row for row in GOLDEN if row["family"] == "token"]


def decoded(row):
    return [decode(text) for text in row["topic"]], decode(row["value"])


def plain(kind, value):
    """A field in the data's own JSON: what may exceed 2^53 as a string."""
    if value is None:
        return None
    if kind.rstrip("?") in {"u64", "i128"}:
        return str(value)
    return dict(value) if kind == "metadata?" else value


def shape_of(name):
    return SHAPES[name][0]


def test_all_golden_events_are_held_against_something():
    assert len(GOLDEN) == len(OURS) + len(OTHERS) + len(TOKENS) == 83
    assert {row["name"].split(":")[0] for row in OURS} == set(SHAPES)
    assert len(SHAPES) == 41


@pytest.mark.parametrize("row", OURS, ids=[f"{n}-{row['name']}" for n, row in enumerate(OURS)])
def test_a_golden_event_says_what_it_was_made_of(row):
    if row.get("as") == "created:i128":
        with pytest.raises(Undecodable, match="map expected, i128 found"):
            fact_of(*decoded(row))
        return
    fact = fact_of(*decoded(row))
    types = types_of(type(fact))
    got = {name: plain(kind, getattr(fact, name)) for name, kind in types.items()}
    data, topics = row["data"], list(row["topics"][1:])
    if isinstance(data, dict):
        renamed = getattr(shape_of(row["name"].split(":")[0]).data, "renamed", {})
        for name, value in data.items():
            ours = next((mine for mine, theirs in renamed.items() if theirs == name), name)
            assert got.pop(ours) == value, name
    elif isinstance(data, list):
        named = len(topics)
        assert [got.pop(name) for name in list(types)[named:]] == data
    elif data is not None and list(got.values()) != [str(data)]:
        assert str(data) in {str(value) for value in got.values()}
    if isinstance(fact, Notice):
        assert set(got.values()) <= set(topics)
    else:
        assert str(fact.stream_id) == (topics[1] if row["name"] == "renewed" else topics[0])


@pytest.mark.parametrize("row", OTHERS, ids=[f"{row['family']}-{row['name']}-{n}" for n, row in enumerate(OTHERS)])
def test_another_contract_s_event_is_never_taken_for_ours(row):
    with pytest.raises(Undecodable):
        fact_of(*decoded(row))


@pytest.mark.parametrize("row", TOKENS, ids=[row["name"] for row in TOKENS])
def test_a_token_s_event_says_what_left_whom(row):
    assert move_of(*decoded(row)) == TokenMoved(row["topics"][1], int(row["data"]))


@pytest.mark.parametrize("row", REAL, ids=[row["shape"] for row in REAL])
def test_a_real_event_is_understood(row):
    if row["shape"].startswith("token/"):
        assert row["shape"] not in {"token/transfer", "token/burn"} or move_of(*decoded(row)) is not None
    elif row["shape"] == "created:i128":
        with pytest.raises(Undecodable, match="map expected, i128 found"):
            fact_of(*decoded(row))
    else:
        fact_of(*decoded(row))


def test_an_unknown_topic_is_told_from_a_broken_event():
    with pytest.raises(UnknownTopic, match="unknown topic sparkle"):
        fact_of([decode("AAAADwAAAAdzcGFya2xlAA==")], decode("AAAAAQ=="))
