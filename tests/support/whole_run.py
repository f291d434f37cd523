"""What one run of the tests is known by, and what ends with it."""

import sys
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
UV = Path(sys.executable).parent / "uv"
"""Makes environments in a second."""

MARK = "FLUXORA_TEST_RUN"
"""In the environment of all that a run starts, so that it is known by it when its parent is gone."""

AT_END = ExitStack()
"""Closed when the last test is over: for what is made once, at the first wish, and is no fixture."""
