"""`dataclasses.replace` for what each event replaces: a stream has forty fields, and it looks at every one by name."""

from typing import TYPE_CHECKING, Any, Final

SHOWN: Final = "shown"
"""The attribute in which a view of the object is kept; another object has another."""

if TYPE_CHECKING:
    from dataclasses import replace as replace  # noqa: PLC0414 - its types are checked as those of the slow one
else:

    def replace(one: Any, /, **changes: Any) -> Any:
        """Return a frozen dataclass with other values; it has no slots, and its `__init__` no more than its fields."""
        other = object.__new__(type(one))
        other.__dict__.update(one.__dict__, **changes)
        other.__dict__.pop(SHOWN, None)
        return other
