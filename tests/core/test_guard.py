"""Places among the open connections: counted, capped, and always given back."""

import asyncio
import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quart import Quart
from werkzeug.datastructures import Headers

from app.web.access.keyring import Keyring
from app.web.access.secrets import digest_of
from app.web.admission import Admission, Guard, Refused
from tests.support.virtual import virtual


def guard(**settings) -> Guard:
    return Guard(**{"max_connections": 4, "max_per_address": 2, "proxy_hops": 0, **settings})


def address_of(here: Guard, peer: str | None, *forwarded: str) -> str:
    return here.addresses.of(Headers([("X-Forwarded-For", line) for line in forwarded]), peer)


def refusal(here: Guard, address: str) -> int:
    with pytest.raises(Refused) as caught:
        here.admit("websocket", address)
    assert int(caught.value.response.headers["Retry-After"]) > 0
    return caught.value.response.status_code


def test_a_place_is_given_back_once():
    here = guard()
    first, second = Admission(here, "sse", "a"), Admission(here, "sse", "a")
    first.release()
    first.release()
    assert (here.by_transport["sse"], here.by_address["a"]) == (1, 1)
    second.release()
    assert not here.by_transport
    assert not here.by_address


def test_a_place_that_nobody_holds_is_given_back():
    here = guard()
    admission = Admission(here, "sse", "a")
    assert here.by_transport.total() == 1
    del admission
    gc.collect()
    assert not here.by_transport
    assert not here.by_address


@given(st.lists(st.tuples(st.sampled_from(["sse", "websocket"]), st.sampled_from("abc"), st.integers(0, 9))))
def test_the_counts_are_those_of_the_held_places(steps):
    here, held = guard(), []
    for transport, address, leaving in steps:
        held.append((transport, address, Admission(here, transport, address)))
        if leaving < len(held):
            held.pop(leaving)[2].release()
        assert here.by_transport.total() == here.by_address.total() == len(held)
        assert set(here.by_address) == {each for _, each, _ in held}
    for _, _, admission in held:
        admission.release()
    assert not here.by_transport
    assert not here.by_address


@virtual
async def test_caps_and_draining_refuse_with_a_time_to_come_back():
    here = guard()
    async with Quart(__name__).app_context():
        held = [here.admit("sse", each) for each in "aab"]
        assert refusal(here, "a") == 429
        held.append(here.admit("websocket", "c"))
        assert refusal(here, "d") == 503
        for each in held:
            each.release()
        with pytest.raises(Refused) as caught:
            here.refuse_all()
        assert (caught.value.response.status_code, caught.value.response.headers["Retry-After"]) == (503, "5")
        assert here.refused == 3
        assert not here.by_transport


def test_the_address_is_the_one_the_outermost_trusted_proxy_saw():
    assert address_of(guard(), "peer", "forged") == "peer"
    assert address_of(guard(), None) == "local"
    one, two = guard(proxy_hops=1), guard(proxy_hops=2)
    assert address_of(one, "proxy", "forged, real") == "real"
    assert address_of(one, "proxy", "forged", "real") == "real"
    assert address_of(two, "proxy", "forged, real, inner") == "real"
    assert address_of(two, "proxy", "one") == "proxy"
    assert address_of(one, "proxy") == "proxy"


@given(st.text(min_size=1), st.text(min_size=1))
def test_only_a_known_key_is_known(known, other):
    keys = Keyring(frozenset({digest_of(known)}), NoKeys())
    assert asyncio.run(keys.principal(known)).credential == digest_of(known)
    assert (asyncio.run(keys.principal(other)) is None) == (known != other)


class NoKeys:
    async def keys(self):
        return []
