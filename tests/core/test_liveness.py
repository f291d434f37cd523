"""Who is gone and who is slow, told from what is known of the connections at given times."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from app.web.feed.liveness import Liveness
from tests.support.virtual import VirtualLoop, settle, virtual

HEARTBEAT, DEADLINE = 30.0, 20.0


class FakeConnection:
    def __init__(self) -> None:
        self.last_read = 0.0
        self.written = 0
        self.buffered = 0
        self.aborted = 0

    @property
    def outstanding(self) -> int:
        return self.buffered

    def abort(self) -> None:
        self.aborted += 1


class FakePinger:
    def __init__(self) -> None:
        self.pings = 0

    def ping(self) -> None:
        self.pings += 1


def liveness() -> Liveness:
    return Liveness(heartbeat=HEARTBEAT, write_timeout=DEADLINE, keepalive=15.0)


@virtual
async def test_who_answers_lives():
    wheel, connection, pinger = liveness(), FakeConnection(), FakePinger()
    watched = wheel.watch(connection, pinger)
    for moment in range(1, 301):
        wheel.check(watched, float(moment))
        await settle()
        if moment % 30 == 2:
            connection.last_read = float(moment)
    assert pinger.pings == 10
    assert (watched.verdict, connection.aborted, wheel.terminated) == (None, 0, 0)


@virtual
async def test_who_does_not_answer_a_ping_by_the_next_has_vanished():
    wheel, connection, pinger = liveness(), FakeConnection(), FakePinger()
    watched = wheel.watch(connection, pinger)
    connection.last_read = 29.0
    for moment in (29.0, 30.0, 31.0, 59.0):
        wheel.check(watched, moment)
        await settle()
    assert (pinger.pings, watched.verdict) == (1, None)
    wheel.check(watched, 60.0)
    wheel.check(watched, 61.0)
    assert (watched.verdict, connection.aborted, wheel.terminated, pinger.pings) == ("vanished", 1, 1, 1)


@virtual
async def test_any_byte_is_an_answer_even_at_the_moment_of_the_ping():
    wheel, connection, pinger = liveness(), FakeConnection(), FakePinger()
    watched = wheel.watch(connection, pinger)
    wheel.check(watched, 30.0)
    connection.last_read = 30.0
    wheel.check(watched, 60.0)
    assert watched.verdict is None


@virtual
async def test_who_takes_nothing_is_slow():
    wheel, connection = liveness(), FakeConnection()
    watched = wheel.watch(connection, None)
    wheel.check(watched, 100.0)
    connection.written = connection.buffered = 1000
    wheel.check(watched, 119.0)
    assert watched.verdict is None
    wheel.check(watched, 120.0)
    assert (watched.verdict, connection.aborted) == ("slow", 1)


@virtual
async def test_who_takes_a_byte_now_and_then_is_not():
    wheel, connection, pinger = liveness(), FakeConnection(), FakePinger()
    watched = wheel.watch(connection, pinger)
    connection.written = 10_000
    for moment in range(0, 600, 19):
        connection.buffered = 10_000 - moment
        wheel.check(watched, float(moment))
    assert watched.verdict is None
    assert pinger.pings == 0


@virtual
async def test_who_took_something_a_second_ago_is_not_slow():
    wheel, connection = Liveness(heartbeat=HEARTBEAT, write_timeout=22.0, keepalive=15.0), FakeConnection()
    watched = wheel.watch(connection, None)
    connection.written = connection.buffered = 100
    for moment in range(1, 23):
        connection.buffered -= moment == 21
        wheel.check(watched, float(moment))
    assert watched.verdict is None


@virtual
async def test_more_to_write_is_not_progress():
    wheel, connection = liveness(), FakeConnection()
    watched = wheel.watch(connection, None)
    for moment in range(1, 30):
        connection.written += 500
        connection.buffered += 500
        wheel.check(watched, float(moment))
    assert watched.verdict == "slow"


@virtual
async def test_sse_is_not_pinged():
    wheel, connection = liveness(), FakeConnection()
    watched = wheel.watch(connection, None)
    wheel.check(watched, 10_000.0)
    assert watched.verdict is None


@virtual
async def test_a_check_that_fails_ends_its_connection_and_the_wheel_turns_on():
    wheel, pinger = liveness(), FakePinger()
    broken, whole = FakeConnection(), FakeConnection()

    def fails(now: float) -> None:
        raise RuntimeError("broken")

    failing = wheel.watch(broken, None)
    failing.beat = fails
    wheel.watch(whole, pinger)
    running = asyncio.create_task(wheel.run())
    await asyncio.sleep(HEARTBEAT + 2)
    assert (failing.verdict, broken.aborted > 0, whole.aborted, pinger.pings) == ("internal error", True, 0, 1)
    assert not running.done()
    running.cancel()


@virtual
async def test_who_is_forgotten_is_left_alone():
    wheel, connection = liveness(), FakeConnection()
    wheel.forget(wheel.watch(connection, None))
    connection.written = connection.buffered = 1
    turning = asyncio.create_task(wheel.run())
    await asyncio.sleep(100)
    turning.cancel()
    assert not connection.aborted


@virtual
async def test_the_wheel_beats_for_who_wants_it_and_stops_for_who_is_ended():
    wheel, connection, beats = liveness(), FakeConnection(), []
    watched = wheel.watch(connection, None)
    watched.beat = beats.append
    wheel.check(watched, 1.0)
    connection.written = connection.buffered = 1
    wheel.check(watched, 30.0)
    assert (beats, watched.verdict) == ([1.0], "slow")


@virtual
async def test_one_verdict_is_the_first():
    wheel, connection = liveness(), FakeConnection()
    watched = wheel.watch(connection, None)
    watched.end("policy")
    connection.written = connection.buffered = 1
    wheel.check(watched, 1000.0)
    assert (watched.verdict, wheel.terminated) == ("policy", 0)


@virtual
async def test_the_wheel_turns():
    wheel, connection, pinger = liveness(), FakeConnection(), FakePinger()
    running = asyncio.create_task(wheel.run())
    watched = wheel.watch(connection, pinger)
    await asyncio.sleep(HEARTBEAT + 2)
    assert pinger.pings == 1
    await asyncio.sleep(HEARTBEAT)
    assert watched.verdict == "vanished"
    assert not running.done()
    running.cancel()


@given(
    st.lists(st.tuples(st.floats(0.1, 2), st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=80),
    st.booleans(),
)
def test_nobody_is_ended_before_the_deadline(steps, pinged):
    """Whatever the connection does: who was heard and took all within the last deadline is not ended."""

    async def run() -> None:
        wheel, connection = liveness(), FakeConnection()
        pinger = FakePinger() if pinged else None
        watched = wheel.watch(connection, pinger)
        now = progress = 0.0
        for seconds, wrote, took, heard in steps:
            now += seconds
            connection.written += wrote
            connection.buffered += wrote
            took = min(took, connection.buffered)  # noqa: PLW2901
            connection.buffered -= took
            if took or not connection.buffered:
                progress = now
            if heard:
                connection.last_read = now
            wheel.check(watched, now)
            await asyncio.sleep(0)
            if watched.verdict == "slow":
                assert now - progress >= DEADLINE
            elif watched.verdict == "vanished":
                assert now - connection.last_read >= HEARTBEAT
            else:
                continue
            break

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
