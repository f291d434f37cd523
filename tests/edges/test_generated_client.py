"""A client that is made from `/openapi.json` by others' tools, against the running service."""

import importlib
import json
import shutil
import subprocess
import sys

import httpx
import pytest
from openapi_spec_validator import validate

from tests.support.data import new_stream
from tests.support.npm import SOURCES, installed
from tests.support.server import KEY

STRICT = ("--strict", "--noUncheckedIndexedAccess", "--module", "nodenext", "--target", "es2022", "--types", "node")


@pytest.fixture(scope="module")
def made(server, tmp_path_factory):
    home = tmp_path_factory.mktemp("generated")
    document = httpx.get(f"{server.base}/openapi.json").json()
    validate(document)
    (home / "openapi.json").write_text(json.dumps(document))
    command = ["generate", "--path", "openapi.json", "--output-path", "made_client", "--meta", "none"]
    done = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", *command],
        cwd=home, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "missing" not in done.stdout.replace("some pieces may be missing", ""), done.stdout
    sys.path.insert(0, str(home))
    yield importlib.import_module("made_client")
    sys.path.remove(str(home))


def test_it_creates_reads_changes_and_cancels(made, server):
    streams = {
        name: importlib.import_module(f"made_client.api.streams.{name}")
        for name in ("create_stream", "get_stream", "list_streams", "change_stream", "cancel_stream")
    }
    models = importlib.import_module("made_client.models")
    client = made.AuthenticatedClient(base_url=server.base, token=KEY)
    stream = streams["create_stream"].sync(client=client, body=models.NewStream.from_dict(new_stream()))
    assert stream.status == "active"
    assert streams["get_stream"].sync(stream.id, client=client).id == stream.id
    paused = streams["change_stream"].sync(
        stream.id, client=client, body=models.StreamPatch.from_dict({"status": "paused"})
    )
    assert (paused.status, paused.version) == ("paused", 2)
    page = streams["list_streams"].sync(client=client, limit=500)
    assert stream.id in {each.id for each in page.streams}
    refused = streams["get_stream"].sync("stream-none", client=client)
    assert (refused.status, refused.title) == (404, "Not Found")
    assert streams["cancel_stream"].sync(stream.id, client=client).status == "cancelled"


def test_it_posts_events_and_reads_the_log(made, server):
    events = {
        name: importlib.import_module(f"made_client.api.events.{name}") for name in ("ingest_events", "read_events")
    }
    models = importlib.import_module("made_client.models")
    client = made.AuthenticatedClient(base_url=server.base, token=KEY)
    document = httpx.get(f"{server.base}/openapi.json").json()
    example = document["components"]["schemas"]["ChainBatch"]["example"]
    result = events["ingest_events"].sync(client=client, body=models.ChainBatch.from_dict(example))
    assert result.results[0].action in {"created", "ignored"}
    page = events["read_events"].sync(client=client, limit=1000)
    assert page.events
    assert all(isinstance(each.payload, models.StreamDocument) for each in page.events)


def test_a_typescript_client_does_the_same(server, tmp_path):
    modules = installed()
    (tmp_path / "node_modules").symlink_to(modules)
    for name in ("package.json", "use.ts"):
        shutil.copy(SOURCES / name, tmp_path)
    document = httpx.get(f"{server.base}/openapi.json").json()
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    batch = document["components"]["schemas"]["ChainBatch"]["example"]
    programs = modules / ".bin"
    for command in (
        # A member with a default may be left out of a request.
        [programs / "openapi-typescript", "openapi.json", "--default-non-nullable=false", "-o", "api.d.ts"],
        [programs / "tsc", *STRICT, "use.ts"],
        ["node", "use.js", server.base, KEY, json.dumps(new_stream()), json.dumps(batch)],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "done\n"


def test_what_docs_show_as_an_example_is_accepted(server):
    """`/docs` fills a request in with it: sending it as it is must work."""
    document = httpx.get(f"{server.base}/openapi.json").json()
    headers = {"Authorization": f"Bearer {KEY}"}
    sent = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if "requestBody" not in operation or "{" in path:
                continue
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            name = schema["$ref"].rsplit("/", 1)[1]
            example = document["components"]["schemas"][name]["example"]
            answer = httpx.request(method, server.base + path, json=example, headers=headers)
            assert answer.is_success, (path, answer.text)
            sent += 1
    assert sent >= 4
    httpx.post(f"{server.base}/api/service/recovered", json={"reason": "tried"}, headers=headers)
