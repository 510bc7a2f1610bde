"""`helvetia users link` makes links that the running platform takes."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from helvetia.kernel.database import Database
from helvetia.plugins.auth.local import links
from helvetia.plugins.auth.local.models import Password, Purpose


async def users(home: Path, *words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "helvetia.cli",
        "users",
        *words,
        env={**os.environ, "HELVETIA_HOME": str(home), "HELVETIA_HTTP": "127.0.0.1:8799"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_link_and_reset(tmp_path: Path, database: Database) -> None:
    home = tmp_path
    assert (home / "helvetia.db").exists()
    anna = await Password.create(login="anna", name="Anna", hash="x")
    (code, out), (reset, said), (refused, why) = await asyncio.gather(
        users(home, "link"),
        users(home, "link", "--reset", "ANNA"),
        users(home, "link", "--reset", "nobody"),
    )
    assert code == reset == 0
    found = {}
    for text in (out, said):
        match = re.fullmatch(r"http://127\.0\.0\.1:8799/auth/local\?link=(\S+)\n", text)
        assert match, text
        link = await links.find(match[1])
        assert link is not None
        found[link.purpose] = link.subject
    assert found == {Purpose.INVITE: None, Purpose.RESET: anna.subject}
    assert refused == 2
    assert "nobody signs in as `nobody`" in why
