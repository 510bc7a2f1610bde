"""`helvetia plugin new`: a package of one plugin whose own tests pass at once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .running import PLATFORM, Json

app = typer.Typer()
plugin = typer.Typer(help="Write plugins of your own.")
app.add_typer(plugin, name="plugin", rich_help_panel=PLATFORM)


class Kind(StrEnum):
    """What a plugin may offer."""

    SOURCE = "source"
    BUILDER = "builder"
    REGISTRY = "registry"
    RUNTIME = "runtime"
    ROUTER = "router"
    AUTH = "auth"
    STAGE = "stage"


_NAME = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
_LONGEST_NAME = 32
_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "helvetia-example"
version = "0.1"
description = "Helvetia {kind} `example`"
requires-python = ">=3.11"
dependencies = ["helvetia>={version}"]

[project.optional-dependencies]
test = ["pytest>=9", "pytest-asyncio>=1.2"]

[project.entry-points.helvetia]
{kind}-example = "helvetia_example"

[tool.setuptools]
py-modules = ["helvetia_example"]

[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
testpaths = ["tests"]
"""
_README = """\
# helvetia-example

A Helvetia plugin with the {kind} `example`. Into the environment that Helvetia runs in:

    pip install -e '.[test]'
    pytest                      what the {kind} promises, checked
    helvetia plugins            it is in the list
    helvetia up                 a running platform must be restarted

`pytest --helvetia-no-skip` fails on every promise that could not be checked: use it in CI.
"""

Name = Annotated[str, typer.Argument(help="Its name: lower-case letters, digits, hyphens.")]
Into = Annotated[
    Path | None,
    typer.Option("--into", metavar="FOLDER", help="Where to write (default: ./helvetia-NAME)."),
]


@plugin.command("new")
def new(kind: Kind, name: Name, into: Into = None, as_json: Json = False) -> None:
    """Write the package of a new plugin; its own tests pass at once."""
    from .output import Output

    out = Output(as_json=as_json)
    folder = write_package(kind, name, into or Path(f"helvetia-{name}"))
    out.done(f"{folder} has the {kind} `{name}`")
    out.note((f"  cd {folder} && pip install -e '.[test]' && pytest", "dim"))
    if as_json:
        out.json({"folder": str(folder), "kind": str(kind), "name": name})


def write_package(kind: Kind, name: str, folder: Path) -> Path:
    """Write the package into a new folder and return it.

    Raises:
        InvalidInput: the name is not one, or the folder has something in it.
    """
    import re

    from helvetia.kernel.errors import InvalidInput
    from helvetia.version import __version__

    from .templates.tests import TESTS

    if not re.fullmatch(_NAME, name) or len(name) > _LONGEST_NAME:
        raise InvalidInput("name", f"{name!r} is no name", hint="write it like `my-cloud`")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput("--into", f"{folder} has something in it", hint="name a new folder")
    module = "helvetia_" + name.replace("-", "_")
    template = Path(__file__).parent / "templates" / f"{kind}.py"
    texts = {
        "pyproject.toml": _PYPROJECT.format(kind=kind, version=__version__),
        "README.md": _README.format(kind=kind),
        f"{module}.py": template.read_text("utf-8"),
        f"tests/test_{module.removeprefix('helvetia_')}.py": TESTS[kind],
    }
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(_renamed(text, name), "utf-8")
    return folder


def _renamed(text: str, name: str) -> str:
    """Put a name in the place of `example`: as a module, as a class, and as it is."""
    under = name.replace("-", "_")
    text = text.replace("helvetia_example", f"helvetia_{under}").replace("example_", f"{under}_")
    return text.replace("Example", under.title().replace("_", "")).replace("example", name)
