"""Events on their way to everybody who wants the same of the log."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from app.core.event import Event
from app.core.filter import UNFILTERED, Wanted
from app.core.outlet import Form

BATCH_BYTES: Final = 128 * 1024
"""Events that are written to a socket at once are at most this, or one event. A fifth more than with 64 KiB go out in
bursts; 192 KiB would be 5 % better still, and a client that stops reading may cost as much beside its socket."""

_CACHED_PAGES: Final = 64


class Batch:
    """What is wanted of the events after `start`, up to `end`; perhaps nothing. Its bytes are made once a form."""

    __slots__ = ("_bytes", "end", "events", "start")

    def __init__(self, events: Sequence[Event], start: int, end: int) -> None:
        """`start` and `end` are sequence numbers; `events` lie between them, in order."""
        self.events = events
        self.start = start
        self.end = end
        self._bytes: dict[str, bytes] = {}

    def bytes_for(self, form: Form) -> bytes:
        """Return the events as one kind of connection has them."""
        made = self._bytes.get(form.name)
        if made is None:
            made = self._bytes[form.name] = form.join(self.events)
        return made


class Pages:
    """The pages that were read last: after a restart thousands of clients with one filter read the same ones."""

    def __init__(self) -> None:
        """Start empty."""
        self._unfiltered: OrderedDict[tuple[int, int, Wanted], Batch] = OrderedDict()
        # Apart, for thousands of filters would drive out the pages that most clients read.
        self._filtered: OrderedDict[tuple[int, int, Wanted], Batch] = OrderedDict()

    def shared(self, page: Batch, wanted: Wanted) -> Batch:
        """Return the page of the same events, chosen by the same filter, that was here first.

        Its `end` may be another one: nothing is wanted between the last event and either.
        """
        if not page.events:
            return page
        pages = self._unfiltered if wanted == UNFILTERED else self._filtered
        known = pages.setdefault((page.events[0].seq, page.events[-1].seq, wanted), page)
        if len(pages) > _CACHED_PAGES:
            pages.popitem(last=False)
        return known

    def clear(self) -> None:
        """Forget a history."""
        self._unfiltered.clear()
        self._filtered.clear()


def first_bytes(events: Sequence[Event], limit: int) -> Sequence[Event]:
    """Return the first events, at most `limit` bytes of JSON, but at least one."""
    size = 0
    for index, event in enumerate(events):
        size += len(event.data)
        if size > limit and index:
            return events[:index]
    return events
