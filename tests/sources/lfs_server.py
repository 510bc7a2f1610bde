"""A small server of Git LFS beside `git http-backend`: its batch API, as the specification has it.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md. Files are kept by their oid, and
served at an address with a header of its own, on this host or on another.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

MEDIA = "application/vnd.git-lfs+json"


def pointer(data: bytes) -> str:
    """Return what stands in the repository for a file."""
    oid = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n"


@dataclass
class LargeFileServer:
    """Serves Git and LFS; what is wanted of it may be bent by the attributes."""

    git: Any
    """The server of the repositories, see `conftest.py`."""
    storage: str = ""
    """Where the files are; by default here."""
    files: dict[str, bytes] = field(default_factory=dict)
    authenticated: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Authorization of each request that is not Git's own."""
    answer: dict[str, Any] | None = None
    status: int = 0
    redirect: str = ""
    wrong: bytes | None = None

    def add(self, data: bytes) -> str:
        """Keep a file; return its pointer."""
        self.files[hashlib.sha256(data).hexdigest()] = data
        return pointer(data)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/lfs-files/"):
            return await self.file(request)
        if "/info/lfs/" in request.path:
            return await self._api(request)
        return await self.git.handle(request)

    async def file(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, request.headers.get("Authorization", "")))
        oid = request.path.rpartition("/")[2]
        if self.redirect:
            raise web.HTTPFound(f"{self.redirect}/lfs-files/{oid}")
        if request.method == "PUT":
            data = await request.read()
            assert hashlib.sha256(data).hexdigest() == oid
            self.files[oid] = data
            return web.Response()
        if self.authenticated and request.headers.get("X-Ticket") != oid[:8]:
            return web.Response(status=403)
        if not self.authenticated and not self._is_known(request):
            return web.Response(status=401)
        return web.Response(body=self.wrong if self.wrong is not None else self.files[oid])

    async def _api(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, request.headers.get("Authorization", "")))
        if self.status:
            return web.json_response({"message": "no"}, status=self.status)
        if not self._is_known(request):
            asks = 'Basic realm="git"'
            needed = {"LFS-Authenticate": asks, "WWW-Authenticate": asks}
            return web.json_response({"message": "Credentials needed"}, status=401, headers=needed)
        if request.path.endswith("/locks/verify"):
            return web.json_response({"message": "no locks here"}, status=404)
        if request.headers.get("Accept", "").partition(";")[0] != MEDIA:
            return web.json_response({"message": "Accept"}, status=406)
        if request.headers.get("Content-Type", "").partition(";")[0] != MEDIA:
            return web.json_response({"message": "Content-Type"}, status=415)
        asked = await request.json()
        assert request.path.endswith(".git/info/lfs/objects/batch")
        assert len(asked["objects"]) <= 100
        operation = asked["operation"]
        answer = self.answer or {
            "transfer": "basic",
            "objects": [self._object(one, operation) for one in asked["objects"]],
        }
        return web.json_response(answer, content_type=MEDIA)

    def _object(self, one: dict[str, Any], operation: str) -> dict[str, Any]:
        oid = one["oid"]
        known = oid in self.files
        if operation == "download" and not known:
            return {**one, "error": {"code": 404, "message": "Object does not exist"}}
        if operation == "upload" and known:
            return one
        base = self.storage or f"{self.git.scheme}://127.0.0.1:{self.git.port}"
        action: dict[str, Any] = {"href": f"{base}/lfs-files/{oid}", "expires_in": 600}
        if self.authenticated:
            action["header"] = {"X-Ticket": oid[:8]}
        return {**one, "authenticated": self.authenticated, "actions": {operation: action}}

    def _is_known(self, request: web.Request) -> bool:
        if not self.git.token:
            return True
        wanted = base64.b64encode(f"x-access-token:{self.git.token}".encode()).decode()
        return request.headers.get("Authorization") == f"Basic {wanted}"


@asynccontextmanager
async def serving_files(git: Any) -> AsyncIterator[LargeFileServer]:
    """Run it on a free port of loopback."""
    server = LargeFileServer(git)
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    git.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
