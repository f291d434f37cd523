"""A test run leaves nothing behind: it is told, and the run fails."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent.parent

LEAVES_A_PROCESS = """
import subprocess, sys

def test_it(tmp_path):
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], **nowhere)
    print("left", left.pid)
"""
LEAVES_A_FILE = """
import tempfile

def test_it():
    print("left", tempfile.mkdtemp())
"""


def run(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.leftovers", "-q", "-s", "--rootdir", str(tmp_path)]
    command += ["-p", "no:cacheprovider", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=50)


def test_a_process_that_is_left_fails_the_run(tmp_path):
    done = run(tmp_path, LEAVES_A_PROCESS)
    left = int(done.stdout.split("left ", 1)[1].split()[0])
    psutil.Process(left).kill()
    assert done.returncode == 1
    assert f"process {left}: " in done.stdout


def test_a_file_that_is_left_fails_the_run(tmp_path):
    done = run(tmp_path, LEAVES_A_FILE)
    left = done.stdout.split("left ", 1)[1].split()[0]
    assert done.returncode == 1
    assert f"file {left}" in done.stdout


def test_a_clean_run_is_told_nothing(tmp_path):
    done = run(tmp_path, "def test_it(): pass")
    assert done.returncode == 0, done.stdout
    assert "left behind" not in done.stdout
