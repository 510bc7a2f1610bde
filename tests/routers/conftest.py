from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web
from traefik_support import Lent, StartApp

from helvetia import Backend
from helvetia.plugins.routers.traefik.router import TraefikRouter

NAME = web.AppKey("name", str)


@pytest.fixture
def kernel(tmp_path: Path) -> Lent:
    return Lent(tmp_path)


@pytest.fixture
async def router(kernel: Lent) -> AsyncIterator[TraefikRouter]:
    router = TraefikRouter(kernel)
    try:
        await router.setup()
        yield router
    finally:
        await router.shutdown()


@pytest.fixture
async def start_app() -> AsyncIterator[StartApp]:
    """Start a tiny app that says its name, echoes POST bodies and WebSocket messages."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for message in socket:
                await socket.send_str(f"{request.app[NAME]}:{message.data}")
            return socket
        if request.path == "/slow":
            await asyncio.sleep(0.3)
        if request.path.startswith("/status/"):
            return web.Response(status=int(request.path.rpartition("/")[2]))
        if request.path.startswith("/headers"):
            return web.json_response([request.raw_path, dict(request.headers)])
        body = await request.text()
        return web.Response(text=f"{request.app[NAME]}{body}")

    async with AsyncExitStack() as stack:

        async def start(name: str) -> Backend:
            app = web.Application()
            app[NAME] = name
            app.router.add_route("*", "/{tail:.*}", answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            return Backend(host="127.0.0.1", port=runner.addresses[0][1])

        yield start
