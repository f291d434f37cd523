"""The event loop, and how many sockets it serves in one turn."""

import asyncio
import selectors
from typing import Any, Final

_SOCKETS: Final = 64
"""Events of sockets in one turn of the loop: 11 ms of work where each is a client that takes 64 KiB. asyncio takes all
there are: when 4,000 clients had room again at once, others waited for 125 ms. What is ready and was not told is told
first the next time."""


class _FewAtOnce:
    """An epoll whose `poll` returns a few events, whatever it is asked for."""

    def __init__(self, epoll: Any) -> None:
        self._poll = epoll.poll
        self.register = epoll.register
        self.unregister = epoll.unregister
        self.modify = epoll.modify
        self.fileno = epoll.fileno
        self.close = epoll.close

    def poll(self, timeout: float, _: int) -> Any:
        return self._poll(timeout, _SOCKETS)


def fair_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop that is fair among its sockets; where there is no epoll, it is as ever."""
    if not hasattr(selectors, "EpollSelector"):
        return asyncio.SelectorEventLoop()
    selector: Any = selectors.EpollSelector()
    selector._selector = _FewAtOnce(selector._selector)
    return asyncio.SelectorEventLoop(selector)
