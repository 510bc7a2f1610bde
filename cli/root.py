"""The command `helvetia` put together from its parts and from what plugins add."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command_from_info, get_command_name, get_group_from_info
from typer.models import CommandInfo, TyperInfo

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
# Plain help: Rich takes longer to import than all the rest of `helvetia --help`.
_PLAIN = None


def _declared() -> dict[str, CommandInfo | TyperInfo]:
    found: dict[str, CommandInfo | TyperInfo] = {}
    for part in _PARTS:
        for command in part.app.registered_commands:
            assert command.callback is not None
            found[command.name or get_command_name(command.callback.__name__)] = command
        found |= {str(group.name): group for group in part.app.registered_groups}
    return found


OWN = _declared()
"""The commands of the kernel and its groups of commands by name, as they are declared."""


class RootGroup(TyperGroup):
    """The commands of the kernel, and those of plugins once somebody asks for them.

    Loading plugins takes longer than all the rest of the start, so it is left until a name is
    typed that is not the kernel's, or the list of commands is shown. To make the parsers of all
    commands takes longer than to run one, so that each is made when it is asked for.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._are_plugins_loaded = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, first the kernel's in their own order."""
        self._add_own_commands()
        self._add_plugin_commands(only_mentioned=True)
        return [*OWN, *(name for name in self.commands if name not in OWN)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, None if nobody has it."""
        if cmd_name in OWN:
            return self._own_command(cmd_name)
        # All of them, so that one of a similar name can be proposed.
        self._add_own_commands()
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

    def _own_command(self, name: str) -> Any:
        if name not in self.commands:
            command = _made(OWN[name])
            command.epilog = _with_examples_kept(command.epilog)
            self.commands[name] = command
        return self.commands[name]

    def _add_own_commands(self) -> None:
        for name in OWN:
            self._own_command(name)

    def _add_plugin_commands(self, *, only_mentioned: bool) -> None:
        if self._are_plugins_loaded:
            return
        self._are_plugins_loaded = True
        from .extending import plugin_commands

        for plugin, name, command in plugin_commands(only_mentioned=only_mentioned):
            if name in OWN or name in self.commands:
                owner = "helvetia" if name in OWN else "another plugin"
                reason = f"its command `{name}` is refused, {owner} has one of that name"
                typer.echo(f"! plugin {plugin}: {reason}", err=True)
            else:
                self.commands[name] = command


def _made(declared: CommandInfo | TyperInfo) -> Any:
    if isinstance(declared, CommandInfo):
        return get_command_from_info(
            declared, pretty_exceptions_short=False, rich_markup_mode=_PLAIN
        )
    return get_group_from_info(
        declared, pretty_exceptions_short=False, suggest_commands=True, rich_markup_mode=_PLAIN
    )


def _with_examples_kept(epilog: str | None) -> str | None:
    """Mark the indented paragraphs of an epilog, so that their lines are not joined."""
    paragraphs = (epilog or "").split("\n\n")
    return "\n\n".join(f"\b\n{text}" if text.startswith(" ") else text for text in paragraphs)


app = typer.Typer(
    cls=RootGroup,
    add_completion=False,
    rich_markup_mode=_PLAIN,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="The platform is found by HELVETIA_URL and HELVETIA_TOKEN, else by the data folder "
    "(HELVETIA_HOME).",
)


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
