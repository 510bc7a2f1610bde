"""README.md: its tour works as printed, its plugin is the example, its commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer

from helvetia.cli.root import app
from helvetia.kernel.settings import KernelSettings
from tests.e2e.harness import Installation, until

from .pages import ROOT, MarkdownPage, markdown_pages, rows

PAGE = MarkdownPage("README.md")
_GAP = "…"
_SECONDS = 90
_LOG_SECONDS = 10
_VARYING = (
    (re.compile(r"link=\S+"), "link=*"),
    (re.compile(r"\[\d+/\w+/[^]]*\]"), "[time]"),
    (re.compile(r"data in \S+"), "data in *"),
    (re.compile(r"\d[\d.,]*"), "0"),
    (re.compile(r"\s+"), " "),
)


@dataclass(slots=True)
class Step:
    """A typed line and what it prints."""

    command: str
    output: list[str] = field(default_factory=list)


def _steps() -> list[Step]:
    steps: list[Step] = []
    for block in PAGE.blocks("console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append(Step(line.removeprefix("$ ")))
            else:
                steps[-1].output.append(line)
    return steps


def _plain(line: str) -> str:
    for pattern, replacement in _VARYING:
        line = pattern.sub(replacement, line)
    return line.strip()


def assert_printed(step: Step, printed: str) -> None:
    """Compare what was printed with the page: the same lines, with gaps where the page has them."""
    rest = [_plain(line) for line in printed.splitlines()]
    is_gap = False
    for line in map(_plain, step.output):
        if line == _GAP:
            is_gap = True
            continue
        where = f"$ {step.command}\nexpected: {line}\nprinted:\n{printed}"
        assert line in rest if is_gap else rest[:1] == [line], where
        rest = rest[rest.index(line) + 1 :]
        is_gap = False
    assert is_gap or not rest, f"$ {step.command}\nalso printed: {rest}"


class Tour:
    """Somebody who types what the page says, with other addresses and folders."""

    def __init__(self, folder: Path) -> None:
        self.installation = Installation(folder / "home")
        self._names = {
            ".venv/bin/helvetia": self.installation.helvetia,
            ":8780": f":{self.installation.edge_port}",
            ":8700": f":{self.installation.http_port}",
            "/tmp/shop": str(folder / "shop"),
        }

    def type(self, command: str) -> str:
        for name, ours in self._names.items():
            command = command.replace(name, ours)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=self.installation.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
        )
        return self._as_on_the_page(done.stdout)

    def up(self) -> str:
        """Do what `make run` does after installing, and return what it printed."""
        made = (ROOT / "Makefile").read_text()
        command = re.search(r"^run:.*\n\t@exec \$\(BIN\)/helvetia (.*)$", made, re.MULTILINE)
        assert command is not None
        with self.installation.log.open("wb") as log:
            self.installation.process = subprocess.Popen(
                [self.installation.helvetia, *shlex.split(command[1])],
                cwd=ROOT,
                env=self.installation.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self._as_on_the_page(until("the sample is live", self._is_up, seconds=60))

    def _is_up(self) -> str | None:
        printed = self.installation.log.read_text()
        return printed if "Ctrl-C" in printed else None

    def _as_on_the_page(self, text: str) -> str:
        for name, ours in self._names.items():
            text = text.replace(ours, name)
        return text


@pytest.fixture
def tour(tmp_path: Path) -> Iterator[Tour]:
    tour = Tour(tmp_path)
    try:
        yield tour
    finally:
        tour.installation.tear_down()


@pytest.mark.e2e
@pytest.mark.timeout(240)  # five deployments, and half of it is waiting for pip on a busy machine
def test_the_tour_works_as_printed(tour: Tour) -> None:
    steps = _steps()
    commands = [step.command for step in steps]
    begin, end = commands.index("make run"), commands.index(".venv/bin/helvetia delete shop --yes")
    assert commands[begin - 1] == "cd helvetia"
    first = steps[begin]
    assert "virtual environment" in first.output[0]
    assert "installing" in first.output[1]
    assert_printed(Step(first.command, first.output[2:]), tour.up())
    for step in steps[begin + 1 : end + 1]:
        printed = tour.type(step.command)
        if " logs " in step.command:
            # A line is there within a second; whoever is faster than that types again.
            wanted = _plain(step.output[-1])
            deadline = time.monotonic() + _LOG_SECONDS
            while wanted != _plain(printed.splitlines()[-1]) and time.monotonic() < deadline:
                printed = tour.type(step.command)
        assert_printed(step, printed)


@pytest.mark.parametrize("printed", ["one\nthree", "two\none\nthree", "one\ntwo\nthree\nfour", ""])
def test_another_output_would_be_seen(printed: str) -> None:
    step = Step("x", ["one", "two", "three"])
    assert_printed(step, "one\ntwo\nthree\n")
    assert_printed(Step("x", ["one", "…", "four"]), "one\ntwo\nthree\nfour\n")
    with pytest.raises(AssertionError):
        assert_printed(step, printed)


def test_the_plugin_is_the_example() -> None:
    example = ROOT / "examples/helvetia-markdown/helvetia_markdown.py"
    assert PAGE.blocks("python") == [example.read_text()]
    assert len(example.read_text().splitlines()) <= 60, "it fits on one screen no more"


def test_the_addresses_are_the_defaults() -> None:
    table = {row[0].strip("`"): row[1].strip("`") for row in rows(PAGE.section("Configuration"))}
    for name in ("http", "edge", "domain"):
        assert table[f"HELVETIA_{name.upper()}"] == KernelSettings.model_fields[name].default


def _typed_commands() -> list[tuple[str, str]]:
    """Return every `helvetia ...` of the pages that somebody could type, with its page."""
    found = []
    for path in markdown_pages():
        text = MarkdownPage(path).text
        typed = re.findall(r"^(?:    |\$ )(?:\.venv/bin/)?helvetia (.*)$", text, re.MULTILINE)
        typed += re.findall(r"`helvetia ([^`\n]*)`", text)
        found += [(path, re.split(r"  +| #", one)[0]) for one in typed]
    return found


@pytest.mark.parametrize(("path", "typed"), sorted(set(_typed_commands())))
def test_a_command_of_a_page_exists(path: str, typed: str) -> None:
    command: Any = typer.main.get_command(app)
    words = shlex.split(typed)
    while words and hasattr(command, "get_command") and not words[0].startswith("-"):
        if words[0].isupper() or words[0].startswith("<"):
            return
        name, *words = words
        found = command.get_command(typer.Context(command), name)
        assert found is not None, f"{path}: `helvetia {typed}`: there is no command {name}"
        command = found
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {"--help"}
    options = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert options <= known, f"{path}: `helvetia {typed}`"
