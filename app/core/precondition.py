"""What a request says of the version it wants to change."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Precondition:
    """Versions that a stream must have (`any_of`; None: all will do), and those that it must not have."""

    any_of: frozenset[int] | None = None
    none_of: frozenset[int] = frozenset()
    never: bool = False
    """No version will do: `If-None-Match: *`, for a stream that exists."""

    def allows(self, version: int) -> bool:
        """Tell whether a stream at this version may be changed."""
        wanted = self.any_of is None or version in self.any_of
        return wanted and version not in self.none_of and not self.never
