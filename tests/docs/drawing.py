"""Draw which folder imports which: `python -m tests.docs.drawing` puts it into the page."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from .code import imports, python_files
from .pages import ROOT, MarkdownPage

PAGE = "docs/architecture.md"
FOLDERS = ("kernel", "logs", "masking", "programs", "sessions", "plugins", "web", "cli", "testing")
# A part that others use without the rest of its folder.
_PARTS = ("kernel/contracts",)
_PUBLIC = "helvetia"


def folder_graph() -> dict[str, set[str]]:
    """Return which folders each folder imports; `helvetia` stands for the public names."""
    public = ROOT / "src/helvetia/__init__.py"
    graph: defaultdict[str, set[str]] = defaultdict(set)
    for file in (public, *(file for folder in FOLDERS for file in python_files(folder))):
        importer = _PUBLIC if file == public else _folder(file.relative_to(ROOT).parts)
        for module, _ in imports(file):
            root, *inner = module.split(".")
            if root == "helvetia" and inner != ["version"]:
                graph[importer].add(_folder(inner))
    return {importer: imported - {importer} for importer, imported in graph.items()}


def _folder(parts: tuple[str, ...] | list[str]) -> str:
    """Return the box that a module is in; `helvetia` itself is the public names."""
    part = "/".join(parts[:2])
    return part if part in _PARTS else parts[0] if parts else _PUBLIC


def drawn() -> str:
    """Return the graph as a Mermaid block has it."""
    arrows = [
        f"    {importer} --> {' & '.join(sorted(imported))}\n"
        for importer, imported in sorted(folder_graph().items())
        if imported
    ]
    return "flowchart TD\n" + "".join(arrows)


def main() -> None:
    """Replace the graph in the page."""
    page = MarkdownPage(PAGE)
    (former,) = [block for block in page.blocks("mermaid") if block.startswith("flowchart TD")]
    Path(ROOT / PAGE).write_text(page.text.replace(former, drawn()), encoding="utf-8")


if __name__ == "__main__":
    main()
