"""What a WebSocket client says: its control messages, and the limits it must keep."""

from collections import deque
from collections.abc import Callable
from typing import Any

from app.core import messages
from app.core.access.grant import chosen_of
from app.core.errors import InvalidInput
from app.core.filter import any_of, filters_of
from app.core.messages import Close
from app.core.subscription import Subscription
from app.web.feed.close_codes import MESSAGE_TOO_BIG, POLICY_VIOLATION, UNSUPPORTED_DATA
from app.web.feed.control_messages import parse_auth, parse_control, parse_subscribe
from app.web.services import WebSettings

Renew = Callable[[str | None, str | None], None]
"""Takes a token or a ticket."""


class Control:
    """Takes a client's messages, and says when there were too many, or one that may not be."""

    __slots__ = ("_filters", "_recent", "_renew", "_settings", "_subscription")

    def __init__(self, subscription: Subscription, settings: WebSettings, renew: Renew) -> None:
        """Act on this subscription; `renew` is handed a token or a ticket."""
        self._renew = renew
        self._subscription = subscription
        self._settings = settings
        # What it chooses by now; `add` adds to it. A client that waits for its first `subscribe` has chosen nothing.
        self._filters = () if subscription.paused else filters_of(chosen_of(subscription.wanted))
        self._recent: deque[float] = deque(maxlen=settings.message_rate_limit)

    def take(self, message: Any, now: float) -> Close | None:
        """Act on a message that came at `now`, in seconds; return how to close if it breaks a limit."""
        settings, recent = self._settings, self._recent
        crowded = len(recent) == recent.maxlen and now - recent[0] < settings.message_rate_window
        recent.append(now)
        if not isinstance(message, str):  # Quart gives an empty binary message as None
            return Close(UNSUPPORTED_DATA, "binary messages are not accepted")
        if len(message.encode()) > settings.max_message_bytes:
            return self.too_big()
        if crowded:
            return Close(POLICY_VIOLATION, "too many messages")
        self._act(message)
        return None

    def too_big(self) -> Close:
        """Return how to close after a message over the limit."""
        return Close(MESSAGE_TOO_BIG, f"message over {self._settings.max_message_bytes} bytes")

    def _act(self, text: str) -> None:
        subscription = self._subscription
        try:
            message = parse_control(text)
            kind = message["type"]
            if kind == "subscribe":
                subscribe = parse_subscribe(message, self._filters)
                self._filters = subscribe.filters
                subscription.subscribe(any_of(subscribe.filters), subscribe.cursor)
            elif kind == "unsubscribe":
                self._filters = ()
                subscription.unsubscribe()
            elif kind == "auth":
                self._renew(*parse_auth(message))
            elif kind == "ping":
                subscription.pong()
            else:
                subscription.say(messages.error("unknown-type", "type: must be subscribe, unsubscribe, auth or ping"))
        except InvalidInput as error:
            subscription.say(messages.error("invalid-message", str(error)))
