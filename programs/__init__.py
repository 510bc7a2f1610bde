"""Run external programs of a deployment: logged, in their own session, gone when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import psutil

OWNER_VARIABLE = "HELVETIA_OWNER"
"""Marks every process started for a deployment, so that a later worker finds orphans."""

_PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
_PASSED_PREFIXES = (
    "PIP_", "UV_", "NPM_CONFIG_", "SSL_CERT", "NODE_EXTRA_CA", "REQUESTS_CA", "CURL_CA", "GIT_SSL",
)  # fmt: skip
_LEFTOVER_SECONDS = 2.0
_FIRST_LOOK_SECONDS = 0.001  # most programs of a deployment are gone after some
_LOOK_SECONDS = 0.02
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


class Output(Protocol):
    """Where the output of a program goes."""

    def write(self, data: bytes, stream: str) -> None:
        """Take what came on `stdout` or `stderr`, in any chunks."""


def base_environment() -> dict[str, str]:
    """Return the platform's variables that programs of tenants may see: no secret among them."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED or name.upper().startswith(_PASSED_PREFIXES) or name.upper() in _PROXIES
    }


async def run_command(
    argv: Sequence[str],
    *,
    cwd: Path,
    owner: str,
    log: Output,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a program to its end and return its exit code; negative is minus the signal.

    Args:
        argv: program and arguments; no shell reads them.
        cwd: working folder.
        owner: mark to find the process by after a crash, such as `build:<deployment id>`.
        log: where standard output and error go.
        environment: variables beside the few of `base_environment`.

    Raises:
        FileNotFoundError: there is no such program.
    """
    creating = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env={**base_environment(), **(environment or {}), OWNER_VARIABLE: owner},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    )
    try:
        process = await asyncio.shield(creating)
    except asyncio.CancelledError:
        # Left to itself, asyncio would kill the program and not what it has started already.
        await _end(await creating)
        raise
    assert process.stdout is not None
    assert process.stderr is not None
    readers = asyncio.gather(
        _copy(process.stdout, "stdout", log), _copy(process.stderr, "stderr", log)
    )
    try:
        code = await _ended(process)
        # What the program left running would hold the pipes open for ever.
        _kill_group(process.pid)
        await asyncio.wait([readers], timeout=_LEFTOVER_SECONDS)
        return code
    except BaseException:
        await _end(process)
        raise
    finally:
        readers.cancel()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the program and all of its group; a second cancel must not leave a zombie."""
    _kill_group(process.pid)
    await asyncio.shield(_ended(process))


async def _ended(process: asyncio.subprocess.Process) -> int:
    """Wait for the program alone: `Process.wait` waits for all that inherited its pipes, too."""
    pause = _FIRST_LOOK_SECONDS
    while process.returncode is None:
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, _LOOK_SECONDS)
    return process.returncode


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


async def _copy(reader: asyncio.StreamReader, stream: str, log: Output) -> None:
    while data := await reader.read(65536):
        log.write(data, stream)


def kill_owned(*owners: str) -> int:
    """Kill every process that carries one of the marks, whoever its parent is.

    Args:
        owners: marks; `a` stands for all that begin with `a.`, too.

    Returns:
        How many there were.
    """
    killed = 0
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(OWNER_VARIABLE, "")
            if any(mark == owner or mark.startswith(f"{owner}.") for owner in owners):
                process.kill()
                killed += 1
        except (psutil.Error, OSError):
            continue
    return killed
