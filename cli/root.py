"""The command `helvetia` put together from its parts and from what plugins add."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import (
    auditing,
    caching,
    commanding,
    credentials,
    deploying,
    doctor,
    environment,
    github,
    keys,
    listing,
    logs,
    measuring,
    notifying,
    people,
    plugins,
    previews,
    scaffold,
    serve,
    services,
    teams,
    tokens,
    webhooks,
    working,
)
from .running import PANELS

_PARTS = (
    serve, deploying, listing, auditing, logs, measuring, services, caching, commanding,
    environment, credentials, plugins, scaffold, tokens, people, teams, keys, webhooks, notifying,
    github, previews, working, doctor,
)  # fmt: skip


_LONGEST_SUMMARY = 200
_MORE = "More, from plugins"


class RootGroup(TyperGroup):
    """The commands of the kernel, and those of plugins once somebody asks for them.

    Loading plugins takes longer than all the rest of the start, so it is left until a name is
    typed that is not the kernel's, or the list of commands is shown.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._are_plugins_loaded = False
        for command in self.commands.values():
            command.epilog = _with_examples_kept(command.epilog)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, first the kernel's in their own order."""
        self._add_plugin_commands(only_mentioned=True)
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, None if nobody has it."""
        if cmd_name not in self.commands:
            self._add_plugin_commands(only_mentioned=False)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands by subject."""
        sections: dict[str, list[tuple[str, str]]] = {panel: [] for panel in PANELS}
        for name in self.list_commands(ctx):
            command = self.commands[name]
            if not command.hidden:
                panel = getattr(command, "rich_help_panel", None)
                rows = sections.setdefault(panel if panel in PANELS else _MORE, [])
                rows.append((name, command.get_short_help_str(_LONGEST_SUMMARY)))
        for panel, rows in sections.items():
            with formatter.section(panel):
                formatter.write_dl(rows)

    def _add_plugin_commands(self, *, only_mentioned: bool) -> None:
        if self._are_plugins_loaded:
            return
        self._are_plugins_loaded = True
        from .extending import plugin_commands

        own = frozenset(self.commands)
        for plugin, name, command in plugin_commands(only_mentioned=only_mentioned):
            if name in self.commands:
                owner = "helvetia" if name in own else "another plugin"
                reason = f"its command `{name}` is refused, {owner} has one of that name"
                typer.echo(f"! plugin {plugin}: {reason}", err=True)
            else:
                self.commands[name] = command


def _with_examples_kept(epilog: str | None) -> str | None:
    """Mark the indented paragraphs of an epilog, so that their lines are not joined."""
    paragraphs = (epilog or "").split("\n\n")
    return "\n\n".join(f"\b\n{text}" if text.startswith(" ") else text for text in paragraphs)


app = typer.Typer(
    cls=RootGroup,
    add_completion=False,
    # Plain help: Rich takes longer to import than all the rest of `helvetia --help`.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="The platform is found by HELVETIA_URL and HELVETIA_TOKEN, else by the data folder "
    "(HELVETIA_HOME).",
)
for _part in _PARTS:
    app.add_typer(_part.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        doctor.version()
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Commit in, zero-downtime URL out; every step a plugin."""
