"""The checks of `helvetia doctor`, each with its verdict and what to do."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from helvetia.kernel.errors import HelvetiaError
from helvetia.kernel.plugins import PluginStatus
from helvetia.kernel.settings import default_home, split_address

from .address import find_address
from .api import Api
from .client import Client
from .installed import load_plugins

_OLDEST = (3, 11)
_EDGE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found."""

    name: str
    ok: bool
    reason: str
    hint: str = ""

    def document(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self)


async def examine() -> list[Finding]:
    """Check everything that can be checked; what needs a running platform is left out without."""
    home = default_home()
    findings = [_python(), _folder(home), *_plugins(home)]
    return findings + [finding async for finding in _platform()]


def _python() -> Finding:
    running = platform.python_version()
    if sys.version_info >= _OLDEST:
        return Finding(name="Python", ok=True, reason=running)
    return Finding(
        name="Python", ok=False, reason=f"{running} is too old", hint="use 3.11 or later"
    )


def _folder(home: Path) -> Finding:
    name = "data folder"
    # The first parent that exists decides whether the folder could be made.
    place = next(path for path in (home, *home.parents) if path.exists())
    if not place.is_dir():
        return Finding(name=name, ok=False, reason=f"{place} is not a folder", hint="move it away")
    if not os.access(place, os.W_OK | os.X_OK):
        hint = "make it writable, or set HELVETIA_HOME to another folder"
        return Finding(name=name, ok=False, reason=f"{place} is not writable", hint=hint)
    state = "writable" if place == home else "will be made"
    return Finding(name=name, ok=True, reason=f"{home} ({state})")


def _plugins(home: Path) -> Iterator[Finding]:
    try:
        plugins = list(load_plugins(home))
    except HelvetiaError as error:
        yield Finding(name="plugins", ok=False, reason=error.message, hint=error.hint)
        return
    broken = [plugin for plugin in plugins if plugin.status is PluginStatus.QUARANTINED]
    for plugin in broken:
        instead = f"`helvetia plugins disable {plugin.name}`"
        hint = f"repair or uninstall {plugin.distribution}, or {instead}"
        yield Finding(name=f"plugin {plugin.name}", ok=False, reason=plugin.reason, hint=hint)
    if not broken:
        active = sum(plugin.status is PluginStatus.ACTIVE for plugin in plugins)
        yield Finding(
            name="plugins", ok=True, reason=f"{active} of {len(plugins)} active, none broken"
        )


async def _platform() -> AsyncIterator[Finding]:
    try:
        address = find_address()
        async with Client(address) as client:
            api = Api(client)
            about = await api.about()
            reason = f"{address.url}, version {about.version}"
            yield Finding(name="control plane", ok=True, reason=reason)
            checks = await api.checks()
            served = {check.family for check in checks if check.ok}
            for check in checks:
                name = f"{check.family} {check.name}"
                hint = f"`helvetia plugins disable {check.plugin}` if it is not needed"
                # Of several providers of a family one is enough.
                reason = check.reason if check.ok else f"not used: {check.reason}"
                yield Finding(name=name, ok=check.family in served, reason=reason, hint=hint)
            yield await _edge(about.edge)
    except HelvetiaError as error:
        yield Finding(name="control plane", ok=False, reason=error.message, hint=error.hint)


async def _edge(address: str) -> Finding:
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        host, port = split_address(parts.netloc)
        async with asyncio.timeout(_EDGE_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"HEAD / HTTP/1.0\r\n\r\n")
            answer = await reader.readline()
            writer.close()
    except (OSError, ValueError, TimeoutError) as error:
        reason = f"{address} does not answer: {error or 'no answer in time'}"
    else:
        if answer.startswith(b"HTTP/"):
            return Finding(name="edge", ok=True, reason=f"{address} answers")
        reason = f"{address} does not speak HTTP"
    return Finding(
        name="edge", ok=False, reason=reason, hint="see the log of the router; restart the platform"
    )
