"""Deployments that fail: said with stage, provider, reason and what to do; nobody is cut off."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from .apps import SlowSite
from .harness import Installation, Repository, free_port, until
from .using import Watcher, newest, processes, replace_files, stages

pytestmark = pytest.mark.e2e

_SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(STATUS)
        self.end_headers()
        self.wfile.write(b"version 1")
    def log_message(self, *_):
        pass
print("this version listens on", PORT, flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
"""
_PROCFILE = "web: python3 app.py\n"


def server(*, status: int = 200, port: str = 'int(os.environ["PORT"])') -> dict[str, str]:
    """Return a web application that answers a status on a port."""
    text = _SERVER.replace("STATUS", str(status)).replace("PORT)", f"{port})")
    return {"Procfile": _PROCFILE, "app.py": text.replace("PORT,", f"{port},")}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A version that does not come up, and what must be told about it."""

    name: str
    files: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    stage: str
    provider: str
    code: int
    kind: str
    reason: str
    hint: str = ""
    lines: tuple[str, ...] = ()


CASES = [
    Case(
        name="dependency-that-does-not-exist",
        files={**server(), "requirements.txt": "flask==0.0.99\n"},
        stage="build",
        provider="procfile",
        code=3,
        kind="build-failed",
        reason=r"pip.* exit code 1",
        hint="the lines above say why",
        lines=("No matching distribution found for flask==0.0.99",),
    ),
    Case(
        name="build-script-that-fails",
        files={
            "Procfile": "web: node server.js\n",
            "package.json": '{"scripts": {"build": "node build.js"}}',
            "build.js": 'console.error("the colour is missing"); process.exit(7)',
        },
        stage="build",
        provider="procfile",
        code=3,
        kind="build-failed",
        reason=r"`npm run build` ended with exit code 7",
        hint="the lines above say why",
        lines=("the colour is missing",),
    ),
    Case(
        name="answers-500",
        files=server(status=500),
        stage="probe",
        provider="kernel",
        code=4,
        kind="never-healthy",
        reason=r"not healthy within 3 s: GET /ready answered 500, expected 200-399",
        hint="health check",
        lines=("this version listens on",),
    ),
    Case(
        name="never-listens",
        files={
            "Procfile": _PROCFILE,
            "app.py": 'import time\nprint("still thinking", flush=True)\ntime.sleep(600)\n',
        },
        stage="probe",
        provider="kernel",
        code=4,
        kind="never-healthy",
        reason=r"not healthy within 3 s: nothing listens on port \d+",
        hint="it listens on no port; it must listen on the port in the variable PORT",
        lines=("still thinking",),
    ),
    Case(
        name="crashes-at-once",
        files={
            "Procfile": _PROCFILE,
            "app.py": 'raise SystemExit("DATABASE_URL is not set")\n',
        },
        stage="probe",
        provider="kernel",
        code=4,
        kind="never-healthy",
        reason=r"exited with code 1 after",
        hint="last lines",
        lines=("DATABASE_URL is not set",),
    ),
    Case(
        name="program-that-is-not-there",
        files={**server(), "Procfile": "web: gunicornn app:app\n"},
        stage="start",
        provider="process",
        code=4,
        kind="release-failed",
        reason=r"process `web`: there is no program `gunicornn`",
        hint="Add it to the dependencies",
    ),
    Case(
        name="release-command-that-fails",
        files={
            **server(),
            "Procfile": f"{_PROCFILE}release: python3 release.py\n",
            "release.py": 'raise SystemExit("migration 7 does not apply")\n',
        },
        stage="release",
        provider="release",
        code=4,
        kind="release-failed",
        reason=r"release.* exit code 1",
        lines=("migration 7 does not apply",),
    ),
    Case(
        name="procfile-without-web",
        files={"Procfile": "worker: python3 app.py\n", "app.py": ""},
        stage="detect",
        provider="kernel",
        code=3,
        kind="no-provider",
        reason=r"Procfile without a `web` process \(it has worker\)",
        hint="--type",
    ),
    Case(
        name="nothing-that-any-builder-knows",
        files={"notes.txt": "buy milk"},
        stage="detect",
        provider="kernel",
        code=3,
        kind="no-provider",
        reason=r"no builder fits: .*procfile: no Procfile.*static: no index\.html",
        hint="add a Procfile or an index.html",
    ),
    Case(
        name="unknown-ref",
        files=server(),
        arguments=("--ref", "v99"),
        stage="fetch",
        provider="git",
        code=3,
        kind="source-failed",
        reason=r"branch `v99` does not exist in .*; it has: main",
        hint="name another one",
    ),
]


@dataclass(frozen=True)
class Site:
    """A service whose version 1 is live."""

    platform: Installation
    repository: Repository

    def deploy(self, *arguments: str, code: int) -> str:
        """Deploy while the page is watched, and return what was told."""
        watcher = Watcher(self.platform, "site.localhost", "version 1")
        with watcher.watching():
            done = self.platform.run(
                "deploy", str(self.repository.folder), "--name", "site", *arguments, code=code
            )
        assert done.stdout == ""
        return done.stderr


@pytest.fixture(scope="module")
def site(shared: Installation, tmp_path_factory: pytest.TempPathFactory) -> Site:
    repository = Repository(tmp_path_factory.mktemp("failures") / "site")
    repository.commit("Version 1", server())
    options = ("--health", "/ready", "--grace", "3")
    shared.run("deploy", str(repository.folder), *options)
    return Site(shared, repository)


def _check(site: Site, told: str, case: Case) -> None:
    last = told.splitlines()[-3:]
    failed = next(line for line in last if line.startswith("✗ Failed"))
    assert failed.startswith(f"✗ Failed in {case.stage} ({case.provider}): "), told
    assert re.search(case.reason, failed), told
    assert case.hint in told, told
    for line in case.lines:
        assert re.search(rf"^ +.*{re.escape(line)}", told, re.MULTILINE), told
    assert last[-1] == "  release 1 goes on answering", told

    deployment = newest(site.platform, "site")
    assert deployment["status"] == "FAILED"
    assert (deployment["failed_stage"], deployment["failed_provider"]) == (
        case.stage,
        case.provider,
    )
    assert deployment["reason_code"] == case.kind
    assert stages(deployment)[case.stage] == "FAILED"
    assert stages(deployment)["activate"] == "SKIPPED"

    status = site.platform.json("status", "site")
    assert (status["status"], status["release"], len(status["instances"])) == ("ACTIVE", 1, 1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_version_that_does_not_come_up(site: Site, case: Case) -> None:
    replace_files(site.repository, case.name, case.files)
    # A ref stays with the service.
    arguments = case.arguments or ("--ref", "main")
    told = site.deploy(*arguments, code=case.code)
    _check(site, told, case)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield int(holder.getsockname()[1])


def test_a_port_that_is_hard_coded_and_taken(site: Site, taken_port: int) -> None:
    replace_files(site.repository, "A port of its own", server(port=str(taken_port)))
    told = site.deploy("--ref", "main", code=4)
    case = Case(
        name="",
        files={},
        stage="probe",
        provider="kernel",
        code=4,
        kind="never-healthy",
        reason=r"exited with code 1",
        lines=("Address already in use", f"this version listens on {taken_port}"),
    )
    _check(site, told, case)


def test_a_port_of_its_own_is_told_with_the_remedy(site: Site) -> None:
    port = free_port()
    replace_files(site.repository, "Another port", server(port=str(port)))
    told = site.deploy("--ref", "main", code=4)
    case = Case(
        name="",
        files={},
        stage="probe",
        provider="kernel",
        code=4,
        kind="never-healthy",
        reason=rf"it listens on port {port}; it must listen on the port in the variable PORT",
    )
    _check(site, told, case)


def test_a_repository_that_is_not_there(site: Site, tmp_path: Path) -> None:
    watcher = Watcher(site.platform, "site.localhost", "version 1")
    with watcher.watching():
        url = f"file://{tmp_path}/gone.git"
        done = site.platform.run("deploy", url, "--name", "site", code=3)
    case = Case(
        name="",
        files={},
        stage="fetch",
        provider="git",
        code=3,
        kind="source-failed",
        reason=r"gone\.git (is not a Git repository|does not exist)",
    )
    _check(site, done.stderr, case)
    assert f"site came from {site.repository.folder} until now" in done.stderr


def test_a_first_version_that_fails_leaves_nothing_running(
    shared: Installation, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "never")
    repository.commit("Crash", {"Procfile": _PROCFILE, "app.py": "import nothing_of_that_name\n"})
    done = shared.run("deploy", str(repository.folder), code=4)
    assert "No module named 'nothing_of_that_name'" in done.stderr
    assert "goes on answering" not in done.stderr

    status = shared.json("status", "never")
    assert (status["status"], status["release"], status["instances"]) == ("FAILED", None, [])
    assert "exited with code 1" in status["status_reason"]
    assert shared.get("never.localhost")[0] == 404
    deployment = shared.json("deploy", str(repository.folder), code=4)
    assert (deployment["status"], deployment["reason_code"]) == ("FAILED", "never-healthy")


def test_down_after_a_kill_ends_the_build(tmp_path: Path) -> None:
    platform = Installation(tmp_path / "home")
    try:
        platform.up()
        slow = SlowSite(tmp_path)
        slow.commit("one")
        platform.run("deploy", str(slow.repository.folder), *slow.options, "--no-wait")
        program, child = until("the build has begun", slow.builds)[0]
        platform.end(signal.SIGKILL)
        assert psutil.pid_exists(program)

        platform.run("down")
        for pid in (program, child):
            until("it is gone", lambda pid=pid: not psutil.pid_exists(pid), seconds=5)
        assert processes(platform.home) == []
    finally:
        platform.tear_down()
