"""Pages show what is there, escape what strangers wrote, and run no inline code."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from helvetia.kernel.models import Deployment, DeploymentStatus, ServiceStatus
from helvetia.web.filters import ago, first_line, plain, seconds, size, told

from .conftest import Client, Site
from .world import Person, add_deployment, add_log, add_service, furnish, sign_in

HOSTILE = "\"><img src=x onerror=alert(1)><script>alert('x')</script>{{ 1234567 * 7 }}"


async def text_of(client: Client, path: str, status: int = 200) -> str:
    answer = await client.get(path)
    assert answer.status == status, await answer.text()
    assert answer.content_type == "text/html"
    return await answer.text()


async def all_paths(site: Site) -> list[str]:
    ids = await furnish(site.platform)
    return [
        "/",
        "/services/shop",
        "/services/blog",
        "/services/docs",
        "/services/intranet",
        "/services/shop/log",
        *(f"/deployments/{one}" for one in ids.values()),
        "/plugins",
        "/services/nothing-here",
    ]


class Inline(HTMLParser):
    """Finds what the content security policy would refuse, and links to other places."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in given):
            self.found.append(tag)
        self.found += [name for name in given if name == "style" or name.startswith("on")]
        if tag in ("script", "link", "img") and not (
            given.get("src") or given.get("href") or ""
        ).startswith("/static/"):
            self.found.append(f"{tag} from elsewhere")


async def test_no_page_has_inline_script_or_style(site: Site, browser: Client) -> None:
    for path in await all_paths(site):
        answer = await browser.get(path)
        assert answer.content_type == "text/html", path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        inline = Inline()
        inline.feed(await answer.text())
        assert inline.found == [], path


async def test_an_empty_installation_teaches_the_first_step(browser: Client) -> None:
    text = await text_of(browser, "/")
    assert "Nothing is deployed yet" in text
    assert "helvetia deploy ." in text


async def test_the_list_shows_every_service(site: Site, browser: Client) -> None:
    await furnish(site.platform)
    text = await text_of(browser, "/")
    for name in ("shop", "blog", "docs", "intranet"):
        assert f'href="/services/{name}"' in text
    assert "ModuleNotFoundError" in text
    assert "Round prices to 5 centimes" in text
    assert ">r3<" in text.replace('<span class="hidden">release </span>', ">")
    assert "12 min ago" in text
    for word in ("Active", "Failed", "Deploying", "Stopped", "Idle"):
        assert f">{word}</span>" in text


async def test_a_service_shows_its_parts_and_no_secret(site: Site, browser: Client) -> None:
    await furnish(site.platform)
    text = await text_of(browser, "/services/shop")
    for part in ("STRIPE_KEY", "DATABASE_URL", "shop.example.com", "shop.localhost", "9f2c41d"):
        assert part in text
    assert "yyyyyyyy" not in text
    assert "xxxxxxxx" not in text
    assert text.count('action="/services/shop/rollback"') == 2, "not for the live release"
    assert '<span class="badge good">live</span>' in text
    assert "Environment changed (set DATABASE_URL, STRIPE_KEY, version 1)" in text


async def test_a_new_service_shows_empty_states(site: Site, browser: Client) -> None:
    await add_service("fresh", status=ServiceStatus.IDLE)
    text = await text_of(browser, "/services/fresh")
    for told_ in ("None yet.", "makes a release", "Nothing runs.", "helvetia env fresh set"):
        assert told_ in text
    assert "/restart" not in text
    assert "/deploy" in text


async def test_a_failed_deployment_says_where_and_why(site: Site, browser: Client) -> None:
    ids = await furnish(site.platform)
    text = await text_of(browser, f"/deployments/{ids['failed']}")
    assert "Failed in build (static)" in text
    assert "npm ci ended with code 1" in text
    assert "Cancel" not in text
    assert "data-live" not in text, "nothing changes any more"
    assert "data-ended" in text


async def test_a_live_deployment_shows_its_receipt(site: Site, browser: Client) -> None:
    ids = await furnish(site.platform)
    text = await text_of(browser, f"/deployments/{ids['live']}")
    for part in ("Healthy after", "810 ms", "42 ms", "318 ms", "1\u202f204", "24.6 s"):
        assert part in text
    assert "✓ built in 2.31s" in text
    assert "\x1b" not in text


async def test_a_running_deployment_can_be_cancelled(site: Site, browser: Client) -> None:
    ids = await furnish(site.platform)
    text = await text_of(browser, f"/deployments/{ids['running']}")
    assert f'action="/deployments/{ids["running"]}/cancel"' in text
    assert "data-live" in text
    assert f'data-follow="/api/v1/deployments/{ids["running"]}/logs/follow"' in text


async def test_without_scripts_the_last_500_lines_are_there(site: Site, browser: Client) -> None:
    service = await add_service("talker")
    deployment = await add_deployment(service)
    await add_log(
        site.platform,
        f"deployment:{deployment.id}",
        [("build", "stdout", f"line {n}") for n in range(1, 701)],
    )
    text = await text_of(browser, f"/deployments/{deployment.id}")
    numbers = [int(n) for n in re.findall(r'data-seq="(\d+)"', text)]
    assert numbers == list(range(201, 701))
    assert 'data-after="700"' in text
    assert "200 earlier lines" in text
    whole = await browser.get(f"/deployments/{deployment.id}/log.txt")
    lines = (await whole.text()).splitlines()
    assert whole.content_type == "text/plain"
    assert [line.rpartition(" ")[2] for line in lines] == [str(n) for n in range(1, 701)]


async def test_words_of_strangers_are_escaped(site: Site, browser: Client) -> None:
    service = await add_service("web", reason=HOSTILE, source=HOSTILE)
    deployment = await add_deployment(
        service, status=DeploymentStatus.FAILED, message=HOSTILE, failed=("build", HOSTILE)
    )
    await Deployment.filter(id=deployment.id).update(author=HOSTILE, source_ref=HOSTILE)
    log = f"deployment:{deployment.id}"
    await add_log(site.platform, log, [("build", HOSTILE, HOSTILE), ("</div>", "stderr", HOSTILE)])
    person = await sign_in(HOSTILE)
    client = await site.client(person)
    await person.user.filter(id=person.user.id).update(is_operator=True)
    for path in ("/", "/services/web", f"/deployments/{deployment.id}"):
        text = await text_of(client, path)
        assert "alert(1)&gt;" in text
        assert "<img" not in text
        assert "alert(&#39;x&#39;)" in text
        assert "8641969" not in text
        inline = Inline()
        inline.feed(text)
        assert inline.found == [], path


async def test_somebody_elses_service_does_not_exist(site: Site, anna: Person) -> None:
    ids = await furnish(site.platform)
    other = await site.client(await sign_in("ben"))
    assert "Nothing is deployed yet" in await text_of(other, "/")
    for path in ("/services/shop", "/services/shop/log.txt", f"/deployments/{ids['live']}"):
        text = await text_of(other, path, 404)
        assert "Not found" in text
        assert "Round prices" not in text


async def test_strangers_are_led_to_the_sign_in(site: Site, anna: Person) -> None:
    stranger = await site.client(None)
    headers = {"Accept": "text/html"}
    for path in ("/", "/services/shop", "/plugins"):
        answer = await stranger.get(path, headers=headers, allow_redirects=False)
        assert answer.status == 303
        assert answer.headers["Location"] == f"/auth/local?next={path}"


async def test_style_and_scripts_are_public_and_kept(site: Site) -> None:
    stranger = await site.client(None)
    page = await (await stranger.get("/auth/local")).text()
    assert "Sign in" in page
    for name in ("style.css", "live.js", "log.js", "icon.svg"):
        answer = await stranger.get(f"/static/{name}")
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-cache"
        digest = answer.headers["ETag"].strip('"')
        exact = await stranger.get(f"/static/{name}?v={digest}")
        assert "immutable" in exact.headers["Cache-Control"]
    for name in ("nothing.css", "..%2f__init__.py", "%2fetc%2fpasswd"):
        assert (await stranger.get(f"/static/{name}")).status == 404


async def test_a_page_that_did_not_change_is_not_sent_again(site: Site, browser: Client) -> None:
    await add_service("web", status=ServiceStatus.STOPPED)
    first = await browser.get("/plugins")
    again = await browser.get("/plugins", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")


async def test_the_quarantine_reason_is_shown(site: Site, browser: Client) -> None:
    site.platform.plugins.quarantine("builder-static", "ImportError: <no> module")
    text = await text_of(browser, "/plugins")
    assert "ImportError: &lt;no&gt; module" in text
    assert ">Quarantined<" in text
    assert ">pages<" in text


def test_times_and_sizes() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    spans = {5: "just now", 59: "59 s ago", 60: "1 min ago", 7199: "1 h ago", 86400: "1 d ago"}
    assert {s: ago(now - timedelta(seconds=s), now) for s in spans} == spans
    assert ago(now - timedelta(days=90), now) == "1 Dec 2025"
    assert [seconds(v) for v in (0.042, 0.9996, 59.96, 3725)] == [
        "42 ms",
        "1.0 s",
        "1 min 0 s",
        "1 h 2 min",
    ]
    assert [size(v) for v in (None, 0, 999, 1000, 52_428_800)] == [
        "",
        "0 B",
        "999 B",
        "1 kB",
        "52 MB",
    ]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;32mok\x1b[0m", "ok"),
        ("\x1b]0;title\x07text", "text"),
        ("a\x00b\x08c\td", "abc\td"),
        ("\u202etxt.exe", "txt.exe"),
    ],
)
def test_log_lines_are_plain(raw: str, shown: str) -> None:
    assert plain(raw) == shown


def test_only_the_subject_of_a_message_is_shown() -> None:
    assert first_line("\n  Fix it \n\nlong story") == "Fix it"
    assert first_line("") == ""
    assert callable(told)
