"""What builds have in the engine, as an engine tells of it that is not in UTC."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from helvetia.plugins.builders.docker.objects import Objects
from helvetia.plugins.runtimes.docker.engine import Engine
from helvetia.plugins.runtimes.docker.labels import SERVICE

_MADE = {
    "utc": "2026-03-01T17:00:00Z",
    "west": "2026-03-01T12:00:00-05:00",
    "exact": "2026-03-01T12:00:00.123456789-05:00",
}


async def test_the_offset_of_a_time_is_heeded(tmp_path: Path) -> None:
    async def tell(request: web.Request) -> web.Response:
        made = [
            {"Name": name, "Labels": {SERVICE: "s1"}, "CreatedAt": when}
            for name, when in _MADE.items()
        ]
        return web.json_response({"Volumes": made})

    app = web.Application()
    app.router.add_get("/{path:.*}", tell)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(tmp_path / "socket")).start()
        caches = await Objects(Engine(f"unix://{tmp_path}/socket"), "i").caches()
    finally:
        await runner.cleanup()
    assert {name: round(made, 3) for name, _, made in caches} == {
        "utc": 1772384400, "west": 1772384400, "exact": 1772384400.123,
    }  # fmt: skip
