"""Statements compiled once: compiling is a quarter of what a small transaction costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from databases.backends.common.records import create_column_maps
from sqlalchemy.sql import ClauseElement

_MOST: Final = 500
"""Statements that are kept: there are about fifty, and a few filters of each."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that was built once, with a caller's values: to build it costs as much as to run it."""

    statement: ClauseElement
    values: Mapping[str, Any]


class Compiled:
    """A statement as its database takes it, whatever its values."""

    def __init__(self, compiled: Any) -> None:
        """`compiled` is SQLAlchemy's."""
        self.compiled = compiled
        self.columns = compiled._result_columns
        self._processors = compiled._bind_processors
        names = compiled.positiontup
        if names is None:  # of PostgreSQL: $1, $2 in the names' order
            names = sorted(compiled.params)
            self.sql = compiled.string % {name: f"${number}" for number, name in enumerate(names, start=1)}
        else:
            self.sql = compiled.string
        self._names: Sequence[str] = names

    @cached_property
    def maps(self) -> Any:
        """Where the columns of a row are, for `databases`' records."""
        return create_column_maps(self.columns)

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """Return a caller's values in the order of the placeholders."""
        processors = self._processors
        if not processors:
            return [values[name] for name in self._names]
        return [processors[name](values[name]) if name in processors else values[name] for name in self._names]


class Statements:
    """Compiled statements by their shape, as SQLAlchemy's own engines keep them.

    `databases` compiles each anew, and writes its values out for a log that nobody reads.
    """

    def __init__(self, **options: Any) -> None:
        """Start with none. `options`: of SQLAlchemy's `compile`."""
        self._options = {**options, "compile_kwargs": {"render_postcompile": True}}
        self._compiled: dict[Any, Compiled] = {}
        self._prepared: dict[ClauseElement, Compiled] = {}

    def compiled(self, query: ClauseElement | Prepared) -> tuple[Compiled, list[Any]]:
        """Return a statement, and its arguments."""
        if isinstance(query, Prepared):
            ready = self._prepared.get(query.statement)
            if ready is None:
                ready = self._prepared[query.statement] = self._compile(query.statement)
            return ready, ready.arguments(ready.compiled.construct_params(query.values))
        key = query._generate_cache_key()
        # A list of values is as many placeholders as it has values: another text each time.
        if key is None or any(each.expanding for each in key.bindparams):
            once = self._compile(query)
            return once, once.arguments(once.compiled.construct_params())
        known = self._compiled.get(key.key)
        if known is None:
            if len(self._compiled) >= _MOST:
                self._compiled.clear()
            known = self._compiled[key.key] = self._compile(query, cache_key=key)
        return known, known.arguments(known.compiled.construct_params(extracted_parameters=key.bindparams))

    def _compile(self, query: ClauseElement, **more: Any) -> Compiled:
        return Compiled(query.compile(**self._options, **more))
