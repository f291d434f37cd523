"""A statement that was compiled before is the one that would be compiled now, with its own values."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from app.store.compiled import Statements
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
    statements = Statements()
    options = {"dialect": dialect, "compile_kwargs": {"render_postcompile": True}}
    for name, *values in calls:
        got = statements.compiled(STATEMENTS[name](*values), **options)
        wanted = STATEMENTS[name](*values).compile(**options)
        assert got.string == wanted.string
        assert got.construct_params() == wanted.construct_params()
        assert got.params == wanted.params
