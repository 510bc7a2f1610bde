"""What people do to a service while it runs or deploys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from . import apps
from .harness import Installation, Repository, until
from .looking import deploy, running, seconds_between, stage, text, workspaces

pytestmark = pytest.mark.e2e

_RELEASE = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
told = pathlib.Path(TOLD)
told.with_suffix(".new").write_text(f"{os.getpid()} {child.pid} {os.getcwd()}")
told.with_suffix(".new").rename(told)
time.sleep(600)
"""


def test_cancel_ends_a_running_build(shared: Installation, tmp_path: Path) -> None:
    site = apps.SlowSite(tmp_path)
    site.commit("one")
    deploying = shared.begin(
        "deploy", str(site.repository.folder), "--name", "called-off", *apps.SlowSite.options
    )
    until("the build has begun", site.builds)
    (made,) = shared.deployments("called-off")

    ended = shared.json("cancel", made["id"], timeout=15)

    assert ended["status"] == "CANCELLED"
    asked = next(
        event["time"]
        for event in shared.api("GET", "services/called-off/events")["items"]
        if event["kind"] == "deployment.cancel-requested"
    )
    assert seconds_between(asked, ended["finished_at"]) < 5
    _, said = deploying.communicate(timeout=15)
    assert deploying.returncode == 6, said
    assert running(site.builds()[0]) == []
    until("the work folder is gone", lambda: not workspaces(shared))
    assert shared.service("called-off")["status"] == "IDLE"
    assert shared.service("called-off")["instances"] == []


def test_cancel_ends_a_running_release_process(
    shared: Installation, repository: Repository, tmp_path: Path
) -> None:
    """It and its child, in a session of its own, ignore SIGTERM: a migration that hangs."""
    told = tmp_path / "told"
    once = _RELEASE.replace("TOLD", repr(str(told)))
    procfile = "release: python3 once.py\nweb: python3 server.py\n"
    repository.commit("one", {**apps.server("one"), "Procfile": procfile, "once.py": once})
    deploying = shared.begin("deploy", str(repository.folder), "--name", "unreleased")
    until("the release process runs", told.exists)
    pid, child, folder = told.read_text().split(" ", 2)
    assert stage(shared, "unreleased") == "release"

    ended = shared.json("cancel", shared.deployments("unreleased")[0]["id"], timeout=15)

    assert ended["status"] == "CANCELLED"
    asked = next(
        event["time"]
        for event in shared.api("GET", "services/unreleased/events")["items"]
        if event["kind"] == "deployment.cancel-requested"
    )
    assert seconds_between(asked, ended["finished_at"]) < 5
    _, said = deploying.communicate(timeout=15)
    assert deploying.returncode == 6, said
    assert running([int(pid), int(child)]) == []
    assert Path(folder).is_relative_to(shared.home)
    until("its folder is gone", lambda: not Path(folder).exists())
    until("the work folder is gone", lambda: not workspaces(shared))
    service = shared.service("unreleased")
    assert (service["status"], service["instances"]) == ("IDLE", [])


def test_of_ten_pushes_in_a_second_the_first_and_the_last_are_built(
    shared: Installation, tmp_path: Path
) -> None:
    site = apps.SlowSite(tmp_path)
    site.let_go()
    site.commit("zero")
    deploy(shared, site.repository, "many", *apps.SlowSite.options)
    site.hold()
    commits = [site.commit(f"push {number}") for number in range(10)]

    def push(sha: str) -> None:
        shared.api("POST", "services/many/deployments", {"ref": sha})

    push(commits[0])
    # What has not begun when the next one comes is superseded, the first as any other.
    until("the first has begun", lambda: shared.deployments("many")[0]["status"] == "RUNNING")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(push, commits[1:9]))
    push(commits[9])
    # The gate makes this one moment for the platform, however loaded the machine is.
    until("the first build has begun", lambda: len(site.builds()) == 2)
    site.let_go()

    until("the last one ends", lambda: shared.deployments("many")[0]["status"] == "LIVE")

    pushed = list(reversed(shared.deployments("many")))[1:]
    assert [one["status"] for one in pushed] == ["LIVE", *["SUPERSEDED"] * 8, "LIVE"]
    assert sorted(one["ref"] for one in pushed[1:9]) == sorted(commits[1:9])
    assert (pushed[0]["sha"], pushed[9]["sha"]) == (commits[0], commits[9])
    for number, one in enumerate(pushed[1:9], 3):
        reason = f"deployment {number + 1} was asked for before this one began"
        assert (one["number"], one["reason"], one["stages"]) == (number, reason, [])
    assert len(site.builds()) == 3, "one before, the first and the last"
    assert shared.service("many")["sha"] == commits[9], "the live revision"
    assert text(shared, "many") == "push 9"


def test_a_service_stopped_while_it_deploys_is_stopped(
    shared: Installation, repository: Repository, tmp_path: Path
) -> None:
    repository.commit("one", apps.server("one"))
    deploy(shared, repository, "halted")
    repository.commit("two", apps.server("two", {"start-when": tmp_path / "never"}))
    shared.api("POST", "services/halted/deployments", {})
    until("the new version is probed", lambda: stage(shared, "halted") == "probe")

    shared.run("stop", "halted", timeout=30)

    assert shared.deployments("halted")[0]["status"] == "CANCELLED"
    service = shared.service("halted")
    assert (service["status"], service["instances"]) == ("STOPPED", [])
    assert text(shared, "halted") is None
    shared.run("start", "halted")
    assert text(shared, "halted") == "one"


def test_a_service_deleted_while_it_deploys_leaves_nothing(
    shared: Installation, tmp_path: Path
) -> None:
    site = apps.SlowSite(tmp_path)
    site.let_go()
    site.commit("one")
    deploy(shared, site.repository, "gone", *apps.SlowSite.options)
    service = shared.service("gone")
    site.hold()
    shared.api("POST", "services/gone/deployments", {})
    until("the second build has begun", lambda: len(site.builds()) == 2)

    shared.run("delete", "gone", "--yes", timeout=30)

    shared.run("status", "gone", code=2)
    assert text(shared, "gone") is None
    assert running(site.builds()[1]) == []
    left = [path for path in shared.home.rglob("*") if service["id"] in path.name]
    # A lock may be held by somebody who is about to see that the service is gone.
    assert [path for path in left if path.parent.name != "locks"] == []
    until("the work folder is gone", lambda: not workspaces(shared))


def test_rollback_and_restart(shared: Installation, repository: Repository) -> None:
    for version in ("one", "two", "three"):
        repository.commit(version, apps.server(version))
        deploy(shared, repository, "back", "--env", f"MOOD={version}")

    back = shared.json("rollback", "back", "--to", "1")

    assert (back["status"], back["trigger"], back["release"]) == ("LIVE", "rollback", 1)
    assert "build" not in [one["name"] for one in back["stages"]]
    assert text(shared, "back") == "one"
    assert text(shared, "back", "/env/MOOD") == "one", "a rollback brings the variables back"
    assert shared.deployments("back")[1]["status"] == "ROLLED_BACK"
    shared.run("env", "back", "set", "MOOD=fine")
    assert text(shared, "back", "/env/MOOD") == "one"
    restarted = shared.json("restart", "back")
    assert restarted["release"] == 4
    assert (text(shared, "back"), text(shared, "back", "/env/MOOD")) == ("one", "fine")


def test_a_hostname_takes_effect_within_two_seconds(
    shared: Installation, repository: Repository
) -> None:
    repository.commit("one", apps.server("one"))
    deploy(shared, repository, "named")
    pid = text(shared, "named", "/pid")

    shared.api("POST", "services/named/domains", {"hostname": "www.example.com"})

    until("the name leads there", lambda: shared.get("www.example.com")[0] == 200, seconds=2)
    shared.api("DELETE", "services/named/domains/www.example.com")
    until("the name leads nowhere", lambda: shared.get("www.example.com")[0] == 404, seconds=2)
    assert text(shared, "named", "/pid") == pid
