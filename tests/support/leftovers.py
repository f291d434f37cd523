"""A pytest plugin: a run leaves nothing behind. No process, no file in the temporary directory, none in the tree."""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.whole_run import MARK, ROOT

PATIENCE = 3.0
"""Seconds for a process to end that was told so."""

MADE_BY_TOOLS = {".git", ".venv", "__pycache__", ".pytest_cache", ".hypothesis", ".mypy_cache", ".ruff_cache"}
HELPERS = ("multiprocessing.resource_tracker",)
"""They end with their parent, which may be this process."""

CHROMIUM = ".org.chromium."
"""Chromium leaves an empty directory of this name in each run."""

LEFT = pytest.StashKey[list[str]]()
BEFORE = pytest.StashKey[frozenset[Path]]()
SCRATCH = pytest.StashKey[Path]()
"""The temporary directory of a run, and of all that it starts."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not is_worker(config):
        os.environ[MARK] = uuid.uuid4().hex
        config.stash[BEFORE] = files(ROOT)
        config.stash[SCRATCH] = own_temporary_directory()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """After the workers have ended, and the fixtures of the whole run with them."""
    if is_worker(session.config):
        return
    stash = session.config.stash
    left = [f"process {each}" for each in processes(os.environ[MARK])]
    before = stash[BEFORE]
    left += [f"file {path}" for path in sorted(files(ROOT) - before)]
    made = [path for path in sorted(stash[SCRATCH].iterdir()) if not path.name.startswith(CHROMIUM)]
    left += [f"file {path}" for path in made]
    shutil.rmtree(stash[SCRATCH], ignore_errors=True)
    stash[LEFT] = left
    if left and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left = config.stash.get(LEFT, [])
    if left:
        terminalreporter.section("left behind by this run", red=True, bold=True)
        for each in left:
            terminalreporter.line(each)


def is_worker(config: pytest.Config) -> bool:
    """Of pytest-xdist: its controller looks, once for all."""
    return hasattr(config, "workerinput")


def processes(mark: str) -> list[str]:
    """Those that still run after a while, with their command."""
    running = [each for each in psutil.process_iter() if ours(each, mark)]
    _, alive = psutil.wait_procs(running, timeout=PATIENCE)
    return list(described(alive))


def ours(process: psutil.Process, mark: str) -> bool:
    with contextlib.suppress(psutil.Error):
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        command = " ".join(process.cmdline())
        return process.environ().get(MARK) == mark and not any(helper in command for helper in HELPERS)
    return False


def described(alive: list[psutil.Process]) -> Iterator[str]:
    for each in alive:
        with contextlib.suppress(psutil.Error):
            yield f"{each.pid}: {' '.join(each.cmdline())}"


def own_temporary_directory() -> Path:
    """For everything but pytest's own directories, which are kept for a look after a failure and swept by pytest."""
    usual = tempfile.gettempdir()
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", usual)
    made = Path(tempfile.mkdtemp(prefix="fluxora-tests-"))
    # PostgreSQL, which does not run as root, has to come through.
    made.chmod(0o755)
    os.environ["TMPDIR"] = tempfile.tempdir = str(made)
    return made


def files(top: Path) -> frozenset[Path]:
    """All below, caches of tools aside."""
    found: set[Path] = set()
    for directory, names, contents in os.walk(top):
        names[:] = [name for name in names if name not in MADE_BY_TOOLS and not name.endswith(".egg-info")]
        found.update(Path(directory, name) for name in contents)
    return frozenset(found)
