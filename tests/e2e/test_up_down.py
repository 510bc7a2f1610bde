"""Starts that cannot work, and what they leave behind: nothing."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .harness import Installation, until

pytestmark = pytest.mark.e2e


@contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        yield


def told(installation: Installation, code: int) -> str:
    """Return the one line of a start that failed, without the progress before it."""
    done = installation.run("up", code=code, timeout=30)
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("  ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_taken_control_plane_port(installation: Installation) -> None:
    with taken(installation.http_port):
        line = told(installation, 9)

    assert f"127.0.0.1:{installation.http_port}" in line
    assert installation.processes() == []
    assert not installation.home.exists()


def test_a_taken_edge_port(installation: Installation) -> None:
    with taken(installation.edge_port):
        line = told(installation, 9)

    assert f"127.0.0.1:{installation.edge_port}" in line
    assert installation.processes() == []
    assert not (installation.home / "control.json").exists()
    with pytest.raises(ConnectionRefusedError):
        installation.get_control("/healthz")
    installation.up()
    assert installation.get("nobody.localhost")[0] == 404


def test_two_on_one_data_folder(installation: Installation, tmp_path: Path) -> None:
    installation.up()
    second = Installation(tmp_path / "home")

    line = told(second, 1)

    assert installation.process is not None
    assert "running" in line
    assert str(installation.process.pid) in line
    assert installation.get_control("/readyz") == 200
    assert installation.json("services") == []
    installation.run("down", code=1)
    assert installation.get_control("/readyz") == 200


def test_a_data_folder_that_cannot_be_written(installation: Installation) -> None:
    installation.home.write_text("somebody's file")

    line = told(installation, 1)

    assert str(installation.home) in line
    assert installation.home.read_text() == "somebody's file"
    assert installation.processes() == []


def test_down_ends_what_sigterm_left(installation: Installation) -> None:
    installation.up()
    assert installation.end(signal.SIGTERM) == 0
    assert installation.processes() != []
    assert installation.get("nobody.localhost")[0] == 404

    installation.run("down")

    assert installation.processes() == []
    installation.run("down")


def test_down_works_while_a_stranger_has_the_port(installation: Installation) -> None:
    installation.up()
    installation.end(signal.SIGINT)
    with taken(installation.edge_port):
        installation.run("down")
    assert installation.processes() == []


@pytest.mark.parametrize("folder", ["lock", "traefik", "traefik/process", "control.json"])
def test_a_start_interrupted_at_once_leaves_nothing(
    installation: Installation, folder: str
) -> None:
    installation.begin_up()
    until("the start has come so far", (installation.home / folder).exists)

    assert installation.end(signal.SIGINT) == 0

    assert installation.processes() == []
    installation.run("services", code=8)
