"""`curl -N`, as the README shows it."""

import asyncio
import json
import shutil
import signal

import pytest

from tests.conftest import api_of
from tests.support.data import new_stream


async def test_curl_follows_and_resumes(server):
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")

    async def follow(*arguments: str) -> asyncio.subprocess.Process:
        command = [curl, "-sN", *arguments, f"{server.base}/sse/streams"]
        return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)

    async def block(process: asyncio.subprocess.Process) -> dict[str, str]:
        async with asyncio.timeout(15):
            lines = (await process.stdout.readuntil(b"\n\n")).decode().splitlines()
        return dict(line.split(": ", 1) for line in lines if line and not line.startswith(":"))

    async with api_of(server) as api:
        process = await follow()
        opening = await block(process)
        assert int(opening["retry"]) > 0
        ids = [(await api.post("/api/streams", json=new_stream())).json()["id"] for _ in range(2)]
        blocks = [await block(process), await block(process)]
        process.send_signal(signal.SIGTERM)
        await process.wait()
        assert [json.loads(each["data"])["streamId"] for each in blocks] == ids
        assert {each["event"] for each in blocks} == {"stream.created"}

        process = await follow("-H", f"Last-Event-ID: {blocks[0]['id']}")
        await block(process)
        assert await block(process) == blocks[1]
        process.send_signal(signal.SIGTERM)
        await process.wait()
