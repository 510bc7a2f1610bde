"""Things die at the worst moment; services go on and the platform tells the truth."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import apps
from .harness import Installation, Repository, free_port, until
from .looking import deploy, has_ended, is_active, running, seconds_between, stage, text, workspaces

pytestmark = pytest.mark.e2e


@pytest.fixture
def alive(shared: Installation) -> Installation:
    """The platform of this module, started again if a test left it dead."""
    if shared.process is None or shared.process.poll() is not None:
        shared.up()
    return shared


def kill(platform: Installation) -> None:
    assert platform.end(signal.SIGKILL) == -signal.SIGKILL


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
    assert re.match("crash loop: .*exited with code 1", service["status_reason"])
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
    # Its process runs, which is not enough, not even for a platform that is started again.
    kill(alive)
    alive.up()
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


def test_instances_come_back_while_the_proxy_cannot(
    alive: Installation, repository: Repository
) -> None:
    repository.commit("one", apps.server("one"))
    made = deploy(alive, repository, "unreachable")
    before = alive.supervised(made["id"])
    proxy = alive.traefik()
    os.kill(proxy["shim_pid"], signal.SIGKILL)
    os.kill(proxy["pid"], signal.SIGKILL)
    until("the proxy died", lambda: not running([proxy["pid"]]))
    with taken(alive.edge_port):
        os.kill(before["shim_pid"], signal.SIGKILL)

        def is_back() -> bool:
            return alive.supervised(made["id"])["shim_pid"] != before["shim_pid"]

        until("its process is back", is_back)
        reason = until(
            "it is told",
            lambda: "out of reach" in (s := alive.service("unreachable"))["status_reason"] and s,
        )["status_reason"]
        assert str(alive.edge_port) in reason
    until("it answers again", lambda: text(alive, "unreachable") == "one")
    until("it is active", lambda: is_active(alive, "unreachable"))


@contextlib.contextmanager
def taken(port: int) -> Iterator[None]:
    """Listen on the port, as soon as it is free."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def is_bound() -> bool:
            stranger.bind(("127.0.0.1", port))
            return True

        until("the port is free", is_bound)
        stranger.listen()
        yield


@pytest.mark.parametrize("command", ["up", "worker", "web", "down"])
def test_the_data_folder_of_a_running_platform_is_refused(
    alive: Installation, command: str
) -> None:
    other = {"HELVETIA_HTTP": f"127.0.0.1:{free_port()}"}
    refused = alive.run(command, code=1, extra=other)
    assert f"Helvetia is running on {alive.home} already" in refused.stderr
