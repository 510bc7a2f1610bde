"""The image of a site: a Python, the server, and the site's files, each a layer."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from helvetia.plugins.registry.common.images import Image

from .archive import ImageWriter

PORT = 8080
_SERVER = ("media_types", "rules", "server", "site_files")
_PLACE = "/helvetia/server"
_ROOT = "/srv"
_USER = "10001:10001"
_OURS = ("HOST=", "PORT=")


def write_site_image(folder: Path, archive: Path, *, base: Image, python: str) -> str:
    """Write the archive of an image that serves a finished site, and return the image's id. Blocks.

    Args:
        folder: what the server is given as its argument.
        python: the program of the base that runs the server.
    """
    document = json.loads(base.config)
    kept = [one for one in (document.get("config") or {}).get("Env") or []
            if not one.startswith(_OURS)]  # fmt: skip
    with archive.open("wb") as file:
        writer = ImageWriter(file)
        writer.copy(base)
        writer.add(_server())
        writer.add(_site(folder))
        return writer.finish(
            {
                "Env": [*kept, "HOST=0.0.0.0", f"PORT={PORT}"],
                "Entrypoint": [python, "-I", "-X", "utf8", _PLACE, _ROOT],
                "ExposedPorts": {f"{PORT}/tcp": {}},
                "User": _USER,
                "WorkingDir": _ROOT,
            },
            base=document,
        )


def _server() -> dict[str, Path | bytes]:
    """Return the server as a folder that Python runs, without the rest of the platform."""
    package = resources.files(__package__)
    files: dict[str, Path | bytes] = {
        f"{_PLACE}/static/{name}.py": package.joinpath(f"{name}.py").read_bytes()
        for name in _SERVER
    }
    files[f"{_PLACE}/static/__init__.py"] = b""
    files[f"{_PLACE}/__main__.py"] = b"from static.server import main\n\nmain()\n"
    return files


def _site(folder: Path) -> dict[str, Path | bytes]:
    return {
        f"{_ROOT}/{path.relative_to(folder)}": path
        for top in ("site", ".helvetia")
        for path in (folder / top).rglob("*")
        if path.is_file()
    }
