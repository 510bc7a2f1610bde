"""The whole life of real applications, from a git repository to the proxy and back."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from .harness import Installation, Repository, until
from .using import api, example, processes, rows_about, stages

pytestmark = pytest.mark.e2e

_BUILDING = {"fetch", "detect", "build", "push"}


@dataclass(frozen=True, kw_only=True)
class App:
    """An example, a change to it, and where the change can be seen."""

    name: str
    file: str
    old: str
    new: str
    builder: str
    cached: str = ""
    media_type: str = "text/html"

    def page(self, platform: Installation) -> str:
        status, body, headers = platform.get(f"{self.name}.localhost")
        assert status == 200
        assert headers["Content-Type"].startswith(self.media_type)
        return body.decode()


class Vite(App):
    """What it shows is in the script that its build has made."""

    def page(self, platform: Installation) -> str:
        script = re.search(r'src="(/assets/[^"]+\.js)"', super().page(platform))
        assert script is not None
        status, body, headers = platform.get("hello-vite.localhost", script[1])
        assert status == 200
        assert headers["Content-Type"].startswith("text/javascript")
        return body.decode()


APPS = [
    App(
        name="hello-static",
        file="index.html",
        old="Your first page is&nbsp;live.",
        new="A second page.",
        builder="static",
    ),
    Vite(
        name="hello-vite",
        file="src/main.js",
        old="Built once, served everywhere.",
        new="Built twice.",
        builder="static",
        cached="packages from the cache",
    ),
    App(
        name="hello-flask",
        file="app.py",
        old="Hello from Flask.",
        new="Hello again, from Flask.",
        builder="procfile",
        cached="8 packages from the cache",
    ),
    App(
        name="hello-express",
        file="server.js",
        old="Hello from Express.",
        new="Hello again, from Express.",
        builder="procfile",
        cached="packages from the cache",
    ),
]


# What npm installs takes most of a minute each.
_LONG = ("hello-vite", "hello-express")


@pytest.mark.parametrize(
    "app",
    [pytest.param(app, marks=[pytest.mark.long] * (app.name in _LONG)) for app in APPS],
    ids=lambda app: app.name,
)
def test_the_life_of_an_application(shared: Installation, tmp_path: Path, app: App) -> None:
    repository = example(app.name, tmp_path / app.name)
    hostname = f"{app.name}.localhost"
    url = f"http://{hostname}:{shared.edge_port}"

    first = shared.run("deploy", str(repository.folder))
    assert first.stdout == f"{url}  (release 1)\n"
    assert re.search(rf"✓ build +\d+\.\d s  {app.builder}\n", first.stderr)
    assert "from the cache" not in first.stderr
    assert app.old in app.page(shared)

    sha = _change(repository, app)
    second = shared.run("deploy", str(repository.folder))
    assert second.stdout == f"{url}  (release 2)\n"
    assert sha[:7] in second.stderr
    assert app.cached in second.stderr
    assert app.new in app.page(shared)
    assert app.old not in app.page(shared)

    back = shared.json("rollback", app.name, "--to", "1")
    assert (back["status"], back["release"], back["trigger"]) == ("LIVE", 1, "rollback")
    assert not _BUILDING & set(stages(back))
    assert back["receipt"]["failed"] == 0
    assert app.old in app.page(shared)

    shared.run("stop", app.name)
    status = shared.json("status", app.name)
    assert (status["status"], status["instances"]) == ("STOPPED", [])
    assert shared.get(hostname)[0] == 404

    started = shared.json("start", app.name)
    assert not _BUILDING & set(stages(started))
    assert app.old in app.page(shared)

    _delete(shared, app.name)
    assert shared.get(hostname)[0] == 404


def _change(repository: Repository, app: App) -> str:
    text = (repository.folder / app.file).read_text()
    assert text.count(app.old) == 1
    return repository.commit("Change it", {app.file: text.replace(app.old, app.new)})


def _delete(platform: Installation, name: str) -> None:
    """Delete a service and make sure that nothing is left of it."""
    detail = platform.json("status", name)
    ids = [detail["id"], *(one["id"] for one in platform.json("deployments", name))]
    folders = [
        platform.home / "process" / detail["instances"][0]["id"],
        platform.home / "artifacts" / detail["id"],
        platform.home / "cache" / detail["id"],
    ]
    assert folders[0].is_dir()
    assert folders[1].is_dir()
    assert processes(folders[0]) or processes(folders[1])

    platform.run("delete", name, "--yes")

    assert [folder for folder in folders if folder.exists()] == []
    assert [processes(folder) for folder in folders] == [[], [], []]
    # The journal stays: it says who deleted what.
    assert set(rows_about(platform, *ids)) == {"event"}
    assert name not in [one["name"] for one in platform.json("services")]
    platform.run("status", name, code=2)
    routes = platform.home / "traefik" / "dynamic"
    assert [file for file in routes.iterdir() if f"{name}.localhost" in file.read_text()] == []


def test_a_site_is_served_well(shared: Installation, tmp_path: Path) -> None:
    repository = example("hello-vite", tmp_path / "site")
    shared.run("deploy", str(repository.folder), "--name", "spa")

    # A page of the router in the browser is the one file there is.
    status, body, headers = shared.get("spa.localhost", "/about", headers={"Accept": "text/html"})
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/html")
    script = re.search(rb'src="(/assets/[^"]+\.js)"', body)
    assert script is not None
    asset = script[1].decode()
    plain = shared.get("spa.localhost", asset)
    assert "immutable" in plain[2]["Cache-Control"]
    packed = shared.get("spa.localhost", asset, headers={"Accept-Encoding": "gzip"})
    assert packed[2]["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed[1]) == plain[1]
    part = shared.get("spa.localhost", asset, headers={"Range": "bytes=0-9"})
    assert (part[0], part[1]) == (206, plain[1][:10])
    assert shared.get("spa.localhost", "/assets/missing.js")[0] == 404


_TELLING = """
import http.server, os
value = os.environ.get("SECRET_WORD", "nothing")
print("the word is", value, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(value.encode())
    def log_message(self, *_):
        pass
address = ("127.0.0.1", int(os.environ["PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""
_WORDS = ("swordfish-0815", "marzipan-4711")


@pytest.fixture(scope="module")
def telling(shared: Installation, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A service that prints and answers a secret variable."""
    repository = Repository(tmp_path_factory.mktemp("telling") / "telling")
    files = {"Procfile": "web: python3 telling.py\n", "telling.py": _TELLING}
    repository.commit("Tell", files)
    deployed = shared.run("deploy", str(repository.folder), "--env", f"SECRET_WORD={_WORDS[0]}")
    assert _WORDS[0] not in deployed.stdout + deployed.stderr
    return "telling"


def _answer(platform: Installation) -> str:
    return platform.get("telling.localhost")[1].decode()


def test_variables_take_effect_with_a_restart(shared: Installation, telling: str) -> None:
    assert _answer(shared) == _WORDS[0]

    changed = shared.run("env", telling, "set", f"SECRET_WORD={_WORDS[1]}")
    assert f"helvetia restart {telling}" in changed.stderr
    assert _answer(shared) == _WORDS[0]

    restarted = shared.json("restart", telling)
    assert not _BUILDING & set(stages(restarted))
    assert _answer(shared) == _WORDS[1]

    # The release before had the variable as it was then.
    shared.run("rollback", telling, "--to", "1")
    assert _answer(shared) == _WORDS[0]

    shared.run("env", telling, "unset", "SECRET_WORD", "--restart")
    assert _answer(shared) == "nothing"

    shared.run("env", telling, "set", f"SECRET_WORD={_WORDS[1]}", "--restart")
    assert _answer(shared) == _WORDS[1]


def test_values_are_shown_nowhere(shared: Installation, telling: str) -> None:
    shared.run("restart", telling)
    log = until(
        "the line with the word is in the log",
        lambda: text if "the word is" in (text := shared.run("logs", telling).stdout) else None,
    )
    assert "the word is [redacted]" in log

    newest = shared.json("deployments", telling)[0]["id"]
    commands = [
        ["env", telling], ["status", telling], ["env", telling, "--json"],
        ["status", telling, "--json"], ["logs", telling, "--json"], ["services", "--json"],
        ["logs", telling, "--build", "--json"], ["deployments", telling, "--json"],
        ["releases", telling, "--json"], ["events", telling, "--json"],
    ]  # fmt: skip
    told = log + "".join(shared.run(*command).stdout for command in commands)
    base = f"/api/v1/services/{telling}"
    paths = [
        base, f"{base}/environment", f"{base}/logs", f"{base}/events", f"{base}/releases",
        f"/api/v1/deployments/{newest}", f"/api/v1/deployments/{newest}/logs", "/metrics",
    ]  # fmt: skip
    for path in paths:
        status, body = api(shared, path)
        assert status == 200, body
        told += body
    assert "SECRET_WORD" in told
    assert [word for word in _WORDS if word in told] == []

    kept = b"".join(path.read_bytes() for path in sorted(shared.home.glob("helvetia.db*")))
    assert [word for word in _WORDS if word.encode() in kept] == []
    assert [word for word in _WORDS if word in shared.log.read_text()] == []
