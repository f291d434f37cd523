"""A PgBouncer in transaction mode, in front of a throwaway cluster."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.support.postgres import Cluster, free_port


def find_pgbouncer() -> str | None:
    """The program, which Debian keeps out of a user's path."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class PgBouncer:
    """Start with `start`, end with `stop`. Two sessions serve everybody, so that each transaction may get any."""

    def __init__(
        self,
        program: str,
        cluster: Cluster,
        *,
        sessions: int = 2,
        users: dict[str, str] | None = None,
        socket: bool = False,
    ) -> None:
        self.port = free_port()
        self.program = program
        self.user = cluster.user
        self.home = Path(cluster.home) / f"pgbouncer-{self.port}"
        self.home.mkdir()
        lines = [f'"{name}" "{password}"\n' for name, password in (users or {"postgres": ""}).items()]
        (self.home / "users.txt").write_text("".join(lines))
        (self.home / "pgbouncer.ini").write_text(
            f"""[databases]
* = host=127.0.0.1 port={cluster.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir = {self.home if socket else ""}
auth_type = {"scram-sha-256" if users else "trust"}
auth_file = {self.home}/users.txt
pool_mode = transaction
default_pool_size = 2
server_round_robin = 1
"""
        )
        if self.user:
            for path in (self.home, *self.home.iterdir()):
                shutil.chown(path, self.user)

    def start(self) -> "PgBouncer":
        self.process = subprocess.Popen(
            [self.program, str(self.home / "pgbouncer.ini")],
            user=self.user,
            cwd="/tmp",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self.process.poll() is None, "pgbouncer ended"
                time.sleep(0.02)
            else:
                return self
        raise AssertionError("pgbouncer did not start")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
