"""One command from its first frame to its exit code."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from aiohttp import WSMsgType, web
from pydantic import ValidationError

from helvetia import Call, HelvetiaError, InstanceSpec, InvalidInput, Runtime, Terminal
from helvetia.kernel import events
from helvetia.kernel.contracts.base import LogSink
from helvetia.kernel.errors import NotFound, PluginError
from helvetia.kernel.models import Release, Service, new_id
from helvetia.kernel.pipeline.specs import instance_spec
from helvetia.kernel.providers import Entry, plugin_call
from helvetia.masking import Redactor
from helvetia.plugins.api.sockets import GOODBYE, STALL_SECONDS, listen, send_frame

from .output import NOTE, Output
from .settings import ShellSettings
from .shapes import Wanted, Window

Result = TypeVar("Result")
MAX_INCOMING = 256 * 1024
_FIRST_SECONDS = 10.0
_OPEN_SECONDS = 120.0
_END_SECONDS = 30.0
_TOLD_CHARACTERS = 500
_STDOUT = b"\x01"
# Fixed text, and whoever gets this shell has asked for one.
_SHELL = ("sh", "-c", "command -v bash >/dev/null && exec bash; exec sh")


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """How a command ended; without a code if the platform ended it, or nobody waits any more."""

    exit_code: int | None = None
    reason: str = ""


class Session:
    """Serves one open socket."""

    def __init__(self, call: Call, service: Service, settings: ShellSettings) -> None:
        self._call = call
        self._service = service
        self._settings = settings
        self._touched = time.monotonic()

    async def __call__(self, socket: web.WebSocketResponse) -> None:
        """Run what the first frame asks for, and tell how it ended."""
        try:
            wanted = await _first_frame(socket)
            if wanted is None:
                return
            release = await self._release(wanted)
            end = await self._journalled(socket, wanted, release)
            frame: dict[str, Any] = {"exit_code": end.exit_code, "reason": end.reason}
        except HelvetiaError as error:
            problem = {"code": error.code, "message": error.message, "hint": error.hint}
            frame = {"error": problem}
        await send_frame(socket, frame)

    async def _release(self, wanted: Wanted) -> Release:
        service = self._service
        if wanted.release is not None:
            found = await Release.get_or_none(service_id=service.id, number=wanted.release)
            hint = f"see `helvetia releases {service.name}`"
        else:
            found = await Release.get_or_none(id=service.live_release_id or "")
            hint = "deploy it first, or name a release"
        if found is None:
            which = f"release {wanted.release}" if wanted.release else "live release"
            raise NotFound(f"service {service.name} has no {which}", hint=hint)
        return found

    async def _journalled(
        self, socket: web.WebSocketResponse, wanted: Wanted, release: Release
    ) -> _End:
        command = tuple(wanted.command) or _SHELL
        platform = self._call.platform
        spec = await instance_spec(platform, self._service, release, f"run-{new_id()}")
        if wanted.terminal is not None:
            spec = replace(spec, environment={"TERM": "xterm-256color", **spec.environment})
        # A runtime that does not know `command` finds no process of this name.
        spec = replace(spec, command=command, process="command")
        secrets = Redactor(spec.environment[name] for name in spec.secrets)
        words = secrets.text(" ".join(wanted.command) or "a shell")[:_TOLD_CHARACTERS]
        facts = {"command": words, "release": str(release.number)}
        of_service = {"team_id": self._service.team_id, "service_id": self._service.id}
        who = self._call.user.id
        await events.record("shell.opened", actor=who, **of_service, **facts)
        began, end = time.monotonic(), _End(reason="the connection was closed")
        try:
            await send_frame(socket, {"started": {"release": release.number}})
            end = await self._limited(socket, wanted, release, spec, secrets)
        except HelvetiaError as error:
            end = _End(reason=error.message)
            raise
        finally:
            if end.exit_code is not None:
                facts["exit_code"] = str(end.exit_code)
            if end.reason:
                facts["reason"] = end.reason
            facts["seconds"] = f"{time.monotonic() - began:.1f}"
            told = events.record("shell.closed", actor=who, **of_service, **facts)
            await asyncio.shield(told)
        return end

    async def _limited(
        self,
        socket: web.WebSocketResponse,
        wanted: Wanted,
        release: Release,
        spec: InstanceSpec,
        secrets: Redactor,
    ) -> _End:
        runtime = self._call.platform.providers.runtimes.get(release.providers["runtime"])
        limit = asyncio.timeout(self._settings.longest_seconds)
        try:
            async with limit:
                if wanted.terminal is None:
                    return await self._run(socket, runtime, spec, secrets)
                return await self._at_terminal(socket, runtime, spec, wanted.terminal)
        except TimeoutError:
            if not limit.expired():
                raise
            hours = self._settings.longest_seconds / 3600
            return _End(reason=f"no command may run for longer than {hours:g} h")

    async def _run(
        self,
        socket: web.WebSocketResponse,
        runtime: Entry[Runtime],
        spec: InstanceSpec,
        secrets: Redactor,
    ) -> _End:
        output = Output(secrets)
        async with (
            _task(_work(runtime, spec, output)) as work,
            _task(_show_pieces(socket, output)) as shown,
            _task(listen(socket)) as gone,
        ):
            await asyncio.wait({work, gone, shown}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                return _End(reason="the connection was closed")
            # The output ends behind the work, or breaks off before it.
            await shown
            return _End(exit_code=await work)

    async def _at_terminal(
        self,
        socket: web.WebSocketResponse,
        runtime: Entry[Runtime],
        spec: InstanceSpec,
        window: Window,
    ) -> _End:
        async with plugin_call(runtime.plugin, f"{runtime.name}.terminal", _OPEN_SECONDS):
            terminal = await runtime.provider.terminal(spec, window.columns, window.rows)
        if terminal is None:
            raise HelvetiaError(
                f"the runtime {runtime.name} has no terminals",
                hint="run a command without one: `helvetia run`",
            )
        try:
            async with (
                _task(self._show(socket, terminal)) as shown,
                _task(self._hear(socket, terminal)) as gone,
                _task(self._until_idle()) as idle,
            ):
                await asyncio.wait({shown, gone, idle}, return_when=asyncio.FIRST_COMPLETED)
                if shown.done():
                    await shown
                    async with plugin_call(runtime.plugin, f"{runtime.name}.wait", _END_SECONDS):
                        return _End(exit_code=await terminal.wait())
                if gone.done():
                    await gone
                    return _End(reason="the connection was closed")
                minutes = self._settings.idle_seconds / 60
                return _End(reason=f"nothing was typed or shown for {minutes:g} minutes")
        finally:
            await asyncio.shield(terminal.close())

    async def _show(self, socket: web.WebSocketResponse, terminal: Terminal) -> None:
        while data := await terminal.read():
            self._touched = time.monotonic()
            await _send(socket, _STDOUT + data)

    async def _hear(self, socket: web.WebSocketResponse, terminal: Terminal) -> None:
        """Carry what is typed until the connection is closed."""
        while (message := await socket.receive()).type not in GOODBYE:
            self._touched = time.monotonic()
            # A program that reads nothing must not keep the goodbye from being heard.
            async with asyncio.timeout(STALL_SECONDS):
                if message.type is WSMsgType.BINARY:
                    await terminal.write(message.data)
                elif message.type is WSMsgType.TEXT:
                    with contextlib.suppress(ValidationError):
                        window = Window.model_validate_json(message.data)
                        await terminal.resize(window.columns, window.rows)

    async def _until_idle(self) -> None:
        while (left := self._touched + self._settings.idle_seconds - time.monotonic()) > 0:
            await asyncio.sleep(left)


async def _first_frame(socket: web.WebSocketResponse) -> Wanted | None:
    """Return what is wanted; None if the connection is closed instead.

    Raises:
        InvalidInput: it is not understood, or does not come.
    """
    try:
        message = await socket.receive(timeout=_FIRST_SECONDS)
    except TimeoutError:
        raise InvalidInput("command", "the first frame did not come in time") from None
    if message.type in GOODBYE:
        return None
    if message.type is not WSMsgType.TEXT:
        raise InvalidInput("command", "the first frame must be text")
    try:
        return Wanted.model_validate_json(message.data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"]) or "command"
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise InvalidInput(field, reason[:1].lower() + reason[1:]) from None


async def _work(runtime: Entry[Runtime], spec: InstanceSpec, output: Output) -> int:
    sink: LogSink = output
    try:
        return await runtime.provider.run(spec, sink)
    except HelvetiaError:
        raise
    except Exception as error:
        what = f"{runtime.name}.run raised {type(error).__name__}: {error}"
        raise PluginError(runtime.plugin, what) from error
    finally:
        output.end()


async def _show_pieces(socket: web.WebSocketResponse, output: Output) -> None:
    async for number, data in output.pieces():
        if number == NOTE:
            await send_frame(socket, {"note": data.decode("utf-8", "replace")})
        else:
            await _send(socket, bytes([number]) + data)


async def _send(socket: web.WebSocketResponse, data: bytes) -> None:
    async with asyncio.timeout(STALL_SECONDS):
        await socket.send_bytes(data)


@contextlib.asynccontextmanager
async def _task(work: Coroutine[Any, Any, Result]) -> AsyncIterator[asyncio.Task[Result]]:
    """Have some work done beside the body; it has ended when the body has."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
