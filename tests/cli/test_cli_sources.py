from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from helvetia import InvalidInput
from helvetia.cli.address import Address, find_address
from helvetia.cli.configuring import Wanted, changed_settings
from helvetia.cli.sources import Given, identify
from helvetia.kernel.errors import SettingsError, Unreachable
from helvetia.plugins.api.inputs import Health, ServiceSettings


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "My Shop"
    folder.mkdir()
    (folder / "index.html").write_text("hello")
    _git(folder, "init", "-q")
    _git(folder, "add", "-A")
    _git(folder, "commit", "-qm", "First page")
    return folder


def _identify(
    text: str | Path, *, name: str | None = None, upload: bool = False, local: bool = True
) -> Given:
    return identify(str(text), name=name, upload=upload, local=local)


def test_a_repository_is_deployed_from_its_path(repository: Path) -> None:
    given = _identify(repository)
    assert given.name == "my-shop"
    assert given.address == str(repository)
    assert given.folder is None
    assert given.commit == f"{_git(repository, 'rev-parse', 'HEAD')[:7]} First page"
    assert given.warning == ""


def test_what_is_not_committed_is_warned_of(repository: Path) -> None:
    (repository / "index.html").write_text("changed")
    (repository / "new.html").write_text("new")
    given = _identify(repository)
    assert given.warning.startswith("2 files are changed and not committed")
    assert "--upload" in given.warning
    assert given.address == str(repository)


def test_upload_sends_the_folder_itself(repository: Path) -> None:
    given = _identify(repository, upload=True, name="web")
    assert (given.name, given.folder, given.address) == ("web", repository, "")


def test_a_platform_elsewhere_cannot_read_this_machine(repository: Path) -> None:
    given = _identify(repository, local=False)
    assert given.folder == repository
    assert "another machine" in given.warning


def test_a_folder_within_a_repository_is_sent(repository: Path) -> None:
    (repository / "docs").mkdir()
    assert _identify(repository / "docs").folder == repository / "docs"


def test_here_is_named_after_the_folder(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    given = _identify(".")
    assert (given.label, given.name, given.address) == (".", "my-shop", str(repository))


def test_an_empty_repository_says_what_to_do(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    with pytest.raises(InvalidInput, match="without a commit") as caught:
        _identify(tmp_path)
    assert "--upload" in caught.value.hint


def test_url_and_what_is_neither(tmp_path: Path) -> None:
    given = _identify("https://git.example.com/me/site.git")
    assert (given.name, given.address) == ("site", "https://git.example.com/me/site.git")
    file = tmp_path / "file"
    file.write_text("")
    for text, said in ((tmp_path / "none", "no such folder"), (file, "is not a folder")):
        with pytest.raises(InvalidInput, match=said):
            _identify(text)
    with pytest.raises(InvalidInput, match="--upload"):
        _identify("https://git.example.com/me/site.git", upload=True)


def test_settings_change_only_where_asked() -> None:
    before = ServiceSettings(
        health=Health(path="/old", grace_seconds=5), builder={"output": "dist", "spa": "1"}
    )
    assert changed_settings(before, Wanted()) == before
    wanted = Wanted(health="/new", builder={"output": "", "build_command": "make"})
    after = changed_settings(before, wanted)
    assert after.health == Health(path="/new", grace_seconds=5)
    assert after.builder == {"spa": "1", "build_command": "make"}
    assert changed_settings(before, Wanted(health="none")).health is None
    several = changed_settings(before, Wanted(replicas=3))
    assert (several.replicas, several.health) == (3, before.health)
    with pytest.raises(InvalidInput, match="--volume: cannot be had by several instances"):
        changed_settings(several, Wanted(volumes={"data": "/srv/data"}))
    kept = changed_settings(before, Wanted(volumes={"data": "/srv/data"}))
    assert kept.volumes == {"data": "/srv/data"}
    assert changed_settings(kept, Wanted(volumes={"data": ""})).volumes == {}
    with pytest.raises(InvalidInput, match="--volume"):
        changed_settings(before, Wanted(volumes={"data": "/"}))
    with pytest.raises(InvalidInput, match="--health: must begin with `/`"):
        changed_settings(before, Wanted(health="new"))


def test_address_of_the_data_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreachable, match="no Helvetia runs"):
        find_address()
    home.mkdir()
    (home / "control.json").write_text('{"url": "http://127.0.0.1:8700/", "token": "hv_local"}')
    assert find_address() == Address(url="http://127.0.0.1:8700", token="hv_local")
    monkeypatch.setenv("HELVETIA_TOKEN", "hv_mine")
    assert find_address().token == "hv_mine"
    (home / "control.json").write_text("{")
    with pytest.raises(SettingsError, match=r"control\.json cannot be read"):
        find_address()


def test_the_local_token_goes_nowhere_else(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "control.json").write_text('{"url": "http://127.0.0.1:8700", "token": "hv_local"}')
    monkeypatch.setenv("HELVETIA_URL", "https://helvetia.example.com/")
    assert find_address() == Address(url="https://helvetia.example.com", token="")
    assert not find_address().is_local
    monkeypatch.setenv("HELVETIA_URL", "http://127.0.0.1:8700")
    assert find_address().token == "hv_local"
    assert find_address().is_local


@pytest.mark.parametrize(
    "url", ["localhost:8700", "ftp://x", "http://", "http://me:pw@x", "http://x:y", "http://x:0"]
)
def test_a_malformed_url_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HELVETIA_URL", url)
    with pytest.raises(SettingsError, match="HELVETIA_URL"):
        find_address()


def test_a_token_is_not_in_the_representation() -> None:
    assert "hv_secret" not in repr(Address(url="http://x", token="hv_secret"))
