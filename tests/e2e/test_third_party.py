"""Plugins of strangers: built as wheels, installed by pip beside Helvetia's own wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Installation, until
from .using import EXAMPLES, api, fresh_copy

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

_BROKEN = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "helvetia-broken"
version = "0.3"
[project.entry-points.helvetia]
builder-broken = "helvetia_broken"
[tool.setuptools]
py-modules = ["helvetia_broken"]
""",
    "helvetia_broken.py": 'raise OSError("the licence server does not answer")\n',
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheels of Helvetia, of the example plugin and of a broken one, by their first word."""
    folder = tmp_path_factory.mktemp("wheels")
    broken = folder / "broken"
    broken.mkdir()
    for name, content in _BROKEN.items():
        (broken / name).write_text(content)
    tree = fresh_copy(folder / "tree")
    sources = [tree, tree / "examples" / "helvetia-markdown", broken]
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    subprocess.run([*pip, *map(str, sources)], check=True, timeout=240)
    return {wheel.name.partition("-")[0]: wheel for wheel in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def binaries(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with Helvetia in it, from its wheel.

    What Helvetia depends on is read where it is installed already: see `test_make_run` for that.
    A path leads to packages and to nothing editable, so the Helvetia of these tests is not there.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    pip_install(folder / "bin", wheels["helvetia"], "--no-deps")
    (packages / "outer.pth").write_text(sysconfig.get_path("purelib"))
    (folder / "bin/traefik").symlink_to(Path(sysconfig.get_path("scripts")) / "traefik")
    return folder / "bin"


def pip_install(binaries: Path, wheel: Path, *more: str) -> None:
    # Compiling everything would be most of the time; what is used is compiled then.
    options = ["--quiet", "--disable-pip-version-check", "--no-compile", *more]
    pip = [sys.executable, "-m", "pip", "--python", str(binaries / "python"), "install"]
    subprocess.run([*pip, *options, str(wheel)], check=True, timeout=240)


@pytest.fixture(scope="module")
def stranger(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("stranger")
    installation = Installation(folder / "home", helvetia=str(binaries / "helvetia"))
    try:
        yield installation
    finally:
        installation.tear_down()


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folder") / "notes"
    (folder / "trips").mkdir(parents=True)
    (folder / "index.md").write_text("# Notes\n\nFrom *here* to [Zermatt](trips/zermatt.html).\n")
    (folder / "trips" / "zermatt.md").write_text("Take the **train**.\n")
    return folder


def row(table: str, name: str) -> list[str]:
    """Return the cells of the row of a table that begins with a name."""
    lines = [re.split(r" {2,}", line) for line in table.splitlines()]
    return next((cells for cells in lines if cells[0] == name), [])


def test_the_wheel_brings_everything(stranger: Installation) -> None:
    stranger.up()
    own = "import helvetia, sys; sys.exit(not helvetia.__file__.startswith(sys.prefix))"
    subprocess.run([Path(stranger.helvetia).with_name("python"), "-c", own], check=True)
    assert api(stranger, "/auth/local", bearer="")[0] == 200
    status, page = api(stranger, "/")
    assert (status, "<title>" in page) == (200, True)
    styles = re.findall(r'href="([^"]+\.css[^"]*)"', page)
    assert styles
    assert [api(stranger, style, bearer="")[0] for style in styles] == [200] * len(styles)
    assert stranger.json("doctor")["ok"]


def test_a_folder_that_nobody_can_build_yet(stranger: Installation, notes: Path) -> None:
    refused = stranger.run("plan", str(notes), code=3)
    assert "no builder fits" in refused.stderr


def test_an_installed_plugin_is_listed_and_plans(
    stranger: Installation, binaries: Path, wheels: dict[str, Path], notes: Path
) -> None:
    pip_install(binaries, wheels["helvetia_markdown"])
    stranger.end()
    stranger.up()

    listed = row(stranger.run("plugins").stdout, "builder-markdown")
    assert listed == ["builder-markdown", "active", "1.0", "helvetia-markdown", "builders"]
    plan = stranger.run("plan", str(notes)).stdout
    assert row(plan, "build") == ["build", "markdown", "builder-markdown", "index.md at the root"]
    assert re.search(r"static +not taken \(score 0\): no index\.html", plan)


def test_the_plugin_deploys(stranger: Installation, notes: Path) -> None:
    deployed = stranger.run("deploy", str(notes), "--set", "title=Ada's notes")
    assert "zermatt.md -> zermatt.html" in deployed.stderr
    assert re.search(r"✓ build +\d+\.\d s  markdown\n", deployed.stderr)

    status, page, _ = stranger.get("notes.localhost")
    assert status == 200
    assert b"<title>Ada&#x27;s notes</title>" in page
    assert b"<h1>Notes</h1>" in page
    assert b"<strong>train</strong>" in stranger.get("notes.localhost", "/trips/zermatt.html")[1]


@pytest.mark.long
def test_a_broken_plugin_is_quarantined(
    stranger: Installation, binaries: Path, wheels: dict[str, Path], notes: Path
) -> None:
    pip_install(binaries, wheels["helvetia_broken"])
    reason = "OSError: the licence server does not answer"
    stranger.end()
    stranger.up()
    told = f"! plugin builder-broken is quarantined: {reason}"
    until("it is told", lambda: told in stranger.log.read_text())

    listed = row(stranger.run("plugins").stdout, "builder-broken")
    assert listed == ["builder-broken", "quarantined", "0.3", "helvetia-broken", reason]
    shown = stranger.json("plugins", "show", "builder-broken")
    assert (shown["status"], shown["reason"]) == ("quarantined", reason)
    doctor = stranger.json("doctor", code=1)
    wrong = [check for check in doctor["checks"] if not check["ok"]]
    assert [check["name"] for check in wrong] == ["plugin builder-broken"]
    assert "pip" not in wrong[0]["reason"]
    assert "helvetia plugins disable builder-broken" in wrong[0]["hint"]

    # Everything else works.
    (notes / "index.md").write_text("# Still here\n")
    stranger.run("deploy", str(notes))
    assert b"<h1>Still here</h1>" in stranger.get("notes.localhost")[1]

    stranger.run("plugins", "disable", "builder-broken")
    assert stranger.json("doctor")["ok"]


@pytest.mark.long
def test_disable_and_enable(stranger: Installation, notes: Path) -> None:
    told = stranger.run("plugins", "disable", "builder-markdown")
    assert "a running platform must be restarted" in told.stderr
    stranger.end()
    stranger.up()
    assert row(stranger.run("plugins").stdout, "builder-markdown")[1] == "disabled"
    refused = stranger.run("plan", str(notes), code=3)
    assert "no builder fits" in refused.stderr
    assert "markdown" not in refused.stderr
    # What it built goes on.
    assert b"Still here" in stranger.get("notes.localhost")[1]

    stranger.run("plugins", "enable", "builder-markdown")
    stranger.end()
    stranger.up()
    assert row(stranger.run("plan", str(notes)).stdout, "build")[1] == "markdown"


def test_the_example_fits_on_one_screen() -> None:
    module = EXAMPLES / "helvetia-markdown" / "helvetia_markdown.py"
    assert len(module.read_text().splitlines()) <= 60
