"""Statements compiled once: compiling is a quarter of what a small transaction costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.sql import ClauseElement

_MOST: Final = 500
"""Statements that are kept: there are about fifty, and a few filters of each."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that was built once, with a caller's values: to build it costs as much as to run it."""

    statement: ClauseElement
    values: Mapping[str, Any]


class Statements:
    """Compiled statements by their shape, as SQLAlchemy's own engines keep them; `databases` compiles each anew."""

    def __init__(self) -> None:
        """Start with none."""
        self._compiled: dict[Any, Any] = {}
        self._prepared: dict[ClauseElement, Any] = {}

    def compiled(self, query: ClauseElement | Prepared, **options: Any) -> Any:
        """Return a statement as SQL, with its values. `options` are always the same."""
        if isinstance(query, Prepared):
            ready = self._prepared.get(query.statement)
            if ready is None:
                ready = self._prepared[query.statement] = query.statement.compile(**options)
            return _Bound(ready, ready.construct_params(query.values))
        key = query._generate_cache_key()
        # A list of values is as many placeholders as it has values: another text each time.
        if key is None or any(each.expanding for each in key.bindparams):
            return query.compile(**options)
        known = self._compiled.get(key.key)
        if known is None:
            if len(self._compiled) >= _MOST:
                self._compiled.clear()
            known = self._compiled[key.key] = query.compile(cache_key=key, **options)
        return _Bound(known, known.construct_params(extracted_parameters=key.bindparams))


class Cached:
    """A query that compiles once, in the form in which `databases` asks for it."""

    def __init__(self, query: ClauseElement | Prepared, statements: Statements, **options: Any) -> None:
        """`options` are of the dialect, beside those that `databases` gives."""
        self._query = query
        self._statements = statements
        self._options = options

    def compile(self, **options: Any) -> Any:
        """Return the compiled statement with this query's values."""
        return self._statements.compiled(self._query, **self._options, **options)


class _Bound:
    """A compiled statement with other values than it was compiled with."""

    def __init__(self, compiled: Any, params: Any) -> None:
        self._compiled = compiled
        self.params = params

    def construct_params(self) -> Any:
        return self.params

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compiled, name)
