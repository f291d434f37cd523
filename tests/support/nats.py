"""A throwaway NATS server with JetStream, on loopback."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.support.postgres import free_port

PASSWORD = "very-secret-broker-password"


def find_nats() -> Path | None:
    found = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/bin")
    return Path(found) if found else None


class Nats:
    """Start with `start`; `kill` is a crash. What is kept in memory is gone afterwards."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.port = free_port()
        login = ["--user", "feed", "--pass", PASSWORD]
        listen = ["--addr", "127.0.0.1", "--port", str(self.port)]
        self.command = [str(program), *listen, *login, "--jetstream", "--store_dir", str(directory)]
        self.process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"nats://feed:{PASSWORD}@127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, "nats-server ended"
            time.sleep(0.02)
        raise AssertionError("nats-server did not start")

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def restart(self) -> None:
        self.kill()
        self.start()
