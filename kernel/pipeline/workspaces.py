"""The folders attempts work in: each locked by the process at work in it, and gone after it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from helvetia.kernel.locks import file_lock, try_lock
from helvetia.kernel.platform import Platform
from helvetia.programs import kill_owned

_LOCK = "lock"


@contextlib.asynccontextmanager
async def workspace(platform: Platform, name: str) -> AsyncIterator[Path]:
    """Hold a folder for an attempt or a plan; it and its programs end with the block.

    Args:
        name: no other attempt's, ever: two of them must not meet in one folder.
    """
    folder = platform.home / "work" / name
    async with contextlib.AsyncExitStack() as stack:
        # Where nothing can be written, the first to write says so in its own words.
        with contextlib.suppress(OSError):
            await stack.enter_async_context(file_lock(folder / _LOCK))
        try:
            yield folder
        finally:
            if folder.exists():
                await clear_workspaces(platform, folder)


async def clear_workspaces(platform: Platform, *folders: Path) -> None:
    """Kill the programs of attempts and remove their folders, even if cancelled meanwhile."""
    await asyncio.shield(asyncio.to_thread(_clear, platform, folders))


async def collect_workspaces(platform: Platform) -> None:
    """Clear the workspaces whose processes are dead."""
    await asyncio.to_thread(_collect, platform)


def owner_mark(platform: Platform, name: str) -> str:
    """Return the mark of a workspace's programs; of a deployment's id, of all its attempts."""
    return f"{platform.installation}/{name}"


def _collect(platform: Platform) -> None:
    with contextlib.ExitStack() as stack:
        dead: list[Path] = []
        for folder in (platform.home / "work").glob("*"):
            with contextlib.suppress(OSError):
                handle = try_lock(folder / _LOCK)
                if handle is not None:
                    stack.callback(os.close, handle)
                    dead.append(folder)
        if dead:
            _clear(platform, dead)


def _clear(platform: Platform, folders: Iterable[Path]) -> None:
    kill_owned(*(owner_mark(platform, folder.name) for folder in folders))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
