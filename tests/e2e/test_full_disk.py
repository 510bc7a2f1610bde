"""The disk takes nothing more, or nothing at all: a clear reason, and all goes on later."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .disks import fill, small_disk
from .harness import Installation, running, until
from .killing import App, Requests, await_tidy
from .looking import has_ended

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system"),
]


def ask_for(platform: Installation, name: str) -> str:
    """Ask for a deployment; return its id."""
    return str(platform.api("POST", f"services/{name}/deployments", {})["id"])


def refused(platform: Installation, filler: Path) -> Any:
    """Ask for a deployment on a disk that is kept full; return the problem if it is refused."""
    fill(filler)
    try:
        ask_for(platform, "web")
    except AssertionError as error:
        text = str(error)
        return json.loads(text[text.index("{") :])
    return None


def big_file(app: App, megabytes: int) -> None:
    (app.repository.folder / "big").write_bytes(os.urandom(megabytes * 2**20))


@pytest.mark.parametrize(
    ("folder", "code", "words"),
    [
        ("work", 3, "The disk is full: the files of"),
        pytest.param("process", 4, "no space left on device", marks=pytest.mark.long),
        pytest.param(
            "artifacts",
            3,
            "there is no space left to keep the artifact",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_version_that_does_not_fit(tmp_path: Path, folder: str, code: int, words: str) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    app = App(tmp_path / "repository", "web")
    app.commit("one")
    with contextlib.ExitStack() as stack:
        stack.enter_context(small_disk(home / folder, 8))
        platform = stack.enter_context(running(Installation(home)))
        app.deploy_first(platform)
        with Requests(platform, "web").running():
            big_file(app, 12)
            app.commit("two")
            failed = platform.json("deploy", str(app.repository.folder), "--name", "web", code=code)
            assert failed["status"] == "FAILED"
            assert words in failed["reason"]
            await_tidy(platform)
            assert platform.get("web.localhost")[1] == b"one"
            (app.repository.folder / "big").unlink()
            app.commit("three")
            assert app.deploy_first(platform)["status"] == "LIVE"
            await_tidy(platform)
        assert platform.get("web.localhost")[1] == b"three"


def test_the_whole_data_folder_is_full(tmp_path: Path) -> None:
    home = tmp_path / "home"
    app = App(tmp_path / "repository", "web")
    app.commit("one")
    with contextlib.ExitStack() as stack:
        stack.enter_context(small_disk(home, 48))
        platform = stack.enter_context(running(Installation(home)))
        app.deploy_first(platform)
        with Requests(platform, "web").running() as requests:
            app.commit("two")
            filler = home / "filler"
            fill(filler)
            # A few may still fit into what the database has of its log.
            problem = until("the API refuses", lambda: refused(platform, filler), seconds=60)
            assert (problem["status"], problem["code"]) == (507, "no-storage")
            assert problem["title"] == "Insufficient Storage"
            assert problem["detail"] in (
                "there is no space left on the disk: the database",
                "the disk cannot be read or written: the database",
            )
            assert problem["hint"].endswith(", then try again")
            assert str(home) not in str(problem)
            assert platform.service("web")["name"] == "web"
            assert platform.process is not None
            requests.await_more(100)
            assert platform.get("web.localhost")[1] == b"one"
            assert platform.process.poll() is None
            filler.unlink()
            # Without a hand: the one that was asked for ends, and the next one works.
            until("what was asked for ends", lambda: has_ended(platform, "web"), seconds=60)
            app.commit("three")
            platform.api("POST", "services/web/deployments", {})
            until("the next one ends", lambda: has_ended(platform, "web"), seconds=60)
            await_tidy(platform)
        assert platform.deployments("web")[0]["status"] == "LIVE"
        assert platform.get("web.localhost")[1] == b"three"


@pytest.mark.parametrize("when", [pytest.param("build", marks=pytest.mark.long), "probe"])
def test_the_data_folder_gets_full_during_a_deployment(tmp_path: Path, when: str) -> None:
    home = tmp_path / "home"
    app = App(tmp_path / "repository", "web")
    app.commit("one")
    place = {"build": "build:before", "probe": "start:after"}[when]
    with contextlib.ExitStack() as stack:
        stack.enter_context(small_disk(home, 48))
        failing = {"HELVETIA_FAILPOINT": f"@{tmp_path / 'place'}"}
        platform = stack.enter_context(running(Installation(home), **failing))
        app.deploy_first(platform)
        with Requests(platform, "web").running() as requests:
            app.commit("two")
            (tmp_path / "place").write_text(place)
            with contextlib.suppress(AssertionError, OSError):
                platform.api("POST", "services/web/deployments", {})
            assert platform.process is not None
            platform.process.wait(30)
            (tmp_path / "place").unlink()
            filler = home / "filler"
            fill(filler)
            # A start that needs to write says why it cannot, and does not hurt anything.
            platform.begin_up()
            assert platform.process is not None
            starting = platform.process

            def gave_up() -> bool:
                fill(filler)
                return starting.poll() is not None

            until("the start gives up", gave_up, seconds=150)
            assert starting.returncode == 1
            told = platform.log.read_text()
            assert "no space left on" in told.lower() or "cannot be read or written" in told
            assert "then try again" in told
            assert "Traceback" not in told.partition("then try again")[2]
            requests.await_more(100)
            filler.unlink()
            # As a process manager does (docs/production.md): it is started again, no more.
            platform.up()
            until("the deployment ends", lambda: has_ended(platform, "web"), seconds=60)
            await_tidy(platform)
        assert platform.deployments("web")[0]["status"] == "LIVE"
        assert platform.get("web.localhost")[1] == b"two"


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write below the folder but into files that are open already."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        options = ["-o", "remount,bind,ro", str(folder)]
        subprocess.run(["mount", *options], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.long
def test_the_data_folder_can_only_be_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    app = App(tmp_path / "repository", "web")
    app.commit("one")
    with contextlib.ExitStack() as stack:
        stack.enter_context(small_disk(home, 64))
        platform = stack.enter_context(running(Installation(home)))
        app.deploy_first(platform)
        with Requests(platform, "web").running() as requests:
            app.commit("two")
            with read_only(home):
                platform.api("POST", "services/web/deployments", {})
                failed = until("the deployment ends", lambda: has_ended(platform, "web"))
                assert failed["status"] == "FAILED"
                assert "the disk can only be read" in failed["reason"]
                assert "let the platform write there" in failed["reason"]
                assert failed["reason_code"] == "no-storage"
            # The process that met it goes on by itself.
            assert platform.process is not None
            before = platform.process.pid
            asked = ask_for(platform, "web")
            newest = until("the next deployment ends", lambda: has_ended(platform, "web"))
            assert (newest["id"], newest["status"]) == (asked, "LIVE")
            assert (platform.process.pid, platform.process.poll()) == (before, None)
            assert platform.get("web.localhost")[1] == b"two"
            await_tidy(platform)
            app.commit("three")
            with read_only(home):
                # A start says so, too, and leaves the services alone.
                platform.end(signal.SIGKILL)
                platform.begin_up()
                assert platform.process is not None
                assert platform.process.wait(30) == 1
                assert "cannot be written: Read-only file system" in platform.log.read_text()
                requests.await_more()
            platform.up()
            await_tidy(platform)
            assert app.deploy_first(platform)["status"] == "LIVE"
            await_tidy(platform)
        assert platform.get("web.localhost")[1] == b"three"
