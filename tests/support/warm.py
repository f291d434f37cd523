"""Starts the service without the second that its imports take: a process that has them forks at each wish.

What is started is what `python -m app` starts, from its first line on, with an environment, a directory and output of
its own, and it is the caller's own child. Other Pythons, and what is not the service, start as ever.
"""

import array
import ctypes
import inspect
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
from functools import cache
from importlib import import_module
from typing import Any

from tests.support.whole_run import AT_END

SERVICE = [sys.executable, "-m", "app"]
PR_SET_CHILD_SUBREAPER = 36
STREAMS = 3
IMPORTED = (
    "app.serving",
    "app.store.migrations",
    "app.broker_wiring",
    "app.commands.chain",
    "app.commands.feed",
    "app.commands.keys",
)
PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
ONE_AT_A_TIME = threading.Lock()


class Process(subprocess.Popen):
    """A Popen that is forked when it is the service, and is like any other in all else."""

    def _execute_child(self, *arguments: Any) -> None:
        start = getattr(super(), "_execute_child")  # noqa: B009 - the standard library's types do not show it
        asked = inspect.signature(start).bind(*arguments).arguments
        if asked["args"][: len(SERVICE)] != SERVICE or not sys.platform.startswith("linux"):
            start(*arguments)
            return
        given = (asked["p2cread"], asked["c2pwrite"], asked["errwrite"])
        streams = [own if own >= 0 else usual for usual, own in enumerate(given)]
        wish = {"arguments": asked["args"][len(SERVICE) :], "cwd": str(asked["cwd"]), "env": asked["env"]}
        self.pid = forked(wish, streams)
        self._child_created = True
        getattr(self, "_close_pipe_fds")(*[asked[name] for name in PIPES])  # noqa: B009


def forked(wish: dict[str, Any], streams: list[int]) -> int:
    """The process id of a new child of ours."""
    with ONE_AT_A_TIME:
        nursery = started()
        adopt_orphans(wanted=True)
        try:
            socket.send_fds(nursery, [json.dumps(wish).encode()], streams)
            return array.array("i", nursery.recv(4))[0]
        finally:
            adopt_orphans(wanted=False)


@cache
def started() -> socket.socket:
    """The process with the imports, once for all tests; it ends when its line is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.support.warm", str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait(5)

    AT_END.callback(end)
    return ours


def adopt_orphans(*, wanted: bool) -> None:
    """While it is so, a process whose parent ends becomes our child: its exit code is ours to read."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def serve(wishes: socket.socket) -> dict[str, Any] | None:
    """Fork at each wish; returns in each child, and at the end of all."""
    while True:
        message, streams, _, _ = socket.recv_fds(wishes, 1 << 20, STREAMS)
        if not message:
            return None
        born = orphan()
        if not born:
            for usual, own in enumerate(streams):
                os.dup2(own, usual)
            wishes.detach()
            os.closerange(STREAMS, 1024)
            return json.loads(message)
        for stream in streams:
            os.close(stream)
        wishes.send(array.array("i", [born]).tobytes())


def orphan() -> int:
    """Fork so that the new process is the asker's and not ours: its parent has ended when this returns its id."""
    reading, writing = os.pipe()
    between = os.fork()
    if not between:
        child = os.fork()
        if not child:
            return 0
        os.write(writing, array.array("i", [child]).tobytes())
        os._exit(0)
    os.waitpid(between, 0)
    os.close(writing)
    born = array.array("i", os.read(reading, 4))[0]
    os.close(reading)
    return born


def become(wish: dict[str, Any]) -> None:
    os.chdir(wish["cwd"])
    os.environ.clear()
    os.environ.update(wish["env"])
    sys.argv = ["app", *wish["arguments"]]
    runpy.run_module("app", run_name="__main__", alter_sys=True)


def main() -> None:
    for module in IMPORTED:
        import_module(module)
    wish = serve(socket.socket(fileno=int(sys.argv[1])))
    if wish:
        become(wish)


if __name__ == "__main__":
    main()
