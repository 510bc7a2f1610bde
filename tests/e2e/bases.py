"""Images that real Dockerfiles begin from, made of this machine's programs.

No image can be pulled here, and builds need no package index either: what they install is in
the images, where pip and npm look first.
"""

from __future__ import annotations

import ensurepip
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.docker_engine import DockerEngine, python_tree

PYTHON, NODE = "python:3.11-slim", "node:20-slim"
_APPLETS = ("cat", "chmod", "cp", "echo", "env", "grep", "id", "ls", "mkdir", "rm", "sleep", "test")
Tree = dict[str, str | bytes | Path]


def save_python(engine: DockerEngine, folder: Path, packages: Sequence[str]) -> None:
    """Save an image with Python, pip and these packages to install."""
    wheels = folder / "wheels"
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:",
         "--dest", wheels, "--", *packages],
        check=True, capture_output=True,
    )  # fmt: skip
    tree = python_tree()
    tree["usr/bin/python3"] = tree.pop("bin/python3")
    tree["usr/bin/python"] = tree["usr/bin/python3"]
    library = next(name for name in tree if name.startswith("usr/lib/python"))
    bundled = Path(ensurepip.__file__).parent
    tree |= _files(f"{library}/ensurepip", bundled)
    tree |= _libraries(_program("node"))
    pip = next(bundled.glob("_bundled/pip-*.whl"))
    tree["usr/bin/pip"] = f'#!/bin/sh\nexec python3 /wheels/{pip.name}/pip "$@"\n'
    tree |= {"wheels": wheels, f"wheels/{pip.name}": pip}
    # Without compiling, as pip takes most of its time for that.
    options = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1"
    _save(engine, folder, PYTHON, tree, f"ENV {options}")


def save_node(engine: DockerEngine, folder: Path, projects: Mapping[str, Path]) -> None:
    """Save an image with Node.js, npm and what these projects install."""
    cache = folder / "npm"
    for name, project in projects.items():
        copy = folder / name
        copy.mkdir()
        for file in ("package.json", "package-lock.json"):
            shutil.copy(project / file, copy)
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", f"--cache={cache}"],
            cwd=copy, check=True, capture_output=True,
        )  # fmt: skip
    node = _program("node")
    tree: Tree = {
        "usr/bin/node": node,
        "usr/bin/npm": '#!/bin/sh\nexec node /usr/lib/node_modules/npm/bin/npm-cli.js "$@"\n',
        **_files("usr/lib/node_modules/npm", _program("npm").parents[1]),
        **_files("npm", cache),
        **_libraries(node),
    }
    _save(engine, folder, NODE, tree, "ENV NPM_CONFIG_CACHE=/npm NPM_CONFIG_OFFLINE=true")


def _program(name: str) -> Path:
    path = shutil.which(name)
    assert path
    return Path(path).resolve()


def _files(place: str, folder: Path) -> Tree:
    """Take a folder file by file: as a whole it would lose its tests and the like."""
    return {
        f"{place}/{path.relative_to(folder)}": path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _libraries(program: Path) -> Tree:
    said = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    tree: Tree = {}
    for line in said.splitlines():
        name, _, found = line.strip().partition(" => ")
        path = (found or name).split(" (")[0]
        if path.startswith("/"):
            tree[path if not found else f"lib/{name}"] = Path(path)
    # Packages with compiled parts take for granted what every distribution has.
    standard = Path(str(tree["lib/libc.so.6"])).parent
    return tree | {f"lib/{name}": standard / name for name in ("librt.so.1", "libutil.so.1")}


def _save(engine: DockerEngine, folder: Path, name: str, tree: Tree, *changes: str) -> None:
    programs: Tree = {
        f"bin/{one}": f'#!/bin/sh\nexec /bin/busybox {one} "$@"\n' for one in _APPLETS
    }
    shell: Tree = {path: Path("/bin/busybox") for path in ("bin/busybox", "bin/sh")}
    everybodys = folder / "tmp"
    everybodys.mkdir(exist_ok=True)
    everybodys.chmod(0o1777)
    tree.pop("tmp/.keep", None)
    tree["usr/bin/env"] = programs["bin/env"]
    users = "root:x:0:0::/root:/bin/sh\n"
    named = f"{name}-{folder.name}"
    engine.import_image(
        named, {**programs, **shell, **tree, "tmp": everybodys, "etc/passwd": users},
        "ENV PATH=/usr/local/bin:/usr/bin:/bin LD_LIBRARY_PATH=/lib", *changes,
    )  # fmt: skip
    # What counts is the name in the archive; the engine itself must not know it.
    engine("tag", named, name)
    engine.save(name, folder / f"{name.partition(':')[0]}.tar")
    engine("image", "rm", "--force", named, name)
