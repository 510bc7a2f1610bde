"""One Chromium for all, one real platform for the tests that drive it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.e2e.harness import Installation, Repository, running, until

from .serving import Served, served

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A busy machine is no mistake of the page.
expect.set_options(timeout=20_000)
PASSWORD = "a rather long sentence"
DESKTOP: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a browser: a page, and how to open more of them."""

    page: Page
    context: BrowserContext
    url: str
    platform: Installation


class Complaints:
    """What browsers complain about: refused by the policy, or broken."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def watch(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))

    def _on_console(self, message: ConsoleMessage) -> None:
        # That an address was refused or cannot be reached is what some tests are about.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.found.append(message.text)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run a browser; no longer than for a module, since its event loop is in the way of others."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Fail the test that made the browser complain."""
    complaints = Complaints()
    yield complaints
    assert not complaints.found


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("browser") / "home"
    with running(Installation(home)) as installation:
        yield installation


@pytest.fixture(scope="module")
def signed_in(platform: Installation, chromium: Browser) -> dict[str, Any]:
    """Make the first account with the link that the platform has shown; return its cookies."""
    shown = until("the link is shown", lambda: re.search(r"http\S+link=\S+", _log(platform)))
    context = chromium.new_context()
    page = context.new_page()
    page.goto(shown[0])
    page.get_by_label("User name").fill("anna")
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_label("Password again").fill("short")
    page.locator("form").evaluate("form => form.noValidate = true")
    page.get_by_role("button").click()
    assert "at least 10 characters" in page.inner_text("body")
    assert page.get_by_label("User name").input_value() == "anna"
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button").click()
    page.get_by_role("heading", name="Services", exact=True).wait_for()
    state: Any = context.storage_state()
    context.close()
    return {"storage_state": state}


@pytest.fixture
def person(
    platform: Installation, chromium: Browser, signed_in: dict[str, Any], complaints: Complaints
) -> Iterator[Person]:
    with _person(platform, chromium, complaints, signed_in) as person:
        yield person


@pytest.fixture
def without_scripts(
    platform: Installation, chromium: Browser, signed_in: dict[str, Any], complaints: Complaints
) -> Iterator[Person]:
    """The same person in a browser that runs no scripts."""
    options = {**signed_in, "java_script_enabled": False}
    with _person(platform, chromium, complaints, options) as person:
        yield person


@contextlib.contextmanager
def _person(
    platform: Installation, chromium: Browser, complaints: Complaints, options: dict[str, Any]
) -> Iterator[Person]:
    url = f"http://127.0.0.1:{platform.http_port}"
    context = chromium.new_context(base_url=url, viewport=DESKTOP, **options)
    context.set_default_timeout(20_000)
    page = context.new_page()
    complaints.watch(page)
    try:
        yield Person(page, context, url, platform)
    finally:
        context.close()


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A control plane with something of everything, and nobody who works."""
    with served(tmp_path_factory.mktemp("furnished") / "home") as there:
        yield there


@pytest.fixture
def visit(
    furnished: Served, chromium: Browser, complaints: Complaints
) -> Iterator[Callable[..., Page]]:
    """Open a page there; keywords are options of the browser."""
    contexts: list[BrowserContext] = []

    def open_page(**options: Any) -> Page:
        given = {"viewport": DESKTOP, **options}
        context = chromium.new_context(base_url=furnished.url, **given)
        contexts.append(context)
        let_in(context, furnished)
        page = context.new_page()
        complaints.watch(page)
        return page

    yield open_page
    for context in contexts:
        context.close()


def let_in(context: BrowserContext, furnished: Served) -> None:
    """Sign a browser in, or again: a slow machine shows pages for longer than a cookie is good."""
    name = "helvetia_session"
    context.add_cookies([{"name": name, "value": furnished.cookie, "url": furnished.url}])


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def _log(platform: Installation) -> str:
    return platform.log.read_text()
