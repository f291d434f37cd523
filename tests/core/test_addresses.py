"""StrKey, as in SEP-23."""

import base64
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.addresses import is_address

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
ACCOUNT = "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ"  # SEP-23's own example
CONTRACT = "CA3D5KRYM6CB7OWQ6TWYRR3Z4T7GNZLKERYNZGGA5SOAOPIFY6YQGAXE"  # likewise
addresses = st.builds(
    lambda kind, payload: encode(bytes([{"G": 6 << 3, "C": 2 << 3}[kind]]) + payload),
    st.sampled_from("GC"),
    st.binary(min_size=32, max_size=32),
)


def encode(body: bytes) -> str:
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode()


def test_the_examples_of_the_standard():
    assert is_address(ACCOUNT)
    assert is_address(CONTRACT)


@given(addresses)
def test_every_key_has_an_address(text):
    assert is_address(text)
    assert is_address(text, text[0])
    assert not is_address(text, "C" if text[0] == "G" else "G")


@given(addresses, st.integers(0, 55), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(text, at, character):
    mangled = text[:at] + character + text[at + 1 :]
    assert is_address(mangled) == (mangled == text)


@given(addresses, st.integers(0, 55), st.one_of(st.characters(), st.sampled_from("_+- 0189=\n\ud800")))
def test_no_other_character_passes(text, at, character):
    """What `int` would take beside digits, and what is no ASCII."""
    assert is_address(text[:at] + character + text[at + 1 :]) == (character == text[at])


@pytest.mark.parametrize("payload", [0, 3, 24, 27, 28, 30, 31])
def test_a_shorter_key_does_not_pass_by_its_padding(payload):
    text = encode(bytes([6 << 3]) + bytes(payload))
    assert not is_address(text)
    assert not is_address(text.ljust(56, "="))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "G",
        ACCOUNT.lower(),
        ACCOUNT[:-1],
        ACCOUNT + "A",
        " " + ACCOUNT[:-1],
        ACCOUNT[:-1] + "\n",
        "S" + ACCOUNT[1:],
        "Ǥ" + ACCOUNT[1:],
        ACCOUNT[:-1] + "é",
        "0" * 56,
        "G" + "1" * 55,
    ],
)
def test_what_is_no_address(text):
    assert not is_address(text)


@given(st.text(max_size=80) | st.text(ALPHABET + "=", min_size=56, max_size=56))
def test_no_text_breaks_it(text):
    assert is_address(text) in {True, False}
