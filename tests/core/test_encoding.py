"""One JSON for all ways: nobody may see a second line in it."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import messages
from app.core.encoding import encode

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x7f\x80\x85\x9f\u2028\u2029\n\r\x1c"))


@given(st.dictionaries(texts, texts | st.lists(texts)))
def test_it_is_one_line_to_every_client_and_says_the_same(value):
    data = encode(value)
    assert orjson.loads(data) == value
    assert len(data.decode().splitlines()) == 1
    assert len(data.splitlines()) == 1


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x7f"])
def test_separators_are_escaped(separator):
    data = encode({"a": f"x{separator}y"})
    assert data.isascii()
    assert separator.encode() not in data


def test_other_text_stays_as_it_is():
    assert encode({"é": "\U0001f4b8 é"}) == orjson.dumps({"é": "\U0001f4b8 é"})


def test_what_an_operator_says_is_one_line():
    assert len(messages.degraded("operator", "a\u2028b\x85c").data.decode().splitlines()) == 1
