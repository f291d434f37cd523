"""What can go wrong, in the product's own words; the web turns each into a problem document."""

from dataclasses import dataclass


class FluxoraError(Exception):
    """A failure that its caller is told about; `str()` is a sentence fit for them."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of the input, and why."""

    field: str
    message: str


class InvalidInput(FluxoraError):
    """The input breaks a rule that can be told from the input alone."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors


class NotFound(FluxoraError):
    """There is no such stream."""


class Conflict(FluxoraError):
    """The stream's present state does not allow the change. `field` is the one that asks for it."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Unauthorized(FluxoraError):
    """Whoever asks showed nothing that is good. `bad`: it showed something."""

    def __init__(self, message: str, *, bad: bool = True) -> None:
        super().__init__(message)
        self.bad = bad


class Forbidden(FluxoraError):
    """Whoever asks may not do this. `scope` is the right that is missing."""

    def __init__(self, message: str, *, scope: str | None = None) -> None:
        super().__init__(message)
        self.scope = scope


class TooManyRequests(FluxoraError):
    """Whoever asks does so too often; `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PreconditionFailed(FluxoraError):
    """The stream is at another version than the caller's `If-Match`."""


class IdempotencyMismatch(FluxoraError):
    """An `Idempotency-Key` was used again with another request."""


class WriteCollision(FluxoraError):
    """Two writers met in the database; the unit of work can be run again."""


class CursorExpired(FluxoraError):
    """A cursor cannot be served; `reason` is one of `epoch`, `future`, `pruned`, `malformed`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the cursor cannot be served: {reason}")
        self.reason = reason


class Unavailable(FluxoraError):
    """Something the service needs cannot be reached; the same request may succeed later."""

    def __init__(self, message: str, *, retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after
