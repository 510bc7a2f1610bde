"""`helvetia plugins` and commands of plugins, with really installed entry points."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_outcome import Run

from helvetia import HelvetiaError
from helvetia.kernel.plugin_state import disabled_plugins, set_disabled

STOCK = {"builder-static", "builder-procfile", "source-git", "router-traefik", "auth-local"}


def test_list_needs_no_running_platform(run: Run) -> None:
    outcome = run("plugins")
    assert outcome.code == 0
    header, *rows = outcome.out.splitlines()
    assert header.split() == ["PLUGIN", "STATUS", "VERSION", "PACKAGE", "OFFERS"]
    assert {row.split()[0] for row in rows} >= STOCK
    assert run("plugins", "list").out == outcome.out


def test_list_as_json(run: Run) -> None:
    for arguments in (["plugins", "--json"], ["plugins", "list", "--json"]):
        items = json.loads(run(*arguments).out)
        static = next(item for item in items if item["name"] == "builder-static")
        assert static["status"] == "active"
        assert static["hooks"] == ["helvetia_builders", "helvetia_settings"]
        assert static["module"] == "helvetia.plugins.builders.static"


def test_show(run: Run) -> None:
    outcome = run("plugins", "show", "builder-static")
    assert outcome.code == 0
    facts = dict(line.split(maxsplit=1) for line in outcome.out.splitlines())
    assert facts["status"] == "active"
    assert facts["hooks"] == "helvetia_builders, helvetia_settings"


@pytest.mark.parametrize("verb", ["show", "enable", "disable"])
def test_unknown_name_lists_the_installed_ones(run: Run, home: Path, verb: str) -> None:
    outcome = run("plugins", verb, "builder-statik")
    assert outcome.code == 2
    first, hint = outcome.err.splitlines()
    assert first == "✗ no plugin `builder-statik` is installed"
    assert "builder-static, " in hint
    assert disabled_plugins(home) == []


def test_disable_and_enable(run: Run, home: Path) -> None:
    outcome = run("plugins", "disable", "builder-static")
    assert outcome.code == 0
    assert outcome.err.splitlines() == [
        "✓ builder-static is disabled",
        "  a running platform must be restarted to see it",
    ]
    assert disabled_plugins(home) == ["builder-static"]
    assert (
        json.loads(run("plugins", "show", "builder-static", "--json").out)["status"] == "disabled"
    )
    assert (
        json.loads(run("plugins", "enable", "builder-static", "--json").out)["status"] == "active"
    )
    assert disabled_plugins(home) == []


def test_a_setting_still_disables_and_it_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELVETIA_DISABLED_PLUGINS", "builder-static")
    outcome = run("plugins", "enable", "builder-static")
    assert "! it is disabled nevertheless" in outcome.err


def test_state_is_kept_in_one_piece(home: Path) -> None:
    for name in ("b", "a", "b"):
        set_disabled(home, name, True)
    assert json.loads((home / "plugins.json").read_text()) == {"disabled": ["a", "b"]}
    set_disabled(home, "b", False)
    set_disabled(home, "never", False)
    assert disabled_plugins(home) == ["a"]
    assert [path.name for path in home.iterdir()] == ["plugins.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"disabled": "a"}', '{"disabled": [1]}', "\xff"])
def test_a_damaged_state_is_an_error_not_an_empty_list(home: Path, text: str) -> None:
    home.mkdir()
    (home / "plugins.json").write_text(text, encoding="latin-1")
    with pytest.raises(HelvetiaError, match=r"plugins\.json cannot be read"):
        disabled_plugins(home)


def test_doctor_names_a_damaged_state_and_goes_on(run: Run, home: Path) -> None:
    home.mkdir()
    (home / "plugins.json").write_text("{")
    outcome = run("doctor", "--json")
    assert outcome.code == 1
    found = {check["name"]: check for check in json.loads(outcome.out)["checks"]}
    assert found["Python"]["ok"]
    assert found["data folder"]["ok"]
    assert not found["plugins"]["ok"]
    assert "plugins.json" in found["plugins"]["reason"]
    assert found["control plane"]["hint"].startswith("start it with `helvetia up`")


def test_doctor_says_what_to_do(run: Run, home: Path) -> None:
    home.write_text("a file where the folder should be")
    outcome = run("doctor")
    assert outcome.code == 1
    assert f"✗ data folder: {home} is not a folder\n    move it away\n" in outcome.out


PLUGIN = """
import typer
from helvetia import hookimpl

helvetia_api = 1
greetings = typer.Typer(name="greet", help="Say hello.")
bare = typer.Typer()

@greetings.command()
def hello(name: str) -> None:
    "Say it."
    print(f"hello {name}")

@bare.command()
def wave() -> None:
    "Wave."
    print("waves")

@bare.command()
def deploy() -> None:
    "Not this one."

@hookimpl
def helvetia_commands():
    return [greetings, bare]
"""


def _install(folder: Path, name: str, module: str) -> None:
    """Do what pip does: put a module and its metadata where Python finds them."""
    (folder / f"{name}_plugin.py").write_text(module)
    metadata = folder / f"{name}_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[helvetia]\n{name} = {name}_plugin\n")


def _helvetia(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "helvetia.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    _install(folder, "greeter", PLUGIN)
    _install(folder, "broken", "raise OSError('no helvetia_commands today')")
    _install(folder, "quiet", "import this_is_never_imported_for_help")
    return folder


def test_commands_of_a_plugin(site: Path) -> None:
    done = _helvetia(site, "greet", "hello", "you")
    assert (done.returncode, done.stdout) == (0, "hello you\n")
    assert _helvetia(site, "wave").stdout == "waves\n"


def test_help_lists_commands_of_plugins_below_those_of_the_kernel(site: Path) -> None:
    done = _helvetia(site, "--help")
    assert done.returncode == 0
    added = done.stdout.partition("More, from plugins:\n")[2]
    assert "  greet  Say hello.\n" in added
    assert "  wave   Wave.\n" in added
    assert "Not this one" not in done.stdout
    assert done.stderr == (
        "! plugin greeter: its command `deploy` is refused, helvetia has one of that name\n"
    )


def test_a_command_of_the_kernel_loads_no_plugin(site: Path) -> None:
    done = _helvetia(site, "version")
    assert (done.returncode, done.stderr) == (0, "")


def test_broken_plugins_are_listed_with_the_reason(site: Path) -> None:
    done = _helvetia(site, "plugins", "--json")
    assert done.stderr == ""
    found = {item["name"]: item for item in json.loads(done.stdout)}
    assert found["broken"]["status"] == found["quiet"]["status"] == "quarantined"
    assert found["broken"]["reason"] == "OSError: no helvetia_commands today"
    assert "this_is_never_imported_for_help" in found["quiet"]["reason"]
    assert found["greeter"]["status"] == "active"


def test_a_disabled_plugin_has_no_commands(site: Path, home: Path) -> None:
    set_disabled(home, "greeter", True)
    done = _helvetia(site, "greet", "hello", "you")
    assert done.returncode == 2
    assert "No such command 'greet'" in done.stderr
