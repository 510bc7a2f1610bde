"""`helvetia workers` and `helvetia queue`: tables, JSON, and what there is to say of nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cli_outcome import Outcome, Run

TIME = "2026-01-01T12:00:00Z"
WORKER = {
    "name": "vm:1:abc", "host": "vm", "version": "0.1.0", "status": "alive",
    "labels": ["build", "region=eu"], "concurrency": 2, "started_at": TIME, "seen_at": TIME,
    "running": [{"id": "0123456789abcdef", "service": "web", "number": 3}],
}  # fmt: skip
WAITING = {
    "id": "fedcba9876543210", "service": "shop", "number": 7, "labels": ["gpu"],
    "reason": "no worker with label gpu is there", "created_at": TIME,
}  # fmt: skip
QUEUE: dict[str, Any] = {
    "waiting": 0, "running": 0, "broker": "", "broker_ok": True, "broker_reason": "", "next": [],
}  # fmt: skip

Ask = Callable[..., Outcome]


@pytest.fixture
def ask(run: Run, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run a command against a control plane that gives one answer."""

    def asked(path: str, answer: object, *arguments: str) -> Outcome:
        async def serve(_: web.Request) -> web.Response:
            return web.json_response(answer)

        async def whole() -> Outcome:
            app = web.Application()
            app.router.add_get(f"/api/v1/{path}", serve)
            async with TestServer(app) as server:
                monkeypatch.setenv("HELVETIA_URL", str(server.make_url("")).rstrip("/"))
                monkeypatch.setenv("HELVETIA_TOKEN", "hv_x")
                return await asyncio.to_thread(run, *arguments)

        return asyncio.run(whole())

    return asked


def test_workers(ask: Ask) -> None:
    outcome = ask("workers", {"items": [WORKER], "next": None}, "workers")
    header, row = outcome.out.splitlines()
    assert header.split() == [
        "WORKER",
        "STATUS",
        "HOST",
        "VERSION",
        "LABELS",
        "BUSY",
        "RUNS",
        "SEEN",
    ]
    assert row.startswith("vm:1:abc  alive   vm    0.1.0    build,region=eu  1 of 2  web#3")
    shown = json.loads(ask("workers", {"items": [WORKER], "next": None}, "workers", "--json").out)
    assert shown == [WORKER]


def test_no_workers(ask: Ask) -> None:
    outcome = ask("workers", {"items": [], "next": None}, "workers")
    assert outcome.out == ""
    assert outcome.err == "no worker is there; start one with `helvetia worker`\n"
    assert json.loads(ask("workers", {"items": [], "next": None}, "workers", "--json").out) == []


def test_queue(ask: Ask) -> None:
    full = {**QUEUE, "waiting": 3, "running": 2, "next": [WAITING]}
    outcome = ask("queue", full, "queue")
    assert outcome.err == "3 waiting, 2 running\nand 2 more\n"
    header, row = outcome.out.splitlines()
    assert header.split() == ["SERVICE", "NUMBER", "ID", "ASKED", "LABELS", "REASON"]
    assert row.endswith("gpu     no worker with label gpu is there")
    assert json.loads(ask("queue", full, "queue", "--json").out) == full


def test_an_empty_queue_without_its_broker(ask: Ask) -> None:
    assert ask("queue", QUEUE, "queue").err == "nothing waits, 0 running\n"
    away = {**QUEUE, "broker": "redis", "broker_ok": False, "broker_reason": "Redis is away"}
    outcome = ask("queue", away, "queue")
    assert "Redis is away" in outcome.err
    assert outcome.code == 0
