"""`helvetia plugins`: what is installed, what is switched off, what works here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import PLATFORM, Json, run

if TYPE_CHECKING:
    from helvetia.kernel.plugins import Plugin

    from .rendering import Cell
    from .session import Session

app = typer.Typer()
plugins = typer.Typer(help="List, check, enable and disable plugins.", invoke_without_command=True)
app.add_typer(plugins, name="plugins", rich_help_panel=PLATFORM)

Name = Annotated[str, typer.Argument(metavar="PLUGIN", help="Name, from `helvetia plugins`.")]


@plugins.callback(invoke_without_command=True)
def default(context: typer.Context, as_json: Json = False) -> None:
    """List, check, enable and disable plugins."""
    if context.invoked_subcommand is None:
        list_(as_json=as_json)


@plugins.command("list")
def list_(as_json: Json = False) -> None:
    """List the installed plugins, quarantined ones with the reason."""
    from helvetia.kernel.settings import default_home

    from . import rendering
    from .installed import load_plugins
    from .output import Output

    out = Output(as_json=as_json)
    found = list(load_plugins(default_home()))
    if as_json:
        out.json([_document(plugin) for plugin in found])
        return
    rows: list[list[Cell]] = [
        [
            plugin.name,
            rendering.styled(plugin.status),
            plugin.version,
            plugin.distribution,
            plugin.reason or ", ".join(_does(plugin)) or " ",
        ]
        for plugin in found
    ]
    out.table(["plugin", "status", "version", "package", "offers"], rows)


@plugins.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show one plugin."""
    from helvetia.kernel.settings import default_home

    from . import rendering
    from .installed import find_plugin, load_plugins
    from .output import Output

    out = Output(as_json=as_json)
    plugin = find_plugin(load_plugins(default_home()), name)
    if as_json:
        out.json(_document(plugin))
        return
    out.facts(
        [
            ("name", (plugin.name, "bold")),
            ("status", rendering.styled(plugin.status)),
            ("reason", plugin.reason),
            ("package", f"{plugin.distribution} {plugin.version}"),
            ("module", plugin.module),
            ("hooks", ", ".join(plugin.hooks)),
        ]
    )


@plugins.command()
def check(as_json: Json = False) -> None:
    """Ask the running platform which providers are usable here.

    The exit code is 1 if there is none of a family.
    """

    async def act(session: Session) -> int:
        found = await session.api.checks()
        if session.out.as_json:
            session.out.json(found)
        else:
            rows: list[list[Cell]] = [
                [
                    ("✓", "green") if one.ok else ("-", "dim"),
                    one.family,
                    one.name,
                    one.plugin,
                    one.reason,
                ]
                for one in found
            ]
            session.out.table(["ok", "family", "provider", "plugin", "reason"], rows)
        served = {one.family for one in found if one.ok}
        return 0 if all(one.family in served for one in found) else 1

    run(act, as_json=as_json)


@plugins.command()
def enable(name: Name, as_json: Json = False) -> None:
    """Switch a plugin on again."""
    _switch(name, disabled=False, as_json=as_json)


@plugins.command()
def disable(name: Name, as_json: Json = False) -> None:
    """Switch a plugin off without uninstalling it."""
    _switch(name, disabled=True, as_json=as_json)


def _switch(name: str, *, disabled: bool, as_json: bool) -> None:
    from helvetia.kernel.plugin_state import set_disabled
    from helvetia.kernel.plugins import PluginStatus
    from helvetia.kernel.settings import default_home

    from .installed import find_plugin, load_plugins
    from .output import Output

    out, home = Output(as_json=as_json), default_home()
    find_plugin(load_plugins(home), name)
    set_disabled(home, name, disabled)
    now = find_plugin(load_plugins(home), name)
    out.done(f"{name} is {'disabled' if disabled else 'enabled'}")
    if not disabled and now.status is not PluginStatus.ACTIVE:
        # A setting switches it off as well, or it is broken.
        out.warn(f"it is {now.status} nevertheless: {now.reason}")
    out.note(("  a running platform must be restarted to see it", "dim"))
    if as_json:
        out.json(_document(now))


def _does(plugin: Plugin) -> list[str]:
    return [hook.removeprefix("helvetia_") for hook in plugin.hooks]


def _document(plugin: Plugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "status": str(plugin.status),
        "reason": plugin.reason,
        "module": plugin.module,
        "hooks": plugin.hooks,
    }
