"""What a check of a feed found."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
import websockets

from app.client.checked import Failed


class Skipped(Exception):
    """It could not be tried."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: `ok` None means that it was skipped."""

    name: str
    ok: bool | None
    detail: str


async def found(name: str, check: Callable[[], Awaitable[str]], *, seconds: float) -> Finding:
    """Run a check, `seconds` at most. It returns what it saw, or raises Skipped or Failed."""
    try:
        # What is held back by a hop would be waited for without an end.
        async with asyncio.timeout(seconds):
            return Finding(name, ok=True, detail=await check())
    except Skipped as why:
        return Finding(name, ok=None, detail=str(why))
    except Failed as failed:
        return Finding(name, ok=False, detail=str(failed))
    except TimeoutError:
        return Finding(name, ok=False, detail="nothing came: it was waited for in vain")
    except (OSError, httpx.HTTPError, websockets.WebSocketException) as error:
        return Finding(name, ok=False, detail=str(error) or type(error).__name__)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's server makes of us is a finding
        return Finding(name, ok=False, detail=f"{type(error).__name__}: {error}")
