"""Notices what people should know: from the journal, and by looking once a minute."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from datetime import datetime

from helvetia import Event, EventListener
from helvetia.kernel.accounts import ensure_operator_team
from helvetia.kernel.models import Deployment, Domain, Service, ServiceStatus, utcnow
from helvetia.kernel.platform import Platform

from .certificates import end_of
from .models import Channel, Message, Trouble
from .notices import CERTIFICATE, CRASH, DEPLOYMENT, DISK, Notice, announce, forget
from .sending import Outbox
from .settings import NotificationsSettings

_CERTIFICATES_SECONDS = 6 * 3600.0
_DISK_MARGIN = 3.0
_log = logging.getLogger(__name__)


class Watching(EventListener):
    """Puts messages into the outbox, and sees to it that they are sent."""

    name = "notifications"

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._settings = platform.section(NotificationsSettings)
        self.outbox = Outbox(platform)
        self._certificates_at = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def on_event(self, event: Event) -> None:
        """Hear of deployments that failed or went well, of what goes, and of tests."""
        if event.kind == "team.deleted":
            await Channel.filter(team_id=event.data["team"]).delete()
        if event.service_id is not None:
            if event.kind == "deployment.failed":
                await self._failed(event)
            elif event.kind == "deployment.live":
                await self._live(event)
            elif event.kind == "service.deleted":
                await self._forget(event.service_id)
        self.outbox.wake()

    async def tidy(self) -> None:
        """Look at what the journal does not tell."""
        await self._look_for_crashes()
        await self._look_at_disk()
        now = time.monotonic()
        if now >= self._certificates_at:
            self._certificates_at = now + _CERTIFICATES_SECONDS
            # It asks the proxy for each hostname, which takes longer than a listener may.
            self._looking = asyncio.create_task(self._look_at_certificates())
        await self.outbox.forget_old()
        self.outbox.wake()

    # --- deployments ----------------------------------------------------------------------------

    async def _failed(self, event: Event) -> None:
        service = await Service.get_or_none(id=event.service_id)
        deployment = await Deployment.get_or_none(id=event.deployment_id or "")
        if service is None or deployment is None:
            return
        await announce(
            Notice(
                topic=DEPLOYMENT,
                subject=service.id,
                team_id=service.team_id,
                title=f"Deployment {deployment.number} of {service.name} failed",
                text=event.data.get("reason", ""),
                service_id=service.id,
                service=service.name,
                deployment=deployment.id,
            )
        )

    async def _live(self, event: Event) -> None:
        service = await Service.get_or_none(id=event.service_id)
        deployment = await Deployment.get_or_none(id=event.deployment_id or "")
        if service is None or deployment is None:
            return
        await announce(
            Notice(
                topic=DEPLOYMENT,
                subject=service.id,
                team_id=service.team_id,
                title=f"{service.name} is deployed again",
                text=f"Deployment {deployment.number} is live.",
                is_over=True,
                service_id=service.id,
                service=service.name,
                deployment=deployment.id,
            )
        )

    async def _forget(self, service_id: str) -> None:
        for topic in (DEPLOYMENT, CRASH):
            await forget(topic, service_id)

    # --- services that do not stay up -------------------------------------------------------------

    async def _look_for_crashes(self) -> None:
        known = set(await _subjects(CRASH))
        broken = await Service.filter(status=ServiceStatus.FAILED, live_release_id__not_isnull=True)
        for service in broken:
            await announce(
                _crash(service, f"{service.name} does not stay up", service.status_reason)
            )
        for service in await Service.filter(id__in=known - {one.id for one in broken}):
            if service.status is ServiceStatus.ACTIVE:
                await announce(_crash(service, f"{service.name} is up again", "", is_over=True))
            elif service.status is ServiceStatus.STOPPED:
                await forget(CRASH, service.id)

    # --- the installation -------------------------------------------------------------------------

    async def _look_at_disk(self) -> None:
        usage = await asyncio.to_thread(shutil.disk_usage, self._platform.home)
        full = 100 * (usage.total - usage.free) / usage.total
        limit = self._settings.disk_percent
        is_low = full >= limit
        # A disk at the limit would be told of again and again.
        if not is_low and full > limit - _DISK_MARGIN:
            return
        free = f"{usage.free / 2**30:.1f} GiB of {usage.total / 2**30:.1f} GiB are free"
        title = "The disk of the platform is low" if is_low else "The disk has room again"
        if is_low or await Trouble.exists(topic=DISK):
            team = await ensure_operator_team()
            await announce(
                Notice(
                    topic=DISK,
                    subject="home",
                    team_id=team.id,
                    title=title,
                    text=f"{free}.",
                    is_over=not is_low,
                )
            )

    async def _look_at_certificates(self) -> None:
        try:
            await self.look_at_certificates()
        except Exception as error:
            _log.warning("certificates were not looked at: %s", error)

    async def look_at_certificates(self) -> None:
        """Tell of certificates that end soon, and of those that were replaced."""
        router = self._platform.providers.routers.preferred()
        if router is None:
            return
        hostnames: dict[str, Service | None] = {}
        active = Service.filter(status=ServiceStatus.ACTIVE)
        if (first := await active.order_by("name").first()) is not None:
            # All services below the base domain are shown the same one, or are told of alike.
            hostnames[f"{first.name}.{self._platform.domain}"] = None
        for domain in await Domain.filter(verified_at__not_isnull=True).select_related("service"):
            hostnames[domain.hostname] = domain.service
        for hostname, service in hostnames.items():
            url = router.provider.url(hostname)
            end = await end_of(url, self._platform.edge[0])
            if end is not None:
                await self._tell_certificate(hostname, service, end)

    async def _tell_certificate(
        self, hostname: str, service: Service | None, end: datetime
    ) -> None:
        days = (end - utcnow()).total_seconds() / 86400
        is_over = days > self._settings.certificate_days
        subject = hostname if service else f"*.{self._platform.domain}"
        if is_over and f"{subject}" not in await _subjects(CERTIFICATE):
            return
        team_id = service.team_id if service else (await ensure_operator_team()).id
        when = "has ended" if days < 0 else f"ends in {days:.0f} days"
        await announce(
            Notice(
                topic=CERTIFICATE,
                subject=subject,
                team_id=team_id,
                title=f"The certificate of {hostname} " + ("was renewed" if is_over else when),
                text=f"It is good until {end:%Y-%m-%d %H:%M} UTC.",
                is_over=is_over,
                service_id=service.id if service else None,
                service=service.name if service else None,
            )
        )


def _crash(service: Service, title: str, text: str, *, is_over: bool = False) -> Notice:
    return Notice(
        topic=CRASH,
        subject=service.id,
        team_id=service.team_id,
        title=title,
        text=text,
        is_over=is_over,
        service_id=service.id,
        service=service.name,
    )


async def _subjects(topic: str) -> list[str]:
    rows = await Trouble.filter(topic=topic).values_list("subject")
    return [str(subject) for (subject,) in rows]


async def forget_channel(channel: Channel) -> None:
    """Remove a channel and what was to be sent to it."""
    await Message.filter(channel_id=channel.id).delete()
    await channel.delete()
