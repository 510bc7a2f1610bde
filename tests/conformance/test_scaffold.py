"""`helvetia plugin new` writes packages whose own tests pass at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from helvetia.cli.scaffold import Kind, write_package
from helvetia.kernel.errors import InvalidInput

pytestmark = pytest.mark.timeout(300)


def run(*argv: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def python(tmp_path: Path) -> str:
    """The interpreter of a fresh environment that also sees the packages of this one."""
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", str(environment), cwd=tmp_path)
    (packages,) = environment.glob("lib/python*/site-packages")
    here = sysconfig.get_path("purelib")
    (packages / "outer.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    return str(environment / "bin" / "python")


def test_a_new_builder_is_installed_tested_and_listed(
    python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELVETIA_HOME", str(tmp_path / "home"))
    helvetia = [python, "-m", "helvetia.cli"]
    run(*helvetia, "plugin", "new", "builder", "my-site", cwd=tmp_path)
    package = tmp_path / "helvetia-my-site"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps"]
    run(*pip, "-e", str(package), cwd=tmp_path)
    said = run(python, "-m", "pytest", "--helvetia-no-skip", cwd=package)
    assert "helvetia conformance: builder `my-site`" in said
    assert "0 broken, 0 not checked" in said
    mine = json.loads(run(*helvetia, "plugins", "show", "builder-my-site", "--json", cwd=tmp_path))
    assert (mine["status"], mine["distribution"]) == ("active", "helvetia-my-site")


def test_the_tests_of_every_other_kind_pass_at_once(tmp_path: Path) -> None:
    kinds = [kind for kind in Kind if kind is not Kind.BUILDER]
    packages = [write_package(kind, f"my-{kind}", tmp_path / kind) for kind in kinds]
    said = run(
        sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto",
        *(str(package / "tests") for package in packages),
        cwd=tmp_path,
        PYTHONPATH=os.pathsep.join(map(str, packages)),
    )  # fmt: skip
    for kind in kinds:
        assert kind is Kind.STAGE or f"helvetia conformance: {kind} `my-{kind}`" in said


def test_a_package_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidInput):
        write_package(Kind.SOURCE, "cloud", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["", "Upper", "-x", "x-", "a--b", "../x", "1st", "a_b", "x" * 33])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        write_package(Kind.SOURCE, name, tmp_path / "new")
    assert not (tmp_path / "new").exists()
