"""Links in the Markdown files of the repository lead somewhere."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import unquote

import pytest

from .pages import ROOT, MarkdownPage, markdown_pages, repository_files

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_ELSEWHERE = ("http://", "https://", "mailto:")


def _anchor(heading: str) -> str:
    """Return the fragment that a heading is reached by, as GitHub makes it."""
    text = re.sub(r"[^\w\- ]", "", heading.lower())
    return text.replace(" ", "-")


def _problem(page: MarkdownPage, target: str) -> str | None:
    path, _, fragment = target.partition("#")
    other = page
    if path:
        file = ROOT / PurePosixPath(page.path).parent / unquote(path)
        if not file.exists() or not file.resolve().is_relative_to(ROOT):
            return f"{target}: there is no such file"
        name = file.resolve().relative_to(ROOT).as_posix()
        is_kept = name in repository_files() or any(
            one.startswith(f"{name}/") for one in repository_files()
        )
        if not is_kept:
            return f"{target}: the file is not part of the repository"
        if not fragment:
            return None
        other = MarkdownPage(name)
    if fragment not in map(_anchor, other.headings):
        return f"{target}: {other.path} has no such heading"
    return None


@pytest.mark.parametrize("path", markdown_pages())
def test_relative_links_lead_somewhere(path: str) -> None:
    page = MarkdownPage(path)
    targets = [found[1] or found[2] for found in _LINK.finditer(page.prose)]
    ours = [target for target in targets if not target.startswith(_ELSEWHERE)]
    assert [problem for target in ours if (problem := _problem(page, target))] == []


def test_the_pages_are_reached_from_the_readme() -> None:
    readme = MarkdownPage("README.md").prose
    missing = [
        path for path in markdown_pages() if path.startswith("docs/") and f"({path})" not in readme
    ]
    assert not missing


@pytest.mark.parametrize("path", markdown_pages())
def test_no_page_names_a_machine_or_a_registry_host(path: str) -> None:
    text = MarkdownPage(path).text
    assert not re.search(r"/root/|/work/(main|shared)|/opt/pypi", text)
