"""Look at services and processes as they are now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from .harness import Installation, Repository


def deploy(platform: Installation, repository: Repository, name: str, *options: str) -> Any:
    return platform.json("deploy", str(repository.folder), "--name", name, *options)


def text(platform: Installation, name: str, path: str = "/") -> str | None:
    status, body, _ = platform.get(f"{name}.localhost", path)
    return body.decode() if status == 200 else None


def is_active(platform: Installation, name: str) -> Any:
    """Return the service once it is ACTIVE and settled."""
    service = platform.service(name)
    return service if service["status"] == "ACTIVE" and not service["status_reason"] else None


def stage(platform: Installation, name: str) -> str | None:
    """Return the stage that the newest deployment of a service is in."""
    running = [s for s in platform.deployments(name)[0]["stages"] if s["status"] == "RUNNING"]
    return running[0]["name"] if running else None


def has_ended(platform: Installation, name: str) -> Any:
    newest = platform.deployments(name)[0]
    return None if newest["status"] in ("QUEUED", "RUNNING") else newest


def running(pids: Iterable[int]) -> list[int]:
    """Return those that still run; a zombie waits for nobody but its parent."""
    return [pid for pid in pids if is_running(pid)]


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def seconds_between(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


def workspaces(platform: Installation) -> list[Path]:
    return list((platform.home / "work").glob("*"))
