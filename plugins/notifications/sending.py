"""The outbox: messages are sent in the background, again and again until they are taken.

A message is claimed before it is sent, so a process that is killed leaves it to the next one. It
may come twice then, under the same id. After a day it is given up.
"""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta

import aiohttp
from tortoise.expressions import Q

from helvetia import HelvetiaError, Kernel
from helvetia.kernel.models import utcnow
from helvetia.plugins.background import Background
from helvetia.plugins.networks import NotPublic, guarded_connector

from . import forms, mail
from .models import Channel, Message
from .settings import NotificationsSettings

WAITING, SENT, FAILED = "waiting", "sent", "failed"
_PAUSES = (10, 60, 300, 900, 1800, 3600)
_GIVEN_UP = timedelta(hours=24)
_KEPT = timedelta(days=7)
_CLAIMED = timedelta(seconds=120)
_SECONDS = 20.0
_AT_ONCE = 8
_log = logging.getLogger(__name__)


class _Refused(Exception):
    """The other side did not take a message, with the reason in words."""


class Outbox(Background):
    """Sends what is due, in this process."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__("a notification")
        self._kernel = kernel
        self._settings = kernel.section(NotificationsSettings)

    async def round(self) -> bool:
        """Send what is due, some at once."""
        due = await self._due()
        await asyncio.gather(*map(self._try, due))
        return len(due) == _AT_ONCE

    async def _due(self) -> list[Message]:
        now = utcnow()
        free = Q(claimed_until__isnull=True) | Q(claimed_until__lt=now)
        due = Message.filter(free, status=WAITING, due_at__lte=now)
        return await due.order_by("due_at", "id").limit(_AT_ONCE)

    async def _try(self, message: Message) -> None:
        mine = Message.filter(id=message.id, status=WAITING, attempts=message.attempts)
        # The number of the attempt is the fence: only one process makes it.
        if not await mine.update(claimed_until=utcnow() + _CLAIMED, attempts=message.attempts + 1):
            return
        channel = await Channel.get_or_none(id=message.channel_id)
        if channel is None:
            await Message.filter(id=message.id).delete()
            return
        problem = ""
        try:
            async with asyncio.timeout(_SECONDS + 5):
                await self._send(channel, message)
        except (_Refused, mail.NotSent, HelvetiaError) as error:
            problem = str(error)
        except TimeoutError:
            problem = "no answer in time"
        except Exception as error:
            _log.exception("notification %s", message.id)
            problem = f"{type(error).__name__}"
        await self._settle(message, problem)

    async def _settle(self, made: Message, problem: str) -> None:
        now = utcnow()
        status, due_at = SENT, now
        if problem:
            pause = _PAUSES[min(made.attempts, len(_PAUSES) - 1)]
            due_at = now + timedelta(seconds=pause)
            status = WAITING if due_at - made.created_at < _GIVEN_UP else FAILED
        await Message.filter(id=made.id, attempts=made.attempts + 1).update(
            status=status, problem=problem[:400], due_at=due_at, claimed_until=None
        )

    async def _send(self, channel: Channel, message: Message) -> None:
        target = self._kernel.unseal(channel.target, place=place(channel, "target"))
        if channel.kind == "email":
            await self._send_mail(target, message)
            return
        headers: dict[str, str] = {"Content-Type": "application/json"}
        if channel.kind == "webhook":
            secret = self._kernel.unseal(channel.secret or "", place=place(channel, "secret"))
            body, headers = forms.webhook(message.id, message.content, secret)
        else:
            make = forms.slack if channel.kind == "slack" else forms.discord
            body = json.dumps(make(message.content), ensure_ascii=False).encode()
        await self._post(target, body, headers)

    async def _send_mail(self, target: str, message: Message) -> None:
        if not self._settings.smtp_host or not self._settings.smtp_from:
            raise _Refused("no mail server is set: HELVETIA_NOTIFICATIONS_SMTP_HOST and _SMTP_FROM")
        sender = self._settings.smtp_from
        await mail.send(forms.mail(message.content, sender=sender, receiver=target), self._settings)

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        connector = guarded_connector(allow_private=self._settings.private_targets)
        limit = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            # The environment's proxy would connect in our place, to anywhere.
            async with (
                aiohttp.ClientSession(
                    connector=connector, timeout=limit, trust_env=False
                ) as client,
                client.post(url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                if answer.status >= 300:
                    raise _Refused(f"the other side answers {answer.status}")
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, NotPublic):
                raise _Refused(str(error.os_error)) from error
            raise _Refused("the other side cannot be reached") from error
        except aiohttp.ClientError as error:
            # Its words may have the address in them, which is a secret.
            raise _Refused(f"the other side cannot be used: {type(error).__name__}") from error

    async def forget_old(self) -> None:
        """Drop messages of which nobody wants to know any more."""
        await Message.filter(created_at__lt=utcnow() - _KEPT).delete()


def place(channel: Channel, column: str) -> str:
    """Return the place that a sealed column is bound to."""
    return Channel.sealed_places[column].format(id=channel.id)
