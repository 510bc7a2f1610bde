"""Use a running platform as people and programs do, and look at what is really there."""

from __future__ import annotations

import http.client
import json
import shutil
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from .harness import Installation, Repository

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str, folder: Path) -> Repository:
    """Return a git repository with one of the shipped examples."""
    repository = Repository(folder)
    left_out = shutil.ignore_patterns("node_modules", "dist", "__pycache__")
    shutil.copytree(EXAMPLES / name, folder, dirs_exist_ok=True, ignore=left_out)
    repository.commit("The example as it ships", {})
    return repository


def replace_files(repository: Repository, message: str, files: Mapping[str, str]) -> str:
    """Commit exactly these files and no others."""
    repository.git("rm", "-rq", "--ignore-unmatch", ".")
    return repository.commit(message, files)


def stages(deployment: Mapping[str, Any]) -> dict[str, str]:
    """Return the status of each stage."""
    return {stage["name"]: stage["status"] for stage in deployment["stages"]}


def newest(installation: Installation, service: str) -> dict[str, Any]:
    """Return the newest deployment of a service."""
    deployment: dict[str, Any] = installation.json("deployments", service, "-n", "1")[0]
    return deployment


def token(installation: Installation) -> str:
    """Return the token that the command line of this user has."""
    content = json.loads((installation.home / "control.json").read_text())
    return str(content["token"])


def api(
    installation: Installation,
    path: str,
    *,
    method: str = "GET",
    body: object = None,
    bearer: str | None = None,
) -> tuple[int, str]:
    """Ask the REST API and return the status and the body."""
    bearer = token(installation) if bearer is None else bearer
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    connection = http.client.HTTPConnection("127.0.0.1", installation.http_port, timeout=15)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def processes(folder: Path) -> list[str]:
    """Return the command lines of all processes that work in a folder or name it."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [process.cwd(), *process.cmdline()]
        except psutil.Error:
            continue
        if any(str(folder) in word for word in words):
            found.append(" ".join(words[1:]))
    return found


def rows_about(installation: Installation, *ids: str) -> Counter[str]:
    """Return how many rows of each table speak of one of the ids."""
    found: Counter[str] = Counter()
    with sqlite3.connect(f"file:{installation.home / 'helvetia.db'}?mode=ro", uri=True) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for row in database.execute(f'SELECT * FROM "{table}"'):
                found[table] += any(id in str(value) for value in row for id in ids)
    return +found


class Watcher:
    """Asks for a page over and over, and keeps what was not as expected."""

    def __init__(self, installation: Installation, hostname: str, body: str) -> None:
        self._installation = installation
        self._hostname = hostname
        self._body = body
        self._stop = threading.Event()
        self.good = 0
        self.bad: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Ask while the block runs; at its end every answer must have been the expected one."""
        thread = threading.Thread(target=self._ask)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
        assert self.bad == []
        assert self.good >= 5

    def _ask(self) -> None:
        while not self._stop.wait(0.04):
            try:
                status, body, _ = self._installation.get(self._hostname)
            except OSError as error:
                self.bad.append(repr(error))
                continue
            if (status, body.decode()) == (200, self._body):
                self.good += 1
            else:
                self.bad.append(f"{status} {body[:80]!r}")


def fresh_copy(folder: Path) -> Path:
    """Copy what a clone would hold, changes that are not committed yet included."""
    root = EXAMPLES.parent
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=root, check=True, capture_output=True
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        source = root / name
        if source.is_symlink() or source.exists():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return folder
