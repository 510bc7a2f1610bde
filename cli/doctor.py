"""`helvetia doctor` and `helvetia version`."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING

import typer

from .running import PLATFORM, Json

if TYPE_CHECKING:
    from .examining import Finding

app = typer.Typer()


@app.command(rich_help_panel=PLATFORM)
def doctor(as_json: Json = False) -> None:
    """Check this machine and the platform, and say what to do.

    The exit code is 1 if something is wrong.
    """
    import asyncio

    from .examining import examine
    from .output import Output

    out = Output(as_json=as_json)
    findings: list[Finding] = asyncio.run(examine())
    ok = all(finding.ok for finding in findings)
    if as_json:
        out.json({"ok": ok, "checks": [finding.document() for finding in findings]})
    else:
        for finding in findings:
            mark = ("✓", "green") if finding.ok else ("✗", "red")
            out.line(mark, f" {finding.name}: {finding.reason}")
            if finding.hint and not finding.ok:
                out.line((f"    {finding.hint}", "dim"))
    if not ok:
        raise typer.Exit(1)


@app.command(rich_help_panel=PLATFORM)
def version(as_json: Json = False) -> None:
    """Print the version of this command."""
    from helvetia.version import API_VERSION, __version__

    if not as_json:
        typer.echo(f"helvetia {__version__}")
        return
    from .output import Output

    python = f"{platform.python_implementation()} {platform.python_version()}"
    facts = {"version": __version__, "plugin_api": API_VERSION, "python": python}
    Output(as_json=True).json({**facts, "executable": sys.executable})
