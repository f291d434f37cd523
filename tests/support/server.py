"""The real service, in a process of its own, on a free port of loopback."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.postgres import free_port
from tests.support.warm import Process
from tests.support.whole_run import AT_END, MARK, ROOT

KEY = "test-key-0123456789abcdef"


def run_app(*arguments: str, cwd: Path, python: str = sys.executable, **settings: Any) -> subprocess.CompletedProcess:
    """Run `python -m app` to its end."""
    with Process(
        [python, "-m", "app", *arguments],
        cwd=cwd,
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        output, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def environment(settings: dict[str, object]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", MARK) if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), **{name.upper(): str(value) for name, value in settings.items()}}


MIGRATED: set[str] = set()
"""Databases that are copies of one that was migrated once."""


def prepare(cwd: Path, settings: dict[str, Any]) -> None:
    """Make the schema; a new SQLite file is a copy, with an epoch of its own, of one that was migrated once."""
    if settings.get("database_url") in MIGRATED:
        return
    path = Path(str(settings.get("database_url", "")).removeprefix("sqlite:///"))
    if path.is_absolute() and not path.exists():
        shutil.copy(migrated_file(), path)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE log_state SET token = ?", [secrets.token_hex(8)])
        return
    done = run_app("migrate", cwd=cwd, **settings)
    assert done.returncode == 0, done.stderr


@cache
def migrated_file() -> Path:
    home = Path(tempfile.mkdtemp(prefix="fluxora-sqlite-"))
    AT_END.callback(shutil.rmtree, home)
    done = run_app("migrate", cwd=home, database_url=f"sqlite:///{home}/x.db")
    assert done.returncode == 0, done.stderr
    return home / "x.db"


class Server:
    """A running service. Settings are keyword arguments, named as in app.settings."""

    def __init__(self, cwd: Path, *, python: str = sys.executable, migrate: bool = True, **settings: Any) -> None:
        self.cwd = cwd
        self.python = python
        self.settings: dict[str, Any] = {
            "port": 0,
            "api_keys": KEY,
            "max_connections_per_address": 10_000,
            "max_connections_per_principal": 10_000,
            "allowed_hosts": "*",
            **settings,
        }
        self.lines: list[dict] = []
        self.process: subprocess.Popen | None = None
        if migrate:
            prepare(cwd, self.settings)

    @property
    def command(self) -> list[str]:
        return [self.python, "-m", "app"]

    def spawn(self) -> subprocess.Popen:
        """Start it and look no further."""
        return Process(
            self.command,
            cwd=self.cwd,
            env=environment(self.settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start(self) -> "Server":
        self.process = self.spawn()
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        assert self._listening.wait(30), f"the service did not start: {self.lines}"
        # The same port after a restart, so that clients find it again.
        self.settings["port"] = self.port
        return self

    def _read(self, process: subprocess.Popen) -> None:
        for line in process.stdout or ():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": line.rstrip()}
            self.lines.append(entry)
            if entry["event"] == "listening":
                self.port = int(entry["port"])
                self._listening.set()
        self._listening.set()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/streams"

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def logged(self, event: str) -> list[dict]:
        return [line for line in self.lines if line["event"] == event]

    def memory(self) -> int:
        """Resident memory in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def terminate(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 35) -> int:
        assert self.process
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    def stop(self) -> int:
        """SIGTERM, then the exit code."""
        self.terminate()
        return self.wait()

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def restart(self) -> "Server":
        assert self.stop() == 0
        return self.start()


def until(condition, seconds: float = 10, pause: float = 0.01):
    """Wait for a condition in a thread that may block; returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(pause)
    return value


class QuietServer(Server):
    """One whose log nobody reads: a reader that is slow would hold it up."""

    def start(self) -> "QuietServer":
        self.port = self.settings["port"] = int(self.settings["port"]) or free_port()
        self.process = Process(
            self.command,
            cwd=self.cwd,
            env=environment(self.settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers, 30)
        return self

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def wait(self, seconds: float = 35) -> int:
        assert self.process
        return self.process.wait(seconds)


class PlainServer(QuietServer):
    """The same app under Hypercorn's own command: a server that knows nothing of us, so plain ASGI `send`."""

    @property
    def command(self) -> list[str]:
        # No worker process: one would outlive this one when it is killed.
        return [
            self.python,
            "-m",
            "hypercorn",
            "--workers",
            "0",
            "-b",
            f"127.0.0.1:{self.port}",
            "app.bootstrap:create_app()",
        ]

    def stop(self) -> int:
        """Hypercorn's own shutdown waits for nobody of ours."""
        self.kill()
        return 0
