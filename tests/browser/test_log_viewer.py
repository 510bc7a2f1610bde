"""The log viewer: as long as logs get, and what people do with them."""

from __future__ import annotations

import json
from collections.abc import Callable

from playwright.sync_api import Page, expect

from .serving import Served

Visit = Callable[..., Page]
LONG = "/services/talker/logs"
LINES = 100_000


def drawn(page: Page) -> list[int]:
    script = "lines => lines.map(line => Number(line.dataset.seq)).sort((a, b) => a - b)"
    found: list[int] = page.locator(".log .line[data-seq]").evaluate_all(script)
    return found


def test_a_hundred_thousand_lines(furnished: Served, visit: Visit) -> None:
    page = visit()
    page.goto(LONG)
    expect(page.locator("[data-log-state]")).to_have_text("live")
    assert drawn(page)[-1] == LINES, "the end is seen first"
    page.get_by_label("Search the log").fill("needle")
    expect(page.locator(".count")).to_have_text("11 of 11", timeout=60_000)
    assert 99_000 in drawn(page), "the last one is looked at first"
    expect(page.locator(".log mark.now")).to_have_text("needle")
    page.keyboard.press("Enter")
    expect(page.locator(".count")).to_have_text("1 of 11")
    assert 9000 in drawn(page)
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".count")).to_have_text("11 of 11")
    assert page.locator(".log .line").count() < 200, "only what is seen is drawn"
    slowest = page.evaluate(
        """async () => {
            const box = document.querySelector(".log");
            let slowest = 0;
            for (let step = 0; step < 60; step++) {
                const began = performance.now();
                box.scrollTop = box.scrollHeight * (step / 60);
                await new Promise(requestAnimationFrame);
                await new Promise(requestAnimationFrame);
                slowest = Math.max(slowest, performance.now() - began);
            }
            return slowest;
        }"""
    )
    print(f"slowest of 60 jumps over {LINES} lines: {slowest:.0f} ms")
    assert slowest < 1000, "a picture of its own would take longer on a busy machine"


def test_a_link_to_a_line_leads_there(furnished: Served, visit: Visit) -> None:
    page = visit()
    page.goto(f"{LONG}#L94321")
    expect(page.locator(".line.target")).to_contain_text("line 94321")
    expect(page.locator(".line.target")).to_be_in_viewport()
    assert "newest" in page.get_by_role("button", name="↓").inner_text().lower()
    page.get_by_role("button", name="↓").click()
    expect(page.locator(f".line[data-seq='{LINES}']")).to_be_in_viewport()


def test_stages_colours_and_times(furnished: Served, visit: Visit) -> None:
    page = visit()
    page.goto(f"/deployments/{furnished.ids['live']}")
    expect(page.locator("[data-log-state]")).to_have_text("complete")
    expect(page.locator(".log .c2")).to_have_text("✓")
    page.get_by_role("link", name="build").click()
    expect(page.locator(".log .stage", has_text="build")).to_be_in_viewport()
    page.locator(".log .stage", has_text="build").get_by_role("button").click()
    expect(page.locator(".log .line", has_text="built in")).to_have_count(0)
    expect(page.locator(".log .stage", has_text="build")).to_contain_text("83 lines")
    page.get_by_label("Part of the log").select_option("detect")
    expect(page.locator(".log .line[data-seq]")).to_have_count(1)
    page.get_by_label("Times").select_option("off")
    expect(page.locator(".log .at").first).to_be_hidden()
    page.reload()
    expect(page.locator(".log .at").first).to_be_hidden()


def test_lines_of_one_instance(furnished: Served, visit: Visit) -> None:
    page = visit()
    page.goto("/services/twins/logs")
    lines = page.locator(".log .line[data-seq]")
    expect(lines).to_have_count(6)
    expect(lines.first.locator(".who")).to_have_text("aaaa")
    assert page.get_by_label("Part of the log").locator("option").all_inner_texts() == [
        "All releases", "r1", "r2",
    ]  # fmt: skip
    page.get_by_label("Instance").select_option("bbbb of r2")
    assert lines.locator(".text").all_inner_texts() == ["line 1", "line 4"]
    page.goto("/services/blog/logs")
    expect(lines).to_have_count(4)
    expect(page.get_by_label("Instance")).to_be_hidden()
    page.goto("/services/twins/logs#instance-cccc")
    expect(lines).to_have_count(2)
    expect(page.get_by_label("Instance")).to_have_value("cccc")


def test_levels_of_json_and_what_is_copied(furnished: Served, visit: Visit) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.goto("/services/blog/logs")
    page.get_by_label("Level").select_option("5")
    expect(page.locator(".log .line[data-seq]")).to_have_count(2)
    page.get_by_label("More").click()
    page.get_by_role("button", name="Copy what is shown").click()
    expect(page.get_by_text("Copied")).to_be_attached()
    copied = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert [json.loads(line)["msg"] for line in copied] == ["it broke", "still broken"]


def test_hostile_lines_stay_text(furnished: Served, visit: Visit) -> None:
    page = visit()
    page.goto("/services/hostile/logs")
    expect(page.locator("[data-log-state]")).to_have_text("live")
    expect(page.locator(".log")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator(".log img").count() == 0
    assert "\u202e" not in page.locator(".log").inner_text()
    assert "\x1b" not in page.locator(".log").inner_text()


def test_following_lets_go_and_pausing_counts(furnished: Served, visit: Visit) -> None:
    page = visit()
    page.goto("/services/docs/logs")
    expect(page.locator("[data-log-state]")).to_have_text("live")
    furnished.write("docs", [f"first {number}" for number in range(100)])
    expect(page.locator(".log .line", has_text="first 99")).to_be_in_viewport()
    page.get_by_role("button", name="Pause").click()
    furnished.write("docs", ["while paused"] * 7)
    expect(page.get_by_role("button", name="Resume (7)")).to_be_visible()
    expect(page.locator(".log .line", has_text="while paused")).to_have_count(0)
    page.get_by_role("button", name="Resume (7)").click()
    expect(page.locator(".log .line", has_text="while paused")).to_have_count(7)
    page.locator(".log").evaluate("box => box.scrollTop = 0")
    page.locator(".log").evaluate("box => box.dispatchEvent(new Event('scroll'))")
    furnished.write("docs", ["behind one's back"] * 3)
    expect(page.get_by_role("button", name="↓ 3 new lines")).to_be_visible()
    assert page.locator(".log").evaluate("box => box.scrollTop") == 0
    page.get_by_role("button", name="↓ 3 new lines").click()
    expect(page.locator(".log .line", has_text="behind one's back").last).to_be_in_viewport()
