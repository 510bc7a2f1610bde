"""The inbox: each delivery is kept with what was done about it, in one transaction with that."""

from __future__ import annotations

import asyncio
import secrets as randomness
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tortoise.exceptions import DoesNotExist
from tortoise.transactions import in_transaction

from helvetia.kernel import events
from helvetia.kernel.database.rows import fetch
from helvetia.kernel.errors import Conflict, NotFound
from helvetia.kernel.http.problems import BadRequest
from helvetia.kernel.models import Delivery, Service, Trigger
from helvetia.kernel.models.base import new_id
from helvetia.kernel.pipeline.queue import DeploymentRequest, enqueue_all, hold

from . import forges, verdicts
from .models import Webhook
from .reading import read_payload

SOURCE, REFUSED = "webhook", "refused"
"""What `source` of a delivery begins with: what was refused never drives out the rest."""
DEPLOYED, IGNORED = "deployed", "ignored"
_KEPT = {SOURCE: 100, REFUSED: 20}
_PRUNED_EVERY = 16
_AT_ONCE = 64
_GATHER_SECONDS = 0.002


_KNOWN = """
SELECT "id", "delivery_key", "verdict", "reason", "deployment_id" FROM "delivery"
WHERE "source" = ? AND "delivery_key" IN ({})
"""


class Kept(NamedTuple):
    """A delivery that was kept.

    Attributes:
        is_new: one that is sent again changes nothing.
        rings: the deployment to ring for; none where a newer push came in the same moment.
    """

    delivery: Delivery
    is_new: bool
    rings: str | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class _Arrival:
    """A delivery that is believed and can be read, and who waits for what becomes of it."""

    hook: Webhook
    key: str
    event: str
    headers: dict[str, Any]
    body: bytes
    push: forges.Push | None
    request: DeploymentRequest
    kept: asyncio.Future[Kept] = field(default_factory=asyncio.Future)


async def receive(hook: Webhook, headers: Mapping[str, str], body: bytes) -> Kept:
    """Keep a delivery that is signed, and do what it asks for.

    Raises:
        BadRequest: it cannot be read; it is kept as refused.
        NotFound: the service is gone.
    """
    key = forges.delivery_key(headers, body)
    request = DeploymentRequest(trigger=Trigger.PUSH)
    try:
        arrival = await _read(hook, key, forges.kept_headers(headers), body, request)
    except BadRequest as error:
        await refuse(hook.service_id, headers, error.message)
        raise
    return await _lines.keep(arrival)


async def replay(hook: Webhook, old: Delivery, *, actor: str) -> Kept:
    """Do again what a delivery asked for, with the same commit and the rules of now.

    Raises:
        Conflict: its body was not kept, because it was not believed.
    """
    if not old.source.startswith(f"{SOURCE}:"):
        raise Conflict("a delivery that was refused cannot be replayed, its body was not kept")
    headers = {**old.headers, "Replay-Of": old.id}
    again = DeploymentRequest(trigger=Trigger.REDELIVERY, actor=actor)
    return await _lines.keep(
        await _read(hook, f"replay:{new_id()}", headers, bytes(old.body), again)
    )


async def refuse(service_id: str, headers: Mapping[str, str], reason: str) -> None:
    """Keep that a delivery was not believed; its body may be anybody's and is not kept."""
    await Delivery.create(
        source=f"{REFUSED}:{service_id}",
        delivery_key=new_id(),
        event=forges.event_name(headers),
        headers=forges.kept_headers(headers),
        body=b"",
        verdict=REFUSED,
        reason=reason,
        service_id=service_id,
    )
    await _prune(REFUSED, service_id)


async def _read(
    hook: Webhook, key: str, headers: dict[str, Any], body: bytes, request: DeploymentRequest
) -> _Arrival:
    event = forges.event_name(headers)
    payload = await read_payload(headers, body)
    push = forges.read_push(payload) if event == "push" else None
    return _Arrival(
        hook=hook, key=key, event=event, headers=headers, body=body, push=push, request=request
    )


class _Lines:
    """Those that arrive for one service meanwhile are kept together, in the next transaction.

    Each needs the lock of its service: one by one they would wait for each other's transactions.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[_Arrival]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def keep(self, arrival: _Arrival) -> Kept:
        """Wait for one's turn; return when it is committed."""
        service_id = arrival.hook.service_id
        if service_id in self._waiting:
            self._waiting[service_id].append(arrival)
        else:
            self._waiting[service_id] = [arrival]
            task = asyncio.create_task(self._serve(service_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await arrival.kept

    async def _serve(self, service_id: str) -> None:
        line = self._waiting[service_id]
        try:
            while line:
                together = line[:_AT_ONCE]
                del line[:_AT_ONCE]
                await self._try(service_id, together)
                if len(together) > 1:
                    # More are on their way, and to keep each costs as much as to keep them all.
                    await asyncio.sleep(_GATHER_SECONDS)
        finally:
            del self._waiting[service_id]
            for arrival in line:
                arrival.kept.cancel()

    async def _try(self, service_id: str, together: Sequence[_Arrival]) -> None:
        try:
            kept = await _keep(service_id, together)
        except Exception as error:
            if len(together) > 1:
                # One may be at fault: the others do not suffer for it.
                for arrival in together:
                    await self._try(service_id, [arrival])
            elif not together[0].kept.done():
                together[0].kept.set_exception(error)
            return
        for arrival, result in zip(together, kept, strict=True):
            # Whoever went away meanwhile finds it kept.
            if not arrival.kept.done():
                arrival.kept.set_result(result)


_lines = _Lines()


async def _keep(service_id: str, together: Sequence[_Arrival]) -> list[Kept]:
    async with in_transaction():
        try:
            service = await hold(service_id)
        except DoesNotExist:
            raise NotFound("there is no such hook") from None
        known = await _known(service_id, [arrival.key for arrival in together])
        new: list[Delivery] = []
        wanted: list[tuple[Delivery, DeploymentRequest]] = []
        kept: list[Kept] = []
        for arrival in together:
            is_new = arrival.key not in known
            if is_new:
                verdict = _judge(arrival, service)
                delivery = known[arrival.key] = _delivery(arrival, verdict.reason)
                new.append(delivery)
                if verdict.sha is not None:
                    wanted.append((delivery, replace(arrival.request, ref=verdict.sha)))
            kept.append(Kept(known[arrival.key], is_new))
        deployments = await enqueue_all(service, [request for _, request in wanted])
        for (delivery, _), deployment in zip(wanted, deployments, strict=True):
            delivery.verdict, delivery.deployment_id = DEPLOYED, deployment.id
        if new:
            await Delivery.bulk_create(new)
        await _tell(service, [one for one in new if one.verdict == verdicts.RECEIVED])
        await _learn(service, together)
        await _prune(SOURCE, service_id)
    last = deployments[-1].id if deployments else None
    return [
        one._replace(rings=last) if one.is_new and one.delivery.deployment_id == last else one
        for one in kept
    ]


def _judge(arrival: _Arrival, service: Service) -> verdicts.Verdict:
    if arrival.event == "ping":
        return verdicts.Verdict(reason="the hook works")
    if arrival.event in verdicts.LISTENED:
        return verdicts.Verdict(reason="it is looked at in a moment")
    if arrival.push is None:
        return verdicts.Verdict(reason=f"the event `{arrival.event}` starts nothing")
    hook = arrival.hook
    return verdicts.judge(arrival.push, service, paths=hook.paths, repository_id=hook.repository_id)


def _delivery(arrival: _Arrival, reason: str) -> Delivery:
    service_id = arrival.hook.service_id
    return Delivery(
        source=f"{SOURCE}:{service_id}",
        delivery_key=arrival.key,
        event=arrival.event,
        headers=arrival.headers,
        body=arrival.body,
        verdict=verdicts.RECEIVED if arrival.event in verdicts.LISTENED else IGNORED,
        reason=reason,
        service_id=service_id,
    )


async def _tell(service: Service, received: Iterable[Delivery]) -> None:
    """Tell the plugins that listen of what they are to look at."""
    for delivery in received:
        await events.record(
            "webhook.received",
            team_id=service.team_id,
            service_id=service.id,
            event=delivery.event,
            delivery=delivery.id,
        )


async def _learn(service: Service, together: Iterable[_Arrival]) -> None:
    """Note the host's number of the repository, by which it is known under another name too."""
    for arrival in together:
        push, hook = arrival.push, arrival.hook
        if push is not None and push.repository_id not in ("", hook.repository_id) \
                and verdicts.is_named(push, service.source_url):  # fmt: skip
            await Webhook.filter(id=hook.id).update(repository_id=push.repository_id)
            return


async def _known(service_id: str, keys: Sequence[str]) -> dict[str, Delivery]:
    """Return by key deliveries that came before, without their bodies, which may be large."""
    places = ", ".join("?" for _ in keys)
    rows = await fetch(_KNOWN.format(places), f"{SOURCE}:{service_id}", *keys)
    return {row["delivery_key"]: Delivery(**row) for row in rows}


async def _prune(kind: str, service_id: str) -> None:
    """Now and then, drop the oldest deliveries over what is kept."""
    if randomness.randbelow(_PRUNED_EVERY):
        return
    rows = Delivery.filter(source=f"{kind}:{service_id}").order_by("-created_at", "-id")
    ids = await rows.offset(_KEPT[kind]).limit(1000).values_list("id", flat=True)
    await Delivery.filter(id__in=list(ids)).delete()
