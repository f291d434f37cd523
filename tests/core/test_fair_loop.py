"""Thousands of sockets are ready at once, and others have their turns, too."""

import asyncio
import select
import socket

import pytest

from app.server.fair_loop import fair_loop

MANY = 300


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="elsewhere the loop is the platform's own")
def test_a_few_sockets_are_served_in_a_turn_and_all_in_the_end():
    pairs = [socket.socketpair() for _ in range(MANY)]

    async def served() -> list[list[int]]:
        loop, turns, done = asyncio.get_running_loop(), [[]], asyncio.Event()

        def read(number: int) -> None:
            loop.remove_reader(pairs[number][0])
            turns[-1].append(number)
            if sum(map(len, turns)) == MANY:
                done.set()

        for number, (reader, writer) in enumerate(pairs):
            reader.setblocking(False)
            loop.add_reader(reader, read, number)
            writer.send(b"x")
        while not done.is_set():
            turns.append([])
            await asyncio.sleep(0)
        return turns

    with asyncio.Runner(loop_factory=fair_loop) as runner:
        turns = runner.run(served())
    assert max(len(turn) for turn in turns) <= 64
    assert sorted(number for turn in turns for number in turn) == list(range(MANY))
    for pair in pairs:
        for end in pair:
            end.close()


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="elsewhere the loop is the platform's own")
def test_those_who_are_always_ready_keep_nobody_waiting():
    pairs = [socket.socketpair() for _ in range(MANY)]

    async def turns_of_each() -> list[int]:
        loop, counts = asyncio.get_running_loop(), [0] * MANY

        def look(number: int) -> None:
            counts[number] += 1

        for number, (reader, writer) in enumerate(pairs):
            reader.setblocking(False)
            writer.send(b"x")  # nobody reads it
            loop.add_reader(reader, look, number)
        for _ in range(100):
            await asyncio.sleep(0)
        for reader, _ in pairs:
            loop.remove_reader(reader)
        return counts

    with asyncio.Runner(loop_factory=fair_loop) as runner:
        counts = runner.run(turns_of_each())
    assert min(counts) >= 15
    assert max(counts) <= min(counts) + 2
    for pair in pairs:
        for end in pair:
            end.close()
