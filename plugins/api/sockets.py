"""What goes on over a WebSocket, such as a log: bounded memory, rights checked again."""

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
from helvetia.logs.follow import LogBatch

from . import instance_logs, rights

HEARTBEAT_SECONDS = 20.0
STALL_SECONDS = 30.0
READMIT_SECONDS = 10.0
_MAX_INCOMING = 4096
GOODBYE = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
"""Types of messages after which nothing comes."""


Part = Callable[[web.WebSocketResponse], Awaitable[None]]
"""Something that goes on over an open socket; the first part that ends, ends it."""


async def serve_socket(
    call: Call, *parts: Part, max_incoming: int = _MAX_INCOMING
) -> web.WebSocketResponse:
    """Open a WebSocket for some parts; it is closed when the caller loses the right to it, too.

    Raises:
        BadRequest: the request does not ask for a WebSocket.
    """
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_SECONDS, max_msg_size=max_incoming, compress=False
    )
    if not socket.can_prepare(call.request).ok:
        raise BadRequest("this address speaks WebSocket only")
    _ = await socket.prepare(call.request)
    call.context.sockets.add(socket)
    tasks = [asyncio.ensure_future(part(socket)) for part in parts]
    tasks.append(asyncio.create_task(_watch(call, socket)))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        _ = await socket.close()
    except (ConnectionError, TimeoutError):
        # The reader is gone or does not read: a goodbye would wait for it as well.
        _cut(call.request)
    finally:
        call.context.sockets.discard(socket)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return socket


async def serve_log(
    call: Call,
    log: str,
    *,
    after: int,
    ended: Callable[[], Awaitable[bool]],
    status: Callable[[], Awaitable[str]],
    instance: str | None = None,
) -> web.WebSocketResponse:
    """Send a log from behind number `after` on until it ends.

    Args:
        ended: tells whether nothing will follow.
        status: tells in the last frame how it ended.
        instance: whose records alone are sent.

    Raises:
        BadRequest: the request does not ask for a WebSocket.
    """

    async def deliver(socket: web.WebSocketResponse) -> None:
        follower = call.platform.hub.follow(log, after, ended=ended)
        async with contextlib.aclosing(follower) as batches:
            async for batch in batches:
                if instance:
                    batch = LogBatch(instance_logs.only(batch.records, instance), batch.skipped)
                    if not batch.records and not batch.skipped:
                        continue
                async with asyncio.timeout(STALL_SECONDS):
                    await socket.send_frame(batch.frame, WSMsgType.TEXT)
        await send_frame(socket, {"ended": True, "status": await status()})

    return await serve_socket(call, deliver, listen)


async def send_frame(socket: web.WebSocketResponse, frame: dict[str, Any]) -> None:
    """Send JSON.

    Raises:
        TimeoutError: the other side does not read.
    """
    async with asyncio.timeout(STALL_SECONDS):
        await socket.send_str(json.dumps(frame, ensure_ascii=False, separators=(",", ":")))


async def listen(socket: web.WebSocketResponse) -> None:
    """Read what the other side sends, which is pongs and its goodbye."""
    while (await socket.receive()).type not in GOODBYE:
        pass


async def _watch(call: Call, socket: web.WebSocketResponse) -> None:
    """Close the connection when the caller loses the right to it."""
    try:
        await rights.held(call, seconds=READMIT_SECONDS)
    except HelvetiaError as error:
        _ = await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=error.code.encode())


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
