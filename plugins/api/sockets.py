"""Follow a log over a WebSocket: exact resume, bounded memory, rights checked again."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from helvetia.kernel.errors import HelvetiaError
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.problems import BadRequest

HEARTBEAT_SECONDS = 20.0
STALL_SECONDS = 30.0
READMIT_SECONDS = 10.0
_MAX_INCOMING = 4096


async def serve_log(
    call: Call,
    log: str,
    *,
    after: int,
    ended: Callable[[], Awaitable[bool]],
    status: Callable[[], Awaitable[str]],
) -> web.WebSocketResponse:
    """Send a log from behind number `after` on until it ends.

    Args:
        ended: tells whether nothing will follow.
        status: tells in the last frame how it ended.

    Raises:
        BadRequest: the request does not ask for a WebSocket.
    """
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_SECONDS, max_msg_size=_MAX_INCOMING, compress=False
    )
    if not socket.can_prepare(call.request).ok:
        raise BadRequest("this address speaks WebSocket only", hint="read the log with .../logs")
    _ = await socket.prepare(call.request)
    call.context.sockets.add(socket)
    parts = [
        asyncio.create_task(_deliver(call, socket, log, after=after, ended=ended, status=status)),
        asyncio.create_task(_listen(socket)),
        asyncio.create_task(_watch(call, socket)),
    ]
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            part.result()
        _ = await socket.close()
    except (ConnectionError, TimeoutError):
        # The reader is gone or does not read: a goodbye would wait for it as well.
        _cut(call.request)
    finally:
        call.context.sockets.discard(socket)
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
    return socket


async def _deliver(
    call: Call,
    socket: web.WebSocketResponse,
    log: str,
    *,
    after: int,
    ended: Callable[[], Awaitable[bool]],
    status: Callable[[], Awaitable[str]],
) -> None:
    follower = call.platform.hub.follow(log, after, ended=ended)
    async with contextlib.aclosing(follower) as batches:
        async for batch in batches:
            records = [record.json() for record in batch.records]
            await _send(socket, {"records": records, "skipped": batch.skipped})
    await _send(socket, {"ended": True, "status": await status()})


async def _send(socket: web.WebSocketResponse, frame: dict[str, Any]) -> None:
    async with asyncio.timeout(STALL_SECONDS):
        await socket.send_str(json.dumps(frame, ensure_ascii=False, separators=(",", ":")))


async def _listen(socket: web.WebSocketResponse) -> None:
    """Read what the other side sends, which is pongs and its goodbye."""
    closing = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
    while (await socket.receive()).type not in closing:
        pass


async def _watch(call: Call, socket: web.WebSocketResponse) -> None:
    """Close the connection when the caller loses the right to it."""
    while True:
        await asyncio.sleep(READMIT_SECONDS)
        try:
            _ = await call.readmit()
        except HelvetiaError as error:
            _ = await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=error.code.encode())
            return


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
