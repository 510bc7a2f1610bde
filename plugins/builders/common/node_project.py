"""What a package.json tells: the package manager, the tool that builds, whether it is a server."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from .files import is_file, read_json, section

SERVERS = (
    "express", "fastify", "koa", "@hapi/hapi", "hapi", "@nestjs/core", "hono", "@hono/node-server",
    "restify", "polka", "next", "nuxt", "@adonisjs/core", "@feathersjs/feathers",
    "@sveltejs/adapter-node",
)  # fmt: skip
_DEV_SERVERS = frozenset({
    "vite", "react-scripts", "vue-cli-service", "parcel", "gatsby", "eleventy", "astro", "ng",
    "webpack", "webpack-dev-server", "docusaurus", "vuepress", "vitepress", "http-server", "serve",
    "live-server", "svelte-kit", "npx",
})  # fmt: skip
_INSTALL_SCRIPTS = (
    "preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare", "dependencies",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Manager:
    """A package manager and how it is told to install.

    Attributes:
        lock: the lock file that names it; "" when the project has none.
        install: argument list that installs everything, tools of development included.
    """

    name: str
    lock: str
    install: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeProject:
    """A folder with a package.json."""

    name: str
    scripts: dict[str, str]
    dependencies: frozenset[str]
    main: str
    workspaces: bool

    @classmethod
    def read(cls, checkout: Path) -> NodeProject | None:
        """Read package.json; None if there is none or it is not a JSON object."""
        package = read_json(checkout, "package.json")
        if package is None:
            return None
        named = {**section(package, "devDependencies"), **section(package, "dependencies")}
        name, main = package.get("name"), package.get("main")
        return cls(
            name=name if isinstance(name, str) else "",
            scripts=section(package, "scripts"),
            dependencies=frozenset(named),
            main=main if isinstance(main, str) else "",
            workspaces="workspaces" in package or is_file(checkout, "pnpm-workspace.yaml"),
        )

    def why_not_cached(self) -> str | None:
        """Return why an install leaves more behind than `node_modules`; None if it does not."""
        script = next((name for name in _INSTALL_SCRIPTS if name in self.scripts), None)
        if script:
            return f"package.json has a script `{script}`, which must run"
        return "the project has workspaces" if self.workspaces else None

    def server(self, checkout: Path) -> tuple[str, str] | None:
        """Return the command that starts the project's own server, and why we think so."""
        library = next((name for name in SERVERS if name in self.dependencies), None)
        if script := self.scripts.get("start", "").strip():
            if self._program(script) not in _DEV_SERVERS:
                return _direct(script), "package.json has a `start` script"
            if library is None:
                return None
        if library:
            for candidate in (self.main, "server.js", "app.js", "index.js"):
                if candidate and is_file(checkout, candidate):
                    return (
                        shlex.join(["node", candidate]),
                        f"package.json depends on {library}, and there is {candidate}",
                    )
        return None

    def _program(self, script: str) -> str:
        """Return the program that a script starts, through one `npm run` and `cross-env`."""
        words = _words(script)
        if len(words) > 2 and words[0] in ("npm", "pnpm", "yarn") and words[1] == "run":
            words = _words(self.scripts.get(words[2], ""))
        return next((word for word in words if "=" not in word and word != "cross-env"), "")


def _words(script: str) -> list[str]:
    try:
        return shlex.split(script)
    except ValueError:
        return []


def _direct(script: str) -> str:
    """Return the script itself if it needs no shell, so that signals reach the program."""
    words = _words(script)
    plain = words and "=" not in words[0] and not any(letter in script for letter in "|&;<>`$*\n")
    return script if plain else "npm start"


def manager_of(checkout: Path, wanted: str = "") -> Manager:
    """Return the package manager of a project: the wanted one, else by its lock file, else npm."""
    locks = {
        "pnpm-lock.yaml": "pnpm",
        "yarn.lock": "yarn",
        "package-lock.json": "npm",
        "npm-shrinkwrap.json": "npm",
    }
    lock = next(
        (
            file
            for file, name in locks.items()
            if name == (wanted or name) and is_file(checkout, file)
        ),
        "",
    )
    name = wanted or locks.get(lock, "npm")
    if name == "pnpm":
        strict = "--frozen-lockfile" if lock else "--no-frozen-lockfile"
        return Manager(name, lock, ("pnpm", "install", "--prod=false", strict))
    if name == "yarn":
        if is_file(checkout, ".yarnrc.yml"):
            return Manager(name, lock, ("yarn", "install", *(("--immutable",) if lock else ())))
        frozen = ("--frozen-lockfile",) if lock else ()
        return Manager(
            name, lock, ("yarn", "install", "--production=false", "--non-interactive", *frozen)
        )
    return Manager("npm", lock, ("npm", "ci" if lock else "install", "--include=dev"))
