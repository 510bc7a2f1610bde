"""Dockerfiles for repositories that have none: in stages, cached, and without root at the end."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from helvetia import BuildFailed
from helvetia.plugins.builders.common.files import is_file, is_folder, read_json, read_text, section
from helvetia.plugins.builders.common.node_project import NodeProject, manager_of
from helvetia.plugins.builders.procfile import detection as procfile
from helvetia.plugins.builders.procfile.processes import parse_command, parse_procfile
from helvetia.plugins.builders.static import detection as static

_PYTHON, _NODE, _GO = "3.12", "22", "1.23"
_NUMBER = re.compile(r"\d+(?:\.\d+)*")
_SAFE_WORD = re.compile(r"[A-Za-z0-9_./:=,@%+-]+")
_IGNORED = "\n".join(
    (".git", ".env", ".env.*", "**/node_modules", "**/.venv", "**/__pycache__", "Dockerfile", "")
)
# Where each tool keeps what it fetched: set by a variable, wherever its user's home is.
_CACHES = {
    "go": "GOCACHE=/var/cache/go",
    "npm": "npm_config_cache=/var/cache/npm",
    "pip": "PIP_CACHE_DIR=/var/cache/pip",
    "pnpm": "XDG_DATA_HOME=/var/cache",
    "yarn": "YARN_CACHE_FOLDER=/var/cache/yarn",
}
_USER = "USER 10001:10001"
_NGINX = (
    r"server { listen 8080; root /srv; gzip on; gzip_types text/css application/javascript "
    r"application/json image/svg+xml; location / { try_files $uri $uri/ $uri.html %s; } }"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A Dockerfile that was written for a repository.

    Attributes:
        score: how well it fits, below the builders that need no Dockerfile at all.
        text: needs BuildKit for its `--mount=type=cache`, which may be left out.
        ignore: the `.dockerignore` that goes with it.
    """

    language: str
    score: int
    text: str
    ignore: str = _IGNORED
    processes: Mapping[str, list[str]] = field(default_factory=lambda: {"web": []})


def generate(checkout: Path) -> Generated | str:
    """Write a Dockerfile for a folder, or say why that cannot be done."""
    if is_file(checkout, "go.mod"):
        return _go(checkout)
    site = static.detect(checkout)
    found = procfile.detect(checkout)
    if site.score > found.score:
        return _static(checkout, site.settings or {})
    if not found.score:
        return found.reason
    try:
        processes = _processes(checkout, found.settings or {})
    except BuildFailed as error:
        return error.message
    node = is_file(checkout, "package.json") and not any(
        is_file(checkout, name) for name in ("requirements.txt", "pyproject.toml")
    )
    return (_node if node else _python)(checkout, processes)


def _processes(checkout: Path, settings: Mapping[str, str]) -> dict[str, list[str]]:
    if web := settings.get("web"):
        return {"web": parse_command(web, "web", "the start command")}
    return parse_procfile(read_text(checkout, "Procfile") or "")


def _python(checkout: Path, processes: Mapping[str, list[str]]) -> Generated:
    wanted = read_text(checkout, ".python-version") or read_text(checkout, "runtime.txt") or ""
    cache = _cache("pip")
    if is_file(checkout, "requirements.txt"):
        install = f"COPY requirements.txt ./\nRUN {cache} pip install -r requirements.txt"
    else:
        install = f"COPY . .\nRUN {cache} pip install ."
    return _application(
        "Python",
        f"""\
ARG BASE=python:{_version(wanted, _PYTHON, parts=2)}-slim
FROM ${{BASE}} AS build
WORKDIR /app
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 {_CACHES["pip"]}
{install}

FROM ${{BASE}}
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 HOST=0.0.0.0 PORT=8080 HOME=/tmp
WORKDIR /app
COPY --from=build /venv /venv
COPY . .
""",
        processes,
    )


def _node(checkout: Path, processes: Mapping[str, list[str]]) -> Generated:
    project = NodeProject.read(checkout)
    manager = manager_of(checkout)
    builds = project is not None and "build" in project.scripts
    cache = _cache(manager.name)
    install = [f"RUN {cache} {' '.join(manager.install)}"]
    if manager.name != "npm":
        install.insert(0, "RUN corepack enable")
    berry = is_file(checkout, ".yarnrc.yml")
    if project is None or project.why_not_cached() or berry:
        # It may need any file of the project.
        steps = ["COPY . .", *install]
    else:
        names = ("package.json", manager.lock, ".npmrc")
        files = " ".join(name for name in names if name and is_file(checkout, name))
        steps = [f"COPY {files} ./", *install, "COPY . ."]
    if builds:
        steps.append(f"RUN {manager.name} run build")
    if prune := {
        "npm": "npm prune --omit=dev",
        "pnpm": "CI=true pnpm prune --prod --ignore-scripts",
        "yarn": "" if berry else "yarn install --production --ignore-scripts --prefer-offline",
    }[manager.name]:
        steps.append(f"RUN {cache} {prune}")
    return _application(
        "Node.js",
        f"""\
ARG BASE={node_image(checkout)}
FROM ${{BASE}} AS build
ENV {_CACHES[manager.name]}
WORKDIR /app
{chr(10).join(steps)}

FROM ${{BASE}}
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 HOME=/tmp PATH=/app/node_modules/.bin:$PATH
WORKDIR /app
COPY --from=build /app /app
""",
        processes,
    )


def _application(language: str, text: str, processes: Mapping[str, list[str]]) -> Generated:
    commands = {name: _command(argv) for name, argv in processes.items()}
    text += f"{_USER}\nEXPOSE 8080\nCMD {json.dumps(commands.pop('web'))}\n"
    release = {"release": commands["release"]} if "release" in commands else {}
    return Generated(language=language, score=30, text=text, processes={"web": [], **release})


def _cache(tool: str) -> str:
    """Return the option of RUN by which a tool finds what it fetched before."""
    return f"--mount=type=cache,target=/var/cache/{tool}"


def _command(argv: list[str]) -> list[str]:
    """Let a shell fill in the variables, and step aside."""
    return ["/bin/sh", "-c", "exec " + " ".join(map(_word, argv))]


def _word(word: str) -> str:
    if _SAFE_WORD.fullmatch(word):
        return word
    return '"' + re.sub(r'([\\"`])', r"\\\1", word) + '"'


def _go(checkout: Path) -> Generated | str:
    package = _go_main(checkout)
    if package is None:
        return "go.mod, but no single `package main` at the top or in cmd/"
    wanted = re.search(r"^go (\S+)", read_text(checkout, "go.mod") or "", re.M)
    cache = f"{_cache('go')} --mount=type=cache,target=/go/pkg/mod"
    beside = re.search(r"=>\s*\.", read_text(checkout, "go.mod") or "")
    sums = " ".join(name for name in ("go.mod", "go.sum") if is_file(checkout, name))
    # What is vendored need not be fetched, and what lies beside cannot be fetched alone.
    fetch = f"COPY {sums} ./\nRUN {cache} go mod download\n"
    if beside or is_folder(checkout, "vendor"):
        fetch = ""
    return Generated(
        language="Go",
        score=50,
        text=f"""\
ARG BASE=golang:{_version(wanted[1] if wanted else "", _GO, parts=2)}
FROM ${{BASE}} AS build
ENV {_CACHES["go"]}
WORKDIR /src
RUN mkdir -p /out/etc/ssl/certs /out/tmp && chmod 1777 /out/tmp \\
 && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/
{fetch}COPY . .
RUN {cache} CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /out/app {package}

FROM scratch
COPY --from=build /out /
ENV HOST=0.0.0.0 PORT=8080
{_USER}
EXPOSE 8080
ENTRYPOINT ["/app"]
""",
    )


def _go_main(checkout: Path) -> str | None:
    def is_main(folder: str) -> bool:
        names = sorted(path.name for path in (checkout / folder).glob("*.go"))
        texts = (read_text(checkout, f"{folder}/{name}") for name in names)
        return any(re.search(r"^package main\b", text or "", re.M) for text in texts)

    if is_main("."):
        return "."
    commands = [path.name for path in sorted((checkout / "cmd").glob("*")) if path.is_dir()]
    mains = [name for name in commands if _SAFE_WORD.fullmatch(name) and is_main(f"cmd/{name}")]
    return f"./cmd/{mains[0]}" if len(mains) == 1 else None


def _static(checkout: Path, settings: Mapping[str, str]) -> Generated:
    output = settings.get("output", ".")
    server = "ARG BASE=nginxinc/nginx-unprivileged:alpine\n"
    tool = static.tool_of(settings.get("framework", ""))
    if tool is not None:
        install, manager = settings["install_command"], settings["node_package_manager"]
        if manager != "npm":
            install = f"corepack enable && {install}"
        text = f"""\
ARG NODE={node_image(checkout)}
{server}FROM ${{NODE}} AS build
ENV {_CACHES[manager]}
WORKDIR /site
COPY . .
RUN {_cache(manager)} {install}
RUN {settings["build_command"]}

FROM ${{BASE}}
COPY --from=build /site/{output} /srv
"""
    else:
        text = f"{server}FROM ${{BASE}}\nCOPY {json.dumps([output, '/srv'])}\n"
    config = _NGINX % ("/index.html" if tool is not None and tool.spa else "=404")
    text += f"RUN echo '{config}' > /etc/nginx/conf.d/default.conf\nEXPOSE 8080\n"
    return Generated(language="a static site", score=10, text=text)


def node_image(checkout: Path) -> str:
    """Return the image of the Node.js that a project asks for."""
    engines = section(read_json(checkout, "package.json") or {}, "engines").get("node", "")
    files = (read_text(checkout, name) for name in (".nvmrc", ".node-version"))
    version = _version(next((text for text in files if text), engines), _NODE, parts=1)
    return f"node:{version}-slim"


def _version(text: str, default: str, *, parts: int) -> str:
    found = _NUMBER.search(text)
    return ".".join(found[0].split(".")[:parts]) if found else default
