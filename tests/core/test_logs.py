"""Logging never fails, never blocks, never tears; what is lost is counted and said."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import logs
from app.log_writer import LONGEST_LINE, LogWriter
from tests.support.server import until

PIPE_BYTES = 4096


def tell(count: int) -> str:
    return f"dropped {count}"


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield reader, writer
    for end in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(end)


def test_a_reader_that_hangs_holds_nobody_up_and_is_told_later_what_it_missed(pipe):
    reader, writer = pipe
    log = LogWriter(writer, tell, most_lines=50)
    for number in range(1000):
        log.put(f"{number} " + "x" * 500)
    assert log.dropped > 900
    kept = 1000 - log.dropped
    log.put("one more that is refused")
    got = b""
    while b"dropped" not in got:
        got += os.read(reader, 65536)
    log.put("after")
    while b"after" not in got:
        got += os.read(reader, 65536)
    lines = got.decode().splitlines()
    assert [int(line.split()[0]) for line in lines if "x" in line] == list(range(kept))
    assert sum(int(line.split()[1]) for line in lines if line.startswith("dropped")) == log.dropped
    assert lines[-1] == "after"
    log.close()


def test_what_fails_is_dropped_and_counted(pipe):
    reader, writer = pipe
    os.close(reader)
    log = LogWriter(writer, tell)
    for _ in range(10):
        log.put("nobody reads this")
    until(lambda: log.dropped == 10)
    log.close()
    assert log.dropped == 10


def test_a_full_disk_is_no_reason_to_stop():
    full = os.open("/dev/full", os.O_WRONLY)
    log = LogWriter(full, tell)
    log.put("line")
    until(lambda: log.dropped == 1)
    log.close()
    os.close(full)


def test_a_line_that_was_cut_by_a_full_disk_spoils_no_other(pipe, monkeypatch):
    reader, writer = pipe
    real, calls = os.write, []

    def write(descriptor: int, data: bytes) -> int:
        if descriptor != writer:
            return real(descriptor, data)
        calls.append(data)
        if len(calls) == 1:
            return real(descriptor, data[:3])
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    log = LogWriter(writer, tell)
    log.put("first")
    log.put("second")
    log.close()
    assert os.read(reader, 1000).decode().splitlines() == ["fir", "dropped 1", "second"]


def test_a_file_that_another_process_made_non_blocking_is_waited_for(pipe):
    reader, writer = pipe
    os.set_blocking(writer, False)
    log = LogWriter(writer, tell)
    for number in range(20):
        log.put(f"{number} " + "x" * 1000)
    got = b""
    while got.count(b"\n") < 20:
        got += os.read(reader, 65536)
    assert log.dropped == 0
    log.close()


def test_the_end_waits_for_nobody_for_long(pipe):
    _, writer = pipe
    log = LogWriter(writer, tell)
    for _ in range(20):
        log.put("x" * 1000)
    log.close(0.05)
    assert log._thread.is_alive()


values = st.one_of(
    st.text(st.characters(), max_size=9000), st.integers(), st.floats(), st.none(), st.booleans(), st.binary()
)


@given(st.dictionaries(st.text(st.characters(), max_size=50), values, max_size=30))
def test_every_line_is_json_of_at_most_what_a_pipe_takes_whole(document):
    line = logs._render(None, "info", {"event": "some", **document})
    assert len(line.encode()) + 1 <= LONGEST_LINE
    assert "\n" not in line
    assert isinstance(json.loads(line), dict)


def test_a_long_traceback_keeps_its_beginning_and_its_end():
    text = "Traceback " + "é" * 20_000 + " ValueError: the reason"
    document = {"event": "failed", "level": "error", "exception": text}
    shown = json.loads(logs._render(None, "error", document))
    assert shown["exception"].startswith("Traceback")
    assert shown["exception"].endswith("ValueError: the reason")
    assert (shown["event"], shown["level"]) == ("failed", "error")


def test_what_cannot_be_shown_is_logged_all_the_same():
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    shown = json.loads(logs._render(None, "info", {"event": "some", "path": "\ud800", "big": 2**70, "odd": Broken()}))
    assert (shown["event"], shown["path"], shown["big"]) == ("some", "\ud800", 2**70)


def test_what_python_itself_has_to_say_goes_to_the_log():
    program = """
import logging, threading, warnings
from app import logs
logs.configure("info", worker=1)
class Odd:
    def __del__(self): raise ValueError("in a finalizer")
Odd()
thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()
warnings.warn("careful")
logging.getLogger("any").error("bad %d", "format")
logs.show("for people\\nto read")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *lines, one, two = done.stdout.splitlines()
    shown = [json.loads(line) for line in lines]
    assert [line["event"] for line in shown][:2] == ["unraisable", "thread_failed"]
    assert "careful" in shown[2]["event"]
    assert shown[3]["event"] == "log_line_failed"
    assert {line["worker"] for line in shown[:3]} == {1}
    assert (one, two) == ("for people", "to read")
    assert done.stderr == ""
