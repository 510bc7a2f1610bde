"""The builder `procfile`."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

from helvetia import DIRECTORY, Artifact, BuildContext, Builder, BuildFailed, Detection
from helvetia.plugins.builders.common.command import run_step
from helvetia.plugins.builders.common.files import read_text, remove
from helvetia.plugins.builders.common.node_install import (
    install,
    node_environment,
    node_version,
    program_of,
)
from helvetia.plugins.builders.common.node_project import NodeProject, manager_of

from . import detection
from .processes import parse_command, parse_procfile

_RUN = ("web", "release")


class ProcfileBuilder(Builder):
    """Builds applications in Python and Node that run as plain processes."""

    name = "procfile"
    service_type = "procfile"
    produces = (DIRECTORY,)
    options = {  # noqa: RUF012
        "web": "command that serves the application on $PORT; wins over the Procfile",
        "release": "command that runs once before a new version starts; wins over the Procfile",
    }

    async def detect(self, checkout: Path) -> Detection:
        """Look for a Procfile, else for an application whose start command is plain."""
        return await asyncio.to_thread(detection.detect, checkout)

    async def build(self, context: BuildContext) -> Artifact:
        """Install what the application needs beside it, and note how it starts."""
        # Imported when needed: they take a while.
        from .environment import FOLDER, install_python
        from .interpreter import is_python

        processes = _processes(context)
        others = [name for name in processes if name not in _RUN]
        if others:
            context.log.line(f"not started: {', '.join(others)} (only `web` takes part for now)")
        # The name is ours: what the repository has there could lead our writes elsewhere.
        await asyncio.to_thread(remove, context.checkout / ".helvetia")
        facts: dict[str, str] = {}
        environment: dict[str, str] = {}
        paths: list[str] = []
        if is_python(context.checkout, processes):
            facts["python"] = (await install_python(context)).version
            environment |= {"VIRTUAL_ENV": f"{{workdir}}/{FOLDER}", "PYTHONUNBUFFERED": "1"}
            paths.append(f"{{workdir}}/{FOLDER}/bin")
        project = NodeProject.read(context.checkout)
        if project is not None and (not facts or _needs_node(project, processes)):
            facts["node"] = await _install_node(context, project)
            environment["NODE_ENV"] = "production"
            paths.append("{workdir}/node_modules/.bin")
        if paths:
            environment["PATH"] = ":".join(paths)
        await asyncio.to_thread(_move, context.checkout, context.output)
        return Artifact(
            kind=DIRECTORY,
            location=str(context.output),
            processes=processes,
            environment=environment,
            facts=facts,
        )


def _processes(context: BuildContext) -> dict[str, list[str]]:
    text = read_text(context.checkout, "Procfile")
    processes = parse_procfile(text) if text is not None else {}
    for name in _RUN:
        if command := context.settings.get(name, "").strip():
            processes[name] = parse_command(command, name, f"the setting `{name}`")
    if "web" not in processes:
        raise BuildFailed(
            "there is no `web` process, so nothing would take requests",
            hint="write a Procfile with a line like `web: gunicorn app:app`, or set `web`",
        )
    return processes


def _needs_node(project: NodeProject, processes: dict[str, list[str]]) -> bool:
    """Tell whether a Python application needs Node too, or has a package.json for its editors."""
    words = {word for argv in processes.values() for word in argv}
    return "build" in project.scripts or bool(words & {"node", "npm", "npx", "yarn", "pnpm"})


async def _install_node(context: BuildContext, project: NodeProject) -> str:
    version = await node_version(context)
    manager = manager_of(context.checkout)
    environment = node_environment(context)
    builds = "build" in project.scripts
    argv = list(manager.install)
    if not builds and manager.name == "npm":
        argv[-1] = "--omit=dev"
    await install(
        context,
        manager=manager,
        argv=argv,
        environment=environment,
        version=version,
        # A build may change files in place, and older releases share the cache's.
        link=not builds,
    )
    if builds:
        await _step(context, program_of(manager, [manager.name, "run", "build"]), environment)
        if manager.name == "npm":
            await _step(context, ["npm", "prune", "--omit=dev"], environment)
    return version


async def _step(context: BuildContext, argv: list[str], environment: dict[str, str]) -> None:
    await run_step(
        context,
        argv,
        cwd=context.checkout,
        environment=environment,
        hint=f"the lines above say why; run `{shlex.join(argv)}` in a fresh clone to see it there",
    )


def _move(source: Path, target: Path) -> None:
    """Move the application: both folders are on one file system."""
    for entry in list(source.iterdir()):
        if entry.name != ".git":
            entry.rename(target / entry.name)
