"""Rows as deployments leave them behind, so that pages have something to show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from helvetia import Identity
from helvetia.kernel import accounts, environment, events
from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Domain,
    Release,
    Service,
    ServiceStatus,
    Session,
    StageRun,
    StageStatus,
    Trigger,
    User,
    new_id,
    utcnow,
)
from helvetia.kernel.platform import Platform
from helvetia.kernel.secrets import Vault
from helvetia.logs.records import LogRecord
from helvetia.plugins.api import signed_in

STAGES = ("fetch", "detect", "build", "push", "start", "probe", "activate", "drain", "retire")
PROVIDERS = ("git", "kernel", "static", "folder", "process", "kernel", "traefik", "process")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is signed in."""

    user: User
    cookie: str
    csrf: str


class Keys:
    """With what the platform of the running test signs sessions; the fixture `site` sets it."""

    vault: Vault


async def sign_in(name: str, *, subject: str | None = None, may_register: bool = True) -> Person:
    """Make a person and a session; the first one is the operator."""
    identity = Identity(
        subject=subject or name, name=name, may_register=may_register, may_found=True
    )
    user = await accounts.user_for_identity("local", identity)
    given = await signed_in.begin(Keys.vault, user, {})
    session = await Session.get(id=given.session_id)
    return Person(user=user, cookie=given.access, csrf=session.csrf)


async def add_service(
    name: str,
    *,
    status: ServiceStatus = ServiceStatus.ACTIVE,
    reason: str = "",
    source: str = "https://git.example.com/acme/shop.git",
) -> Service:
    """Make a service of the operator's team."""
    team = await accounts.ensure_operator_team()
    return await Service.create(
        team_id=team.id,
        name=name,
        source_url=source,
        source_ref="main",
        status=status,
        status_reason=reason,
    )


async def add_deployment(
    service: Service,
    *,
    status: DeploymentStatus = DeploymentStatus.LIVE,
    message: str = "Show prices with tax",
    sha: str = "9f2c41d07be3a4d1c2b3a4958677685940a1b2c3",
    minutes_ago: float = 5,
    failed: tuple[str, str] | None = None,
    running: str | None = None,
    trigger: Trigger = Trigger.MANUAL,
) -> Deployment:
    """Make a deployment with its stages, and its release if it got live."""
    began = utcnow() - timedelta(minutes=minutes_ago)
    service.deployment_count += 1
    deployment = await Deployment.create(
        service_id=service.id,
        created_at=began,
        number=service.deployment_count,
        trigger=trigger,
        status=status,
        source_url=service.source_url,
        source_ref="main",
        sha=sha,
        message=message,
        author="Anna Muster <anna@example.com>",
        started_at=None if status is DeploymentStatus.QUEUED else began,
        finished_at=began + timedelta(seconds=38.4) if status.is_final else None,
        reason=failed[1] if failed else "",
        reason_code="build-failed" if failed else "",
        receipt={
            "probe_seconds": 0.81,
            "activation_seconds": 0.042,
            "drain_seconds": 0.318,
            "requests": 1204,
            "failed": 0,
        }
        if status is DeploymentStatus.LIVE
        else {},
    )
    if status is not DeploymentStatus.QUEUED:
        await _add_stages(deployment, failed=failed, running=running)
    if status is DeploymentStatus.LIVE:
        service.release_count += 1
        release = await Release.create(
            service_id=service.id,
            created_at=began + timedelta(seconds=20),
            number=service.release_count,
            deployment_id=deployment.id,
            sha=sha,
            message=message,
            artifact={"kind": "directory", "digest": "sha256:" + "ab" * 32, "location": "x"},
            configuration={},
            environment_version=0,
            providers={"registry": "folder", "runtime": "process"},
        )
        await Deployment.filter(id=deployment.id).update(release_id=release.id)
        service.live_release_id = release.id
    await service.save()
    await events.record(
        f"deployment.{status.value.lower()}",
        team_id=service.team_id,
        service_id=service.id,
        deployment_id=deployment.id,
    )
    return deployment


async def _add_stages(
    deployment: Deployment, *, failed: tuple[str, str] | None, running: str | None
) -> None:
    time = deployment.created_at
    status = StageStatus.SUCCEEDED
    for position, name in enumerate(STAGES):
        began = time
        time += timedelta(seconds=(0.9, 0.02, 24.6, 1.1, 0.4, 0.81, 0.042, 0.318, 0.2)[position])
        here = status
        if failed and name == failed[0]:
            here, status = StageStatus.FAILED, StageStatus.PENDING
        if name == running:
            here, status = StageStatus.RUNNING, StageStatus.PENDING
        is_over = here in (StageStatus.SUCCEEDED, StageStatus.FAILED)
        await StageRun.create(
            deployment_id=deployment.id,
            position=position,
            name=name,
            provider="" if here is StageStatus.PENDING else (*PROVIDERS, "process")[position],
            status=here,
            reason=failed[1] if failed and name == failed[0] else "",
            started_at=None if here is StageStatus.PENDING else began,
            finished_at=time if is_over else None,
        )


async def add_log(platform: Platform, log: str, texts: list[tuple[str, str, str]]) -> None:
    """Append lines: stage, stream and text of each."""
    first = await platform.logs.last_seq(log) + 1
    now = utcnow().timestamp()
    records = [
        LogRecord(seq, now, stream, stage, text)
        for seq, (stage, stream, text) in enumerate(texts, first)
    ]
    await platform.logs.append(log, records)


async def furnish(platform: Platform) -> dict[str, str]:
    """Fill an installation with all that can be seen; return ids of deployments by meaning."""
    shop = await add_service("shop")
    await add_deployment(shop, message="Take cards and TWINT", minutes_ago=60 * 24 * 3)
    await add_deployment(shop, minutes_ago=60 * 5, sha="41d07be3a4" + new_id())
    live = await add_deployment(shop, message="Round prices to 5 centimes", minutes_ago=12)
    await Domain.create(service_id=shop.id, hostname="shop.example.com", verified_at=utcnow())
    await environment.change(
        shop, platform.vault, set={"DATABASE_URL": "x" * 8, "STRIPE_KEY": "y" * 8}
    )
    blog = await add_service(
        "blog",
        status=ServiceStatus.FAILED,
        reason="exited with code 1: ModuleNotFoundError: No module named 'markdown'",
    )
    failed = await add_deployment(
        blog,
        status=DeploymentStatus.FAILED,
        message="Move to the new theme",
        minutes_ago=33,
        failed=("build", "npm ci ended with code 1 (see the last lines of the log)"),
        trigger=Trigger.PUSH,
    )
    docs = await add_service("docs", status=ServiceStatus.DEPLOYING)
    await add_deployment(docs, message="Chapter on plugins", minutes_ago=600)
    running = await add_deployment(
        docs,
        status=DeploymentStatus.RUNNING,
        message="Explain the receipt",
        minutes_ago=0.5,
        running="build",
    )
    await add_service("intranet", status=ServiceStatus.STOPPED)
    await add_service("a-new-service-whose-name-is-rather-long", status=ServiceStatus.IDLE)
    npm = [("build", "stdout", f"added package {n} of 80") for n in range(80)]
    for deployment in (live, failed, running):
        await add_log(
            platform,
            f"deployment:{deployment.id}",
            [
                ("fetch", "platform", "git 9f2c41d: Round prices to 5 centimes"),
                ("detect", "platform", "static: package.json with a build script (score 60)"),
                ("build", "platform", "$ npm ci"),
                *npm,
                ("build", "stderr", "npm warn deprecated inflight@1.0.6: leaks memory"),
                ("build", "stdout", "\x1b[32m✓\x1b[39m built in 2.31s"),
            ],
        )
    return {"live": live.id, "failed": failed.id, "running": running.id}
