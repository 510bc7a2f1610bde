from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import aiohttp
import pytest

from helvetia import ArtifactReference, BuildFailed, ReleaseFailed, Revision, StageContext
from helvetia.plugins.builders.procfile.build import ProcfileBuilder
from helvetia.plugins.builders.procfile.environment import make_movable
from helvetia.plugins.builders.procfile.interpreter import (
    Interpreter,
    choose_interpreter,
    environment_key,
)
from helvetia.plugins.builders.procfile.release import ReleaseCommand
from helvetia.programs import run_command
from helvetia.testing import Lines

from .conftest import EXAMPLES, Start, Workshop, environment_of, lay

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


async def test_flask_twice_and_moved(
    workshop: Workshop, start: Start, client: aiohttp.ClientSession
) -> None:
    """Built, built again from the cache, moved away with its first home gone, and it answers."""
    first, log = await workshop.build(ProcfileBuilder(), EXAMPLES / "hello-flask")
    assert "packages installed" in log.text
    second, log = await workshop.build(ProcfileBuilder(), EXAMPLES / "hello-flask")
    assert "dependencies unchanged (requirements " in log.text
    assert "8 packages from the cache" in log.text
    assert "pip" not in log.text

    binary = Path(".helvetia/env/bin/gunicorn")
    assert (first.folder / binary).samefile(second.folder / binary)
    assert not list((second.folder / ".helvetia/env/bin").glob("activate*"))
    assert first.facts["python"].startswith("3.")

    moved = workshop.place / "elsewhere" / "with a space"
    shutil.copytree(second.folder, moved, symlinks=True)
    for old in [*workshop.place.glob("checkout-*"), *workshop.place.glob("output-*")]:
        shutil.rmtree(old)
    shutil.rmtree(workshop.place / "cache")
    async with start(second, moved) as running:
        async with client.get(running.url + "/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        async with client.get(running.url + "/") as answer:
            assert "Hello from Flask." in await answer.text()

    log = Lines()
    argv = second.processes["release"]
    assert await run_command(
        argv, cwd=moved, owner="release", log=log, environment=environment_of(second, moved)
    ) == 0  # fmt: skip
    assert "release: nothing to migrate" in log.text


async def test_express(workshop: Workshop, start: Start, client: aiohttp.ClientSession) -> None:
    artifact, log = await workshop.build(ProcfileBuilder(), EXAMPLES / "hello-express")
    assert "$ npm ci --omit=dev" in log.text
    assert artifact.environment["NODE_ENV"] == "production"
    assert artifact.environment["PATH"] == "{workdir}/node_modules/.bin"
    async with start(artifact) as running:
        async with client.get(running.url + "/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        running.process.terminate()
        async with asyncio.timeout(5):
            assert await running.process.wait() == 0


async def test_node_with_a_build_script(workshop: Workshop) -> None:
    files = {
        "Procfile": "web: node out.js\nworker: node work.js",
        "package.json": json.dumps({"name": "x", "scripts": {"build": "node make.js"}}),
        "make.js": "require('fs').writeFileSync('out.js', process.env.COLOUR)",
    }
    artifact, log = await workshop.build(ProcfileBuilder(), files, environment={"COLOUR": "'blue'"})
    assert (artifact.folder / "out.js").read_text() == "'blue'"
    assert artifact.processes["worker"] == ["node", "work.js"]
    assert "not started: worker" in log.text
    assert "blue" not in log.text


@pytest.mark.long
async def test_a_project_that_is_a_package(workshop: Workshop) -> None:
    files = {
        "Procfile": "web: serve-it",
        "pyproject.toml": (
            '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
            '[project]\nname = "serve-it"\nversion = "1"\ndependencies = ["blinker"]\n'
            '[project.scripts]\nserve-it = "serve_it:main"\n'
            '[tool.setuptools]\npackages = ["serve_it"]\npackage-dir = {"" = "src"}\n'
        ),
        "src/serve_it/__init__.py": "def main():\n    import blinker\n    print('here I am')\n",
    }
    artifact, _ = await workshop.build(ProcfileBuilder(), files)
    moved = workshop.place / "moved"
    artifact.folder.rename(moved)
    log = Lines()
    environment = environment_of(artifact, moved)
    program = shutil.which("serve-it", path=environment["PATH"])
    assert program is not None
    assert await run_command(
        [program], cwd=moved, owner="x", log=log, environment=environment
    ) == 0  # fmt: skip
    assert "here I am" in log.text


async def test_failing_install_leaves_no_environment(workshop: Workshop) -> None:
    files = {"Procfile": "web: a", "requirements.txt": "./not-there\n"}
    with pytest.raises(BuildFailed, match=r"pip .*ended with exit code 1"):
        await workshop.build(ProcfileBuilder(), files)
    assert not list(workshop.place.glob("cache/environment-*"))
    assert not list(workshop.place.glob("cache/environments/*"))


async def test_a_program_without_packages_has_its_python(workshop: Workshop) -> None:
    artifact, _ = await workshop.build(ProcfileBuilder(), {"Procfile": "web: python app.py"})
    assert (artifact.folder / ".helvetia/env/bin/python").exists()


@pytest.mark.parametrize(
    ("name", "text", "format"),
    [("pyproject.toml", "[tool.poetry]\n", "Poetry"), ("Pipfile", "[packages]\n", "Pipenv")],
)
async def test_other_formats_are_not_ignored(
    workshop: Workshop, name: str, text: str, format: str
) -> None:
    with pytest.raises(BuildFailed, match=f"own format of {format}"):
        await workshop.build(ProcfileBuilder(), {"Procfile": "web: a", name: text})


async def test_package_json_of_a_python_application_is_left_alone(workshop: Workshop) -> None:
    files = {"Procfile": "web: python app.py", "package.json": '{"devDependencies": {"x": "1"}}'}
    artifact, log = await workshop.build(ProcfileBuilder(), files)
    assert "npm" not in log.text
    assert "node" not in artifact.facts


async def test_without_web(workshop: Workshop) -> None:
    with pytest.raises(BuildFailed, match="no `web` process"):
        await workshop.build(ProcfileBuilder(), {"Procfile": "worker: a"})


async def test_settings_win_over_the_procfile(workshop: Workshop) -> None:
    artifact, _ = await workshop.build(
        ProcfileBuilder(), {"Procfile": "web: a"}, settings={"web": "b $PORT", "release": "X=1 c"}
    )
    assert artifact.processes == {"web": ["b", "$PORT"], "release": ["env", "X=1", "c"]}


async def test_our_folder_in_the_repository_leads_nowhere(workshop: Workshop) -> None:
    context, _ = workshop.context()
    outside = lay(workshop.place / "outside", {"env/keep.txt": "mine"})
    lay(context.checkout, {"Procfile": "web: a", "requirements.txt": ""})
    (context.checkout / ".helvetia").symlink_to(outside)
    artifact = await ProcfileBuilder().build(context)
    assert (outside / "env/keep.txt").read_text() == "mine"
    assert (artifact.folder / ".helvetia/env/bin/python").exists()


async def test_interpreter(workshop: Workshop) -> None:
    context, _ = workshop.context()
    newest = await choose_interpreter(context)
    assert not newest.path.startswith(sys.prefix + os.sep)
    lay(context.checkout, {"runtime.txt": f"python-{PYTHON}.1\n"})
    assert (await choose_interpreter(context)).version.startswith(PYTHON + ".")
    lay(context.checkout, {".python-version": "3.1\n"})
    with pytest.raises(BuildFailed, match=r"\.python-version asks for Python ==3\.1\.\*"):
        await choose_interpreter(context)


def test_key_follows_nested_files(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {"requirements.txt": "-r more/dev.txt", "more/dev.txt": "-c c.txt", "more/c.txt": ""},
    )
    python = Interpreter("/x/python3", "3.11.1")
    key = environment_key(tmp_path, python)
    lay(tmp_path, {"more/c.txt": "flask<4"})
    other = environment_key(tmp_path, python)
    assert key != other
    assert other != environment_key(tmp_path, Interpreter("/x/python3", "3.12.1"))
    lay(tmp_path, {"more/c.txt": "-r ../../../etc/passwd"})
    with pytest.raises(BuildFailed, match="no file `passwd` in the repository"):
        environment_key(tmp_path, python)


def test_make_movable_replaces_linked_files(tmp_path: Path) -> None:
    environment = tmp_path / "env"
    short = f"#!{environment}/bin/python3.11\nprint(1)\n"
    long = f"#!/bin/sh\n'''exec' \"{environment}/bin/python\" \"$0\" \"$@\"\n' '''\nprint(2)\n"
    other = "#!/usr/bin/perl\nprint 3\n"
    config = f"home = /usr/bin\ncommand = /usr/bin/python3 -m venv {environment}\n"
    lay(environment, {"bin/a": short, "bin/b": long, "bin/c": other, "pyvenv.cfg": config})
    os.link(environment / "bin/a", tmp_path / "kept")
    make_movable(environment)
    assert (tmp_path / "kept").read_text() == short
    for name, rest in (("a", "print(1)\n"), ("b", "print(2)\n")):
        text = (environment / "bin" / name).read_text()
        assert str(environment) not in text
        assert text.endswith(f"' '''\n{rest}")
    assert (environment / "bin/c").read_text() == other
    assert (environment / "pyvenv.cfg").read_text() == "home = /usr/bin\n"


@pytest.mark.parametrize(("code", "message"), [(0, ""), (3, "exit code 3"), (-9, "signal 9")])
async def test_release_stage(workshop: Workshop, code: int, message: str) -> None:
    artifact, log = await workshop.build(
        ProcfileBuilder(), {"Procfile": "web: a\nrelease: python migrate.py"}
    )
    reference = ArtifactReference(registry="r", digest="d", bytes=1, artifact=artifact)
    stage = ReleaseCommand()
    assert stage.applies(None).score == 0
    assert "python migrate.py" in stage.applies(reference).reason
    ran: list[str] = []

    async def run_process(name: str) -> int:
        ran.append(name)
        return code

    context = StageContext(
        service_id="s",
        service_name="s",
        deployment_id="d",
        revision=Revision(sha="0" * 40),
        artifact=reference,
        log=log,
        run_process=run_process,
    )
    if code:
        with pytest.raises(ReleaseFailed, match=message):
            await stage.run(context)
    else:
        await stage.run(context)
    assert ran == ["release"]
