"""What a platform has after some weeks, beside services and deployments, for pages to show."""

from __future__ import annotations

import json
import math
import time
from datetime import timedelta

from helvetia.kernel import environment
from helvetia.kernel.accounts import ensure_operator_team
from helvetia.kernel.models import (
    Delivery,
    Instance,
    InstanceStatus,
    Membership,
    Role,
    Service,
    Session,
    Token,
    User,
    Worker,
    utcnow,
)
from helvetia.kernel.platform import Platform
from helvetia.plugins.api import invitations, shared
from helvetia.plugins.metrics import rings
from helvetia.plugins.metrics.points import CPU, FIELDS, MEMORY, RECEIVED, SECONDS, SENT, unknown
from helvetia.plugins.notifications.models import Channel, Message
from helvetia.plugins.previews.models import Preview, PreviewPolicy, PreviewState
from helvetia.plugins.sources.git.credentials import keeping
from helvetia.plugins.sources.git.credentials.shapes import NewCredentials
from helvetia.plugins.webhooks import inbox
from helvetia.plugins.webhooks.models import Webhook
from tests.web.world import add_service, sign_in

_BROWSER = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
)


async def furnish_more(platform: Platform, user: User) -> None:
    """Add something of everything to what `furnish` has made."""
    shop = await Service.get(name="shop")
    await _add_channels()
    await _add_previews(shop)
    await _add_people(user)
    await _add_webhook(shop)
    await _add_measurements()
    await _add_instances(shop)
    await environment.change(shop, platform.vault, set={"LOG_LEVEL": "info"})
    team = await ensure_operator_team()
    await shared.change(
        team, platform.vault, set={"SENTRY_DSN": "x" * 12, "REGION": "zrh1"}, unset=(),
        scopes={"REGION": ("build", "run")}, actor=user.id,
    )  # fmt: skip
    await keeping.give(
        platform, shop, NewCredentials(username="ada", password="a token"), actor=user.id
    )
    keyed = await add_service("keyed", source="git@git.example.com:acme/keyed.git")
    await keeping.give(platform, keyed, NewCredentials(), actor=user.id)
    for name, age in (("web-1", 3), ("web-2", 90)):
        await Worker.create(
            name=name, host="10.0.0.4", version="0.1.0", labels="build region=eu",
            concurrency=4, seen_at=utcnow() - timedelta(seconds=age),
        )  # fmt: skip


async def _add_channels() -> None:
    """Add channels of a team, with messages that went well and badly."""
    team = await ensure_operator_team()
    for name, kind, topics in (
        ("operations", "slack", ["deployment", "crash", "certificate"]),
        ("on call", "webhook", ["deployment"]),
    ):
        channel = await Channel.create(
            id=name.replace(" ", ""), team_id=team.id, name=name, kind=kind, topics=topics,
            target="sealed",
        )  # fmt: skip
        for status, problem in (("sent", ""), ("failed", "the other side answers 404")):
            await Message.create(
                channel_id=channel.id, title="Deployment 4 of shop failed", content={},
                status=status, problem=problem, attempts=1, due_at=utcnow(),
            )  # fmt: skip


async def _add_previews(shop: Service) -> None:
    """Give a service previews, and some of them."""
    await PreviewPolicy.create(service_id=shop.id)
    for number, title in ((41, "Take TWINT"), (42, "A title that is as long as titles get " * 4)):
        made = await add_service(f"pr-{number}-shop")
        await Preview.create(
            parent_id=shop.id, number=number, service_id=made.id, name=made.name,
            state=PreviewState.OPEN, sha="41d07be3a4", title=title, author="ben", branch="twint",
            url=f"https://github.com/acme/shop/pull/{number}",
            expires_at=utcnow() + timedelta(days=5),
        )  # fmt: skip


async def _add_people(user: User) -> None:
    """Add members, an invitation, tokens and sessions."""
    team = await ensure_operator_team()
    for name, role in (("ben", Role.MEMBER), ("chiara", Role.ADMIN)):
        there = await sign_in(name)
        there.user.email = f"{name}@example.com"
        await there.user.save()
        await Membership.create(user_id=there.user.id, team_id=team.id, role=role)
    await invitations.make(team, Role.VIEWER, actor=user.id)
    for name, days in (("ci", 30), ("laptop", None)):
        await Token.create(
            user_id=user.id, name=name, digest=name,
            last_used_at=utcnow() - timedelta(hours=3) if days else None,
            expires_at=utcnow() + timedelta(days=days) if days else None,
        )  # fmt: skip
    own = await Session.filter(user_id=user.id).order_by("created_at").first()
    assert own is not None
    own.browser, own.address = _BROWSER[0], "10.0.0.7"
    await own.save()
    await Session.create(
        user_id=user.id, csrf="x", expires_at=own.expires_at, rotated_at=own.rotated_at,
        last_seen_at=utcnow() - timedelta(days=2), browser=_BROWSER[1], address="2001:db8::7",
    )  # fmt: skip


async def _add_webhook(shop: Service) -> None:
    """Add a webhook, and deliveries with each verdict."""
    await Webhook.create(
        service_id=shop.id, secret="sealed", deploy_digest="x", paths=["shop/*", "!shop/docs/*"]
    )
    body = {"ref": "refs/heads/main", "repository": {"full_name": "acme/shop"}}
    for number, (verdict, reason) in enumerate((
        ("deployed", "push to main"),
        ("ignored", "push to the branch `twint`, and not to `main`"),
        ("refused", "the signature is wrong: is the secret the one that was shown?"),
    )):  # fmt: skip
        kind = inbox.REFUSED if verdict == "refused" else inbox.SOURCE
        await Delivery.create(
            id=f"delivery{number}", source=f"{kind}:{shop.id}", delivery_key=str(number),
            event="push", verdict=verdict, reason=reason, service_id=shop.id,
            headers={"Content-Type": "application/json", "X-GitHub-Event": "push"},
            body=json.dumps(body, indent=2).encode(),
            created_at=utcnow() - timedelta(minutes=14 * (number + 1)),
        )  # fmt: skip


async def _add_measurements() -> None:
    """Measure an hour of some services: one is busy, one calm, one leaks."""
    pending: rings.Pending = {}
    now = int(time.time())
    names = ("shop", "docs", "blog")
    services = [await Service.get(name=name) for name in names]
    for at in range(now - 3600, now, 5):
        phase = (at - now) / 380
        for kind, service in enumerate(services):
            point = unknown()
            load = (1.6 + math.sin(phase) + 0.3 * math.sin(phase * 9), 0.3, 0.1)[kind]
            point[SECONDS], point[CPU] = 5.0, load * 0.6
            leak = (at - now + 3600) * 9000 if kind == 2 else 0
            point[MEMORY] = 9e7 * (kind + 1) + 8e6 * math.sin(phase * 3) + leak
            point[RECEIVED], point[SENT] = 4e4 * load, 3e5 * load
            point[7:11] = [60 * load, 4 * load, 3.0, 1.0 if phase % 4 > 3.5 else 0.0]
            point[len(FIELDS) :] = [30 * load, 22 * load, 8 * load, 3 * load, *[0.0] * 5]
            rings.note(pending, service.id, at, point)
    await rings.write(pending, [service.id for service in services])


async def _add_instances(shop: Service) -> None:
    """Have two instances of the live release, which no runtime knows here."""
    assert shop.live_release_id is not None
    for number in range(2):
        await Instance.create(
            id=f"7f2a4c1d9e0b{number}a3e", service_id=shop.id, release_id=shop.live_release_id,
            runtime="process", status=InstanceStatus.LIVE, host="127.0.0.1", port=20001 + number,
        )  # fmt: skip
