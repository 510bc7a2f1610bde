"""A small server that speaks the documented JSON, for what the real one does on bad days only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from helvetia.cli.address import Address
from helvetia.cli.api import Api
from helvetia.cli.client import Client
from helvetia.cli.output import Output
from helvetia.cli.session import Session

TIME = "2026-01-01T12:00:0{}Z"


@asynccontextmanager
async def serving(
    routes: list[web.RouteDef], renew: Callable[[], Address] | None = None
) -> AsyncIterator[Session]:
    """Serve the routes below `/api/v1` and lend a session with them."""
    api = web.Application()
    api.add_routes(routes)
    app = web.Application()
    app.add_subapp("/api/v1", api)
    async with TestServer(app) as server:
        address = Address(url=str(server.make_url("")).rstrip("/"), token="hv_old")
        async with Client(address, renew=renew) as client:
            yield Session(out=Output(), api=Api(client), address=address)


def problem(status: int, code: str, detail: str, **more: Any) -> web.Response:
    body = {"type": "about:blank", "title": "-", "status": status, "code": code, "detail": detail}
    return web.json_response(body | more, status=status, content_type="application/problem+json")


def record(seq: int, text: str = "", stage: str = "build") -> dict[str, Any]:
    return {
        "seq": seq,
        "time": 1.0,
        "stream": "stdout",
        "stage": stage,
        "text": text or f"line {seq}",
    }


def frame(*records: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"records": list(records), "skipped": 0} | more


def deployment(status: str, *stages: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    """Return a deployment whose stages are name, provider and status."""
    ended = ("SUCCEEDED", "FAILED", "CANCELLED")
    told = [
        {
            "name": name,
            "provider": provider,
            "status": state,
            "reason": "",
            "started_at": TIME.format(0),
            "finished_at": TIME.format(2) if state in ended else None,
        }
        for name, provider, state in stages
    ]
    values = {
        "id": "0123456789abcdef",
        "number": 3,
        "service": "web",
        "trigger": "manual",
        "status": status,
        "reason": "",
        "reason_code": "",
        "failed_stage": None,
        "failed_provider": None,
        "source": "/srv/app",
        "ref": None,
        "sha": "a1b2c3d4e5",
        "message": "Fix the title\n\nLong text.",
        "author": "me",
        "release": None,
        "url": "http://web.localhost:8780",
        "stages": told,
        "receipt": {},
        "created_at": TIME.format(0),
        "started_at": TIME.format(0),
        "finished_at": TIME.format(6) if status not in ("QUEUED", "RUNNING") else None,
    }
    return values | more
