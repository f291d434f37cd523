"""What a route asks of whoever asks it. Each route has a policy; a test walks them all."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from quart import g, request

from app.core.access.acting import ACTING
from app.core.access.grant import Limit, Scope
from app.core.access.ports import Actor
from app.core.access.principal import Principal
from app.core.errors import Forbidden, Unauthorized
from app.web.services import Services, services

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Handler = Callable[Parameters, Awaitable[Result]]

PUBLIC: Final = "public"
POLICY: Final = "policy"


def public(handler: Handler[Parameters, Result]) -> Handler[Parameters, Result]:
    """Serve everybody: health, pages, descriptions."""
    setattr(handler, POLICY, PUBLIC)
    return handler


def marked(scope: Scope) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Note the policy of a route that sees to it by itself, as the feeds do."""

    def mark(handler: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        setattr(handler, POLICY, scope)
        return handler

    return mark


def reads(handler: Handler[Parameters, Result]) -> Handler[Parameters, Result]:
    """Serve who may read; `reach` tells the handler what. Goes outside of all parsing."""

    @wraps(handler)
    async def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        await _identify(services(), Scope.STREAMS_READ)
        return await handler(*args, **kwargs)

    setattr(guarded, POLICY, Scope.STREAMS_READ)
    return guarded


def requires(scope: Scope) -> Callable[[Handler[Parameters, Result]], Handler[Parameters, Result]]:
    """Serve who has a right; a write is recorded with who asked for it. Goes outside of all parsing."""

    def wrap(handler: Handler[Parameters, Result]) -> Handler[Parameters, Result]:
        @wraps(handler)
        async def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            principal = await _identify(services(), scope)
            ACTING.set(actor_of(principal))
            return await handler(*args, **kwargs)

        setattr(guarded, POLICY, scope)
        return guarded

    return wrap


def admitted(principal: Principal, scope: Scope, *, signed_in: bool) -> Principal:
    """Return a principal that may; raises Unauthorized, Forbidden.

    Where reading is open, everybody reads what nobody in particular may, and a limit narrows all the same.
    """
    if scope is Scope.STREAMS_READ and not signed_in:
        return principal.opened()
    if not principal.known:
        message = "this needs a key or a token: Authorization: Bearer <key>, or X-API-Key"
        raise Unauthorized(message, bad=False)
    if not principal.may(scope):
        message = f"this needs the scope {scope}"
        raise Forbidden(message, scope=scope)
    return principal


def reach() -> Limit | None:
    """Return the streams that whoever asks may read; None: all."""
    principal: Principal = g.principal
    return principal.limit


def actor_of(principal: Principal, **detail: Any) -> Actor:
    """Return who asks, for the record."""
    action = f"{request.method} {request.url_rule.rule if request.url_rule else request.path}"
    return Actor(principal.id, action, g.get("request_id"), g.get("address"), detail or None)


async def _identify(running: Services, scope: Scope) -> Principal:
    gate = running.gate
    principal = admitted(await gate.principal(request, g.address), scope, signed_in=gate.signed_in)
    running.rates.take(principal.id if principal.known else g.address)
    g.principal = principal
    g.key_id = principal.credential or principal.id if principal.known else None
    return principal
