"""A Helvetia builder: folders with an `example.toml` are served as they are."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

from helvetia import (
    DIRECTORY,
    Artifact,
    BuildContext,
    Builder,
    BuildFailed,
    Detection,
    HealthCheck,
    hookimpl,
)

helvetia_api = 1
_MARK = "example.toml"


class ExampleBuilder(Builder):
    """Builds folders that have an `example.toml`."""

    name = "example"
    service_type = "example"
    produces = (DIRECTORY,)
    options = {"folder": "folder to serve (default: all of it)"}  # noqa: RUF012

    async def detect(self, checkout: Path) -> Detection:
        """Look for the file; run nothing."""
        if (checkout / _MARK).is_file():
            return Detection(score=70, reason=f"{_MARK} at the root")
        return Detection(score=0, reason=f"no {_MARK} at the root")

    async def build(self, context: BuildContext) -> Artifact:
        """Copy the files. Run programs with `context.run`: they end when the build does."""
        source = context.checkout / context.settings.get("folder", ".")
        if not (context.checkout / _MARK).is_file() or not source.is_dir():
            raise BuildFailed(f"there is no {_MARK} or no such folder", hint=f"add {_MARK}")
        site = context.output / "site"
        await asyncio.to_thread(shutil.copytree, source, site, symlinks=True)
        context.log.line("copied")
        return Artifact(
            kind=DIRECTORY,
            location=str(site),
            processes={"web": ["{python}", "-m", "http.server", "--bind", "127.0.0.1", "$PORT"]},
            health_check=HealthCheck(path="/"),
            read_only=True,
        )


@hookimpl
def helvetia_builders() -> Iterable[Builder]:
    """Offer the builder `example`."""
    yield ExampleBuilder()
