"""Install the packages of a Node project, or take them from the cache."""

from __future__ import annotations

import asyncio
import hashlib
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from helvetia import BuildContext, BuildFailed

from .cache import FolderCache
from .command import run_step
from .files import is_file
from .node_project import Manager, NodeProject

MANAGERS = ("npm", "pnpm", "yarn")


@dataclass(slots=True)
class Collected:
    """A log that keeps what a short program says."""

    output: bytearray = field(default_factory=bytearray)

    def line(self, text: str) -> None:
        """Leave the platform's own lines out."""

    def write(self, data: bytes, stream: str = "stdout") -> None:
        """Keep standard output."""
        if stream == "stdout":
            self.output += data


def node_environment(context: BuildContext) -> dict[str, str]:
    """Return the variables of Node's tools: private folders, no questions, the service's own."""
    home = context.cache / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {
        "HOME": str(home),
        "NPM_CONFIG_CACHE": str(context.cache / "npm"),
        "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        "NPM_CONFIG_FUND": "false",
        "NPM_CONFIG_AUDIT": "false",
        "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0",
        "CI": "true",
        "NO_COLOR": "1",
        **context.environment,
    }


async def node_version(context: BuildContext) -> str:
    """Return the version of Node.js on this machine.

    Raises:
        BuildFailed: there is none.
    """
    said = Collected()
    try:
        code = await context.run(["node", "--version"], cwd=context.checkout, log=said)
    except FileNotFoundError:
        code = 127
    if code:
        raise BuildFailed(
            "Node.js is not on this machine, and the project has a package.json",
            hint="install Node.js where the platform runs, or build the site before you push",
        )
    return said.output.decode("utf-8", "replace").strip().removeprefix("v")


def program_of(manager: Manager, argv: Sequence[str]) -> list[str]:
    """Return `argv`, by way of corepack where the manager itself is not installed.

    Raises:
        BuildFailed: neither is there.
    """
    if argv[0] != manager.name or shutil.which(manager.name):
        return list(argv)
    if manager.name != "npm" and shutil.which("corepack"):
        return ["corepack", *argv]
    lock = f", and the project has a {manager.lock}" if manager.lock else ""
    raise BuildFailed(
        f"{manager.name} is not on this machine{lock}",
        hint=f"install {manager.name} or corepack where the platform runs, "
        "or set node_package_manager=npm",
    )


async def install(
    context: BuildContext,
    *,
    manager: Manager,
    argv: Sequence[str],
    environment: Mapping[str, str],
    version: str,
    link: bool = True,
) -> None:
    """Fill `node_modules` of the checkout.

    Args:
        argv: the install command; part of what the cache hangs on.
        version: of Node.js, since packages may hold compiled parts.
        link: share unchanged files with the cache by hard links instead of copying them.

    Raises:
        BuildFailed: the packages cannot be installed.
    """
    target = context.checkout / "node_modules"
    cache = FolderCache(context.cache / "node_modules")
    key = ""
    project = NodeProject.read(context.checkout)
    if manager.lock and project is not None and (reason := project.why_not_cached()):
        context.log.line(f"packages are installed anew: {reason}")
    elif manager.lock:
        lock = await asyncio.to_thread((context.checkout / manager.lock).read_bytes)
        parts = [hashlib.sha256(lock).hexdigest(), version, shlex.join(argv)]
        for name in ("package.json", ".npmrc", ".yarnrc.yml", "pnpm-workspace.yaml"):
            if is_file(context.checkout, name):
                parts.append((context.checkout / name).read_text(errors="replace"))
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
        kept = await cache.take(key, target, link=link)
        if kept is not None:
            context.log.line(
                f"dependencies unchanged (lock file {parts[0][:7]}), "
                f"{kept.get('packages', 'all')} packages from the cache"
            )
            return
    else:
        context.log.line("no lock file: versions are chosen anew at every build")
    await run_step(
        context,
        program_of(manager, argv),
        cwd=context.checkout,
        environment=environment,
        hint="the lines above say why; a lock file that does not fit package.json is the "
        f"usual cause: run `{manager.name} install` and commit {manager.lock or 'the lock file'}",
    )
    if not target.is_dir():
        return
    packages = await asyncio.to_thread(_count_packages, target)
    context.log.line(f"{packages} packages installed")
    if key:
        await cache.put(key, target, {"packages": str(packages)}, link=link)


def _count_packages(folder: Path) -> int:
    return sum(1 for _ in folder.glob("[!.@]*/package.json")) + sum(
        1 for _ in folder.glob("@*/*/package.json")
    )
