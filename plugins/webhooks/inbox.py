"""The inbox: each delivery is kept with what was done about it, in one transaction with that."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tortoise.exceptions import DoesNotExist
from tortoise.transactions import in_transaction

from helvetia.kernel import events
from helvetia.kernel.database.rows import fetch, insert
from helvetia.kernel.errors import Conflict, NotFound
from helvetia.kernel.events import ORIGIN, Origin
from helvetia.kernel.http.problems import BadRequest
from helvetia.kernel.models import Delivery, Service, Trigger
from helvetia.kernel.models.base import new_id
from helvetia.kernel.pipeline.queue import DeploymentRequest, enqueue_all, hold
from helvetia.plugins.together import Together

from . import forges, verdicts
from .hooks import Changed, hook_of
from .models import Webhook
from .reading import read_payload

SOURCE, REFUSED = "webhook", "refused"
"""What `source` of a delivery begins with: what was refused never drives out the rest."""
DEPLOYED, IGNORED = "deployed", "ignored"
_KEPT = {SOURCE: 100, REFUSED: 20}
_PRUNED_EVERY = 16
_GATHER_SECONDS = 0.002
_BEFORE = """
SELECT h."id" AS "hook", h."secret", CAST(h."paths" AS TEXT) AS "paths", h."repository_id",
  d."id" AS "delivery", d."delivery_key", d."verdict", d."reason", d."deployment_id"
FROM "service" s LEFT JOIN "webhook" h ON h."service_id" = s."id"
LEFT JOIN "delivery" d ON d."source" = ? AND d."delivery_key" IN ({})
WHERE s."id" = ?
"""
_NOW = 'SELECT "secret" FROM "webhook" WHERE "service_id" = ?'
_PRUNE = """
DELETE FROM "delivery" WHERE "id" IN (
  SELECT "id" FROM "delivery" WHERE "source" = ?
  ORDER BY "created_at" DESC, "id" DESC LIMIT 1000 OFFSET ?
)
"""


class Kept(NamedTuple):
    """A delivery that was kept.

    Attributes:
        is_new: one that is sent again changes nothing.
        rings: the deployment to ring for; none where a newer push came in the same moment.
    """

    id: str
    verdict: str
    reason: str
    deployment_id: str | None = None
    is_new: bool = True
    rings: str | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class _Arrival:
    """A delivery that can be read, and is believed if the hook still is the one it came to."""

    hook: Webhook
    is_remembered: bool
    key: str
    event: str
    headers: dict[str, Any]
    body: bytes
    push: forges.Push | None
    trigger: Trigger
    actor: str
    origin: Origin


async def receive(
    hook: Webhook, headers: Mapping[str, str], body: bytes, *, is_remembered: bool = False
) -> Kept:
    """Keep a delivery that is signed, and do what it asks for.

    Args:
        hook: what it came to.
        headers: of the request.
        body: as it came.
        is_remembered: the hook was not read just now: it is compared with what it is by then.

    Raises:
        BadRequest: it cannot be read; it is kept as refused.
        Changed: it is not the hook that was remembered.
        NotFound: the service is gone.
    """
    key, kept = forges.delivery_key(headers, body), forges.kept_headers(headers)
    try:
        arrival = await _read(hook, key, kept, body, is_remembered=is_remembered)
    except BadRequest as error:
        await refuse(hook, headers, error.message, is_remembered=is_remembered)
        raise
    return await _arrivals.do(hook.service_id, arrival)


async def replay(hook: Webhook, old: Delivery, *, actor: str) -> Kept:
    """Do again what a delivery asked for, with the same commit and the rules of now.

    Raises:
        Conflict: its body was not kept, because it was not believed.
    """
    if not old.source.startswith(f"{SOURCE}:"):
        raise Conflict("a delivery that was refused cannot be replayed, its body was not kept")
    headers = {**old.headers, "Replay-Of": old.id}
    key, again = f"replay:{new_id()}", Trigger.REDELIVERY
    arrival = await _read(hook, key, headers, bytes(old.body), trigger=again, actor=actor)
    return await _arrivals.do(hook.service_id, arrival)


async def refuse(
    hook: Webhook, headers: Mapping[str, str], reason: str, *, is_remembered: bool = False
) -> None:
    """Keep that a delivery was not believed; its body may be anybody's and is not kept.

    Raises:
        Changed: it is not the hook that was remembered.
    """
    row = {
        "source": f"{REFUSED}:{hook.service_id}",
        "delivery_key": new_id(),
        "event": forges.event_name(headers),
        "headers": forges.kept_headers(headers),
        "body": b"",
        "verdict": REFUSED,
        "reason": reason,
        "service_id": hook.service_id,
    }
    await _refusals.do(hook.service_id, (hook.secret if is_remembered else None, row))


async def _read(
    hook: Webhook,
    key: str,
    headers: dict[str, Any],
    body: bytes,
    *,
    is_remembered: bool = False,
    trigger: Trigger = Trigger.PUSH,
    actor: str = "",
) -> _Arrival:
    event = forges.event_name(headers)
    payload = await read_payload(headers, body)
    return _Arrival(
        hook=hook,
        is_remembered=is_remembered,
        key=key,
        event=event,
        headers=headers,
        body=body,
        push=forges.read_push(payload) if event == "push" else None,
        trigger=trigger,
        actor=actor,
        origin=ORIGIN.get(Origin()),
    )


async def _keep(service_id: str, together: Sequence[_Arrival]) -> list[Kept | Exception]:
    async with in_transaction():
        try:
            service = await hold(service_id)
        except DoesNotExist:
            raise NotFound("there is no such hook") from None
        hook, known = await _before(service_id, [arrival.key for arrival in together])
        new: list[dict[str, Any]] = []
        wanted: list[tuple[dict[str, Any], DeploymentRequest]] = []
        found: list[tuple[dict[str, Any], bool] | None] = []
        for arrival in together:
            if arrival.is_remembered and (hook is None or hook.secret != arrival.hook.secret):
                found.append(None)
                continue
            is_new = arrival.key not in known
            if is_new:
                verdict = _judge(arrival, service, hook or arrival.hook)
                row = known[arrival.key] = _row(arrival, verdict.reason)
                new.append(row)
                if verdict.sha is not None:
                    wanted.append((row, _request(arrival, verdict.sha)))
            found.append((known[arrival.key], is_new))
        ids = await enqueue_all(service, [request for _, request in wanted])
        for (row, _), id in zip(wanted, ids, strict=True):
            row |= {"verdict": DEPLOYED, "deployment_id": id}
        await insert(Delivery, new)
        await _tell(service, [row for row in new if row["verdict"] == verdicts.RECEIVED])
        await _learn(service, hook, together)
        await _prune(SOURCE, service_id)
    last = ids[-1] if ids else None
    return [Changed() if one is None else _told(*one, last) for one in found]


def _told(row: Mapping[str, Any], is_new: bool, last: str | None) -> Kept:
    id = row["deployment_id"]
    rings = id if is_new and id == last else None
    return Kept(row["id"], row["verdict"], row["reason"], id, is_new, rings)


def _judge(arrival: _Arrival, service: Service, hook: Webhook) -> verdicts.Verdict:
    if arrival.event == "ping":
        return verdicts.Verdict(reason="the hook works")
    if arrival.event in verdicts.LISTENED:
        return verdicts.Verdict(reason="it is looked at in a moment")
    if arrival.push is None:
        return verdicts.Verdict(reason=f"the event `{arrival.event}` starts nothing")
    return verdicts.judge(arrival.push, service, paths=hook.paths, repository_id=hook.repository_id)


def _request(arrival: _Arrival, sha: str) -> DeploymentRequest:
    return DeploymentRequest(
        trigger=arrival.trigger, ref=sha, actor=arrival.actor, origin=arrival.origin
    )


def _row(arrival: _Arrival, reason: str) -> dict[str, Any]:
    service_id = arrival.hook.service_id
    return {
        "id": new_id(),
        "source": f"{SOURCE}:{service_id}",
        "delivery_key": arrival.key,
        "event": arrival.event,
        "headers": arrival.headers,
        "body": arrival.body,
        "verdict": verdicts.RECEIVED if arrival.event in verdicts.LISTENED else IGNORED,
        "reason": reason,
        "service_id": service_id,
        "deployment_id": None,
    }


async def _tell(service: Service, received: Iterable[Mapping[str, Any]]) -> None:
    """Tell the plugins that listen of what they are to look at."""
    for row in received:
        await events.record(
            "webhook.received",
            team_id=service.team_id,
            service_id=service.id,
            event=row["event"],
            delivery=row["id"],
        )


async def _learn(service: Service, hook: Webhook | None, together: Iterable[_Arrival]) -> None:
    """Note the host's number of the repository, by which it is known under another name too."""
    for push in (arrival.push for arrival in together):
        if hook is not None and push is not None \
                and push.repository_id not in ("", hook.repository_id) \
                and verdicts.is_named(push, service.source_url):  # fmt: skip
            await Webhook.filter(id=hook.id).update(repository_id=push.repository_id)
            return


async def _before(
    service_id: str, keys: Sequence[str]
) -> tuple[Webhook | None, dict[str, dict[str, Any]]]:
    """Return the hook as it is now, and by key deliveries that came before, without bodies."""
    # Few lengths of the list, so that the database knows the question already.
    length = 1 << (len(keys) - 1).bit_length()
    places = ", ".join("?" * length)
    padded = [*keys, *[keys[-1]] * (length - len(keys))]
    source = f"{SOURCE}:{service_id}"
    rows = await fetch(_BEFORE.format(places), source, *padded, service_id)
    first = {"id": rows[0]["hook"], "service_id": service_id, **rows[0]}
    hook = hook_of(first) if first["id"] else None
    told = ("verdict", "reason", "deployment_id")
    known = {
        row["delivery_key"]: {"id": row["delivery"], **{name: row[name] for name in told}}
        for row in rows if row["delivery"]
    }  # fmt: skip
    return hook, known


async def _keep_refused(
    service_id: str, together: Sequence[tuple[str | None, dict[str, Any]]]
) -> list[Exception | None]:
    async with in_transaction():
        secrets = {None, *(row["secret"] for row in await fetch(_NOW, service_id))}
        await insert(Delivery, [row for secret, row in together if secret in secrets])
        await _prune(REFUSED, service_id)
    return [None if secret in secrets else Changed() for secret, _ in together]


async def _prune(kind: str, service_id: str) -> None:
    """Now and then, drop the oldest deliveries over what is kept."""
    if not randomness.randbelow(_PRUNED_EVERY):
        await fetch(_PRUNE, f"{kind}:{service_id}", _KEPT[kind])


_arrivals = Together(_keep, gather=_GATHER_SECONDS)
_refusals = Together(_keep_refused, gather=_GATHER_SECONDS)
