"""What is loaded, on which the time of a start hangs: of the platform, and of each command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# What every control plane with a worker needs at once. Whatever else a plugin uses it loads
# where it is first used.
NEEDED = frozenset({
    "aiodocker", "aiohappyeyeballs", "aiohttp", "aiosignal", "aiosqlite", "annotated_doc",
    "annotated_types", "anyio", "argon2", "attr", "attrs", "brotli", "cryptography",
    "frozenlist", "idna", "iso8601", "markupsafe", "multidict",
    "pluggy", "prometheus_client", "propcache", "psutil", "pydantic",
    "pydantic_core", "pypika_tortoise", "shellingham", "taskiq", "taskiq_dependencies",
    "tortoise", "typer", "typing_extensions", "typing_inspection", "yarl",
})  # fmt: skip
# Parts of packages that are needed, which take long themselves.
LATER = ("cryptography.x509", "cryptography.hazmat.primitives.serialization", "rich.markdown",
         "tortoise.migrations.executor")  # fmt: skip
_START = """
import asyncio, json, sys
from pathlib import Path
import helvetia.cli.root, helvetia.cli.serve, helvetia.cli.server
async def start():
    from helvetia.kernel.http.app import make_app
    from helvetia.kernel.platform import Platform
    from helvetia.kernel.settings import Settings, default_home
    from helvetia.kernel.worker import Worker
    async def ring(deployment_id): pass
    platform = Platform(Settings(default_home()))
    await platform.open()
    Worker(platform)
    make_app(platform, ring)
    await platform.close()
asyncio.run(start())
"""
_TELL = """
import sys
installed = [name for name, module in sys.modules.items()
             if "site-packages" in (getattr(module, "__file__", None) or "")]
print("\\n".join(installed))
"""


_COMMAND = """
import contextlib, io, sys
import helvetia.cli
with contextlib.redirect_stderr(io.StringIO()) as told:
    helvetia.cli.execute(["services"])
assert "no Helvetia runs" in told.getvalue(), told.getvalue()
"""


def loaded(code: str, home: Path) -> set[str]:
    """Run code in a process of its own; return the names of installed modules that it loaded."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HELVETIA_", "COV_"))}
    done = subprocess.run(
        [sys.executable, "-c", code + _TELL],
        env={**environment, "HELVETIA_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_start_loads_nothing_that_is_used_later(tmp_path: Path) -> None:
    loaded(_START, tmp_path / "home")  # the first start makes the tables
    modules = loaded(_START, tmp_path / "home")
    packages = {name.partition(".")[0] for name in modules}
    surplus = {name for name in packages if not name.startswith("_")} - NEEDED - {"helvetia"}
    assert not surplus, f"load these where they are used: {sorted(surplus)}"
    assert not modules.intersection(LATER)


def test_a_command_loads_neither_the_database_nor_a_web_server(tmp_path: Path) -> None:
    packages = {name.partition(".")[0] for name in loaded(_COMMAND, tmp_path / "none")}
    assert not packages.intersection({"tortoise", "aiohttp", "taskiq", "cryptography", "psutil"})
