"""A folder that is deployed, looked into with graphs and a shell; tokens, sessions, people."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from .conftest import PASSWORD, Complaints, Person
from .test_dashboard import is_live, log_lines
from .test_looks import violations

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

# A name that does not fit into the header of an old archive.
_DEEP = f"{'folder/' * 12}a-name-that-is-long-enough-for-this.txt"


def test_a_folder_is_uploaded_measured_and_looked_into(person: Person, tmp_path: Path) -> None:
    page = person.page
    folder = tmp_path / "app"
    (folder / _DEEP).parent.mkdir(parents=True)
    (folder / _DEEP).write_text("deep down")
    (folder / "index.html").write_text("<h1>from a folder</h1>")
    # It writes a line for each request.
    (folder / "Procfile").write_text("web: python3 -m http.server --bind 127.0.0.1 $PORT")
    page.goto("/new")
    page.get_by_label("Folder").set_input_files(folder)
    expect(page.locator("[data-upload-state]")).to_contain_text("3 files are there")
    page.get_by_role("button", name="Show the plan").click()
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Name", exact=True).fill("box")
    page.get_by_role("button", name="Create and deploy").click()
    page.wait_for_url("**/deployments/*")
    is_live(person)
    assert b"from a folder" in person.platform.get("box.localhost")[1]
    assert person.platform.get("box.localhost", f"/{_DEEP}")[1] == b"deep down"

    page.goto("/services/box/metrics")
    graph = page.locator(".graph[data-graph=memory]")
    graph.locator(".u-over").hover(timeout=60_000)
    expect(graph.locator(".u-legend")).to_contain_text(re.compile(r"Memory\W*[0-9.]+ [kM]B"))
    expect(page.locator("[data-metrics-state]")).to_have_text("live")
    page.get_by_role("link", name="Last day").click()
    expect(page.get_by_role("link", name="Last day")).to_have_attribute("aria-current", "true")

    (instance,) = person.platform.service("box")["instances"]
    page.goto("/services/box/instances")
    page.get_by_role("link", name=instance["id"][:4]).click()
    expect(log_lines(page).first).to_be_visible()
    (line, *_) = person.platform.api("GET", "services/box/logs")["records"]
    assert line["stage"] == f"r1.{instance['id'][:4]}"
    _use_a_shell(page)


def _use_a_shell(page: Page) -> None:
    """Type into a copy of the release, leave the terminal by the keyboard, run one command."""
    page.get_by_role("link", name="Shell").click()
    state, screen = page.locator("[data-shell-state]"), page.locator(".xterm-rows")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(state).to_have_text("in a copy of r1")
    page.keyboard.type("cat index.html\n")
    expect(screen).to_contain_text("from a folder")
    typing = page.get_by_label("Terminal input")
    page.keyboard.press("Tab")
    expect(typing).to_be_focused()
    assert violations(page, "a shell") == []
    page.keyboard.press("Control+m")
    expect(page.get_by_role("button", name="End")).to_be_focused()
    page.keyboard.press("Enter")
    expect(state).to_have_text("ended by you")

    # Colours that are no names go into attributes, which the policy refuses but from scripts.
    colour = r"printf '\033[38;2;200;30;30m%s-%s\033[0m\n' red $((6 * 7)); exit 3"
    page.get_by_label("Command").fill(colour)
    page.get_by_role("button", name="Start", exact=True).click()
    expect(state).to_have_text("ended with code 3")
    expect(screen).to_contain_text("red-42")
    found = screen.locator("span", has_text="red-42").first
    assert found.evaluate("span => getComputedStyle(span).color") != _colour(page)
    page.goto("/admin/audit?kind=shell")
    expect(page.locator("main")).to_contain_text("red")


def _colour(page: Page) -> str:
    found: str = page.locator(".xterm-rows").evaluate("rows => getComputedStyle(rows).color")
    return found


def test_somebody_is_invited_and_ends_tokens_and_sessions(
    person: Person, chromium: Browser, complaints: Complaints
) -> None:
    page = person.page
    page.goto("/team")
    page.get_by_role("button", name="Make a link").click()
    link = page.locator(".secret code").inner_text()
    page.reload()
    expect(page.locator("main")).not_to_contain_text("shown this once")

    def come() -> Page:
        made = chromium.new_context(base_url=person.url).new_page()
        complaints.watch(made)
        return made

    def sign_in(page: Page) -> None:
        page.goto("/account")
        page.get_by_label("User name").fill("ben")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("heading", name="API tokens")).to_be_visible()

    ben, other = come(), come()
    try:
        ben.goto(link)
        ben.get_by_role("link", name="Sign in or create an account").click()
        ben.get_by_role("link", name="create an account").click()
        ben.get_by_label("User name").fill("ben")
        ben.get_by_label("Password", exact=True).fill(PASSWORD)
        ben.get_by_label("Password again").fill(PASSWORD)
        ben.get_by_role("button", name="Create account").click()
        expect(ben.get_by_role("heading", name="Services", exact=True)).to_be_visible()
        sign_in(other)

        ben.goto("/account")
        ben.get_by_label("Name").fill("ci")
        ben.get_by_role("button", name="Make", exact=True).click()
        token = ben.locator(".secret code").inner_text()
        assert _status(person.url, token) == 200
        ben.reload()
        expect(ben.locator("main")).not_to_contain_text(token)
        expect(ben.locator("tr", has_text="ci")).to_have_count(1)
        ben.get_by_role("link", name="Revoke…").click()
        ben.get_by_role("dialog").get_by_role("button", name="Revoke it").click()
        expect(ben.get_by_role("status").first).to_contain_text("worthless")
        assert _status(person.url, token) == 401

        ben.get_by_role("link", name="End…").first.click()
        ben.get_by_role("dialog").get_by_role("button", name="End it").click()
        expect(ben.get_by_role("status").first).to_contain_text("ended")
        other.reload()
        expect(other.get_by_label("User name")).to_be_visible()
        sign_in(other)
        ben.goto("/account")
        ben.get_by_role("link", name="Sign out everywhere…").click()
        ben.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()
        expect(ben.get_by_label("User name")).to_be_visible()
        other.reload()
        expect(other.get_by_label("User name")).to_be_visible()
    finally:
        ben.context.close()
        other.context.close()
    page.goto("/account")
    expect(page.get_by_role("heading", name="API tokens")).to_be_visible()


def _status(url: str, token: str) -> int:
    """Return what the API answers to a token."""
    asked = urllib.request.Request(
        f"{url}/api/v1/services", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(asked) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_channel_is_added_and_tried(person: Person) -> None:
    page = person.page
    page.goto("/team")
    page.get_by_role("link", name="Notifications").click()
    expect(page.locator("main")).to_contain_text("Nobody is told yet")
    page.get_by_label("Name").fill("night shift")
    page.get_by_label("Kind").select_option("webhook")
    page.get_by_label("Target").fill("http://127.0.0.1:9/nobody")
    page.get_by_label("Only of these services").fill("nothing-here")
    page.get_by_label("Certificates").uncheck()
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#error-services")).to_contain_text("no service nothing-here")
    expect(page.get_by_label("Target")).to_have_value("http://127.0.0.1:9/nobody")
    expect(page.get_by_label("Certificates")).not_to_be_checked()
    page.get_by_label("Only of these services").fill("")
    page.get_by_role("button", name="Add").click()
    expect(page.locator(".secret code")).to_contain_text("hvn_")
    page.reload()
    expect(page.locator(".secret code")).to_have_count(0)
    page.get_by_role("button", name="Test").click()
    # The page says by itself what became of it.
    expect(page.locator("tbody tr")).to_contain_text("is not on the public network")
