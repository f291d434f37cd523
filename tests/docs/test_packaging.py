"""The wheel and the container: built and installed from nothing, and then run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import httpx
import pytest
import yaml

from app import __version__
from tests.docs.conftest import copy_tree
from tests.support.data import new_stream
from tests.support.postgres import free_port
from tests.support.server import KEY, until
from tests.support.whole_run import ROOT, UV

pytestmark = pytest.mark.timeout(300)


def run(*command: object, cwd: Path, check: bool = True, **settings: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=outside(**settings),
        capture_output=True,
        text=True,
        timeout=240,
        check=check,
    )


def outside(**settings: object) -> dict[str, str]:
    """An environment without this checkout: what is found is what was installed."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return {**kept, **{name.upper(): str(value) for name, value in settings.items()}}


def serves(process: subprocess.Popen, port: int) -> None:
    def ready() -> bool:
        assert process.poll() is None, "it ended"
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    until(ready, 30)


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", dist, clone, cwd=dist)
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what a client needs; its `bin`."""
    home = tmp_path_factory.mktemp("installed")
    run(UV, "venv", "--quiet", home / "venv", cwd=home)
    run(UV, "pip", "install", "--quiet", "--python", home / "venv", wheel, cwd=home)
    return home / "venv" / "bin"


def test_the_wheel_has_what_the_service_needs(wheel, clone):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = [
        *(str(path.relative_to(clone)) for path in clone.glob("app/**/*") if path.is_file()),
        *(str(path.relative_to(clone)) for path in clone.glob("migrations/**/*.py")),
        "hypercorn.toml",
    ]
    assert not [name for name in expected if name not in names]
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "docs/"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_serves_and_its_base_is_a_client(wheel, installed, tmp_path):
    """The same environment, first without and then with the service's packages."""
    fluxora = installed / "fluxora"
    assert run(fluxora, "--version", cwd=tmp_path).stdout.strip() == __version__
    assert "migrate" in run(fluxora, "--help", cwd=tmp_path).stdout
    packages = run(UV, "pip", "list", "--python", installed.parent, cwd=tmp_path).stdout.lower()
    assert "httpx-sse" in packages
    assert "quart" not in packages
    for command in (["migrate"], ["serve"], ["new-key"], []):
        refused = run(fluxora, *command, cwd=tmp_path, check=False)
        assert refused.returncode == 1
        assert "pip install 'fluxora-streams[server]'" in refused.stderr
        assert "Traceback" not in refused.stderr

    run(UV, "pip", "install", "--quiet", "--python", installed.parent, f"{wheel}[server]", cwd=tmp_path)
    port, url = free_port(), f"sqlite:///{tmp_path}/x.db"
    run(fluxora, "migrate", cwd=tmp_path, database_url=url)
    process = subprocess.Popen(
        [fluxora], cwd=tmp_path, env=outside(database_url=url, port=port, api_keys=KEY), stdout=subprocess.DEVNULL
    )
    try:
        serves(process, port)
        page = httpx.get(f"http://127.0.0.1:{port}/")
        assert "<!doctype html>" in page.text.lower()
        made = httpx.post(f"http://127.0.0.1:{port}/api/streams", json=new_stream(), headers={"X-API-Key": KEY})
        assert made.status_code == 201
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, in order."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def context(target: Path) -> Path:
    """What a build is given: a clone, without what .dockerignore names."""
    copy_tree(target)
    for pattern in (ROOT / ".dockerignore").read_text().split():
        for path in list(target.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return target


@pytest.mark.postgresql
def test_the_container_file_works_by_hand(tmp_path, new_database):
    """There may be no Docker here: its commands run in a copy of what a build is given, with /opt/fluxora elsewhere.

    Left out are FROM, USER and useradd; COPY is done by hand.
    """
    home, source, given = tmp_path / "opt", tmp_path / "src", context(tmp_path / "context")
    source.mkdir()
    variables: dict[str, str] = {}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def here(text: str) -> str:
        return text.replace("/opt/fluxora", str(home))

    served: list[str] = []
    for word, rest in instructions():
        if word == "RUN" and "useradd" not in rest:
            run("/bin/sh", "-ec", here(rest), cwd=source, path=path)
        elif word == "COPY" and "--from" not in rest:
            what, _ = rest.split()
            origin = given if what == "." else given / what
            if origin.is_dir():
                shutil.copytree(origin, source, dirs_exist_ok=True)
            else:
                shutil.copy(origin, source)
        elif word == "ENV":
            variables |= dict(each.split("=", 1) for each in shlex.split(here(rest)))
        elif word in {"CMD", "HEALTHCHECK"}:
            served.append(rest)
    health, command = (yaml.safe_load(each.removeprefix("CMD ")) for each in served)

    port = free_port()
    assert variables["PORT"] == "8000"
    variables |= {"PORT": str(port), "HOST": "127.0.0.1", "PATH": f"{home}/bin:{os.environ['PATH']}"}
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    keys = {"DATABASE_URL": new_database("postgresql"), "API_KEYS": KEY}
    assert set(compose["web"]["environment"]) == set(keys)
    assert compose["web"]["command"] == command

    migrating = {"DATABASE_URL": keys["DATABASE_URL"], "API_KEYS": ""} | {
        name: value for name, value in compose["migrate"]["environment"].items() if name not in keys
    }
    env = outside(**(variables | migrating))
    migrate = compose["migrate"]["command"]
    subprocess.run([shutil.which(migrate[0], path=env["PATH"]), *migrate[1:]], cwd=tmp_path, env=env, check=True)

    env = outside(**(variables | keys))
    process = subprocess.Popen(
        [shutil.which(command[0], path=env["PATH"])], cwd=tmp_path, env=env, stdout=subprocess.DEVNULL
    )
    try:
        serves(process, port)
        check = [health[0], *(each.replace(":8000", f":{port}") for each in health[1:])]
        check[0] = shutil.which(check[0], path=env["PATH"])
        assert subprocess.run(check, env=env, check=False).returncode == 0
        process.terminate()
        assert process.wait(20) == 0
        assert subprocess.run(check, env=env, check=False, stderr=subprocess.DEVNULL).returncode != 0
    finally:
        process.kill()


def test_the_service_gets_the_time_to_stop_that_it_may_need():
    from app.settings import Settings  # noqa: PLC0415

    needed = Settings.model_fields["shutdown_timeout"].default
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["web"]
    assert int(compose["stop_grace_period"].removesuffix("s")) > needed
    unit = (ROOT / "docs" / "how-to" / "deploy-with-systemd.md").read_text()
    found = re.search(r"TimeoutStopSec=(\d+)", unit)
    assert found
    assert int(found[1]) > needed


def test_the_dependencies_of_the_extra_and_the_lock_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = (ROOT / "requirements.txt").read_text().lower()
    wanted = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    names = [re.split(r"[\[>=<]", each)[0].lower() for each in wanted]
    assert not [name for name in names if not re.search(rf"^{re.escape(name)}(\[[\w,]+\])?==", locked, re.MULTILINE)]
    reasons = (ROOT / "docs" / "dependencies.md").read_text().lower()
    assert not [name for name in names if name not in reasons]


@pytest.mark.parametrize("path", [*sorted(ROOT.glob(".github/**/*.yml")), ROOT / ".pre-commit-config.yaml"])
def test_the_forms_are_read(path):
    assert yaml.safe_load(path.read_text())


def test_ci_runs_on_every_version_that_is_promised():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    promised = [each.rsplit(" ", 1)[1] for each in project["classifiers"] if re.search(r":: 3\.\d+$", each)]
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == promised
    assert job["steps"][-1]["run"] == ".ci/run"
