"""`helvetia run` and `helvetia shell`, as programs of their own."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import sys
import termios
from asyncio.subprocess import PIPE, Process

from http_support import TOKENS

from helvetia.testing.base import repeated

from .conftest import Place


async def begin(place: Place, *arguments: str, **more: int) -> Process:
    environment = {
        **os.environ,
        "HELVETIA_URL": place.world.url,
        "HELVETIA_TOKEN": TOKENS["admin"],
        "HELVETIA_HOME": str(place.world.platform.home),
    }
    ends = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE, **more}
    argv = [sys.executable, "-m", "helvetia.cli", *arguments]
    return await asyncio.create_subprocess_exec(*argv, env=environment, **ends)  # type: ignore[arg-type]


async def test_run_passes_output_and_exit_code_on(place: Place) -> None:
    process = await begin(
        place, "run", "web", "--", "sh", "-c", "cat hello.txt; echo e >&2; exit 9"
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 9
    assert out == b"hello\n"
    assert errors.startswith(b"e\n")


async def test_what_cannot_be_run_is_an_error_with_a_hint(place: Place) -> None:
    process = await begin(place, "run", "web", "--release", "8", "--", "true")
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert b"service web has no release 8" in errors
    assert b"helvetia releases web" in errors
    process = await begin(place, "run", "nobody", "--", "true")
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert b"there is no service nobody" in errors


async def test_interrupted_it_ends_the_command(place: Place) -> None:
    process = await begin(place, "run", "web", "--", "sh", "-c", "echo begun; sleep 600")
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"begun\n"
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 30) == 130
    async with asyncio.timeout(20):
        while place.left:
            await asyncio.sleep(0.02)


async def test_a_shell_at_a_real_terminal(place: Place) -> None:
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (31, 97))
    before = termios.tcgetattr(follower)
    process = await begin(place, "shell", "web", stdin=follower, stdout=follower, stderr=follower)
    shown = b""

    async def until(text: str) -> None:
        nonlocal shown
        while not re.search(text.encode(), shown):
            shown += await asyncio.wait_for(asyncio.to_thread(os.read, leader, 4096), 60)

    try:
        await until("[#$] ")
        # One program: between two, a Ctrl-C is for nobody.
        os.write(leader, b"sh -c 'stty size; sleep 600'\n")
        await until("31 97")

        async def interrupt() -> None:
            os.write(leader, b"\x03\necho on''ward\n")

        # As a person does, until it helps: a Ctrl-C between two programs is for nobody.
        async with repeated(interrupt):
            await until("onward")
        os.write(leader, b"exit 4\n")
        assert await asyncio.wait_for(process.wait(), 60) == 4
        assert termios.tcgetattr(follower) == before, "the terminal is as it was"
    finally:
        os.close(follower)
        os.close(leader)


async def test_a_shell_needs_a_terminal(place: Place) -> None:
    process = await begin(place, "shell", "web")
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert b"helvetia run" in errors
