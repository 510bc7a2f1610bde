"""Find out how an application starts."""

from __future__ import annotations

import re
from pathlib import Path

from helvetia import BuildFailed, Detection
from helvetia.plugins.builders.common.files import is_file, read_text
from helvetia.plugins.builders.common.node_project import NodeProject

from .processes import parse_procfile

_MODULES = ("app", "wsgi", "main", "application", "server", "asgi")
_WSGI = re.compile(r"^(\w+)\s*(?::\s*\w+\s*)?=\s*(?:\w+\.)?(Flask|FastAPI|Starlette|Quart)\(", re.M)
_FACTORY = re.compile(r"^def (create_app|make_app)\(", re.M)
_BIND = "${HOST:-127.0.0.1}"
_NO_GUNICORN = "but no gunicorn in its requirements; add it, or write a Procfile"


def detect(checkout: Path) -> Detection:
    """Look for a Procfile, else for a start command that leaves no doubt."""
    text = read_text(checkout, "Procfile")
    if text is not None:
        return _procfile(text)
    missing: list[str] = []
    for look in (_django, _python, _node):
        found = look(checkout)
        if found is not None and found.score:
            return found
        if found is not None:
            missing.append(found.reason)
    if missing:
        return Detection(score=0, reason="; ".join(missing))
    return Detection(score=0, reason="no Procfile, no package.json and no requirements.txt")


def _procfile(text: str) -> Detection:
    try:
        processes = parse_procfile(text)
    except BuildFailed as error:
        # Still the best fit: the build then ends with the line to mend.
        return Detection(score=90, reason=f"Procfile with a mistake: {error.message}")
    if "web" not in processes:
        named = ", ".join(processes) or "nothing"
        return Detection(score=0, reason=f"Procfile without a `web` process (it has {named})")
    return Detection(score=90, reason="Procfile with a `web` process")


def _requirements(checkout: Path) -> str | None:
    parts = [read_text(checkout, name) for name in ("requirements.txt", "pyproject.toml")]
    known = [part.lower() for part in parts if part is not None]
    return "\n".join(known) if known else None


def _needs(requirements: str, package: str) -> bool:
    return re.search(rf"(?:^|[\s\"'\[,]){package}(?![\w.-]*\w\s*=)", requirements, re.M) is not None


def _django(checkout: Path) -> Detection | None:
    requirements = _requirements(checkout)
    if requirements is None or not is_file(checkout, "manage.py"):
        return None
    settings = re.search(
        r"DJANGO_SETTINGS_MODULE['\"]\s*,\s*['\"]([\w.]+)['\"]",
        read_text(checkout, "manage.py") or "",
    )
    if settings is None:
        return None
    for package in _packages_of(settings[1]):
        if is_file(checkout, f"{package.replace('.', '/')}/wsgi.py"):
            if not _needs(requirements, "gunicorn"):
                return Detection(score=0, reason=f"a Django project, {_NO_GUNICORN}")
            return _web(
                f"gunicorn --bind {_BIND}:$PORT {package}.wsgi:application",
                f"a Django project with {package.replace('.', '/')}/wsgi.py and gunicorn",
            )
    return Detection(score=0, reason="a Django project without wsgi.py; write a Procfile")


def _packages_of(module: str) -> list[str]:
    """Return the packages around a settings module, the nearest first."""
    parts = module.split(".")[:-1]
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _python(checkout: Path) -> Detection | None:
    requirements = _requirements(checkout)
    if requirements is None:
        return None
    for module in _MODULES:
        text = read_text(checkout, f"{module}.py")
        if text is None:
            continue
        if match := _WSGI.search(text):
            return _serve(f"{module}:{match[1]}", match[2], module, requirements)
        if (match := _FACTORY.search(text)) and "flask" in text.lower():
            return _serve(f"{module}:{match[1]}()", "Flask", module, requirements)
    return Detection(
        score=0,
        reason="a Python project, but no Procfile and no Flask, FastAPI or Django application "
        "where one is usually found (app.py, wsgi.py, main.py, manage.py)",
    )


def _serve(target: str, framework: str, module: str, requirements: str) -> Detection:
    if framework == "Flask":
        if not _needs(requirements, "gunicorn"):
            return Detection(score=0, reason=f"a Flask app in {module}.py, {_NO_GUNICORN}")
        return _web(
            f"gunicorn --bind {_BIND}:$PORT '{target}'", f"a Flask app in {module}.py and gunicorn"
        )
    for server in ("uvicorn", "hypercorn"):
        if _needs(requirements, server):
            bind = (
                f"--host {_BIND} --port $PORT" if server == "uvicorn" else f"--bind {_BIND}:$PORT"
            )
            return _web(
                f"{server} {bind} {target}", f"a {framework} app in {module}.py and {server}"
            )
    return Detection(
        score=0,
        reason=f"a {framework} app in {module}.py, but no uvicorn in its requirements; "
        "add it, or write a Procfile",
    )


def _node(checkout: Path) -> Detection | None:
    project = NodeProject.read(checkout)
    if project is None:
        return None
    server = project.server(checkout)
    if server is None:
        return Detection(
            score=0,
            reason="package.json has neither a `start` script for a server nor a known server "
            "library with its file; write a Procfile",
        )
    return _web(*server)


def _web(command: str, reason: str) -> Detection:
    return Detection(score=60, reason=f"{reason}: `{command}`", settings={"web": command})
