"""Run by `interpreter`: serve a small site, ask for it, and print which modules that took."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

_BEFORE = set(sys.modules)
_HEADERS = ("Accept-Encoding: gzip", "Range: bytes=0-2", "If-None-Match: *", "If-Match: *")


async def _serve(folder: Path) -> None:
    from aiohttp import web
    from static.server import make_app  # type: ignore[import-not-found]

    runner = web.AppRunner(make_app(folder), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    for path in ("/", "/index.html/", "/nothing", "/large.bin"):
        for header in _HEADERS:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n\r\n".encode()
            )
            if not (await reader.read()).startswith(b"HTTP/1.1 "):
                raise OSError("no answer")
            writer.close()
    await runner.cleanup()


def _site(folder: Path) -> None:
    (folder / "site").mkdir()
    (folder / ".helvetia").mkdir()
    (folder / ".helvetia/static.json").write_text('{"spa": false, "cache": []}')
    (folder / "site/index.html").write_text("a page")
    (folder / "site/large.bin").write_bytes(bytes(9 * 2**20))


def _modules() -> list[dict[str, Any]]:
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_file():
            package = bool(getattr(module, "__path__", None))
            found.append(
                {"name": name, "file": file, "package": package, "new": name not in _BEFORE}
            )
    return found


def _main() -> None:
    package, spared = sys.argv[1], json.loads(sys.argv[2])
    for name in spared:
        sys.modules[name] = None  # type: ignore[assignment]
    static = types.ModuleType("static")
    static.__path__ = [package]
    sys.modules["static"] = static
    with tempfile.TemporaryDirectory() as folder:
        _site(Path(folder))
        asyncio.run(_serve(Path(folder)))
    print(json.dumps([one for one in _modules() if not one["name"].startswith("static.")]))


_main()
