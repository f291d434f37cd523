"""Every command of the documents is run, block by block, in a fresh clone beside a service that `make run` started.

A stand-in, first on PATH, takes the place of:
* `heroku`, `git push`, `docker` and `systemctl`, which a test machine has not: it writes down how it was called;
* `make test`, `check`, `setup`, `bench`: `make -n` looks them up, for they are what runs this;
* what goes on for ever (`curl -N`, the examples, serving): it is ended once it has run for a while, or serves.
The port, the key and the cursor are filled in, and .venv for /opt/fluxora, so that not everything is installed twice.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import yaml

from tests.docs.test_documents import DOCUMENTS, named
from tests.support.data import created
from tests.support.postgres import free_port
from tests.support.server import until
from tests.support.whole_run import ROOT, UV

pytestmark = pytest.mark.timeout(240)

LANGUAGES = {"", "sh", "js", "json", "ini", "nginx", "haproxy", "caddy", "python"}
RECORDED = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
"""
ENDED = """
ended() { # run it for a while; whoever ends by itself has failed
    code=0
    timeout --preserve-status --signal=INT 3 "$@" || code=$?
    [ "$code" = 130 ] || [ "$code" = 0 ]
}
serving() { # run it until it serves, then end it
    "$@" &
    pid=$!
    for _ in $(seq 200); do
        /usr/bin/curl -sf "http://127.0.0.1:$PORT/health/ready" >/dev/null && break
        kill -0 $pid || exit 1
        sleep 0.1
    done
    /usr/bin/curl -sf "http://127.0.0.1:$PORT/health/ready" >/dev/null
    kill -TERM $pid
    wait $pid || true
}
"""
STAND_INS = {
    **dict.fromkeys(("heroku", "git", "docker", "systemctl"), RECORDED),
    "curl": """#!/bin/bash
case " $* " in
*" -N "*) code=0; /usr/bin/curl --fail --max-time 2 "$@" || code=$?; [ $code = 28 ] ;;
*) exec /usr/bin/curl --fail "$@" ;;
esac
""",
    "make": f"""#!/bin/bash
set -e
{ENDED}
case "$1" in
run) set -m; serving /usr/bin/make "$@" ;;
*) exec /usr/bin/make -n "$@" >/dev/null ;;
esac
""",
    "fluxora": f"""#!/bin/bash
set -e
{ENDED}
if [ $# -gt 0 ]; then exec "$CLONE/.venv/bin/fluxora" "$@"; fi
serving "$CLONE/.venv/bin/fluxora"
""",
    **dict.fromkeys(
        ("python", "node"),
        f"""#!/bin/bash
set -e
{ENDED}
program="$CLONE/.venv/bin/python"
[ "$(basename "$0")" = node ] && program=$(PATH=${{PATH#*:}} command -v node)
case "$1" in
examples/follow*|examples/resume*) ended "$program" "$@" ;;
*) exec "$program" "$@" ;;
esac
""",
    ),
    "pip": '#!/bin/sh\nexec "$CLONE/.venv/bin/python" -m pip "$@"\n',
}


class Block(NamedTuple):
    """A fenced block of a document."""

    document: Path
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{named(self.document)}-{self.number}"


class Running(NamedTuple):
    """What `make run` started in the clone."""

    home: Path
    stand_ins: Path
    port: int
    key: str

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, block: str) -> tuple[subprocess.CompletedProcess, list[str]]:
        calls = self.home.parent / "calls"
        calls.write_text("")
        cursor = httpx.get(f"{self.base}/api/streams").headers["Last-Event-ID"]
        script = (
            block.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
            .replace("KEY=...", f"KEY={self.key}")
            .replace("<that id>", cursor)
            .replace("/opt/fluxora", str(self.home / ".venv"))
            .replace(".venv/bin/python examples/", "python examples/")
            # The tests' packages are where these tests run.
            .replace(".venv/bin/python -m pytest", f"{sys.executable} -m pytest -p no:cacheprovider")
        )
        environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "API_KEYS"}}
        environment |= {
            "PATH": f"{self.stand_ins}:{os.environ['PATH']}",
            "CALLS": str(calls),
            "CLONE": str(self.home),
            "KEY": self.key,
            "PORT": str(free_port()),
            "DATABASE_URL": f"sqlite:///{self.home.parent}/beside.db",
        }
        before = next((given for command, given in _GIVEN.items() if command in script), "")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", before + script],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done, calls.read_text().replace(f"127.0.0.1:{self.port}", "127.0.0.1:8000").splitlines()


_GIVEN = {
    "fluxora keys": "fluxora migrate\n",
    "fluxora backup": "fluxora migrate; rm -f fluxora-backup.db\n",
    "fluxora restore": "fluxora migrate; test -e fluxora-backup.db || fluxora backup fluxora-backup.db\n",
}
"""What a command needs to be there, which its reader has: a database, and a backup of it."""


def blocks() -> list[Block]:
    found = []
    for document in DOCUMENTS:
        fences = re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
        found += [Block(document, number, *fence) for number, fence in enumerate(fences, 1)]
    return found


@pytest.fixture(scope="module")
def running(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The first command of the README, as it is: it installs, migrates and serves."""
    stand_ins = tmp_path_factory.mktemp("stand-ins")
    for name, text in STAND_INS.items():
        (stand_ins / name).write_text(text)
        (stand_ins / name).chmod(0o755)
    event = json.dumps(created())
    (clone / "events.jsonl").write_text(event + "\n")
    port = free_port()
    # `.ci/run` installs by pip into a clean clone already; here that would be a minute for the same.
    subprocess.run([UV, "venv", "--quiet", "--seed", clone / ".venv"], check=True)
    install = [UV, "pip", "install", "--quiet", "--python", clone / ".venv" / "bin" / "python", "--require-hashes"]
    subprocess.run([*install, "-r", ROOT / "requirements.txt"], check=True)
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "API_KEYS"}}
    process = subprocess.Popen(
        ["make", "run"],
        cwd=clone,
        env=environment | {"PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    shown: list[str] = []
    reader = threading.Thread(target=lambda: shown.extend(iter(process.stdout.readline, "")), daemon=True)
    reader.start()

    def key() -> str | None:
        assert process.poll() is None, "".join(shown)
        found = re.search(r"Bearer ([\w-]+)", "".join(shown))
        return found[1] if found and "Ctrl-C" in "".join(shown) else None

    try:
        yield Running(clone, stand_ins, port, until(key, 200))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def test_commands_stand_in_blocks_that_are_run():
    assert {block.language for block in blocks()} <= LANGUAGES
    assert sum(block.language == "sh" for block in blocks()) > 15


@pytest.mark.parametrize("block", [block for block in blocks() if block.language == "sh"], ids=str)
def test_the_commands_work(block: Block, running: Running):
    done, calls = running.run(block.text)
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    asked = [line for line in block.text.splitlines() if re.match(r"(heroku|git|docker|systemctl) ", line)]
    assert [call.split() for call in calls] == [line.split(" #")[0].split() for line in asked]


def test_a_wrong_command_is_found(running: Running):
    for wrong in (
        "curl http://127.0.0.1:8000/api/nothing",
        "make nothing",
        "fluxora nothing",
        "nothing",
        "python examples/follow_nothing.py",
        "curl -N http://127.0.0.1:8000/sse/nothing",
    ):
        done, _ = running.run(wrong)
        assert done.returncode != 0, wrong


def test_heroku_is_told_in_an_order_that_works():
    text = (ROOT / "docs" / "how-to" / "deploy-on-heroku.md").read_text()
    steps = [
        "heroku create",
        "heroku addons:create heroku-postgresql",
        "heroku config:set API_KEYS=",
        "git push heroku main",
    ]
    places = [text.index(step) for step in steps]
    assert places == sorted(places)
    assert {"web", "release"} == set(re.findall(r"^(\w+):", (ROOT / "Procfile").read_text(), re.MULTILINE))


def test_the_containers_that_are_named_are_in_the_compose_file():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    text = (ROOT / "docs" / "how-to" / "deploy-with-docker.md").read_text()
    for line in re.findall(r"^docker compose run (.+?)(?: +#.*)?$", text, re.MULTILINE):
        assert set(line.split()) & set(services)
    assert services["web"]["ports"] == ["127.0.0.1:8000:8000"]
