"""What a command prints: data on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO, cast

from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from .rendering import Cell, clean, columns

if TYPE_CHECKING:
    from helvetia.kernel.errors import HelvetiaError

Document = BaseModel | Mapping[str, object]

_OK, _BAD = ("✓", "green"), ("✗", "red")


class Working(Protocol):
    """The line at the bottom that says what is going on."""

    def __call__(self, text: str) -> None:
        """Replace the line."""


class _Console(Console):
    """A console that leaves a closed pipe to `main`."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Output:
    """Prints for people, or JSON for programs.

    Args:
        as_json: standard output carries JSON only.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._data = _console(sys.stdout)
        self._progress = _console(sys.stderr)

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks at the progress."""
        return self._progress.is_terminal

    def json(self, value: Document | Sequence[Document]) -> None:
        """Print one JSON document."""
        self._write_json(_plain(value), indent=2)

    def json_line(self, value: BaseModel) -> None:
        """Print one JSON value on one line, for streams."""
        self._write_json(_plain(value), indent=None)
        sys.stdout.flush()

    def line(self, *cells: Cell) -> None:
        """Print one line of data."""
        self._data.print(_text(cells))

    def log_line(self, text: str) -> None:
        """Print one line of a log; its own colours are kept on a terminal."""
        self._data.print(self._log_text(self._data, text))

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Print a table."""
        for cells in columns(headers, rows):
            self.line(*cells)

    def facts(self, pairs: Iterable[tuple[str, Cell]]) -> None:
        """Print names and values, one pair a line; pairs without a value are left out."""
        shown = [(name, cell) for name, cell in pairs if cell and cell[0]]
        longest = max((len(name) for name, _ in shown), default=0)
        for name, cell in shown:
            self.line((f"{name:<{longest}}  ", "dim"), cell)

    def note(self, *cells: Cell) -> None:
        """Print one line beside the data."""
        self._progress.print(_text(cells))

    def done(self, text: str) -> None:
        """Say that something worked."""
        self.note(_OK, f" {text}")

    def warn(self, text: str) -> None:
        """Say that something may not be what was meant."""
        self.note(("! ", "yellow"), text)

    def build_line(self, text: str) -> None:
        """Print one line of a build among the stages."""
        line = self._log_text(self._progress, text)
        line.stylize_before("dim")
        self._progress.print(Text("    ").append_text(line))

    def error(self, error: HelvetiaError) -> None:
        """Print an error for people, and with `--json` for programs as well."""
        if self.as_json:
            body = {"code": error.code, "message": error.message, "hint": error.hint}
            self._write_json({"error": body}, indent=2)
        self.note(_BAD, f" {error.message}")
        if error.hint:
            self.note((f"  {error.hint}", "dim"))

    @contextmanager
    def working(self, text: str) -> Iterator[Working]:
        """Show a moving line at the bottom of a terminal; elsewhere nothing."""
        if not self.is_terminal:
            yield _ignore
            return
        with self._progress.status(Text(clean(text), style="dim")) as status:
            yield lambda new: status.update(Text(clean(new), style="dim"))

    def _write_json(self, value: object, *, indent: int | None) -> None:
        sys.stdout.write(json.dumps(value, indent=indent, ensure_ascii=False) + "\n")

    @staticmethod
    def _log_text(console: Console, text: str) -> Text:
        if console.color_system and "\x1b" in text:
            coloured = Text.from_ansi(text)
            if coloured.plain == clean(coloured.plain):
                return coloured
        return Text(clean(text))


def _ignore(text: str) -> None:
    """Take the place of the moving line where nobody sees it."""


def _console(stream: TextIO) -> Console:
    terminal = stream.isatty()
    colours = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return _Console(
        file=stream,
        color_system="auto" if colours else None,
        force_terminal=terminal,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def _text(cells: Iterable[Cell]) -> Text:
    text = Text()
    for cell in cells:
        content, style = (cell, "") if isinstance(cell, str) else cell
        text.append(clean(content), style or None)
    return text


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in cast("Mapping[str, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
