"""Thousands are told something, and the loop has time for others meanwhile."""

import asyncio
import time
from functools import partial

from app.core.announcer import Announcer
from app.core.messages import ServiceMessage


class Told:
    def __init__(self, seconds: float = 0.0) -> None:
        self.heard: list[ServiceMessage] = []
        self._seconds = seconds

    def say(self, message: ServiceMessage) -> None:
        until = time.perf_counter() + self._seconds
        while time.perf_counter() < until:
            pass
        self.heard.append(message)


def message(name: str) -> ServiceMessage:
    return ServiceMessage("service.degraded", name.encode())


def say(told: ServiceMessage, listener: Told) -> None:
    listener.say(told)


async def test_everybody_hears_everything_in_order_and_others_get_turns():
    listeners = {Told(0.0001) for _ in range(500)}
    announcer = Announcer(listeners)
    turns = 0
    one, two = message("one"), message("two")
    announcer.tell(partial(say, one))
    announcer.tell(partial(say, two))
    while not all(len(each.heard) == 2 for each in listeners):
        turns += 1
        await asyncio.sleep(0)
    assert all(each.heard == [one, two] for each in listeners)
    assert turns > 10  # 1,000 words of 0.1 ms, at most 2 ms and 16 words at a time


class Broken(Told):
    failed = False

    def say(self, message: ServiceMessage) -> None:
        raise ValueError(message)

    def fail(self) -> None:
        self.failed = True


async def test_one_that_fails_ends_alone():
    broken, sound = Broken(), [Told() for _ in range(50)]
    announcer = Announcer([*sound[:25], broken, *sound[25:]])
    for name in ("one", "two"):
        announcer.tell(partial(say, message(name)))
    while not all(len(each.heard) == 2 for each in sound):
        await asyncio.sleep(0)
    assert broken.failed
    assert all(len(each.heard) == 2 for each in sound)


async def test_few_are_told_at_once_and_who_left_is_not():
    listeners = {Told() for _ in range(3)}
    Announcer(listeners).tell(partial(say, message("one")))
    assert all(len(each.heard) == 1 for each in listeners)
    many = {Told(0.0001) for _ in range(100)}
    announcer = Announcer(many)
    announcer.tell(partial(say, message("one")))
    left = {each for each in many if not each.heard}
    late = Told()
    many -= left
    many.add(late)
    announcer.tell(partial(say, message("two")))
    while not late.heard:
        await asyncio.sleep(0)
    assert left
    assert late.heard == [message("two")]
    assert not any(each.heard for each in left)
