"""Things die at the worst moment; services go on and the platform tells the truth."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from . import apps
from .harness import Installation, Repository, until

pytestmark = pytest.mark.e2e


@pytest.fixture
def alive(shared: Installation) -> Installation:
    """The platform of this module, started again if a test left it dead."""
    if shared.process is None or shared.process.poll() is not None:
        shared.up()
    return shared


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


def kill(platform: Installation) -> None:
    assert platform.end(signal.SIGKILL) == -signal.SIGKILL


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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_services_outlive_the_control_plane_and_are_adopted(
    alive: Installation, repository: Repository, number: signal.Signals
) -> None:
    name = f"adopted-{number}"
    repository.commit("one", apps.server("one"))
    deploy(alive, repository, name)
    pid = text(alive, name, "/pid")
    assert pid

    code = alive.end(number)

    assert code == (-number if number is signal.SIGKILL else 0)
    assert text(alive, name, "/pid") == pid
    alive.up()
    service = until("the service is seen again", lambda: is_active(alive, name))
    assert [instance["restarts"] for instance in service["instances"]] == [0]
    assert text(alive, name, "/pid") == pid


def test_ctrl_c_ends_everything_and_up_brings_it_back(
    platform: Installation, repository: Repository
) -> None:
    repository.commit("one", apps.server("one"))
    deploy(platform, repository, "web")
    pid = text(platform, "web", "/pid")

    code = platform.end(signal.SIGINT)

    assert code == 0
    assert platform.processes() == []
    with pytest.raises(ConnectionRefusedError):
        platform.get("web.localhost")
    assert not (platform.home / "control.json").exists()
    platform.up()
    until("the service is back", lambda: is_active(platform, "web"))
    assert text(platform, "web") == "one"
    assert text(platform, "web", "/pid") != pid
    until("it says so", lambda: "  web                ACTIVE" in platform.log.read_text())


def test_killed_in_the_middle_of_a_build(alive: Installation, tmp_path: Path) -> None:
    site = apps.SlowSite(tmp_path)
    site.let_go()
    site.commit("one")
    deploy(alive, site.repository, "site", *apps.SlowSite.options)
    assert text(alive, "site") == "one"
    site.hold()
    sha = site.commit("two")
    waiting = alive.begin("deploy", str(site.repository.folder), "--name", "site")
    until("the second build has begun", lambda: len(site.builds()) == 2)
    # What is committed now is not what was asked for.
    site.commit("three")

    kill(alive)

    assert text(alive, "site") == "one"
    orphans = site.builds()[1]
    alive.up()
    until("the build is begun again", lambda: len(site.builds()) == 3)
    assert running(orphans) == []
    assert text(alive, "site") == "one"
    site.let_go()
    ended = until("the deployment ends", lambda: has_ended(alive, "site"))
    assert (ended["status"], ended["sha"], ended["number"]) == ("LIVE", sha, 2)
    assert text(alive, "site") == "two"
    out, said = waiting.communicate(timeout=30)
    assert waiting.returncode == 0, said
    assert out == f"http://site.localhost:{alive.edge_port}  (release 2)\n"
    assert "attempt 2" in said
    assert "attempt 2" in alive.run("logs", "site", "--build").stdout
    until("the work folder is gone", lambda: not workspaces(alive))


def test_killed_while_the_new_version_starts(
    alive: Installation, repository: Repository, tmp_path: Path
) -> None:
    repository.commit("one", apps.server("one"))
    deploy(alive, repository, "slow")
    ready = tmp_path / "ready"
    repository.commit("two", apps.server("two", {"start-when": ready}))
    made = alive.api("POST", "services/slow/deployments", {})
    until("the new version is probed", lambda: stage(alive, "slow") == "probe")
    started = alive.supervised(made["id"])

    kill(alive)

    assert text(alive, "slow") == "one"
    alive.up()
    until("the new version is probed again", lambda: stage(alive, "slow") == "probe")
    assert text(alive, "slow") == "one"
    ready.touch()
    ended = until("the deployment ends", lambda: has_ended(alive, "slow"))
    assert (ended["status"], ended["id"]) == ("LIVE", made["id"])
    assert text(alive, "slow", "/pid") == str(started["pid"]), "it was adopted, not started twice"
    service = until("the service is active", lambda: is_active(alive, "slow"))
    assert [instance["release"] for instance in service["instances"]] == [2]


def test_a_crashed_app_is_started_again(alive: Installation, repository: Repository) -> None:
    repository.commit("one", apps.server("one"))
    deploy(alive, repository, "crash")
    pid = text(alive, "crash", "/pid")
    assert pid

    os.kill(int(pid), signal.SIGKILL)

    until("it answers again", lambda: text(alive, "crash", "/pid") not in (None, pid))
    (instance,) = alive.service("crash")["instances"]
    assert (instance["status"], instance["restarts"]) == ("running", 1)
    assert "SIGKILL" in instance["reason"]
    until("it is active", lambda: is_active(alive, "crash"))
    assert len(alive.deployments("crash")) == 1


def test_a_crash_loop_is_told_and_its_end_too(
    alive: Installation, repository: Repository, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    repository.commit("one", apps.server("one", {"crash-if": broken}))
    deploy(alive, repository, "loop")
    pid = text(alive, "loop", "/pid")
    assert pid
    broken.touch()

    os.kill(int(pid), signal.SIGKILL)

    service = until(
        "the crash loop is told",
        lambda: (one := alive.service("loop"))["status"] == "FAILED" and one,
    )
    assert service["status_reason"].startswith("crash loop: exited with code 1")
    assert "the crash file is there" in alive.run("logs", "loop").stdout
    shown = alive.run("status", "loop").stdout
    assert "FAILED" in shown
    assert "crash loop" in shown
    broken.unlink()
    until("it is active again", lambda: is_active(alive, "loop"), seconds=60)
    assert text(alive, "loop") == "one"


def test_an_instance_whose_supervisor_was_killed_comes_back(
    alive: Installation, repository: Repository
) -> None:
    repository.commit("one", apps.server("one"))
    made = deploy(alive, repository, "bereft")
    state = alive.supervised(made["id"])

    os.kill(state["shim_pid"], signal.SIGKILL)

    until("the app went with it", lambda: not running([state["pid"]]))
    until("it answers again", lambda: text(alive, "bereft") == "one")
    until("it is active", lambda: is_active(alive, "bereft"))
    events = alive.run("events", "bereft").stdout
    assert "instance.restarted" in events
    (instance,) = alive.service("bereft")["instances"]
    assert instance["status"] == "running"


def test_a_service_that_is_not_healthy_again_is_told_so_until_it_is(
    alive: Installation, repository: Repository, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    repository.commit("one", apps.server("one", {"start-when": gate}))
    health = {"path": "/", "grace_seconds": 2}
    alive.api(
        "POST",
        "services",
        {"name": "sick", "source": str(repository.folder), "settings": {"health": health}},
    )
    made = deploy(alive, repository, "sick")
    gate.unlink()

    os.kill(alive.supervised(made["id"])["shim_pid"], signal.SIGKILL)

    def is_told() -> bool:
        service = alive.service("sick")
        reason = "the live version was not healthy within 2 s"
        return service["status"] == "FAILED" and service["status_reason"].startswith(reason)

    until("it is told", is_told)
    # Its process runs, which is not enough.
    with pytest.raises(AssertionError, match="did not come true"):
        until("it is called active", lambda: is_active(alive, "sick"), seconds=4)
    gate.touch()
    until("it is active", lambda: is_active(alive, "sick"))
    assert text(alive, "sick") == "one"


def test_a_repair_makes_way_for_a_deployment(
    alive: Installation, repository: Repository, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    repository.commit("one", apps.server("one", {"start-when": gate}))
    made = deploy(alive, repository, "hurried")
    before = alive.supervised(made["id"])
    gate.unlink()
    os.kill(before["shim_pid"], signal.SIGKILL)
    until(
        "it is being repaired",
        lambda: alive.supervised(made["id"])["shim_pid"] != before["shim_pid"],
    )
    repository.commit("two", apps.server("two"))

    # The repair alone would wait for a minute.
    asked = alive.api("POST", "services/hurried/deployments", {})

    ended = until("the deployment ends", lambda: has_ended(alive, "hurried"), seconds=45)
    assert (ended["id"], ended["status"]) == (asked["id"], "LIVE")
    assert seconds_between(asked["created_at"], ended["started_at"]) < 10
    assert text(alive, "hurried") == "two"


@pytest.mark.parametrize("victims", [["pid"], ["shim_pid"], ["shim_pid", "pid"]])
def test_the_killed_proxy_comes_back_and_routes(
    alive: Installation, repository: Repository, victims: list[str]
) -> None:
    name = "-".join(["proxied", *victims]).replace("_", "-")
    repository.commit("one", apps.server("one"))
    deploy(alive, repository, name)
    before = alive.traefik()

    for victim in victims:
        os.kill(before[victim], signal.SIGKILL)

    until("the proxy died", lambda: not running([before["pid"]]))
    until("the proxy routes again", lambda: text(alive, name) == "one")
    assert alive.traefik()["pid"] != before["pid"]
    repository.commit("two", apps.server("two"))
    assert deploy(alive, repository, name)["status"] == "LIVE"
    assert text(alive, name) == "two"


def test_cancel_ends_a_running_build(alive: Installation, tmp_path: Path) -> None:
    site = apps.SlowSite(tmp_path)
    site.commit("one")
    deploying = alive.begin(
        "deploy", str(site.repository.folder), "--name", "called-off", *apps.SlowSite.options
    )
    until("the build has begun", site.builds)
    (made,) = alive.deployments("called-off")

    ended = alive.json("cancel", made["id"], timeout=15)

    assert ended["status"] == "CANCELLED"
    asked = next(
        event["time"]
        for event in alive.api("GET", "services/called-off/events")["items"]
        if event["kind"] == "deployment.cancel-requested"
    )
    assert seconds_between(asked, ended["finished_at"]) < 5
    _, said = deploying.communicate(timeout=15)
    assert deploying.returncode == 6, said
    assert running(site.builds()[0]) == []
    until("the work folder is gone", lambda: not workspaces(alive))
    assert alive.service("called-off")["status"] == "IDLE"
    assert alive.service("called-off")["instances"] == []


def test_of_many_deployments_the_first_and_the_last_run(
    alive: Installation, tmp_path: Path
) -> None:
    site = apps.SlowSite(tmp_path)
    site.commit("one")
    first = ("deploy", str(site.repository.folder), "--name", "many", *apps.SlowSite.options)
    alive.run(*first, "--no-wait")
    until("the first build has begun", site.builds)
    for _ in range(9):
        alive.api("POST", "services/many/deployments", {})
    site.let_go()

    until("the last one ends", lambda: alive.deployments("many")[0]["status"] == "LIVE")

    statuses = [one["status"] for one in reversed(alive.deployments("many"))]
    assert statuses == ["LIVE", *["SUPERSEDED"] * 8, "LIVE"]
    assert len(site.builds()) == 2


def test_a_service_stopped_while_it_deploys_is_stopped(
    alive: Installation, repository: Repository, tmp_path: Path
) -> None:
    repository.commit("one", apps.server("one"))
    deploy(alive, repository, "halted")
    repository.commit("two", apps.server("two", {"start-when": tmp_path / "never"}))
    alive.api("POST", "services/halted/deployments", {})
    until("the new version is probed", lambda: stage(alive, "halted") == "probe")

    alive.run("stop", "halted", timeout=30)

    assert alive.deployments("halted")[0]["status"] == "CANCELLED"
    service = alive.service("halted")
    assert (service["status"], service["instances"]) == ("STOPPED", [])
    assert text(alive, "halted") is None
    alive.run("start", "halted")
    assert text(alive, "halted") == "one"


def test_a_service_deleted_while_it_deploys_leaves_nothing(
    alive: Installation, tmp_path: Path
) -> None:
    site = apps.SlowSite(tmp_path)
    site.let_go()
    site.commit("one")
    deploy(alive, site.repository, "gone", *apps.SlowSite.options)
    service = alive.service("gone")
    site.hold()
    alive.api("POST", "services/gone/deployments", {})
    until("the second build has begun", lambda: len(site.builds()) == 2)

    alive.run("delete", "gone", "--yes", timeout=30)

    alive.run("status", "gone", code=2)
    assert text(alive, "gone") is None
    assert running(site.builds()[1]) == []
    left = [path for path in alive.home.rglob("*") if service["id"] in path.name]
    # A lock may be held by somebody who is about to see that the service is gone.
    assert [path for path in left if path.parent.name != "locks"] == []
    until("the work folder is gone", lambda: not workspaces(alive))


def test_rollback_and_restart(alive: Installation, repository: Repository) -> None:
    for version in ("one", "two", "three"):
        repository.commit(version, apps.server(version))
        deploy(alive, repository, "back", "--env", f"MOOD={version}")

    back = alive.json("rollback", "back", "--to", "1")

    assert (back["status"], back["trigger"], back["release"]) == ("LIVE", "rollback", 1)
    assert "build" not in [one["name"] for one in back["stages"]]
    assert text(alive, "back") == "one"
    assert text(alive, "back", "/env/MOOD") == "one", "a rollback brings the variables back"
    assert alive.deployments("back")[1]["status"] == "ROLLED_BACK"
    alive.run("env", "back", "set", "MOOD=fine")
    assert text(alive, "back", "/env/MOOD") == "one"
    restarted = alive.json("restart", "back")
    assert restarted["release"] == 4
    assert (text(alive, "back"), text(alive, "back", "/env/MOOD")) == ("one", "fine")


def test_a_hostname_takes_effect_within_two_seconds(
    alive: Installation, repository: Repository
) -> None:
    repository.commit("one", apps.server("one"))
    deploy(alive, repository, "named")
    pid = text(alive, "named", "/pid")

    alive.api("POST", "services/named/domains", {"hostname": "www.example.com"})

    until("the name leads there", lambda: alive.get("www.example.com")[0] == 200, seconds=2)
    alive.api("DELETE", "services/named/domains/www.example.com")
    until("the name leads nowhere", lambda: alive.get("www.example.com")[0] == 404, seconds=2)
    assert text(alive, "named", "/pid") == pid
