"""The near end of a command that runs in a release: bytes in, bytes out, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Any

import aiohttp

from helvetia.kernel.errors import ExitCode, HelvetiaError, InvalidInput, Unreachable

from .api import service_path
from .problems import to_error
from .session import Session

_CHUNK = 16 * 1024
_STDERR = 2


async def run_command(
    session: Session, service: str, command: list[str], release: int | None
) -> int:
    """Run a command without a terminal; return its exit code."""
    wanted = {"command": command, "release": release}
    async with session.api.client.socket(f"{service_path(service)}/shell") as socket:
        await socket.send_str(json.dumps(wanted))
        return await _follow(session, socket)


async def at_terminal(
    session: Session, service: str, command: list[str], release: int | None
) -> int:
    """Run a command at this terminal; return its exit code.

    Raises:
        InvalidInput: there is none.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput(
            "terminal", "there is none to work at", hint="run a command with `helvetia run`"
        )
    wanted = {"command": command, "release": release, "terminal": _window()}
    async with session.api.client.socket(f"{service_path(service)}/shell") as socket:
        await socket.send_str(json.dumps(wanted))
        with _raw(), _typing(socket):
            return await _follow(session, socket)


async def _follow(session: Session, socket: aiohttp.ClientWebSocketResponse) -> int:
    """Show what comes until the command has ended; return its exit code.

    Raises:
        HelvetiaError: it could not be run, or the connection broke.
    """
    async for message in socket:
        if message.type is aiohttp.WSMsgType.BINARY:
            # As it is: this is the program's own output, not the platform's word about it.
            stream = sys.stderr if message.data[0] == _STDERR else sys.stdout
            stream.buffer.write(message.data[1:])
            stream.buffer.flush()
        elif message.type is aiohttp.WSMsgType.TEXT:
            frame: dict[str, Any] = json.loads(message.data)
            if problem := frame.get("error"):
                raise to_error(400, {**problem, "detail": problem["message"]})
            if "note" in frame:
                session.out.note((frame["note"], "dim"))
            if "exit_code" in frame:
                return _exit_code(session, frame)
    if socket.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION:
        raise HelvetiaError("you may not run commands in this service any more")
    raise Unreachable("the connection broke; the command was ended")


def _exit_code(session: Session, frame: dict[str, Any]) -> int:
    code: int | None = frame["exit_code"]
    if code is None:
        session.out.warn(f"ended by the platform: {frame['reason']}")
        return ExitCode.ERROR
    return 128 - code if code < 0 else code


def _window() -> dict[str, int]:
    size = os.get_terminal_size(sys.stdout.fileno())
    return {"columns": max(size.columns, 1), "rows": max(size.lines, 1)}


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Have every key, Ctrl-C included, come as it is."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _typing(socket: aiohttp.ClientWebSocketResponse) -> Iterator[None]:
    """Send what is typed, and the size of the window when it changes."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[bytes | str] = asyncio.Queue()
    descriptor = sys.stdin.fileno()

    def typed() -> None:
        data = os.read(descriptor, _CHUNK)
        if data:
            waiting.put_nowait(data)
        else:
            loop.remove_reader(descriptor)

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                piece = await waiting.get()
                if isinstance(piece, bytes):
                    await socket.send_bytes(piece)
                else:
                    await socket.send_str(piece)

    loop.add_reader(descriptor, typed)
    loop.add_signal_handler(signal.SIGWINCH, lambda: waiting.put_nowait(json.dumps(_window())))
    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        sending.cancel()
        loop.remove_signal_handler(signal.SIGWINCH)
        loop.remove_reader(descriptor)
