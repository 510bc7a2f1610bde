"""The service that is redeployed; `behaviour.json` beside it says how it misbehaves.

Its version is the first word of everything it says.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, web

BEHAVIOUR: dict[str, Any] = json.loads(Path(__file__).with_name("behaviour.json").read_text())
VERSION = str(BEHAVIOUR["version"])
BEGAN = time.monotonic()
CHUNKS = 20
sockets: set[web.WebSocketResponse] = set()


@web.middleware
async def warm_up(request: web.Request, handler: Any) -> web.StreamResponse:
    if time.monotonic() - BEGAN < BEHAVIOUR.get("503_seconds", 0):
        return web.Response(status=503, text=VERSION)
    answer: web.StreamResponse = await handler(request)
    return answer


async def answer(request: web.Request) -> web.Response:
    body = await request.read()
    await asyncio.sleep(float(request.query.get("seconds", 0)))
    return web.Response(text=f"{VERSION} {len(body)}" if body else VERSION)


async def stream(request: web.Request) -> web.StreamResponse:
    """Send numbered chunks for two seconds."""
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(CHUNKS):
        await response.write(f"{VERSION} {number}\n".encode())
        await asyncio.sleep(2 / CHUNKS)
    return response


async def echo(request: web.Request) -> web.WebSocketResponse:
    response = web.WebSocketResponse()
    await response.prepare(request)
    sockets.add(response)
    try:
        async for message in response:
            await response.send_str(f"{VERSION} {message.data}")
    finally:
        sockets.discard(response)
    return response


async def say_goodbye(_: web.Application) -> None:
    for one in list(sockets):
        await one.close(code=WSCloseCode.GOING_AWAY)


async def main() -> None:
    if "crash" in BEHAVIOUR:
        sys.exit("it crashes at once")
    time.sleep(BEHAVIOUR.get("start_seconds", 0))  # noqa: ASYNC251 - nothing else runs yet
    on_sigterm = BEHAVIOUR.get("sigterm", "end well")
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    if on_sigterm == "ignore":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif on_sigterm != "drop":
        loop.add_signal_handler(signal.SIGTERM, ended.set)
    if "never_listen" in BEHAVIOUR:
        await ended.wait()
        return
    app = web.Application(middlewares=[warm_up])
    app.add_routes([web.route("*", "/", answer), web.get("/stream", stream), web.get("/ws", echo)])
    app.on_shutdown.append(say_goodbye)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    host = BEHAVIOUR.get("host", os.environ.get("HOST", "127.0.0.1"))
    port = 0 if "other_port" in BEHAVIOUR else int(os.environ["PORT"])
    listener = socket.create_server((host, port), backlog=256)
    site = web.SockSite(runner, listener)
    await site.start()
    print("version", VERSION, "listens on", *listener.getsockname(), flush=True)
    await ended.wait()
    if on_sigterm == "close":
        listener.close()
        await asyncio.sleep(0.5)
        os._exit(0)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
