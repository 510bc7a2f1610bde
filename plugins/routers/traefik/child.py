"""The Traefik process: started once, adopted by every later control plane."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from helvetia import HelvetiaError
from helvetia.kernel.supervisor import Supervised, SupervisedSpec

from . import config
from .api import TraefikApi
from .binary import Binary, candidates, find_binary, stamp
from .certificate import make_certificate
from .files import Layout, locked, read
from .ports import free_port, is_free, require_free
from .settings import TraefikSettings

_LOCK_SECONDS = 25.0
_START_SECONDS = 10.0
_ADOPT_SECONDS = 5.0
_STOP_SECONDS = 8.0
_ATTEMPTS = 3
_LOG_BYTES = 1024 * 1024
_LOG_PAGE = 1000
_LAST_LINES = 5


class _Ended(Exception):
    """Traefik ended instead of starting; the text says why."""


class TraefikChild:
    """The one Traefik of an installation, whichever process of the platform started it."""

    def __init__(
        self, *, layout: Layout, settings: TraefikSettings, edge: tuple[str, int], owner: str
    ) -> None:
        self._layout = layout
        self._settings = settings
        self._edge = edge
        self._owner = owner
        self._supervised = Supervised(layout.process)

    async def ensure(self, api: TraefikApi) -> None:
        """Lead `api` to the running Traefik; start it first if it does not run as it should.

        Raises:
            PortTaken: the edge address belongs to another program; nothing is left behind.
            HelvetiaError: there is no usable binary, or it does not start.
        """
        async with locked(self._layout.lock, _LOCK_SECONDS):
            await asyncio.to_thread(self._layout.sweep)
            if await self._adopt(api):
                return
            binary = await find_binary(self._settings.binary)
            # Asked before the old one ends: a wrong setting must not take the services down.
            ours = await asyncio.to_thread(self._supervised.pids)
            await asyncio.to_thread(require_free, *self._edge, ours=ours)
            await self._supervised.stop(_STOP_SECONDS)
            await self._start(binary, api)

    async def shutdown(self) -> None:
        """Stop Traefik. Routes stay on disk for the next start."""
        async with locked(self._layout.lock, _LOCK_SECONDS):
            await self._clear()

    async def refresh(self, api: TraefikApi) -> None:
        """Follow a restart by another process of the platform, after which the API may move."""
        api.identity = await asyncio.to_thread(self._read_identity)

    async def is_running(self) -> bool:
        """Tell whether Traefik runs or is about to come back."""
        return (await self._supervised.state()).status in ("running", "restarting", "crash-loop")

    async def errors_since(self, moment: float) -> str:
        """Return what Traefik logged since then; empty if nothing."""
        lines = [text for when, text in await self._log() if when >= moment]
        return "; ".join(lines[-_LAST_LINES:])

    async def _adopt(self, api: TraefikApi) -> bool:
        identity = await asyncio.to_thread(self._read_identity)
        if identity is None or not await self.is_running():
            return False
        started = await asyncio.to_thread(read, self._layout.started)
        files = candidates(self._settings.binary)
        if started not in [self._fingerprint(file, identity) for file in files]:
            return False
        await asyncio.to_thread(self._write_shared, identity)
        api.identity = identity
        try:
            async with asyncio.timeout(_ADOPT_SECONDS):
                await _until(api.ready)
        except TimeoutError:
            return False
        return True

    async def _start(self, binary: Binary, api: TraefikApi) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            await asyncio.to_thread(require_free, *self._edge)
            api.identity = await asyncio.to_thread(self._usable_identity)
            try:
                await self._attempt(binary, api.identity, api)
                return
            except _Ended as problem:
                # Somebody was faster: the edge is checked again, the API gets another port.
                if "address already in use" not in str(problem) or attempt == _ATTEMPTS:
                    raise HelvetiaError(f"Traefik does not start: {problem}") from problem

    async def _attempt(self, binary: Binary, identity: config.Identity, api: TraefikApi) -> None:
        try:
            await asyncio.to_thread(self._write, binary, identity)
            await self._supervised.remove()
            await self._supervised.start(
                SupervisedSpec(
                    argv=[str(binary.path), f"--configFile={self._layout.static}"],
                    cwd=self._layout.folder,
                    # Nothing of ours: a proxy variable would send the apps' traffic to it.
                    environment={},
                    owner=self._owner,
                    log_bytes=_LOG_BYTES,
                )
            )
            async with asyncio.timeout(_START_SECONDS):
                await _until(api.ready, watch=self._require_alive)
        except BaseException as problem:
            said = await self._tail() if isinstance(problem, TimeoutError) else ""
            await asyncio.shield(self._clear())
            if isinstance(problem, TimeoutError):
                raise _Ended(f"no answer for {_START_SECONDS:g} s; {said}") from problem
            raise

    async def _clear(self) -> None:
        await self._supervised.stop(_STOP_SECONDS)
        await self._supervised.remove()
        for path in (self._layout.started, self._layout.static):
            path.unlink(missing_ok=True)

    async def _require_alive(self) -> None:
        state = await self._supervised.state()
        if state.status != "running" or state.restarts:
            raise _Ended(await self._tail() or state.reason)

    async def _tail(self) -> str:
        return "; ".join(text for _, text in (await self._log())[-_LAST_LINES:])

    async def _log(self) -> list[tuple[float, str]]:
        lines: list[tuple[float, str]] = []
        cursor = ""
        while True:
            page = await self._supervised.logs(cursor, _LOG_PAGE)
            lines.extend((line.time, line.text) for line in page.lines)
            if len(page.lines) < _LOG_PAGE:
                return lines
            cursor = page.cursor

    def _read_identity(self) -> config.Identity | None:
        try:
            record = json.loads(read(self._layout.identity) or "")
            return config.Identity(api_port=record["api_port"], token=record["token"])
        except (ValueError, KeyError, TypeError):
            return None

    def _usable_identity(self) -> config.Identity:
        known = self._read_identity()
        token = known.token if known else secrets.token_hex(16)
        if port := self._settings.api_port:
            hint = "end that program, or set HELVETIA_TRAEFIK_API_PORT=0"
            require_free("127.0.0.1", port, hint=hint)
        elif known and is_free(known.api_port):
            port = known.api_port
        else:
            port = free_port()
        return config.Identity(api_port=port, token=token)

    def _static(self, identity: config.Identity) -> str:
        return config.static(
            edge=self._edge,
            identity=identity,
            settings=self._settings,
            dynamic=self._layout.dynamic,
        )

    def _fingerprint(self, file: Path, identity: config.Identity) -> str:
        facts = [stamp(file), self._static(identity)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _write(self, binary: Binary, identity: config.Identity) -> None:
        layout = self._layout
        if not layout.certificate.exists():
            layout.write(layout.certificate, make_certificate())
        record = {"api_port": identity.api_port, "token": identity.token}
        layout.write(layout.identity, json.dumps(record))
        self._write_shared(identity)
        layout.write(layout.static, self._static(identity))
        layout.write(layout.started, self._fingerprint(binary.path, identity))

    def _write_shared(self, identity: config.Identity) -> None:
        text = config.shared(
            identity=identity, settings=self._settings, certificate=self._layout.certificate
        )
        if read(self._layout.shared) != text:
            self._layout.write(self._layout.shared, text)


async def _until(
    condition: Callable[[], Awaitable[bool]],
    watch: Callable[[], Awaitable[None]] | None = None,
) -> None:
    pause = 0.005
    while not await condition():
        if watch is not None:
            await watch()
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)
