from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from helvetia.kernel.errors import Conflict, InvalidInput, NotFound
from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Desired,
    Event,
    Instance,
    InstanceStatus,
    Release,
    Service,
    Trigger,
)
from helvetia.kernel.pipeline.queue import DeploymentRequest, cancel, enqueue
from helvetia.plugins.api.services import delete, stop

from .conftest import MakeService


async def make_release(
    service: Service, number: int, status: DeploymentStatus = DeploymentStatus.LIVE
) -> Release:
    release = await Release.create(
        service=service,
        number=number,
        deployment_id=f"d{number}",
        artifact={},
        configuration={},
        environment_version=0,
        providers={},
    )
    await Deployment.create(
        service_id=service.id,
        number=number,
        trigger=Trigger.MANUAL,
        source_url="x",
        status=status,
        release_id=release.id,
    )
    await Service.filter(id=service.id).update(deployment_count=number)
    return release


async def test_newer_deployments_supersede_waiting_ones(make_service: MakeService) -> None:
    service = await make_service()
    for _ in range(3):
        await enqueue(service, DeploymentRequest())
    rows = await Deployment.all().order_by("number")
    assert [row.number for row in rows] == [1, 2, 3]
    superseded, queued = DeploymentStatus.SUPERSEDED, DeploymentStatus.QUEUED
    assert [row.status for row in rows] == [superseded, superseded, queued]
    assert "deployment 3" in rows[1].reason
    assert await Event.filter(kind="deployment.superseded").count() == 2


async def test_a_running_deployment_is_not_superseded(make_service: MakeService) -> None:
    service = await make_service()
    first, _ = await enqueue(service, DeploymentRequest())
    await Deployment.filter(id=first.id).update(status=DeploymentStatus.RUNNING)
    await enqueue(service, DeploymentRequest())
    assert (await Deployment.get(id=first.id)).status is DeploymentStatus.RUNNING


async def test_the_same_key_asks_for_the_same_deployment(make_service: MakeService) -> None:
    service = await make_service()
    request = DeploymentRequest(idempotency_key="k")
    made = await asyncio.gather(*(enqueue(service, request) for _ in range(5)))
    assert len({deployment.id for deployment, _ in made}) == 1
    assert [new for _, new in made].count(True) == 1
    assert (await Service.get(id=service.id)).deployment_count == 1


async def test_numbers_are_without_gaps_under_a_race(make_service: MakeService) -> None:
    service = await make_service()
    await asyncio.gather(*(enqueue(service, DeploymentRequest()) for _ in range(10)))
    numbers = sorted([row.number for row in await Deployment.all()])
    assert numbers == list(range(1, 11))
    assert await Deployment.filter(status=DeploymentStatus.QUEUED).count() == 1


async def test_rollback_takes_the_release_before_the_live_one(make_service: MakeService) -> None:
    service = await make_service()
    releases = [await make_release(service, number) for number in (1, 2, 3)]
    await Service.filter(id=service.id).update(live_release_id=releases[2].id)
    deployment, _ = await enqueue(service, DeploymentRequest(action="rollback"))
    assert deployment.base_release_id == releases[1].id
    assert deployment.trigger is Trigger.ROLLBACK
    assert deployment.reuse_configuration
    named, _ = await enqueue(service, DeploymentRequest(action="rollback", release=1))
    assert named.base_release_id == releases[0].id
    with pytest.raises(NotFound, match="release 9"):
        await enqueue(service, DeploymentRequest(action="rollback", release=9))


async def test_rollback_skips_what_never_was_live(make_service: MakeService) -> None:
    service = await make_service()
    first = await make_release(service, 1)
    await make_release(service, 2, DeploymentStatus.FAILED)
    await make_release(service, 3, DeploymentStatus.CANCELLED)
    live = await make_release(service, 4)
    await Service.filter(id=service.id).update(live_release_id=live.id)
    deployment, _ = await enqueue(service, DeploymentRequest(action="rollback"))
    assert deployment.base_release_id == first.id
    await Deployment.filter(release_id=first.id).update(status=DeploymentStatus.FAILED)
    with pytest.raises(Conflict, match=r"no release of .* was live before release 4"):
        await enqueue(service, DeploymentRequest(action="rollback"))


async def test_what_cannot_be_run_again_is_refused_and_counts_nothing(
    make_service: MakeService,
) -> None:
    service = await make_service()
    with pytest.raises(Conflict, match="no release"):
        await enqueue(service, DeploymentRequest(action="restart"))
    with pytest.raises(Conflict, match="no live release"):
        await enqueue(service, DeploymentRequest(action="rollback"))
    with pytest.raises(InvalidInput, match="ref"):
        await enqueue(service, DeploymentRequest(action="restart", ref="main"))
    assert (await Service.get(id=service.id)).deployment_count == 0


async def test_a_service_being_deleted_takes_no_deployment(make_service: MakeService) -> None:
    service = await make_service(desired=Desired.DELETED)
    with pytest.raises(Conflict, match="being deleted"):
        await enqueue(service, DeploymentRequest())


async def test_deploying_a_stopped_service_wants_it_running(make_service: MakeService) -> None:
    service = await make_service(desired=Desired.STOPPED)
    await enqueue(service, DeploymentRequest())
    assert (await Service.get(id=service.id)).desired is Desired.RUNNING


async def test_cancel(make_service: MakeService) -> None:
    service = await make_service()
    deployment, _ = await enqueue(service, DeploymentRequest())
    await cancel(deployment, actor="me")
    deployment = await Deployment.get(id=deployment.id)
    assert deployment.status is DeploymentStatus.CANCELLED
    with pytest.raises(Conflict, match="over already"):
        await cancel(deployment, actor="me")
    running, _ = await enqueue(service, DeploymentRequest())
    await Deployment.filter(id=running.id).update(status=DeploymentStatus.RUNNING)
    await cancel(running, actor="me")
    assert (await Deployment.get(id=running.id)).cancel_requested
    told = await Event.filter(kind="deployment.cancel-requested")
    assert [event.team_id for event in told] == [service.team_id] * 2


async def test_what_is_live_cannot_be_called_off(make_service: MakeService) -> None:
    """It only waits for the requests that the former version still answers."""
    service = await make_service()
    release = await make_release(service, 1)
    running, _ = await enqueue(service, DeploymentRequest())
    await Deployment.filter(id=running.id).update(status=DeploymentStatus.RUNNING)
    await Instance.create(
        id=running.id, service=service, release=release, runtime="x", status=InstanceStatus.LIVE
    )

    with pytest.raises(Conflict, match="live already"):
        await cancel(running, actor="me")

    assert not (await Deployment.get(id=running.id)).cancel_requested


@pytest.mark.parametrize("wish", [stop, delete])
async def test_a_wish_calls_off_what_was_asked_for_before_it_only(
    make_service: MakeService, wish: Callable[..., Awaitable[None]]
) -> None:
    for number in range(8):
        service = await make_service(f"web-{number}")
        await enqueue(service, DeploymentRequest())

        done = await asyncio.gather(
            wish(service, actor="me"), enqueue(service, DeploymentRequest()), return_exceptions=True
        )

        service = await Service.get(id=service.id)
        newest = await Deployment.filter(service_id=service.id).order_by("-number").first()
        assert newest is not None
        wanted = service.desired is Desired.RUNNING
        assert (newest.status is DeploymentStatus.QUEUED) is wanted, done
