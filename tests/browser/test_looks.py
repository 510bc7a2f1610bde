"""Every page in both schemes, on a desk and on a phone: accessible, whole, and light."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from .conftest import DESKTOP, PHONE, let_in
from .serving import Served

SCHEMES = ("light", "dark")
_HEAVIEST = 150_000
_AXE = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
Visit = Callable[..., Page]


def paths(furnished: Served) -> dict[str, str]:
    """Return the address of every page by its name."""
    service, ids = "/services/shop", furnished.ids
    tabs = ("deployments", "logs", "shell", "environment", "domains", "releases", "previews",
            "deliveries", "settings", "credentials", "danger", "instances")  # fmt: skip
    asked = ("stop", "delete", "rollback?release=2", "environment/unset?name=STRIPE_KEY",
             "credentials/remove", "webhook/renew")  # fmt: skip
    source = urlencode({"source": furnished.repository})
    return {
        "services": "/",
        "new": "/new",
        "new-plan": f"/new?step=plan&{source}",
        "new-refused": "/new?step=plan&source=nowhere",
        "new-details": f"/new?step=details&{source}",
        "timeline": service,
        "timeline-failed": "/services/blog",
        "timeline-empty": "/services/a-new-service-whose-name-is-rather-long",
        **{tab: f"{service}/{tab}" for tab in tabs},
        **{f"ask-{one.partition('?')[0].replace('/', '-')}": f"{service}/{one}" for one in asked},
        "delivery": f"{service}/deliveries/delivery2",
        "log-of-one": "/services/twins/logs?instance=bbbb#instance-bbbb",
        "credentials-empty": "/services/blog/credentials",
        "credentials-key": "/services/keyed/credentials",
        "webhook-empty": "/services/blog/deliveries",
        **{f"deployment-{name}": f"/deployments/{id}" for name, id in ids.items()},
        "metrics": f"{service}/metrics",
        "account": "/account",
        "logs-of-many": "/services/twins/logs",
        "previews-empty": "/services/blog/previews",
        "shell-empty": "/services/a-new-service-whose-name-is-rather-long/shell",
        "team": "/team",
        "team-variables": "/team/default/variables",
        "ask-team-leave": "/team/default/leave",
        "ask-team-delete": "/team/default/delete",
        "notifications": "/team/default/notifications",
        "channel": "/team/default/notifications/oncall",
        "audit": "/admin/audit",
        "plugins": "/admin/plugins",
        "checks": "/admin/plugins/checks",
        "workers": "/admin/workers",
        "problem": "/services/nothing-here",
    }


# It takes two minutes for each scheme.
@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_is_inaccessible(furnished: Served, visit: Visit, scheme: str) -> None:
    # A page is loaded once for each scheme; its width changes without that.
    page = visit(color_scheme=scheme, reduced_motion="reduce")
    found = []
    for name, path in paths(furnished).items():
        _open(page, path, furnished)
        for size in (DESKTOP, PHONE):
            page.set_viewport_size(size)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                found.append(f"{name}: {wide} px too wide for {size['width']} px")
        found += violations(page, name)
        page.set_viewport_size(DESKTOP)
        if name == "timeline":
            found += _dialog(page)
    assert found == []


def test_the_first_page_is_light(furnished: Served, visit: Visit) -> None:
    page = visit()
    weights: dict[str, int] = {}

    def weigh(response: Any) -> None:
        body = response.body()
        is_packed = "Content-Encoding" in response.headers or response.url.endswith(".woff2")
        weights[response.url] = len(body) if is_packed else len(gzip.compress(body))

    page.on("response", weigh)
    page.goto("/", wait_until="networkidle")
    assert any(".woff2" in url for url in weights)
    assert sum(weights.values()) < _HEAVIEST, weights
    assert all(url.startswith(furnished.url) for url in weights), "nothing from elsewhere"


@pytest.mark.skipif("HELVETIA_SCREENSHOTS" not in os.environ, reason="nobody wants pictures")
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pictures(furnished: Served, visit: Visit, scheme: str, size: dict[str, int]) -> None:
    """Take pictures of all pages, for people to look at."""
    folder = Path(os.environ["HELVETIA_SCREENSHOTS"])
    folder.mkdir(parents=True, exist_ok=True)
    page = visit(color_scheme=scheme, viewport=size)
    kind = "desktop" if size is DESKTOP else "phone"
    for name, path in _sorted(paths(furnished)):
        _open(page, path, furnished)
        page.screenshot(path=folder / f"{name}-{kind}-{scheme}.png", full_page=True)


def _sorted(paths: dict[str, str]) -> Iterator[tuple[str, str]]:
    yield from sorted(paths.items())


def _open(page: Page, path: str, furnished: Served) -> None:
    let_in(page.context, furnished)
    page.goto(path)
    if page.locator(".log[data-read]").count():
        page.locator("[data-log-state]:not(:empty)").wait_for()


def violations(page: Page, name: str) -> list[str]:
    """Return what axe finds on a page."""
    response: Any = Axe().run(page, options=_AXE).response
    return [
        f"{name}: {one['id']}: {one['help']}: {node['html'][:160]} {node.get('failureSummary')}"
        for one in response["violations"]
        for node in one["nodes"]
    ]


def _dialog(page: Page) -> list[str]:
    """Look at a question that is asked in a dialog, and close it."""
    page.get_by_role("link", name="Stop").click()
    page.get_by_role("dialog").wait_for()
    found = violations(page, "dialog")
    page.keyboard.press("Escape")
    return found
