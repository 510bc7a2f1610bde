"""A secret reaches what it is for and nothing else: arguments, jobs, logs, files, other scopes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from taskiq import BrokerMessage

from helvetia.kernel import environment
from helvetia.kernel.jobs import Jobs, LocalBroker
from helvetia.kernel.models import Deployment, DeploymentStatus, Scope
from tests.e2e.harness import Repository

from .deploying import World, open_world

OWN = {"FOR_BUILD": "value-of-the-build-1", "FOR_RUN": "value-of-the-run-22", "BOTH": "value-of-3"}
SCOPES = {"FOR_BUILD": [Scope.BUILD], "FOR_RUN": [Scope.RUN]}
PLATFORM = {
    "HELVETIA_REGISTRY_PASSWORD": "password-of-the-registry",
    "HELVETIA_REDIS_URL": "",
    "HELVETIA_GITHUB_CLIENT_SECRET": "client-secret-of-github",
}
SECRETS = [*OWN.values(), *(value for value in PLATFORM.values() if value)]

# The build says all that a leaking tool might, and what it finds of the secrets around it.
_BUILD = f"""
import glob, json, os, pathlib, sys
secrets = [bytes(reversed(text.encode())) for text in {[value[::-1] for value in SECRETS]!r}]
found = []
for file in glob.glob("/proc/[0-9]*/cmdline"):
    try:
        line = open(file, "rb").read()
    except OSError:
        continue
    found += [line.decode() for secret in secrets if secret in line]
seen = {{name: value for name, value in os.environ.items() if "value-of" in value}}
pathlib.Path("site").mkdir()
pathlib.Path("site/index.html").write_text(json.dumps([seen, found]))
for secret in secrets:
    print("a tool fails with", secret.decode(), file=sys.stderr)
"""
_APP = """#!/usr/bin/env -S python3 -I -S
import http.server, json, os
SEEN = json.dumps({n: v for n, v in os.environ.items() if "value-of" in v}).encode()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(SEEN)))
        self.end_headers()
        self.wfile.write(SEEN)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    settings = {"HELVETIA_STATIC_SERVE_FROM": "folder", "HELVETIA_STATIC_ISOLATE": "never"}
    async with open_world(tmp_path, **settings, **PLATFORM) as world:
        yield world


async def _deploy(world: World, folder: Path, files: dict[str, str], **more: str) -> Deployment:
    repository = Repository(folder)
    repository.commit("one", files)
    for name in files:
        (repository.folder / name).chmod(0o755)
    repository.commit("two", {"two": ""})
    service = await world.create(repository)
    service.settings["builder"] = more
    await service.save()
    await environment.change(service, world.platform.vault, set=OWN, scopes=SCOPES)
    deployment = await world.queue(service, "unused")
    await world.runner(deployment.id)
    return await Deployment.get(id=deployment.id)


async def test_builds_see_what_is_for_them_and_nothing_is_said_of_it(
    world: World, tmp_path: Path
) -> None:
    deployment = await _deploy(
        world,
        tmp_path / "site",
        {"build.py": _BUILD, "index.html": ""},
        build_command="python3 build.py",
        output="site",
    )
    assert deployment.status is DeploymentStatus.LIVE, deployment.reason
    answer = await world.answer()
    seen, found = json.loads(answer or "")
    assert set(seen) == {"FOR_BUILD", "BOTH"}
    assert found == []
    log = await _log(world, deployment)
    assert log.count("a tool fails with [redacted]") == len(SECRETS)
    with sqlite3.connect(world.platform.home / "helvetia.db") as database:
        kept = "\n".join(database.iterdump())
    assert [secret for secret in SECRETS if secret in kept] == []


async def test_instances_see_what_is_for_them(world: World, tmp_path: Path) -> None:
    deployment = await _deploy(world, tmp_path / "app", {"app": _APP, "Procfile": "web: ./app\n"})
    assert deployment.status is DeploymentStatus.LIVE, deployment.reason
    assert set(json.loads(await world.answer() or "")) == {"FOR_RUN", "BOTH"}


async def test_a_job_carries_an_id_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []

    async def kick(self: LocalBroker, message: BrokerMessage) -> None:
        sent.append(message.message)

    async def handle(deployment_id: str) -> None: ...

    monkeypatch.setattr(LocalBroker, "kick", kick)
    await Jobs(handle, concurrency=1).ring("0123456789abcdef")
    (message,) = sent
    told = json.loads(message)
    assert (told["args"], told["kwargs"], told["labels"]) == (["0123456789abcdef"], {}, {})


async def _log(world: World, deployment: Deployment) -> str:
    records = await world.platform.logs.tail(f"deployment:{deployment.id}", 1000)
    return "\n".join(record.text for record in records)
