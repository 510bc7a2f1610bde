"""Channels are added, changed, tried and removed on pages, with the API's own functions."""

from __future__ import annotations

from helvetia.kernel.accounts import ensure_operator_team
from helvetia.kernel.models import Membership, Role
from helvetia.plugins.notifications.models import Channel, Message

from .conftest import Client, Site
from .test_actions import post
from .world import Person, add_service, sign_in

PATH = "/team/default/notifications"
TARGET = "https://hooks.example.com/very-secret"


async def test_a_channel_comes_is_tried_changed_and_goes(browser: Client, anna: Person) -> None:
    await add_service("web")
    assert "Nobody is told yet" in await (await browser.get(PATH)).text()
    fields = {"name": "ops", "kind": "webhook", "topic.crash": "1", "services": "web, gone"}
    bad = await post(browser, anna, PATH, **fields, target="ftp://nowhere")
    text = await bad.text()
    assert bad.status == 422
    for kept in ('value="ops"', 'value="ftp://nowhere"', 'value="web, gone"'):
        assert kept in text
    assert 'id="error-target"' in text
    assert text.count(" checked") == 1
    none = await post(browser, anna, PATH, name="ops", kind="slack", target=TARGET)
    assert 'id="error-topics"' in await none.text()

    made = await post(browser, anna, PATH, **{**fields, "services": "web"}, target=TARGET)
    channel = await Channel.get()
    page = f"{PATH}/{channel.id}"
    assert (made.status, made.headers["Location"]) == (303, page)
    texts = [await (await browser.get(page)).text() for _ in range(2)]
    assert ["hvn_" in text for text in texts] == [True, False]
    assert channel.topics == ["crash"]

    assert (await post(browser, anna, f"{page}/test")).headers["Location"] == f"{page}?done=tested"
    assert (await Message.get(channel_id=channel.id)).title in await (
        await browser.get(page)
    ).text()

    before = channel.target
    change = {"name": "night shift", "topic.deployment": "1", "topic.disk": "1", "services": ""}
    assert (await post(browser, anna, page, **change, target="")).status == 303
    await channel.refresh_from_db()
    assert (channel.name, channel.topics, channel.services) == (
        "night shift", ["deployment", "disk"], [],
    )  # fmt: skip
    assert channel.target == before, "no target is the same target"
    refused = await post(browser, anna, page, **change, target="mailto:me")
    assert refused.status == 422
    assert 'value="mailto:me"' in await refused.text()
    assert (await post(browser, anna, page, **change, target=f"{TARGET}-2")).status == 303
    await channel.refresh_from_db()
    assert channel.target != before
    for path in (PATH, page):
        assert "very-secret" not in await (await browser.get(path)).text()

    assert "Remove the channel night shift?" in await (await browser.get(f"{page}/remove")).text()
    assert (await post(browser, anna, f"{page}/remove")).status == 303
    assert not await Channel.exists()
    assert (await browser.get(page)).status == 404


async def test_who_only_looks_changes_nothing(site: Site, browser: Client, anna: Person) -> None:
    form = {"name": "ops", "kind": "slack", "target": TARGET, "topic.crash": "1"}
    await post(browser, anna, PATH, **form)
    channel = await Channel.get()
    vera = await sign_in("vera")
    team = await ensure_operator_team()
    await Membership.create(user_id=vera.user.id, team_id=team.id, role=Role.VIEWER)
    client = await site.client(vera)
    for path in (PATH, f"{PATH}/{channel.id}"):
        answer = await client.get(path)
        assert answer.status == 200
        text = await answer.text()
        assert "ops" in text
        assert f'action="{PATH}' not in text
    for path in ("", f"/{channel.id}", f"/{channel.id}/test", f"/{channel.id}/remove"):
        assert (await post(client, vera, f"{PATH}{path}", **form)).status == 403
    assert (await client.get("/team/elsewhere/notifications")).status == 404
