"""Hostile repositories, archives and settings, deployed: refused with a reason, or served."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.harness import Installation, Repository, running, until
from tests.e2e.using import api

from .archives import ESCAPES, archive
from .tables import CANARY

pytestmark = pytest.mark.e2e

_SITE = {"index.html": "hi", "dist/index.html": "hi"}
_ECHO = """
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        own = {name: value for name, value in os.environ.items() if name.startswith("V_")}
        self.wfile.write(json.dumps(own).encode())
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(Installation(tmp_path_factory.mktemp("hostile") / "home")) as installation:
        yield installation


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A repository whose deployment must fail."""

    name: str
    files: dict[str, str] = field(default_factory=lambda: dict(_SITE))
    links: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ("--type", "static")
    reason: str


def output(name: str, value: str, reason: str = "not a folder inside", **links: str) -> Attack:
    arguments = ("--type", "static", "--set", f"output={value}")
    return Attack(name=name, arguments=arguments, reason=reason, links=links)


def procfile(name: str, text: str, reason: str) -> Attack:
    files = {"Procfile": text, "app.py": ""}
    return Attack(name=name, files=files, arguments=("--type", "procfile"), reason=reason)


ATTACKS = [
    output("output-parent", "../"),
    output("output-parent-inside", "dist/../../x"),
    output("output-absolute", "/etc"),
    output("output-link", "out", "leads out of the repository", out="/etc"),
    output(
        "output-link-in-site", "www", "leads out of the repository", **{"www/passwd": "/etc/passwd"}
    ),
    output("output-git", ".git", "there is no folder"),
    output("output-option", "--help", "there is no folder"),
    output("output-shell", f"$(touch {CANARY})", "there is no folder"),
    Attack(
        name="build-shell",
        arguments=("--type", "static", "--set", f"build_command=true; touch {CANARY}"),
        reason="needs a shell",
    ),
    Attack(
        name="build-substitution",
        arguments=("--type", "static", "--set", f"build_command=echo $(touch {CANARY})"),
        reason="needs a shell",
    ),
    procfile("procfile-chain", f"web: python3 app.py; touch {CANARY}\n", "needs a shell"),
    procfile("procfile-pipe", f"web: python3 app.py | tee {CANARY}\n", "needs a shell"),
    procfile("procfile-backtick", f"web: echo `touch {CANARY}`\n", "needs a shell"),
    procfile("procfile-redirect", f"web: python3 app.py > {CANARY}\n", "needs a shell"),
    procfile("procfile-quote", 'web: python3 "app.py\n', "quot"),
    procfile("procfile-twice", "web: python3 app.py\nweb: python3 app.py\n", "web"),
    procfile("procfile-name", "we b: python3 app.py\n", "line 1"),
    procfile("procfile-nothing", "web:\n", "line 1"),
    procfile("procfile-outside", "web: ../../../../bin/sh\n", "no program"),
]


def around(platform: Installation) -> set[Path]:
    """Return what lies beside the data folder, and its folders for passing work."""
    home = platform.home
    found = {path for path in home.parent.iterdir()}
    work = home / "work"
    return found | ({*work.iterdir()} if work.exists() else set())


def test_repositories_that_try_something(platform: Installation, tmp_path: Path) -> None:
    before = around(platform)
    begun = []
    for attack in ATTACKS:
        repository = Repository(tmp_path / attack.name)
        for name, target in attack.links.items():
            (repository.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (repository.folder / name).symlink_to(target)
        repository.commit("Try", attack.files)
        # Several at a time: the platform works on them as people's pushes come in.
        begun.append(platform.begin("deploy", str(repository.folder), *attack.arguments))
        if len(begun) >= 3:
            begun.pop(0).communicate(timeout=60)
    for process in begun:
        process.communicate(timeout=60)
    wrong = [
        (attack.name, newest["status"], newest["reason"])
        for attack in ATTACKS
        for newest in platform.deployments(attack.name)[:1]
        if newest["status"] != "FAILED" or attack.reason not in newest["reason"]
    ]
    assert wrong == []
    assert all(platform.deployments(attack.name) for attack in ATTACKS)
    assert around(platform) == before
    for folder in (tmp_path, platform.home.parent, Path.home()):
        assert not list(folder.glob(CANARY))
    assert not list(platform.home.rglob(CANARY))


def test_archives_and_refs_that_try_something(platform: Installation, tmp_path: Path) -> None:
    before = around(platform)
    tried = ("parent", "absolute", "link-absolute", "write-through-link", "hard-absolute", "fifo")
    for name in tried:
        path = archive(tmp_path / f"{name}.tar.gz", *ESCAPES[name])
        upload = _upload(platform, path.read_bytes())
        body = {"name": f"up-{name}", "source": upload}
        platform.api("POST", "services", body)
        platform.api("POST", f"services/up-{name}/deployments", {})
    refs = ("x||id;#", f"$(touch {CANARY[:3]}''{CANARY[3:]})".replace(" ", "${IFS}"), "no/such")
    repository = Repository(tmp_path / "fine")
    repository.commit("Fine", _SITE)
    for number, ref in enumerate(refs):
        body = {"name": f"ref-{number}", "source": str(repository.folder), "ref": ref}
        platform.api("POST", "services", body)
        platform.api("POST", f"services/ref-{number}/deployments", {})
    names = [f"up-{name}" for name in tried] + [f"ref-{n}" for n in range(len(refs))]
    for name in names:
        until(f"{name} has failed", lambda name=name: _failed(platform, name), seconds=30)
        reason = platform.deployments(name)[0]["reason"]
        assert ("is refused" if name.startswith("up-") else "does not exist") in reason, reason
    assert around(platform) == before
    assert not list(tmp_path.rglob(f"*{CANARY}*"))


def _failed(platform: Installation, name: str) -> bool:
    status = platform.deployments(name)[0]["status"]
    assert status != "LIVE"
    return bool(status == "FAILED")


def _upload(platform: Installation, data: bytes) -> str:
    token = json.loads((platform.home / "control.json").read_text())["token"]
    connection = http.client.HTTPConnection("127.0.0.1", platform.http_port, timeout=15)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/gzip"}
    connection.request("POST", "/api/v1/uploads", body=data, headers=headers)
    answer = connection.getresponse()
    kept = json.loads(answer.read())
    connection.close()
    assert answer.status == 201, kept
    return str(kept["source"])


PAGES = [
    "index.html",
    "[id]/ünï.html",
    "日本 [1].html",
    "-dash.html",
    "#.html",
    "a%20b.html",
    "a&b.html",
]
VALUES = {
    "V_LINES": "one\ntwo\r\n\tthree\n",
    "V_QUOTES": "'single' \"double\" `back` $(id) ${HOME} $PATH \\ %s {workdir}",
    "V_LETTERS": "ünï 日本 \U0001f600 \u202e",
    "V_EMPTY": "",
    "V_LONG": "x" * 60_000,
}


def test_what_is_strange_but_fine_is_served(platform: Installation, tmp_path: Path) -> None:
    site = Repository(tmp_path / "strange")
    site.commit("Strange", {f"apps/[id]/dist ü/{name}": name for name in PAGES})
    site.git("checkout", "-q", "-b", "feat/ünï#1")
    site.commit("More", {"apps/[id]/dist ü/index.html": "on the branch"})
    site.git("checkout", "-q", "main")
    platform.run(
        "deploy", str(site.folder), "--ref", "feat/ünï#1", "--type", "static",
        "--set", "output=apps/[id]/dist ü",
    )  # fmt: skip
    assert platform.get("strange.localhost")[1] == b"on the branch"
    for page in PAGES[1:]:
        status, body, _ = platform.get("strange.localhost", "/" + urllib.parse.quote(page))
        assert (status, body.decode()) == (200, page)

    platform.api("POST", "services/strange/domains", {"hostname": "bücher.example"})
    until(
        "the domain is led to the service",
        lambda: platform.get("xn--bcher-kva.example")[1] == b"on the branch",
    )

    echo = Repository(tmp_path / "echo")
    echo.commit("Echo", {"Procfile": "web: python3 app.py\n", "app.py": _ECHO})
    body = {"name": "echo", "source": str(echo.folder), "environment": VALUES}
    assert api(platform, "/api/v1/services", method="POST", body=body)[0] == 201
    platform.run("deploy", str(echo.folder))
    assert json.loads(platform.get("echo.localhost")[1]) == VALUES
