"""Find out whether a checkout is a static site, and how it is built."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from helvetia import Detection
from helvetia.plugins.builders.common.files import is_file, is_folder, read_text
from helvetia.plugins.builders.common.node_project import NodeProject, manager_of


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that makes a site.

    Attributes:
        package: the npm package that shows it is used.
        title: how people call it.
        output: where it puts the site.
        setting: the key in its configuration that changes the output, "" for none.
        spa: its pages usually are one page with a router of its own.
    """

    package: str
    title: str
    output: str
    setting: str = ""
    configs: tuple[str, ...] = ()
    spa: bool = False


def _configs(stem: str) -> tuple[str, ...]:
    return tuple(f"{stem}.{ending}" for ending in ("js", "ts", "mjs", "mts", "cjs"))


# The first that fits wins: tools that stand on another one come before it.
TOOLS = (
    Tool("@docusaurus/core", "Docusaurus", "build"),
    Tool("astro", "Astro", "dist", "outDir", _configs("astro.config")),
    Tool(
        "@11ty/eleventy", "Eleventy", "_site", "output",
        (".eleventy.js", *_configs("eleventy.config")),
    ),
    Tool("gatsby", "Gatsby", "public"),
    Tool("vitepress", "VitePress", ".vitepress/dist"),
    Tool("vuepress", "VuePress", ".vuepress/dist"),
    Tool("@sveltejs/adapter-static", "SvelteKit", "build"),
    Tool("react-scripts", "Create React App", "build", spa=True),
    Tool("@vue/cli-service", "Vue CLI", "dist", "outputDir", ("vue.config.js",), spa=True),
    Tool("@angular/cli", "Angular", "dist", spa=True),
    Tool("vite", "Vite", "dist", "outDir", _configs("vite.config"), spa=True),
    Tool("parcel", "Parcel", "dist"),
)  # fmt: skip
_SERVER_ADAPTERS = ("@astrojs/node", "@sveltejs/adapter-node")
_PLACES = (
    ("", 75), ("public", 70), ("dist", 65), ("site", 60), ("_site", 60), ("build", 45),
    ("docs", 40),
)  # fmt: skip
_OTHER_APPS = ("Dockerfile", "Procfile", "requirements.txt", "pyproject.toml", "manage.py")


def detect(checkout: Path) -> Detection:
    """Look at the files and say how sure we are that this is a static site."""
    project = NodeProject.read(checkout)
    if project is not None:
        server = project.server(checkout)
        if server is not None:
            return Detection(score=0, reason=f"it is a server, not a site: {server[1]}")
        found = _tool(checkout, project)
        if found is not None:
            return found
    return _plain(checkout, project)


def tool_of(package: str) -> Tool | None:
    """Return the tool that a detection named."""
    return next((tool for tool in TOOLS if tool.package == package), None)


def _tool(checkout: Path, project: NodeProject) -> Detection | None:
    adapter = next((name for name in _SERVER_ADAPTERS if name in project.dependencies), None)
    if adapter:
        return Detection(score=0, reason=f"{adapter} makes a server, not a site")
    tool = next((tool for tool in TOOLS if tool.package in project.dependencies), None)
    if tool is None:
        return None
    if "build" not in project.scripts:
        return Detection(
            score=0, reason=f"package.json has {tool.title} but no `build` script to run"
        )
    manager = manager_of(checkout)
    output = _output(checkout, project.scripts["build"], tool)
    return Detection(
        score=80,
        reason=f"{tool.title} with a `build` script; the site will be in {output}/",
        settings={
            "framework": tool.package,
            "node_package_manager": manager.name,
            "install_command": shlex.join(manager.install),
            "build_command": f"{manager.name} run build",
            "output": output,
        },
    )


def _output(checkout: Path, script: str, tool: Tool) -> str:
    """Return the output folder, read from the tool's configuration where it stands plainly."""
    if tool.package in ("vitepress", "vuepress"):
        words = script.split()
        folder = words[2] if len(words) > 2 and re.fullmatch(r"[\w./-]+", words[2]) else ""
        return f"{folder}/{tool.output}".lstrip("/")
    if flag := re.search(r"--(?:outDir|output|dist-dir|dest)[= ]([\w./-]+)", script):
        return flag[1].rstrip("/")
    if tool.setting:
        for name in tool.configs:
            text = read_text(checkout, name)
            if text and (literal := re.search(rf"\b{tool.setting}:\s*(['\"])([\w./-]+)\1", text)):
                return literal[2].removeprefix("./").rstrip("/")
    return tool.output


def _plain(checkout: Path, project: NodeProject | None) -> Detection:
    for folder, score in _PLACES:
        if not is_file(checkout, f"{folder}/index.html" if folder else "index.html"):
            continue
        other = next((name for name in _OTHER_APPS if is_file(checkout, name)), None)
        if other:
            return Detection(
                score=20,
                reason=f"{_named(folder)}, but {other} says there is more than a site",
                settings={"output": folder or "."},
            )
        if project is not None and "build" in project.scripts:
            score -= 20
        return Detection(score=score, reason=_named(folder), settings={"output": folder or "."})
    if project is not None:
        return Detection(
            score=0, reason="package.json names no tool that makes a static site, and no index.html"
        )
    looked = [f"{folder}/" for folder, _ in _PLACES if folder and is_folder(checkout, folder)]
    nor = f" (nor in {', '.join(looked)})" if looked else ""
    return Detection(score=0, reason=f"no index.html{nor} and no package.json")


def _named(folder: str) -> str:
    return f"plain HTML: index.html in {folder}/" if folder else "plain HTML: index.html"
