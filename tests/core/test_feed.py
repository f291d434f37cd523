"""The end of all subscriptions at once."""

import asyncio

import pytest

from app.core.filter import EventFilter
from app.core.messages import Close
from tests.core.test_hub import process, publish, reading, seqs
from tests.support.memory import row
from tests.support.virtual import settle, virtual


@virtual
async def test_close_tells_everyone_after_what_they_have_coming():
    here = await process()
    with reading(here, EventFilter(), None) as live, reading(here, EventFilter(), None) as stalled:
        waiting = asyncio.create_task(live.next())
        await settle()
        publish(here, row(1))
        await here.feed.close()
        assert seqs(await waiting) == [1]
        assert seqs(await stalled.next()) == [1]
        for each in (live, stalled):
            close = await each.next()
            assert isinstance(close, Close)
            assert close.code == 1012
            assert str(close.retry) in close.reason


@virtual
async def test_close_spreads_the_reconnects_and_the_work():
    here = await process()
    contexts = [reading(here, EventFilter(), None) for _ in range(350)]
    subscriptions = [each.__enter__() for each in contexts]
    tasks = [asyncio.create_task(each.next()) for each in subscriptions]
    await settle()
    closing = asyncio.create_task(here.feed.close())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    done = sum(task.done() for task in tasks)
    assert done < len(tasks)
    await closing
    retries = [close.retry for close in await asyncio.gather(*tasks)]
    assert all(1000 <= retry <= 3000 for retry in retries)
    assert len(set(retries)) > 100
    for each in contexts:
        each.__exit__(None, None, None)


@virtual
async def test_clients_that_leave_while_it_closes_do_not_matter():
    here = await process()

    async def client() -> None:
        with reading(here, EventFilter(), None) as subscription:
            while not isinstance(await subscription.next(), Close):
                pass

    tasks = [asyncio.create_task(client()) for _ in range(250)]
    await settle()
    await here.feed.close()
    await asyncio.gather(*tasks)
    assert not here.hub.subscriptions
    assert not here.hub.audience


@virtual
async def test_a_subscription_that_ends_by_an_error_is_forgotten():
    here = await process()

    async def client() -> None:
        with reading(here, EventFilter(), None) as subscription:
            await subscription.next()
            raise ConnectionError

    task = asyncio.create_task(client())
    await settle()
    publish(here, row(1))
    with pytest.raises(ConnectionError):
        await task
    assert not here.hub.subscriptions
