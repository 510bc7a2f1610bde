"""Start commands quickly: each is a fork of one process that has imported the command line.

Two thirds of a command's work is importing, and the tests run a thousand of them. What is left
out is that alone: arguments, environment, folder, streams and exit code are the command's own.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

_LENGTH = struct.Struct("I")


def run(
    arguments: Sequence[str], environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run `helvetia` with these arguments and nothing to read, as `subprocess.run` would."""
    with (
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as errors,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        connection.connect(str(_server()))
        wanted = json.dumps([list(arguments), dict(environment), os.getcwd()]).encode()
        length = _LENGTH.pack(len(wanted))
        socket.send_fds(connection, [length], [output.fileno(), errors.fileno()])
        connection.sendall(wanted)
        code = _wait(connection, arguments, timeout)
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(arguments, code, output.read(), errors.read())


def _wait(connection: socket.socket, arguments: Sequence[str], timeout: float) -> int:
    """Return the exit code of a command, below 0 if a signal ended it; kill one that is late."""
    with connection.makefile() as answers:
        pid = int(answers.readline())
        connection.settimeout(timeout)
        try:
            return int(answers.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(["helvetia", *arguments], timeout) from None


@functools.cache
def _server() -> Path:
    """Start the process that is forked; it ends when this one has ended, however that was."""
    folder = Path(tempfile.mkdtemp(prefix="helvetia-warm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = folder / "socket"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HELVETIA_")}
    server = subprocess.Popen(
        [sys.executable, "-m", __name__, address],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    atexit.register(server.communicate)
    assert server.stdout
    assert server.stdout.readline(), "nothing to fork"
    return address


def _serve(address: str) -> None:
    """Fork for each connection until standard input is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as waiting:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        waiting.register(listener, selectors.EVENT_READ)
        waiting.register(sys.stdin, selectors.EVENT_READ)
        while all(key.fileobj is listener for key, _ in waiting.select()):
            connection, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                waiting.close()
                listener.close()
                _answer(connection)
            connection.close()


def _answer(connection: socket.socket) -> NoReturn:
    """Read what is wanted, have a child do it, and say how it ended."""
    length, streams, _, _ = socket.recv_fds(connection, _LENGTH.size, 2)
    with connection.makefile("rb") as file:
        wanted = json.loads(file.read(*_LENGTH.unpack(length)))
    if child := os.fork():
        connection.sendall(f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    connection.close()
    _become(*wanted, streams)


def _become(
    arguments: list[str], environment: dict[str, str], folder: str, streams: Sequence[int]
) -> NoReturn:
    empty = os.open(os.devnull, os.O_RDONLY)
    for number, stream in enumerate((empty, *streams)):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["helvetia", *arguments]
    from helvetia.cli import main

    main()


def _prepare() -> None:
    """Import everything, and make the parser of the command line, once."""
    import typer

    import helvetia.cli

    for module in pkgutil.iter_modules(helvetia.cli.__path__, "helvetia.cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("typer._adapters")
    typer.main.get_command = functools.cache(typer.main.get_command)
    typer.main.get_command(helvetia.cli.root.app)
    gc.freeze()


if __name__ == "__main__":
    _prepare()
    _serve(sys.argv[1])
