"""A fresh clone, and what the browser's tests use, too."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.browser.conftest import browser
from tests.conftest import skip_or_fail
from tests.support.whole_run import ROOT

__all__ = ["browser", "clone", "copy_tree"]


def copy_tree(target: Path) -> Path:
    """What a clone has once the tree is committed: no `.venv`, no database, nothing that git ignores."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        skip_or_fail("this is no git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("clone"))
