from __future__ import annotations

import json
import shutil
from pathlib import Path

import aiohttp
import brotli
import pytest

from helvetia import BuildFailed
from helvetia.plugins.builders.static.build import StaticBuilder

from .conftest import EXAMPLES, Start, Workshop, lay

PACKAGE = {"name": "shop", "private": True, "scripts": {"build": "node build.mjs"}}
VITE = json.dumps({**PACKAGE, "scripts": {"build": "vite build"}, "devDependencies": {"vite": "8"}})


def package(*, scripts: dict[str, str] | None = None, **dependencies: str) -> str:
    return json.dumps({"name": "x", "scripts": scripts or {}, "dependencies": dependencies})


BUILD = {"build": "make"}


@pytest.mark.parametrize(
    ("files", "score", "reason", "settings"),
    [
        ({"index.html": ""}, 75, "plain HTML: index.html", {"output": "."}),
        ({"public/index.html": ""}, 70, "in public/", {"output": "public"}),
        ({"docs/index.html": ""}, 40, "in docs/", {"output": "docs"}),
        ({"index.html": "", "Dockerfile": ""}, 20, "Dockerfile", {"output": "."}),
        ({"README.md": ""}, 0, "no index.html and no package.json", None),
        ({"public/a.txt": ""}, 0, "no index.html (nor in public/)", None),
        ({"package.json": "{"}, 0, "no index.html", None),
        ({"package.json": VITE, "index.html": ""}, 80, "Vite", {"output": "dist"}),
        (
            {"package.json": VITE, "vite.config.js": "export default {build: {outDir: './www'}}"},
            80,
            "www/",
            {"output": "www", "build_command": "npm run build"},
        ),
        (
            {"package.json": VITE, "vite.config.js": "export default {build: {outDir: join(x)}}"},
            80,
            "dist/",
            {"output": "dist"},
        ),
        (
            {"package.json": VITE, "pnpm-lock.yaml": ""},
            80,
            "Vite",
            {"build_command": "pnpm run build", "node_package_manager": "pnpm"},
        ),
        (
            {"package.json": package(scripts=BUILD, **{"@11ty/eleventy": "3"})},
            80,
            "Eleventy",
            {"output": "_site"},
        ),
        ({"package.json": package(scripts=BUILD, gatsby="5")}, 80, "Gatsby", {"output": "public"}),
        (
            {"package.json": package(scripts=BUILD, vite="5", astro="4")},
            80,
            "Astro",
            {"output": "dist"},
        ),
        (
            {"package.json": package(scripts=BUILD, astro="4", **{"@astrojs/node": "8"})},
            0,
            "makes a server",
            None,
        ),
        (
            {
                "package.json": package(
                    scripts={**BUILD, "start": "react-scripts start"}, **{"react-scripts": "5"}
                )
            },
            80,
            "Create React App",
            {"output": "build"},
        ),
        ({"package.json": package(vite="5"), "index.html": ""}, 0, "no `build` script", None),
        ({"package.json": package(express="5"), "server.js": ""}, 0, "it is a server", None),
        (
            {"package.json": package(scripts={**BUILD, "start": "node app.js"}, vite="5")},
            0,
            "`start` script",
            None,
        ),
        (
            {
                "package.json": package(
                    scripts={**BUILD, "start": "npm run dev", "dev": "vite"}, vite="5"
                )
            },
            80,
            "Vite",
            None,
        ),
    ],
)
async def test_detect(
    tmp_path: Path,
    files: dict[str, str],
    score: int,
    reason: str,
    settings: dict[str, str] | None,
) -> None:
    found = await StaticBuilder().detect(lay(tmp_path, files))
    assert (found.score, reason in found.reason) == (score, True), found.reason
    for name, value in (settings or {}).items():
        assert (found.settings or {})[name] == value


async def test_detect_reads_nothing_outside(tmp_path: Path) -> None:
    outside = lay(tmp_path / "outside", {"index.html": "secret", "package.json": VITE})
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("index.html", "package.json"):
        (checkout / name).symlink_to(outside / name)
    assert (await StaticBuilder().detect(checkout)).score == 0


async def test_plain_html(workshop: Workshop) -> None:
    files = {"index.html": "hi", "a.css": "a{}" * 900, ".env": "KEY=1", ".git/config": "x"}
    artifact, log = await workshop.build(StaticBuilder(), files)
    names = {str(p.relative_to(artifact.folder)) for p in artifact.folder.rglob("*") if p.is_file()}
    assert names == {
        "site/index.html", "site/a.css", ".helvetia/static.json", ".helvetia/br/a.css",
        ".helvetia/gzip/a.css",
    }  # fmt: skip
    assert artifact.read_only
    assert artifact.health_check is not None
    assert artifact.health_check.path == "/"
    assert artifact.facts["files"] == "2"
    assert "2 hidden or dependency entries left out" in log.text


async def test_a_site_without_a_first_page_is_healthy_when_it_listens(workshop: Workshop) -> None:
    artifact, _ = await workshop.build(StaticBuilder(), {"a.txt": "hi"})
    assert artifact.health_check is not None
    assert artifact.health_check.path is None


@pytest.mark.parametrize("output", ["../x", "/etc", "a/../../x", "x\0y"])
async def test_output_must_stay_inside(workshop: Workshop, output: str) -> None:
    (workshop.place / "x").mkdir()
    with pytest.raises(BuildFailed, match="not a folder inside"):
        await workshop.build(StaticBuilder(), {"index.html": ""}, settings={"output": output})


@pytest.mark.parametrize(
    ("link", "target", "output", "message"),
    [
        ("dist", "/etc", "dist", "leads out of the repository"),
        ("www/passwd", "/etc/passwd", "www", "leads out of it"),
        ("www/up", "../secret.txt", "www", "leads out of it"),
        ("www/env", ".env", "www", "hidden file"),
        ("www/loop", ".", "www", "holds it"),
        ("www/gone", "nothing.txt", "www", "link to nothing"),
    ],
)
async def test_links_are_refused(
    workshop: Workshop, link: str, target: str, output: str, message: str
) -> None:
    context, _ = workshop.context(settings={"output": output})
    lay(context.checkout, {"www/index.html": "", "www/.env": "K=1", "secret.txt": "s"})
    (context.checkout / link).symlink_to(target)
    with pytest.raises(BuildFailed, match=message):
        await StaticBuilder().build(context)


async def test_links_inside_become_files(workshop: Workshop) -> None:
    context, _ = workshop.context(settings={"output": "www"})
    lay(context.checkout, {"www/index.html": "", "www/v2/a.txt": "two"})
    (context.checkout / "www/latest").symlink_to("v2")
    artifact = await StaticBuilder().build(context)
    assert not (artifact.folder / "site/latest").is_symlink()
    assert (artifact.folder / "site/latest/a.txt").read_text() == "two"


async def test_files_are_not_copied_unless_somebody_else_may_write_to_them(
    workshop: Workshop,
) -> None:
    context, _ = workshop.context()
    lay(context.checkout, {"index.html": "hi"})
    lay(workshop.place, {"store/lib.js": "one"})
    (context.checkout / "lib.js").hardlink_to(workshop.place / "store/lib.js")
    artifact = await StaticBuilder().build(context)
    site = artifact.folder / "site"
    assert (site / "index.html").samefile(context.checkout / "index.html")
    (workshop.place / "store/lib.js").write_text("two")
    assert (site / "lib.js").read_text() == "one"


@pytest.mark.parametrize(("count", "quality"), [(20, 11), (40, 7)])
async def test_much_text_is_compressed_quickly(
    workshop: Workshop, count: int, quality: int
) -> None:
    pages = {f"{number}.html": f"page {number} of many\n" * 550 for number in range(count)}
    artifact, _ = await workshop.build(StaticBuilder(), pages)
    small = (artifact.folder / ".helvetia/br/1.html").read_bytes()
    assert small == brotli.compress(pages["1.html"].encode(), quality=quality)
    assert small != brotli.compress(pages["1.html"].encode(), quality=18 - quality)


async def test_missing_output_names_what_is_there(workshop: Workshop) -> None:
    with pytest.raises(BuildFailed, match="no folder `dist`") as caught:
        await workshop.build(StaticBuilder(), {"www/index.html": ""}, settings={"output": "dist"})
    assert "www" in caught.value.hint


async def test_empty_output(workshop: Workshop) -> None:
    with pytest.raises(BuildFailed, match="`www` is empty"):
        await workshop.build(StaticBuilder(), {"www/.keep": ""}, settings={"output": "www"})


@pytest.mark.parametrize("command", ["a && b", "a | b", "a; b", "a > b", "a `b`", "a $(b)"])
async def test_shell_syntax_is_refused(workshop: Workshop, command: str) -> None:
    with pytest.raises(BuildFailed, match="needs a shell") as caught:
        await workshop.build(
            StaticBuilder(), {"index.html": ""}, settings={"build_command": command}
        )
    assert "package.json" in caught.value.hint


async def test_failing_build_names_the_step(workshop: Workshop) -> None:
    files = {"package.json": json.dumps(PACKAGE), "build.mjs": "console.log('oh'); process.exit(7)"}
    settings = {"build_command": "npm run build", "output": "dist"}
    with pytest.raises(BuildFailed, match="`npm run build` ended with exit code 7"):
        await workshop.build(StaticBuilder(), files, settings=settings)


async def test_missing_program(workshop: Workshop) -> None:
    with pytest.raises(BuildFailed, match="no program `no-such-tool`"):
        await workshop.build(
            StaticBuilder(), {"index.html": ""}, settings={"build_command": "no-such-tool"}
        )


async def test_build_command_without_node_sees_the_environment(workshop: Workshop) -> None:
    script = "import os, pathlib; pathlib.Path('www/index.html').write_text(os.environ['WHO'])"
    artifact, _ = await workshop.build(
        StaticBuilder(),
        {"make.py": script, "www/a.txt": ""},
        settings={"build_command": "python3 make.py", "output": "www"},
        environment={"WHO": "world"},
    )
    assert (artifact.folder / "site/index.html").read_text() == "world"


async def test_vite_twice(workshop: Workshop, start: Start, client: aiohttp.ClientSession) -> None:
    """The real thing: installed and built, then built again with packages from the cache."""
    artifact, log = await workshop.build(StaticBuilder(), EXAMPLES / "hello-vite")
    assert "packages installed" in log.text
    assert artifact.facts["single page"] == "yes"
    async with start(artifact) as server:
        async with client.get(server.url + "/about") as answer:
            page = await answer.text()
            assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
        script = page.split('src="')[1].split('"')[0]
        assert script.startswith("/assets/index-")
        async with client.get(server.url + script) as answer:
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.content_type == "text/javascript"

    _, log = await workshop.build(StaticBuilder(), EXAMPLES / "hello-vite")
    assert "dependencies unchanged (lock file " in log.text
    assert "packages from the cache" in log.text
    assert "npm ci" not in log.text

    # A build that changed a package in place must not be the base of the next one.
    kept = next(workshop.place.glob("cache/node_modules/*/content/vite/package.json"))
    kept.write_text(kept.read_text() + "\n")
    _, log = await workshop.build(StaticBuilder(), EXAMPLES / "hello-vite")
    assert "$ npm ci" in log.text


async def test_install_scripts_run_every_time(workshop: Workshop) -> None:
    """What a script leaves outside `node_modules` is not in the cache."""
    lock = {"name": "x", "lockfileVersion": 3, "packages": {"": {"name": "x"}}}
    script = "require('fs').writeFileSync('made.txt', 'x')"
    files = {
        "package.json": json.dumps(
            {"name": "x", "scripts": {"prepare": "node make.js", "build": "node build.js"}}
        ),
        "package-lock.json": json.dumps(lock),
        "make.js": script,
        "build.js": "require('fs').cpSync('made.txt', 'dist/index.html')",
    }
    for _ in range(2):
        settings = {"build_command": "npm run build", "output": "dist"}
        _, log = await workshop.build(StaticBuilder(), files, settings=settings)
        assert "installed anew: package.json has a script `prepare`" in log.text


async def test_missing_package_manager_is_explained(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = lay(workshop.place / "bin", {})
    tools.mkdir()
    (tools / "node").symlink_to(shutil.which("node") or "")
    monkeypatch.setenv("PATH", str(tools))
    files = {"package.json": VITE, "pnpm-lock.yaml": "lockfileVersion: '9.0'", "index.html": ""}
    with pytest.raises(BuildFailed, match="pnpm is not on this machine"):
        await workshop.build(StaticBuilder(), files)
