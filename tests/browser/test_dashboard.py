"""A person with a browser does with the real platform what it is for."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.harness import Installation, Repository, until

from .conftest import PASSWORD, Person

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

# Writes a line now and then until the test says that it may end.
_BUILD = """
import os, time
number = 0
while not os.path.exists({go!r}):
    number += 1
    print("line", number, "of the build", flush=True)
    time.sleep(0.02)
os.makedirs("public", exist_ok=True)
open("public/index.html", "w").write("built")
"""


def log_lines(page: Page) -> Locator:
    return page.locator(".log .line[data-seq] .text")


def status(page: Page) -> Locator:
    return page.locator("h1 .status")


def make_service(person: Person, repository: Repository, name: str) -> None:
    """Create and deploy a service through the three steps."""
    page = person.page
    page.goto("/new")
    page.get_by_label("Git repository").fill(str(repository.folder))
    page.get_by_role("button", name="Show the plan").click()
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Create and deploy").click()
    page.wait_for_url("**/deployments/*")


def is_live(person: Person) -> None:
    """Wait until the page says by itself that the deployment is live."""
    expect(status(person.page)).to_have_text("Live", timeout=40_000)


def test_sign_in_and_out(person: Person) -> None:
    page = person.page
    person.context.clear_cookies()
    page.goto("/services/shop")
    page.get_by_label("User name").fill("anna")
    page.get_by_label("Password", exact=True).fill("wrong wrong wrong")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("is not right")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page).to_have_url(re.compile("/services/shop$"))
    page.get_by_text("anna").first.click()
    page.get_by_role("button", name="Sign out").click()
    page.goto("/services/shop")
    expect(page.get_by_label("User name")).to_be_visible()


def test_from_a_repository_to_a_url_and_a_push_without_a_dropped_request(
    person: Person, repository: Repository
) -> None:
    page = person.page
    repository.commit("First", {"index.html": "<h1>first</h1>"})

    page.goto("/")
    page.get_by_role("link", name="New service").click()
    page.get_by_label("Git repository").fill("/nowhere/at/all")
    page.get_by_role("button", name="Show the plan").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Git repository")).to_have_value("/nowhere/at/all")
    page.get_by_label("Git repository").fill(str(repository.folder))
    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator(".plan")).to_contain_text("plain HTML: index.html")
    assert person.platform.api("GET", "services")["items"] == [], "nothing is made yet"
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Name", exact=True).fill("Not A Name")
    page.get_by_label("Variables, as in a .env file").fill("GREETING=hello there")
    page.get_by_role("button", name="Create and deploy").click()
    expect(page.get_by_role("alert")).to_contain_text("lower-case letters")
    expect(page.get_by_label("Variables, as in a .env file")).to_have_value("GREETING=hello there")
    page.get_by_label("Name", exact=True).fill("shop")
    page.get_by_role("button", name="Create and deploy").click()

    # Nobody reloads: the pipeline, the log and the receipt come by themselves.
    is_live(person)
    expect(page.locator(".stages .busy, .stages .waiting, .stages .bad")).to_have_count(0)
    assert page.locator(".stages .good").count() >= 8
    assert "fetch" in page.locator(".stages").inner_text()
    expect(log_lines(page).filter(has_text="live").first).to_be_visible()
    expect(page.locator(".receipt")).to_contain_text("0 failed")
    address = page.locator(".head a[rel=noopener]").get_attribute("href")
    assert address is not None
    page.goto(address)
    expect(page.locator("h1")).to_have_text("first")

    page.goto("/services/shop/deliveries")
    page.get_by_role("button", name="Make a webhook").click()
    secret = page.locator(".secret code").first.inner_text()
    hook = page.locator(".facts code").inner_text()
    # What was made is not made again by reloading, and a secret is seen once.
    page.reload()
    expect(page.locator("main")).to_contain_text(hook)
    expect(page.locator("main")).not_to_contain_text(secret)

    page.goto("/services/shop")
    with Visitors(person.platform) as visitors:
        sha = repository.commit("Second", {"index.html": "<h1>second</h1>"})
        _deliver(hook, secret, repository, sha)
        # The page of the service says so by itself.
        expect(page.locator(".timeline")).to_contain_text("Deployment #2 went live", timeout=40_000)
        until("visitors see it", lambda: visitors.seen[-1:] == ["second"])
    assert visitors.failed == []
    assert {"first", "second"} <= set(visitors.seen)
    expect(page.locator(".timeline")).to_contain_text("Delivery push: deployed")
    page.get_by_role("link", name="Deployment #2 went live").click()
    expect(page.locator(".receipt")).to_contain_text(", 0 failed")

    # The delivery is there as it came, and can be done again.
    page.goto("/services/shop/deliveries")
    page.get_by_role("link", name="push").click()
    expect(page.locator(".raw")).to_contain_text(sha)
    page.get_by_role("button", name="Replay").click()
    expect(page.locator(".facts").first).to_contain_text("Replay of")
    page.goto("/services/shop/deployments")
    expect(page.locator("tbody tr").first).to_contain_text("#3")
    expect(page.locator("tbody tr").first).to_contain_text("Live", timeout=40_000)

    # Back to the first release, after being told what that changes.
    page.goto("/services/shop/releases")
    page.locator("tr", has_text="r1").get_by_role("link", name="Roll back…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("ins")).to_contain_text("First")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.locator("tr", has_text="r1").get_by_role("link", name="Roll back…").click()
    dialog.get_by_role("button", name="Roll back to r1").click()
    is_live(person)
    assert b"first" in person.platform.get("shop.localhost")[1]


def test_a_secret_is_never_shown_again(person: Person, repository: Repository) -> None:
    page = person.page
    repository.commit("First", {"index.html": "one"})
    make_service(person, repository, "vault")
    is_live(person)
    page.goto("/services/vault/environment")
    page.get_by_label("Name").fill("1BAD")
    page.get_by_label("Value").fill("hunter2hunter2")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("letters, digits and underscores")
    expect(page.get_by_label("Name")).to_have_value("1BAD")
    page.get_by_label("Name").fill("API_KEY")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("Saved")
    expect(page.locator("tbody")).to_contain_text("API_KEY")
    page.get_by_role("button", name="Restart with these").click()
    is_live(person)
    for path in ("", "/environment", "/deployments", "/releases", "/settings", "/logs"):
        page.goto(f"/services/vault{path}")
        assert "hunter2" not in page.content()
    page.goto("/services/vault/environment")
    page.get_by_role("link", name="Remove…").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove it").click()
    expect(page.locator("main")).to_contain_text("No variables")


def test_a_build_is_watched_through_a_lost_network_and_cancelled(
    person: Person, repository: Repository, tmp_path: Path
) -> None:
    page, go = person.page, tmp_path / "go"
    repository.commit("First", {"index.html": "one"})
    make_service(person, repository, "slow")
    is_live(person)
    repository.commit("Slow", {"build.py": _BUILD.format(go=str(go))})
    page.goto("/services/slow/settings")
    page.get_by_label("Type").select_option("static")
    page.get_by_text("options of the builder").click()
    page.get_by_label("Build command").fill("python3 build.py")
    page.get_by_label("Output").fill("public")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("Saved")
    page.get_by_role("button", name="Deploy", exact=True).click()
    expect(log_lines(page).filter(has_text="of the build").first).to_be_visible()

    person.context.set_offline(True)
    expect(page.locator("[data-log-state]")).to_have_text("offline")
    before = _last(page)
    person.context.set_offline(False)
    expect(page.locator("[data-log-state]")).to_have_text("live")
    until("more lines have come", lambda: _last(page) > before + 20)
    numbers = _numbers(page)
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "nothing missed, nothing twice"

    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel it").click()
    expect(status(page)).to_have_text("Cancelled", timeout=20_000)
    assert b"one" in person.platform.get("slow.localhost")[1], "what was live is live"


def test_without_scripts_one_can_deploy_stop_and_roll_back(
    without_scripts: Person, repository: Repository
) -> None:
    person, page = without_scripts, without_scripts.page
    repository.commit("First", {"index.html": "plain"})
    make_service(person, repository, "plain")
    number = page.url.rpartition("/")[2]
    is_over = ("LIVE", "FAILED")
    until("it is live", lambda: _deployment(person, number)["status"] in is_over)
    page.reload()
    expect(status(page)).to_have_text("Live")
    expect(page.locator(".log")).to_contain_text("live")
    page.goto("/services/plain")
    page.get_by_role("button", name="Deploy", exact=True).click()
    page.wait_for_url("**/deployments/*")
    number = page.url.rpartition("/")[2]
    until("it is live", lambda: _deployment(person, number)["status"] in is_over)
    page.goto("/services/plain/releases")
    page.get_by_role("link", name="Roll back…").click()
    expect(page.locator("h1")).to_have_text("Roll plain back to r1?")
    page.get_by_role("button", name="Roll back to r1").click()
    page.wait_for_url("**/deployments/*")
    number = page.url.rpartition("/")[2]
    until("it is live", lambda: _deployment(person, number)["status"] in is_over)
    page.goto("/services/plain")
    page.get_by_role("link", name="Stop").click()
    page.get_by_role("button", name="Stop it").click()
    until("it is stopped", lambda: person.platform.service("plain")["status"] == "STOPPED")
    page.reload()
    expect(status(page)).to_have_text("Stopped")


def test_a_plugin_is_switched_off_and_a_service_deleted(
    person: Person, repository: Repository
) -> None:
    page = person.page
    page.goto("/admin/plugins")
    row = page.locator(".plugins li", has_text="source-upload")
    row.get_by_role("link", name="Switch off…").click()
    page.get_by_role("dialog").get_by_role("button", name="Switch it off").click()
    expect(row).to_contain_text("Off from the next start")
    kept = json.loads((person.platform.home / "plugins.json").read_text())
    assert kept == {"disabled": ["source-upload"]}
    row.get_by_role("button", name="Switch on").click()
    expect(row).not_to_contain_text("Off from the next start")

    repository.commit("First", {"index.html": "gone soon"})
    make_service(person, repository, "gone")
    is_live(person)
    page.goto("/services/gone/danger")
    page.get_by_role("link", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Type").fill("gone")
    dialog.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("status").first).to_contain_text("being deleted")
    expect(page.locator(".services")).not_to_contain_text("gone.localhost", timeout=30_000)


class Visitors:
    """Somebody who opens a service again and again, and notes what is answered."""

    def __init__(self, platform: Installation) -> None:
        self._platform = platform
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._visit)
        self.seen: list[str] = []
        self.failed: list[object] = []

    def __enter__(self) -> Visitors:
        self._thread.start()
        until("the first answer", lambda: self.seen)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _visit(self) -> None:
        while not self._ended.wait(0.02):
            try:
                code, body, _ = self._platform.get("shop.localhost")
            except OSError as error:
                self.failed.append(error)
                continue
            if code == 200:
                self.seen.append(re.sub(r"<.*?>", "", body.decode()))
            else:
                self.failed.append(code)


def _deliver(hook: str, secret: str, repository: Repository, sha: str) -> None:
    """Tell of a push as a Git host does."""
    about = {"clone_url": str(repository.folder), "default_branch": "main"}
    body = json.dumps(
        {"ref": "refs/heads/main", "before": "0" * 40, "after": sha, "repository": about}
    ).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": sha,
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    with urllib.request.urlopen(urllib.request.Request(hook, body, headers)) as answer:
        assert json.load(answer)["verdict"] == "deployed"


def _deployment(person: Person, id: str) -> dict[str, str]:
    found: dict[str, str] = person.platform.api("GET", f"deployments/{id}")
    return found


def _numbers(page: Page) -> list[int]:
    """Return the numbers of the lines that are drawn."""
    script = "lines => lines.map(line => Number(line.dataset.seq)).sort((a, b) => a - b)"
    found: list[int] = page.locator(".log .line[data-seq]").evaluate_all(script)
    return found


def _last(page: Page) -> int:
    return _numbers(page)[-1]
