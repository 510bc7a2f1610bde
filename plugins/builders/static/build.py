"""The builder `static`."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from pathlib import Path

from helvetia import DIRECTORY, Artifact, BuildContext, Builder, BuildFailed, Detection, HealthCheck
from helvetia.plugins.builders.common.command import run_step, split_command
from helvetia.plugins.builders.common.files import is_file
from helvetia.plugins.builders.common.node_install import (
    MANAGERS,
    install,
    node_environment,
    node_version,
    program_of,
)
from helvetia.plugins.builders.common.node_project import NodeProject, manager_of

from . import detection
from .compress import compress_site
from .output import copy_site, find_output
from .rules import cache_rules

SERVER = "helvetia.plugins.builders.static.server"
_SCRIPT_HINT = "put it into a script of package.json and run that: `npm run build`"


class StaticBuilder(Builder):
    """Builds sites that need no program of their own to be served."""

    name = "static"
    service_type = "static"
    produces = (DIRECTORY,)
    options = {  # noqa: RUF012
        "build_command": 'command that builds the site, as `npm run build`; "" for none',
        "install_command": "command that installs what the build needs; by lock file by default",
        "node_package_manager": "npm, pnpm or yarn; by lock file by default",
        "output": "folder with the finished site, relative to the repository",
        "spa": "auto, on or off: answer unknown paths with index.html",
    }

    async def detect(self, checkout: Path) -> Detection:
        """Look for index.html, or for a Node tool that makes one."""
        return await asyncio.to_thread(detection.detect, checkout)

    async def build(self, context: BuildContext) -> Artifact:
        """Build the site if it needs building, and take the output folder."""
        settings = context.settings
        spa = _choice(settings, "spa", ("auto", "on", "off"))
        manager = _choice(settings, "node_package_manager", ("", *MANAGERS))
        if command := settings.get("build_command", "").strip():
            await _run_build(context, command, manager)
        output = await asyncio.to_thread(
            find_output, context.checkout, settings.get("output", "").strip() or "."
        )
        return await asyncio.to_thread(_package, context, output, spa)


async def _run_build(context: BuildContext, command: str, wanted: str) -> None:
    argv = split_command(command, where="build_command", hint=_SCRIPT_HINT)
    environment = node_environment(context)
    if NodeProject.read(context.checkout) is not None:
        manager = manager_of(context.checkout, wanted)
        # The detected command is the default of the detected manager; only a person's counts.
        detected = shlex.join(manager_of(context.checkout).install)
        text = context.settings.get("install_command", "").strip()
        own = text and text != detected
        await install(
            context,
            manager=manager,
            argv=split_command(text, where="install_command", hint=_SCRIPT_HINT)
            if own
            else manager.install,
            environment=environment,
            version=await node_version(context),
        )
        if wanted and command == f"{manager_of(context.checkout).name} run build":
            argv[0] = wanted
        argv = program_of(manager, argv)
        environment["PATH"] = _with_tools(context, environment)
    await run_step(
        context,
        argv,
        cwd=context.checkout,
        environment=environment,
        hint="the lines above say why; run the same command in a fresh clone to see it there",
    )


def _with_tools(context: BuildContext, environment: dict[str, str]) -> str:
    """Return a PATH on which a build command finds the project's own tools, as in npm scripts."""
    tools = context.checkout / "node_modules" / ".bin"
    return os.pathsep.join([str(tools), environment.get("PATH") or os.environ.get("PATH", "")])


def _choice(settings: dict[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = settings.get(name, "").strip().lower() or choices[0]
    if value not in choices:
        named = ", ".join(choice for choice in choices if choice)
        raise BuildFailed(f"{name}: `{value}` is not one of {named}", hint=f"set it to {named}")
    return value


def _package(context: BuildContext, output: Path, spa: str) -> Artifact:
    site = context.output / "site"
    private = context.output / ".helvetia"
    copied = copy_site(output, site, context.log)
    compressed = compress_site(site, private)
    fallback = _is_spa(context.settings, site, spa)
    built = bool(context.settings.get("build_command", "").strip())
    private.mkdir(exist_ok=True)
    (private / "static.json").write_text(
        json.dumps({"spa": fallback, "cache": cache_rules(built=built)})
    )
    context.log.line(f"site: {copied.files} files, {copied.bytes} bytes")
    if compressed.files:
        context.log.line(
            f"{compressed.files} files compressed: {compressed.plain} bytes, "
            f"{compressed.small} with Brotli"
        )
    has_index = is_file(site, "index.html")
    return Artifact(
        kind=DIRECTORY,
        location=str(context.output),
        processes={"web": ["{python}", "-m", SERVER, "{workdir}"]},
        health_check=HealthCheck(path="/" if has_index else None),
        read_only=True,
        facts={
            "files": str(copied.files),
            "bytes": str(copied.bytes),
            "single page": "yes" if fallback else "no",
        },
    )


def _is_spa(settings: dict[str, str], site: Path, spa: str) -> bool:
    if spa != "auto":
        return spa == "on"
    tool = detection.tool_of(settings.get("framework", ""))
    pages = [path for path in site.rglob("*.html") if path.name != "200.html"]
    return tool is not None and tool.spa and pages == [site / "index.html"]
