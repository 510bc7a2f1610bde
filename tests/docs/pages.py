"""What the documentation tests share: pages, their headings, lists and code."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(```+)(\w*)[^\n]*\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str


class MarkdownPage:
    """A Markdown file of the repository."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.text = (ROOT / path).read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The text without its fenced blocks; a `#` in one is no heading."""
        return _FENCE.sub("", self.text)

    @property
    def headings(self) -> list[str]:
        """All headings, as they are written."""
        return [found[2] for found in _HEADING.finditer(self.prose)]

    def section(self, heading: str) -> str:
        """Return the prose under a heading, up to the next one of its level or above."""
        matches = list(_HEADING.finditer(self.prose))
        for position, found in enumerate(matches):
            if found[2] == heading:
                level = len(found[1])
                ends = [m.start() for m in matches[position + 1 :] if len(m[1]) <= level]
                return self.prose[found.end() : min(ends, default=len(self.prose))]
        raise AssertionError(f"{self.path} has no heading `{heading}`; it has: {self.headings}")

    def blocks(self, language: str) -> list[str]:
        """Return the fenced blocks of a language."""
        return [found[3] for found in _FENCE.finditer(self.text) if found[2] == language]


def items(section: str) -> list[str]:
    """Return the code that begins each item of the lists of a section."""
    return re.findall(r"^ *- `([^`]+)`", section, re.MULTILINE)


def rows(section: str) -> list[list[str]]:
    """Return the cells of the tables of a section, without the lines under their heads."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if not all(set(cell) <= {"-", ":"} for cell in row)]


@cache
def repository_files() -> frozenset[str]:
    """Return the files that are or would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return frozenset(name for name in listed.stdout.decode().split("\0") if name)


def markdown_pages() -> list[str]:
    """Return the paths of all Markdown files of the repository."""
    return sorted(name for name in repository_files() if name.endswith(".md"))
