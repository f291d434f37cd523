"""What npm installs for the tests: `make setup` puts there what `tests/node/package.json` names."""

from pathlib import Path

from tests.conftest import skip_or_fail
from tests.support.whole_run import ROOT

SOURCES = ROOT / "tests" / "node"


def installed() -> Path:
    """The folder of the modules."""
    modules = ROOT / ".venv" / "node" / "node_modules"
    if not modules.is_dir():
        skip_or_fail("npm was not there when `make setup` ran")
    return modules
