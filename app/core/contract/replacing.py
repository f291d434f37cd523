"""`dataclasses.replace` for what each event replaces: a stream has forty fields, and it looks at every one by name."""

from typing import TYPE_CHECKING, Any, Final, TypeVar

Made = TypeVar("Made")

SHOWN: Final = "shown"
"""The attribute in which a view of the object is kept; another object has another."""

if TYPE_CHECKING:
    from dataclasses import replace as replace  # noqa: PLC0414 - its types are checked as those of the slow one
else:

    def replace(one: Any, /, **changes: Any) -> Any:
        """Return a frozen dataclass with other values; it has no slots, and its `__init__` no more than its fields."""
        values = one.__dict__ | changes
        values.pop(SHOWN, None)
        return made(type(one), values)


def made(kind: type[Made], values: dict[str, Any]) -> Made:
    """Return such an object with a value for each of its fields: `__init__` would set one after the other.

    `values` becomes the object's own: to fill a dictionary of forty again takes twice as long.
    """
    one = object.__new__(kind)
    object.__setattr__(one, "__dict__", values)
    return one
