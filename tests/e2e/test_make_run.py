"""`make run` on a fresh clone, as a newcomer runs it: look, sign in, Ctrl-C, and again."""

from __future__ import annotations

import html
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from .harness import Installation, until
from .using import fresh_copy, processes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

_PASSWORD = "correct horse battery staple"


class Newcomer:
    """Somebody with a clone and a terminal."""

    def __init__(self, folder: Path) -> None:
        self.clone = fresh_copy(folder / "clone")
        helvetia = str(self.clone / ".venv" / "bin" / "helvetia")
        self.platform = Installation(folder / "home", helvetia=helvetia)
        self.process: subprocess.Popen[bytes] | None = None
        self.shown = folder / "terminal"
        # The person's own virtual environment has no say in the clone's.
        left_out = ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
        environment = self.platform.environment
        self.environment = {k: v for k, v in environment.items() if k not in left_out}

    def make_run(self, *, seconds: float) -> str:
        """Type `make run` and return what stands there when it is up."""
        with self.shown.open("wb") as terminal:
            self.process = subprocess.Popen(
                ["make", "run"],
                cwd=self.clone,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def ready() -> str | None:
            assert self.process is not None
            text = self.shown.read_text()
            assert self.process.poll() is None, text
            return text if "Press Ctrl-C to stop." in text else None

        shown: str = until("`make run` is up", ready, seconds=seconds)
        return shown

    def control_c(self) -> str:
        """Press Ctrl-C, which goes to all of the terminal's programs, and wait for the end."""
        assert self.process is not None
        before = len(self.shown.read_text())
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(60)
        self.process = None
        return self.shown.read_text()[before:]

    def tear_down(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if Path(self.platform.helvetia).exists():
            self.platform.tear_down()


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    newcomer = Newcomer(tmp_path)
    yield newcomer
    newcomer.tear_down()


class Browser:
    """Follows redirects, keeps cookies, fills in forms."""

    def __init__(self) -> None:
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(jar)

    def open(self, url: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Return status, address in the end, and page."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(url, data, headers={"Accept": "text/html"})
        if form is not None:
            parts = urllib.parse.urlsplit(url)
            request.add_header("Origin", f"{parts.scheme}://{parts.netloc}")
        try:
            with self._opener.open(request, timeout=15) as answer:
                return answer.status, answer.url, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.url or "", error.read().decode()

    def fill_in(self, url: str, page: str, **values: str) -> tuple[int, str, str]:
        """Send the one form of a page with its hidden fields and what a person types."""
        action = re.search(r'<form method="post" action="([^"]+)"', page)
        assert action is not None, page
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
        form = {name: html.unescape(value) for name, value in hidden.items()} | values
        for name in values:
            assert f'name="{name}"' in page
        return self.open(urllib.parse.urljoin(url, html.unescape(action[1])), form)


def test_make_run_twice(newcomer: Newcomer) -> None:
    platform = newcomer.platform
    page = f"http://hello-static.localhost:{platform.edge_port}"
    dashboard = f"http://127.0.0.1:{platform.http_port}"

    shown = newcomer.make_run(seconds=300)
    assert "making a virtual environment" in shown
    assert "installing Helvetia" in shown
    assert f"{page}  (release 1)\n" in shown
    assert re.search(rf"dashboard and API +{re.escape(dashboard)}\n", shown)
    assert "Traceback" not in shown
    assert "WARNING helvetia" not in shown
    status, body, _ = platform.get("hello-static.localhost")
    assert (status, b"Your first page is" in body) == (200, True)

    link = re.search(rf"first sign-in +({re.escape(dashboard)}\S+)", shown)
    assert link is not None, shown
    _sign_in(link[1], dashboard)

    said = newcomer.control_c()
    assert "Stopping the services; `helvetia up` brings them back." in said
    _nothing_is_left(newcomer)

    again = newcomer.make_run(seconds=60)
    assert "installing" not in again
    assert "first sign-in" not in again
    assert re.search(rf"hello-static +ACTIVE  {re.escape(page)}\n", again)
    assert platform.get("hello-static.localhost")[1] == body
    deployments = platform.json("deployments", "hello-static")
    assert [one["status"] for one in deployments] == ["LIVE"]
    status_now = platform.json("status", "hello-static")
    assert (status_now["status"], status_now["release"]) == ("ACTIVE", 1)
    newcomer.control_c()
    _nothing_is_left(newcomer)


def _sign_in(link: str, dashboard: str) -> None:
    browser = Browser()
    status, url, form = browser.open(link)
    assert status == 200
    refused = browser.fill_in(url, form, name="ada", password="short", again="short")
    assert refused[0] == 422
    typed = {"name": "ada", "password": _PASSWORD, "again": _PASSWORD}
    status, url, page = browser.fill_in(url, refused[2], **typed)
    assert (status, url) == (200, f"{dashboard}/")
    assert "hello-static" in page
    assert browser.open(f"{dashboard}/services/hello-static")[0] == 200

    # The link worked once; the password works from now on.
    stranger = Browser()
    assert stranger.open(link)[0] == 410
    status, url, form = stranger.open(f"{dashboard}/")
    assert urllib.parse.urlsplit(url).path == "/auth/local"
    assert stranger.fill_in(url, form, name="ada", password="wrong horse")[0] == 401
    status, url, page = stranger.fill_in(url, form, name="ada", password=_PASSWORD)
    assert (status, url) == (200, f"{dashboard}/")
    assert "hello-static" in page


def _nothing_is_left(newcomer: Newcomer) -> None:
    assert processes(newcomer.platform.home) == []
    assert processes(newcomer.clone) == []
    assert not (newcomer.platform.home / "control.json").exists()
    for port in (newcomer.platform.http_port, newcomer.platform.edge_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
