"""Pages show what is there, escape what strangers wrote, and run no inline code."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from helvetia.kernel.accounts import ensure_operator_team
from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Membership,
    Release,
    Role,
    ServiceStatus,
)
from helvetia.web.filters import ago, first_line, heading, instance, plain, seconds, size, until

from .conftest import Client, Site
from .world import Person, add_deployment, add_log, add_service, furnish, sign_in

HOSTILE = "\"><img src=x onerror=alert(1)><script>alert('x')</script>{{ 1234567 * 7 }}"


async def text_of(client: Client, path: str, status: int = 200) -> str:
    answer = await client.get(path)
    assert answer.status == status, await answer.text()
    assert answer.content_type == "text/html"
    return await answer.text()


LONG_NAME = "a-new-service-whose-name-is-rather-long"
SERVICE_PAGES = (
    "", "/deployments", "/instances", "/logs", "/environment", "/domains", "/releases",
    "/deliveries", "/settings", "/danger", "/stop", "/clear-cache", "/delete",
    "/shell", "/previews", "/previews/off", "/rollback?release=1",
    "/environment/unset?name=STRIPE_KEY", "/webhook/renew", "/webhook/remove",
    "/domains/shop.example.com/remove",
)  # fmt: skip


async def all_paths(site: Site) -> list[str]:
    ids = await furnish(site.platform)
    return [
        "/",
        "/new",
        *(f"/services/shop{page}" for page in SERVICE_PAGES),
        *(f"/services/{name}" for name in ("blog", "docs", "intranet", LONG_NAME)),
        *(f"/deployments/{one}" for one in ids.values()),
        f"/deployments/{ids['running']}/cancel",
        "/account",
        "/account/sessions/end",
        "/team",
        "/team/default/notifications",
        "/admin/audit",
        "/admin/audit?kind=service&actor=anna",
        "/services/shop/metrics",
        "/services/shop/metrics?range=day",
        "/admin/plugins",
        "/admin/plugins/limits/disable",
        "/admin/workers",
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
        assert answer.status == (404 if path.endswith("nothing-here") else 200), path
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
    assert 'href="/new"' in text
    assert "helvetia deploy ." in text


async def test_the_list_shows_every_service(site: Site, browser: Client) -> None:
    await furnish(site.platform)
    text = await text_of(browser, "/")
    for name in ("shop", "blog", "docs", "intranet"):
        assert f'href="/services/{name}"' in text
    assert "ModuleNotFoundError" in text
    assert "Round prices to 5 centimes" in text
    assert "Move to the new theme" in text, "what was tried, where nothing is live"
    assert "12 min ago" in text
    for word in ("Active", "Failed", "Deploying", "Stopped", "Idle"):
        assert f"</svg>{word}</span>" in text, "a status has a shape and a word"


async def test_the_tabs_of_a_service_show_its_parts_and_no_secret(
    site: Site, browser: Client
) -> None:
    await furnish(site.platform)
    parts = {
        "": ["Deployment #3 went live", "Variables were changed", "set DATABASE_URL, STRIPE_KEY"],
        "/deployments": ["#3", "Round prices to 5 centimes", "38.4 s"],
        "/environment": ["STRIPE_KEY", "DATABASE_URL", "changed since release r3"],
        "/domains": ["shop.localhost", "shop.example.com"],
        "/releases": [">live</span>", "r1", "9f2c41d"],
        "/settings": ["settings.limits.memory_mb", "settings.health.path", "build_command"],
        "/danger": ["Delete this service"],
    }
    for tab, expected in parts.items():
        text = await text_of(browser, f"/services/shop{tab}")
        for part in expected:
            assert part in text, tab
        assert "yyyyyyyy" not in text
        assert "xxxxxxxx" not in text
    releases = await text_of(browser, "/services/shop/releases")
    assert releases.count('href="/services/shop/rollback?release=') == 2, "not for the live one"


async def test_a_new_service_shows_empty_states(site: Site, browser: Client) -> None:
    await add_service("fresh", status=ServiceStatus.IDLE)
    told = {
        "": "Nothing has happened yet",
        "/deployments": "No deployment yet",
        "/releases": "No release yet",
        "/environment": "No variables",
        "/deliveries": "Deploy on push",
        "/instances": "Nothing runs.",
        "/logs": "Nothing has been written yet",
        "/shell": "No release yet",
    }
    for tab, expected in told.items():
        text = await text_of(browser, f"/services/fresh{tab}")
        assert expected in text
        assert "/restart" not in text
        assert 'action="/services/fresh/deploy"' in text


async def test_a_failed_deployment_says_where_and_why(site: Site, browser: Client) -> None:
    ids = await furnish(site.platform)
    text = await text_of(browser, f"/deployments/{ids['failed']}")
    assert "Failed in build (static)" in text
    assert "npm ci ended with code 1" in text
    assert "Cancel" not in text
    assert "Deploy this again" in text
    assert "data-live" not in text, "nothing changes any more"
    assert "data-ended" in text


async def test_a_live_deployment_shows_its_receipt(site: Site, browser: Client) -> None:
    ids = await furnish(site.platform)
    text = await text_of(browser, f"/deployments/{ids['live']}")
    assert "1,204 requests during the switch, 0 failed" in text
    for part in ("Healthy after", "810 ms", "42 ms", "318 ms", "24.6 s"):
        assert part in text
    assert "✓ built in 2.31s" in text
    assert "\x1b" not in text


async def test_a_running_deployment_can_be_cancelled(site: Site, browser: Client) -> None:
    ids = await furnish(site.platform)
    text = await text_of(browser, f"/deployments/{ids['running']}")
    assert f'href="/deployments/{ids["running"]}/cancel"' in text
    assert "data-live" in text
    assert f'data-follow="/api/v1/deployments/{ids["running"]}/logs/follow"' in text
    question = await text_of(browser, f"/deployments/{ids['running']}/cancel")
    assert "What is live now stays live." in question
    assert f'action="/deployments/{ids["running"]}/cancel"' in question


async def test_a_rollback_says_what_it_changes(site: Site, browser: Client) -> None:
    await furnish(site.platform)
    live = await Release.get(service__name="shop", number=3)
    await Release.filter(id=live.id).update(
        environment_version=1, configuration={"limits": {"memory_mb": 1024}, "replicas": 2}
    )
    old = await Release.get(service__name="shop", number=2)
    await Release.filter(id=old.id).update(configuration={"limits": {"memory_mb": 512}})
    text = await text_of(browser, "/services/shop/rollback?release=2")
    for before, after in (
        ("r3 9f2c41d Round prices to 5 centimes", "r2 41d07be Show prices with tax"),
        ("1024", "512"),
        ("2", ""),
        ("is set", "is not set"),
    ):
        assert f"<del>{before}</del>" in text
        assert not after or f"<ins>{after}</ins>" in text
    for what in ("Code", "Memory (MB)", "Replicas", "Variable STRIPE_KEY"):
        assert f"<td>{what}</td>" in text
    await text_of(browser, "/services/shop/rollback?release=99", 404)
    await text_of(browser, "/services/shop/rollback?release=x", 422)


async def test_without_scripts_the_last_lines_are_there(site: Site, browser: Client) -> None:
    service = await add_service("talker")
    deployment = await add_deployment(service)
    await add_log(
        site.platform,
        f"deployment:{deployment.id}",
        [("build", "stdout", f"line {n}") for n in range(1, 701)],
    )
    text = await text_of(browser, f"/deployments/{deployment.id}")
    numbers = [int(n) for n in re.findall(r'data-seq="(\d+)"', text)]
    assert numbers == list(range(501, 701))
    assert "500 earlier lines are in the whole log" in text
    assert f'data-read="/api/v1/deployments/{deployment.id}/logs"' in text
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
    for path in ("/", "/services/shop", "/admin/plugins"):
        answer = await stranger.get(path, headers=headers, allow_redirects=False)
        assert answer.status == 303
        assert answer.headers["Location"] == f"/auth?next={path}"


async def test_style_and_scripts_are_public_and_kept(site: Site) -> None:
    stranger = await site.client(None)
    page = await (await stranger.get("/auth/local")).text()
    assert "Sign in" in page
    for name in ("style.css", "live.js", "ask.js", "log.js", "ansi.js", "upload.js", "icon.svg"):
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
    first = await browser.get("/account")
    again = await browser.get("/account", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")


async def test_the_quarantine_reason_is_shown(site: Site, browser: Client) -> None:
    site.platform.plugins.quarantine("builder-static", "ImportError: <no> module")
    text = await text_of(browser, "/admin/plugins")
    assert "ImportError: &lt;no&gt; module" in text
    assert "</svg>Quarantined<" in text
    assert ">pages<" in text


def test_times_and_sizes() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    spans = {5: "just now", 59: "59 s ago", 60: "1 min ago", 7199: "1 h ago", 86400: "1 d ago"}
    assert {s: ago(now - timedelta(seconds=s), now) for s in spans} == spans
    assert ago(now - timedelta(days=90), now) == "1 Dec 2025"
    assert until(now + timedelta(days=2, hours=1), now) == "in 2 d"
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


def test_a_line_of_a_runtime_log_names_release_and_instance() -> None:
    assert [(heading(one), instance(one)) for one in ("r3.4f2a", "r3", "build", "r3.nope", "")] == [
        ("r3", "4f2a"), ("r3", ""), ("build", ""), ("r3.nope", ""), ("", ""),
    ]  # fmt: skip


def test_only_the_subject_of_a_message_is_shown() -> None:
    assert first_line("\n  Fix it \n\nlong story") == "Fix it"
    assert first_line("") == ""


async def test_a_shell_is_for_those_who_may_run_commands(site: Site, browser: Client) -> None:
    await add_service("web")
    assert 'href="/services/web/shell"' in await (await browser.get("/services/web")).text()
    team = await ensure_operator_team()
    person = await sign_in("mo")
    await Membership.create(user_id=person.user.id, team_id=team.id, role=Role.MEMBER)
    client = await site.client(person)
    assert "/services/web/shell" not in await (await client.get("/services/web")).text()
    assert (await client.get("/services/web/shell")).status == 403
