"""Starlette on uvicorn and uvloop, with sse-starlette and a queue for each client.

POST /publish takes messages, one a line.
"""

import asyncio

from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

queues: set[asyncio.Queue[str]] = set()


async def websocket(socket: WebSocket) -> None:
    await socket.accept()
    queue: asyncio.Queue[str] = asyncio.Queue()
    queues.add(queue)
    try:
        while True:
            await socket.send_text(await queue.get())
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        queues.discard(queue)


async def sse(_: Request) -> EventSourceResponse:
    queue: asyncio.Queue[str] = asyncio.Queue()
    queues.add(queue)

    async def events():
        try:
            while True:
                message = await queue.get()
                yield {"id": message[7 : message.index('"', 7)], "event": "stream.created", "data": message}
        finally:
            queues.discard(queue)

    return EventSourceResponse(events())


async def publish(request: Request) -> PlainTextResponse:
    for message in (await request.body()).decode().split("\n"):
        if message:
            for queue in queues:
                queue.put_nowait(message)
    return PlainTextResponse("ok")


app = Starlette(
    routes=[WebSocketRoute("/ws", websocket), Route("/sse", sse), Route("/publish", publish, methods=["POST"])]
)
