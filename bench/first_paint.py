"""How soon the list of services is on the screen of a browser that has never been there.

Run: python -m bench.first_paint

Chromium opens the page with nothing cached, as often as makes a median; what it says of its own
first contentful paint counts, and the bytes that came for it. Beside it stands the
sign-in, a page with hardly anything on it: what the browser takes on this machine, at this load.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from bench.tables import Target, judge, show
from tests.browser.conftest import DESKTOP, FLAGS, let_in
from tests.browser.serving import Served, served

VISITS = 9
_BARE = "/auth/local"
_PAINTED = """() => new Promise(resolve => new PerformanceObserver((list) => {
  const painted = list.getEntriesByName("first-contentful-paint")[0];
  if (painted) resolve(painted.startTime);
}).observe({ type: "paint", buffered: true }))"""
_SIZE = """[...performance.getEntriesByType("navigation"),
  ...performance.getEntriesByType("resource")].reduce((sum, one) => sum + one.encodedBodySize, 0)"""
_ANSWERED = "performance.getEntriesByType('navigation')[0].responseEnd"


def visit(browser: Browser, there: Served, path: str) -> tuple[float, float, int]:
    """Return when a page was painted, when it had come, both in ms, and the bytes of all files."""
    context = browser.new_context(base_url=there.url, viewport=DESKTOP)
    if path != _BARE:
        let_in(context, there)
    page = context.new_page()
    page.goto(path, wait_until="networkidle")
    painted, answered, size = (page.evaluate(one) for one in (_PAINTED, _ANSWERED, _SIZE))
    context.close()
    return painted, answered, size


def main() -> int:
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder) / "home") as there,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        seen = [(visit(browser, there, _BARE), visit(browser, there, "/")) for _ in range(VISITS)]
        browser.close()
    bare = [first[0] for first, _ in seen]
    painted, answered, sizes = zip(*(second for _, second in seen), strict=True)
    show(["first visit", "least", "median"], [
        ["page received, ms", f"{min(answered):.0f}", f"{statistics.median(answered):.0f}"],
        ["first contentful paint, ms", f"{min(painted):.0f}", f"{statistics.median(painted):.0f}"],
        ["the same of the sign-in, ms", f"{min(bare):.0f}", f"{statistics.median(bare):.0f}"],
        ["bytes, as they came", min(sizes), statistics.median(sizes)],
    ])  # fmt: skip
    return judge([
        Target(what="first paint", unit="ms", measured=statistics.median(painted), at_most=300),
        Target(what="weight", unit="bytes", measured=max(sizes), at_most=150_000),
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
