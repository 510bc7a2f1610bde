"""What is told, once each, and what became of it."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from helvetia import Event
from helvetia.kernel.accounts import ensure_operator_team
from helvetia.kernel.models import (
    Deployment,
    Service,
    ServiceStatus,
    Trigger,
    utcnow,
)
from helvetia.kernel.platform import Platform
from helvetia.plugins.notifications.models import Channel, Message, Trouble
from helvetia.plugins.notifications.notices import put_test
from helvetia.plugins.notifications.sending import Outbox
from helvetia.plugins.notifications.settings import NotificationsSettings
from helvetia.plugins.notifications.watching import Watching

from .conftest import SECRET, MailServer, Receiver, make_channel


def settings(platform: Platform, **values: Any) -> None:
    """Set the section to something else than the environment says."""
    section = platform.section(NotificationsSettings)
    for name, value in {"private_targets": True, **values}.items():
        object.__setattr__(section, name, value)


@pytest.fixture
def watching(platform: Platform) -> Watching:
    settings(platform, disk_percent=100.0)
    return Watching(platform)


async def happened(watching: Watching, kind: str, service: Service, number: int = 0) -> None:
    deployment = None
    if number:
        deployment = await Deployment.create(
            service=service, number=number, trigger=Trigger.MANUAL, source_url=""
        )
    await watching.on_event(
        Event(
            kind=kind,
            time=utcnow(),
            service_id=service.id,
            deployment_id=deployment.id if deployment else None,
            data={"reason": "the build <failed> & ended"},
        )
    )
    await watching.outbox.settled()


def told(receiver: Receiver) -> list[tuple[str, str]]:
    found = [json.loads(body) for body, _ in receiver.got]
    return [(one["state"], one["title"]) for one in found]


async def test_a_failed_deployment_is_told_once_and_then_its_recovery(
    platform: Platform, service: Service, watching: Watching, receiver: Receiver
) -> None:
    await make_channel(platform, service.team_id, receiver.url)
    await happened(watching, "deployment.live", service, 1)
    assert receiver.got == [], "nothing was wrong"
    await happened(watching, "deployment.failed", service, 2)
    await happened(watching, "deployment.failed", service, 3)
    await happened(watching, "deployment.live", service, 4)
    await happened(watching, "deployment.live", service, 5)
    assert told(receiver) == [
        ("trouble", "Deployment 2 of web failed"),
        ("recovered", "web is deployed again"),
    ]
    body, headers = receiver.got[0]
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Helvetia-Signature-256"] == f"sha256={signature}"
    content = json.loads(body)
    assert content["id"] == headers["X-Helvetia-Delivery"]
    assert (content["topic"], content["service"]) == ("deployment", "web")
    assert content["text"] == "the build <failed> & ended"
    assert {one.status for one in await Message.all()} == {"sent"}


async def test_a_crash_loop_is_told_once_and_then_its_end(
    platform: Platform, service: Service, watching: Watching, receiver: Receiver
) -> None:
    await make_channel(platform, service.team_id, receiver.url)
    mine = Service.filter(id=service.id)
    await mine.update(status=ServiceStatus.FAILED, status_reason="it was never deployed")
    await watching.tidy()
    await mine.update(live_release_id="r", status_reason="crash loop: exited with code 1")
    for _ in range(3):
        await watching.tidy()
    await mine.update(status=ServiceStatus.ACTIVE)
    for _ in range(2):
        await watching.tidy()
    await watching.outbox.settled()
    assert sorted(told(receiver)) == [
        ("recovered", "web is up again"),
        ("trouble", "web does not stay up"),
    ]


async def test_filters_and_other_teams(
    platform: Platform, service: Service, watching: Watching, receiver: Receiver
) -> None:
    for more in ({"topics": ["disk"]}, {"services": ["another"]}):
        await make_channel(platform, service.team_id, receiver.url, **more)
    await make_channel(platform, "another-team", receiver.url)
    await happened(watching, "deployment.failed", service, 1)
    assert receiver.got == []
    assert await Trouble.all().count() == 1
    await make_channel(platform, service.team_id, receiver.url, services=[service.id])
    await happened(watching, "deployment.live", service, 2)
    assert told(receiver) == [("recovered", "web is deployed again")]
    await happened(watching, "deployment.failed", service, 3)
    await happened(watching, "service.deleted", service)
    assert await Trouble.all().count() == 0


async def test_a_full_disk_is_told_to_operators(
    platform: Platform, service: Service, receiver: Receiver
) -> None:
    settings(platform, disk_percent=0.001)
    team = await ensure_operator_team()
    await make_channel(platform, team.id, receiver.url)
    watching = Watching(platform)
    for _ in range(2):
        await watching.tidy()
    settings(platform, disk_percent=100.0)
    await watching.tidy()
    await watching.outbox.settled()
    assert sorted(told(receiver)) == [
        ("recovered", "The disk has room again"),
        ("trouble", "The disk of the platform is low"),
    ]


async def test_the_forms_of_chats(
    platform: Platform, service: Service, watching: Watching, receiver: Receiver
) -> None:
    for kind in ("slack", "discord"):
        await make_channel(platform, service.team_id, receiver.url, kind=kind)
    await happened(watching, "deployment.failed", service, 1)
    bodies = [json.loads(body) for body, _ in receiver.got]
    [slack] = [body for body in bodies if "text" in body]
    [discord] = [body for body in bodies if "embeds" in body]
    assert slack["text"] == ("✗ *Deployment 1 of web failed*\nthe build &lt;failed&gt; &amp; ended")
    assert discord["allowed_mentions"] == {"parse": []}
    assert discord["embeds"][0]["title"] == "✗ Deployment 1 of web failed"


async def test_e_mail(
    platform: Platform, service: Service, watching: Watching, mail_server: MailServer
) -> None:
    await make_channel(platform, service.team_id, "ann@example.com", kind="email")
    await happened(watching, "deployment.failed", service, 1)
    [message] = await Message.all()
    assert "no mail server is set" in message.problem
    settings(
        platform,
        smtp_host="127.0.0.1",
        smtp_port=mail_server.port,
        smtp_security="none",
        smtp_from="helvetia@example.com",
    )
    mail_server.refuses = True
    await try_again(watching.outbox)
    [message] = await Message.all()
    assert message.problem == "the mail server does not take mail for this address"
    mail_server.refuses = False
    await try_again(watching.outbox)
    [mail] = mail_server.mails
    assert mail["Subject"] == "✗ Deployment 1 of web failed"
    assert (mail["To"], mail["From"]) == ("ann@example.com", "helvetia@example.com")
    assert "the build <failed> & ended" in mail.get_content()
    assert (await Message.get()).status == "sent"


async def try_again(outbox: Outbox) -> None:
    await Message.all().update(due_at=utcnow() - timedelta(seconds=1))
    outbox.wake()
    await outbox.settled()


async def test_what_is_not_taken_is_sent_again_for_a_day(
    platform: Platform, service: Service, watching: Watching, receiver: Receiver
) -> None:
    receiver.statuses = [500, 302]
    await put_test(await make_channel(platform, service.team_id, receiver.url))
    watching.outbox.wake()
    await watching.outbox.settled()
    [message] = await Message.all()
    assert (message.status, message.attempts) == ("waiting", 1)
    assert message.problem == "the other side answers 500"
    assert message.due_at > utcnow() + timedelta(seconds=5)
    watching.outbox.wake()
    await watching.outbox.settled()
    assert len(receiver.got) == 1, "not before it is due"
    await try_again(watching.outbox)
    assert (await Message.get()).problem == "the other side answers 302"
    await try_again(watching.outbox)
    assert (await Message.get()).status == "sent"
    assert len({headers["X-Helvetia-Delivery"] for _, headers in receiver.got}) == 1
    receiver.statuses = [500]
    await Message.all().update(status="waiting", created_at=utcnow() - timedelta(hours=25))
    await try_again(watching.outbox)
    assert (await Message.get()).status == "failed"
    await Message.all().update(created_at=utcnow() - timedelta(days=8))
    await watching.outbox.forget_old()
    assert await Message.all().count() == 0


async def test_what_a_killed_process_had_claimed_is_sent_by_the_next(
    platform: Platform, service: Service, watching: Watching, receiver: Receiver
) -> None:
    await put_test(await make_channel(platform, service.team_id, receiver.url))
    await Message.all().update(claimed_until=utcnow() + timedelta(minutes=1), attempts=1)
    watching.outbox.wake()
    await watching.outbox.settled()
    assert receiver.got == []
    await Message.all().update(claimed_until=utcnow() - timedelta(seconds=1))
    both = [watching.outbox, Outbox(platform)]
    for outbox in both:
        outbox.wake()
    for outbox in both:
        await outbox.settled()
    assert len(receiver.got) == 1
    assert (await Message.get()).status == "sent"


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:{port}/hook", "http://[::1]:{port}/hook", "http://localhost:{port}/hook",
     "http://2130706433:{port}/hook", "http://169.254.169.254/latest"],
)  # fmt: skip
async def test_private_addresses_are_asked_only_if_the_operator_says_so(
    platform: Platform, service: Service, receiver: Receiver, target: str
) -> None:
    settings(platform, private_targets=False)
    port = receiver.url.split(":")[2].split("/")[0]
    await put_test(await make_channel(platform, service.team_id, target.format(port=port)))
    outbox = Outbox(platform)
    outbox.wake()
    await outbox.settled()
    assert receiver.got == []
    assert (await Message.get()).problem in (
        "the host is not on the public network",
        "the other side cannot be reached",
        "the other side cannot be used: InvalidUrlClientError",
    )


async def test_targets_are_sealed(platform: Platform, service: Service) -> None:
    url = "https://hooks.example.com/services/T0/B0/very-secret"
    await make_channel(platform, service.team_id, url)
    [row] = await Channel.all().values()
    assert "very-secret" not in json.dumps(row, default=str)
    assert SECRET not in json.dumps(row, default=str)


def test_no_line_of_a_title_becomes_a_header() -> None:
    from helvetia.plugins.notifications import forms

    content = {
        "title": "web\r\nBcc: everybody@example.com", "text": "", "state": "trouble",
        "time": utcnow().isoformat(), "service": None, "deployment": None,
    }  # fmt: skip
    made = forms.mail(content, sender="a@example.com", receiver="b@example.com")
    assert made["Bcc"] is None
    assert "\n" not in made["Subject"]
