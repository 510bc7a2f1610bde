"""The builder `static`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import re
import shlex
import sys
from pathlib import Path

from helvetia import (
    DIRECTORY,
    OCI_IMAGE,
    Artifact,
    BuildContext,
    Builder,
    BuildFailed,
    Detection,
    HealthCheck,
    Kernel,
)
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
from helvetia.plugins.builders.docker.generated import node_image

from . import detection
from .base import Base
from .compress import compress_site
from .isolated import IsolatedBuild, Steps, dockerfile
from .output import find_output, take_site
from .rules import cache_rules
from .settings import StaticSettings
from .site_files import HASHED_BELOW, content_hash
from .site_image import write_site_image

SERVER = "helvetia.plugins.builders.static.server"
_IMAGE = re.compile(r"[a-z0-9]+(?:[._:/@-]+[a-zA-Z0-9_]+)*")
_SCRIPT_HINT = "put it into a script of package.json and run that: `npm run build`"


class StaticBuilder(Builder):
    """Builds sites that need no program of their own to be served.

    Where images are run, a site becomes one: the site, the server and a Python. Without `kernel`
    there is neither that nor a container to build in.
    """

    name = "static"
    service_type = "static"
    options = {  # noqa: RUF012
        "build_command": 'command that builds the site, as `npm run build`; "" for none',
        "build_image": "image to build in where a Docker engine does; Node's by default",
        "install_command": "command that installs what the build needs; by lock file by default",
        "node_package_manager": "npm, pnpm or yarn; by lock file by default",
        "output": "folder with the finished site, relative to the repository",
        "spa": "auto, on or off: answer unknown paths with index.html",
    }

    def __init__(self, kernel: Kernel | None = None) -> None:
        settings = kernel.section(StaticSettings) if kernel else StaticSettings()
        self._isolate = settings.isolate
        self._isolated: IsolatedBuild | None = None
        self._base = Base(kernel, settings.base) if kernel else None
        if kernel is not None and self._isolate != "never":
            with contextlib.suppress(KeyError):  # the plugins may be off
                self._isolated = IsolatedBuild(kernel)
        # Containers run Linux, and so does the Python that is put into images.
        images = self._base and settings.serve_from == "image"
        linux = sys.platform == "linux" or settings.base
        self.produces = (OCI_IMAGE, DIRECTORY) if images and linux else (DIRECTORY,)

    async def close(self) -> None:
        """End what waits for another build."""
        if self._isolated is not None:
            await self._isolated.close()

    async def detect(self, checkout: Path) -> Detection:
        """Look for index.html, or for a Node tool that makes one."""
        found = await asyncio.to_thread(detection.detect, checkout)
        settings = found.settings or {}
        if not (settings.get("build_command") and self._isolated and await self._isolated.usable()):
            return found
        image = await asyncio.to_thread(node_image, checkout)
        text = dockerfile(
            checkout,
            _steps(checkout, settings, ""),
            image=image,
            output=settings["output"],
        )
        reason = f"{found.reason}; built in a container, if {image} can be had"
        return dataclasses.replace(found, reason=reason, generated={"Dockerfile": text})

    async def build(self, context: BuildContext) -> Artifact:
        """Build the site if it needs building, and take the output folder."""
        settings = context.settings
        spa = _choice(settings, "spa", ("auto", "on", "off"))
        manager = _choice(settings, "node_package_manager", ("", *MANAGERS))
        site = context.checkout
        folder = settings.get("output", "").strip() or "."
        if settings.get("build_command", "").strip():
            steps = _steps(context.checkout, settings, manager)
            if (image := await self._image_to_build_in(context)) is not None:
                assert self._isolated is not None
                site, folder = await self._isolated.build(context, steps, image, folder), "."
            else:
                await _run_build(context, steps)
        output = await asyncio.to_thread(find_output, site, folder)
        artifact = await asyncio.to_thread(_package, context, output, spa)
        return artifact if context.kind == DIRECTORY else await self._as_image(context, artifact)

    async def _image_to_build_in(self, context: BuildContext) -> str | None:
        """Return the image of the container to build in; None to build on this machine."""
        image: str | None = context.settings.get("build_image", "").strip() or None
        if image is None and NodeProject.read(context.checkout) is not None:
            image = node_image(context.checkout)
        if image is not None and (not _IMAGE.fullmatch(image) or ".." in image):
            raise BuildFailed(
                f"build_image: {image!r} is no name of an image", hint="as in node:22-slim"
            )
        if self._isolated is None or not await self._isolated.usable():
            why = "no Docker engine builds here"
        elif image is None:
            why = "there is no package.json that names Node.js; set build_image"
        elif not await self._isolated.has(image):
            why = f"the image {image} cannot be had"
        else:
            return image
        if self._isolate == "always":
            raise BuildFailed(
                f"the site must be built in a container, but {why}",
                hint="the operator wants that by `isolate` in section [static]",
            )
        if self._isolated is not None and image is not None:
            context.log.line(f"built on this machine, without a container: {why}")
        return None

    async def _as_image(self, context: BuildContext, site: Artifact) -> Artifact:
        """Turn a folder with what the server needs into an image that has the server as well."""
        assert self._base is not None
        base = await self._base.obtain(context.log)
        archive = context.output / "image.tar"
        await asyncio.to_thread(
            write_site_image, site.folder, archive, base=base, python=self._base.python
        )
        size = (await asyncio.to_thread(archive.stat)).st_size
        return dataclasses.replace(
            site,
            kind=OCI_IMAGE,
            location=str(archive),
            processes={"web": []},
            facts={**site.facts, "MB": f"{size / 1e6:.1f}"},
        )


def _steps(checkout: Path, settings: dict[str, str], wanted: str) -> Steps:
    """Return the commands of the build, checked before anything runs.

    Args:
        wanted: the package manager that the service names; "" for that of the project.
    """
    build = split_command(settings["build_command"], where="build_command", hint=_SCRIPT_HINT)
    if NodeProject.read(checkout) is None:
        return Steps(build=build)
    manager, detected = manager_of(checkout, wanted), manager_of(checkout)
    text = settings.get("install_command", "").strip()
    # The detected command is the default of the detected manager; only a person's counts.
    own = text and text != shlex.join(detected.install)
    if wanted and build == [detected.name, "run", "build"]:
        build[0] = wanted
    return Steps(
        build=build,
        manager=manager,
        install=split_command(text, where="install_command", hint=_SCRIPT_HINT)
        if own
        else manager.install,
    )


async def _run_build(context: BuildContext, steps: Steps) -> None:
    """Build on this machine."""
    argv = list(steps.build)
    environment = node_environment(context)
    if steps.manager is not None:
        await install(
            context,
            manager=steps.manager,
            argv=steps.install,
            environment=environment,
            version=await node_version(context),
        )
        argv = program_of(steps.manager, argv)
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
    copied = take_site(output, site, context.log)
    compressed = compress_site(site, private)
    fallback = _is_spa(context.settings, site, spa)
    built = bool(context.settings.get("build_command", "").strip())
    private.mkdir(exist_ok=True)
    (private / "static.json").write_text(
        json.dumps(
            {
                "spa": fallback,
                "cache": cache_rules(built=built),
                "etags": _large(context.output, (site, private)),
            }
        )
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


def _large(output: Path, folders: tuple[Path, ...]) -> dict[str, str]:
    """Return the tags of files that would take the server long; in images they have no times."""
    return {
        str(path.relative_to(output)): content_hash(str(path))
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_size > HASHED_BELOW
    }


def _is_spa(settings: dict[str, str], site: Path, spa: str) -> bool:
    if spa != "auto":
        return spa == "on"
    tool = detection.tool_of(settings.get("framework", ""))
    pages = [path for path in site.rglob("*.html") if path.name != "200.html"]
    return tool is not None and tool.spa and pages == [site / "index.html"]
