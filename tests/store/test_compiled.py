"""A statement that was compiled before is the one that would be compiled now, with its own values."""

import re

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import bindparam, insert, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from app.store.compiled import Prepared, Statements
from app.store.tables import stream_events, streams

TEXTS = st.text("abc", max_size=3)
STATEMENTS = {
    "one": lambda a, _b, _c: select(streams).where(streams.c.id == a),
    "two": lambda a, b, _c: select(streams.c.id).where(or_(streams.c.sender == a, streams.c.recipient == b)),
    "list": lambda a, b, c: select(streams).where(streams.c.id.in_([a, b][: c % 3])),
    "limit": lambda a, _b, c: select(stream_events).where(stream_events.c.id > c, stream_events.c.sender == a).limit(c),
    "insert": lambda a, b, _c: insert(streams).values(id=a, sender=b),
    "update": lambda a, b, c: update(streams).where(streams.c.id == a).values(sender=b, version=c),
    "fewer": lambda a, _b, c: update(streams).where(streams.c.id == a).values(version=c),
    "text": lambda a, _b, _c: text("SELECT :a").bindparams(a=a),
    "lock": lambda a, _b, _c: select(streams).where(streams.c.id == a).with_for_update(),
}
CALLS = st.lists(st.tuples(st.sampled_from(sorted(STATEMENTS)), TEXTS, TEXTS, st.integers(0, 9)), max_size=12)


@given(CALLS, st.sampled_from([sqlite.dialect(), postgresql.dialect(paramstyle="pyformat")]))
def test_a_statement_from_memory_is_the_statement(calls, dialect):
    statements = Statements(dialect=dialect)
    for name, *values in calls:
        got, arguments = statements.compiled(STATEMENTS[name](*values))
        wanted, wanted_arguments = Statements(dialect=dialect).compiled(STATEMENTS[name](*values))
        assert got.sql == wanted.sql
        assert arguments == wanted_arguments


@given(TEXTS, TEXTS, st.integers(0, 9))
def test_as_the_databases_take_them(a, b, c):
    query = update(streams).where(streams.c.id == a).values(sender=b, version=c)
    on_sqlite, questions = Statements(dialect=sqlite.dialect()).compiled(query)
    assert (on_sqlite.sql.count("?"), questions) == (3, [b, c, a])
    on_postgresql, numbered = Statements(dialect=postgresql.dialect(paramstyle="pyformat")).compiled(query)
    for value, column in ((a, "id"), (b, "sender"), (c, "version")):
        number = re.split(rf"\b{column} ?= ?\$", on_postgresql.sql)[1][0]
        assert numbered[int(number) - 1] == value


@given(TEXTS, TEXTS)
def test_a_statement_that_was_built_once_has_each_caller_s_values(one, other):
    built = select(streams).where(streams.c.id == bindparam("given"))
    statements = Statements(dialect=sqlite.dialect())
    assert [statements.compiled(Prepared(built, {"given": each}))[1] for each in (one, other)] == [[one], [other]]
