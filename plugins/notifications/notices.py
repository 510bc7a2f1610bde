"""What is told, and that it is told once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tortoise.exceptions import IntegrityError
from tortoise.transactions import in_transaction

from helvetia.kernel.models import utcnow

from .models import Channel, Message, Trouble

DEPLOYMENT, CRASH, DISK, CERTIFICATE = "deployment", "crash", "disk", "certificate"
TOPICS = (DEPLOYMENT, CRASH, DISK, CERTIFICATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that people should know, or its end.

    Attributes:
        topic: one of `TOPICS`.
        subject: what it is about; of one subject a topic is told once until it is over.
        is_over: it was told before and is over now.
    """

    topic: str
    subject: str
    team_id: str
    title: str
    text: str = ""
    is_over: bool = False
    service_id: str | None = None
    service: str | None = None
    deployment: str | None = None

    def content(self) -> dict[str, Any]:
        """Return what a message keeps."""
        state: Literal["recovered", "trouble"] = "recovered" if self.is_over else "trouble"
        return {
            "topic": self.topic,
            "state": state,
            "title": self.title,
            "text": self.text,
            "service": self.service,
            "deployment": self.deployment,
        }


async def announce(notice: Notice) -> bool:
    """Put messages about it into the outbox; False if it was told, or has never been.

    What was told and the messages about it are one transaction: a process that is killed has done
    both or nothing.
    """
    id = f"{notice.topic}:{notice.subject}"
    try:
        async with in_transaction():
            if notice.is_over:
                if not await Trouble.filter(id=id).delete():
                    return False
            else:
                if await Trouble.exists(id=id):
                    return False
                await Trouble.create(
                    id=id, topic=notice.topic, subject=notice.subject, since=utcnow()
                )
            await _put(await _listening(notice), notice.title, notice.content())
    except IntegrityError:
        return False  # another process was faster
    return True


async def forget(topic: str, subject: str) -> None:
    """Take something for over without telling anybody."""
    await Trouble.filter(id=f"{topic}:{subject}").delete()


async def put_test(channel: Channel) -> Message:
    """Put a message into the outbox that says that the channel works."""
    content = {
        "topic": "test",
        "state": "test",
        "title": "Messages of Helvetia arrive here",
        "text": f"Somebody has tried the channel {channel.name}.",
        "service": None,
        "deployment": None,
    }
    [message] = await _put([channel], content["title"] or "", content)
    return message


async def _listening(notice: Notice) -> list[Channel]:
    channels = await Channel.filter(team_id=notice.team_id)
    return [
        one
        for one in channels
        if notice.topic in one.topics
        and (not one.services or notice.service_id is None or notice.service_id in one.services)
    ]


async def _put(channels: Sequence[Channel], title: str, content: dict[str, Any]) -> list[Message]:
    now = utcnow()
    return [
        await Message.create(
            channel_id=channel.id,
            title=title[:200],
            content={**content, "time": now.isoformat()},
            created_at=now,
            due_at=now,
        )
        for channel in channels
    ]
