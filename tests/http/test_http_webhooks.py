"""Deliveries of Git hosts: believed, judged, kept, and replayed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest
from http_support import World, make_service
from webhook_support import SHA, URL, Hook, made, push

from helvetia.kernel.models import (
    Delivery,
    Deployment,
    DeploymentStatus,
    Desired,
    Event,
    Service,
    Trigger,
)
from helvetia.plugins.webhooks import hooks, inbox
from helvetia.plugins.webhooks.forges import unsigned
from helvetia.plugins.webhooks.models import Webhook

GONE = "0" * 40


@pytest.fixture
async def service() -> Service:
    return await make_service()


@pytest.fixture
async def hook(world: World) -> Hook:
    await make_service()
    return Hook(world, await made(world))


def test_the_vector_that_github_publishes() -> None:
    digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secret, body = "It's a Secret to Everybody", b"Hello, World!"
    assert unsigned({"X-Hub-Signature-256": f"sha256={digest}"}, body, secret) == ""
    for place in range(len(digest)):
        other = digest[:place] + ("0" if digest[place] != "0" else "1") + digest[place + 1 :]
        assert unsigned({"X-Hub-Signature-256": f"sha256={other}"}, body, secret)
    assert unsigned({"X-Hub-Signature-256": digest}, body, secret)
    assert unsigned({"X-Hub-Signature-256": "sha256=é"}, body, secret)


async def test_a_push_is_deployed_at_its_exact_commit(world: World, hook: Hook) -> None:
    answer = await hook.send()
    assert answer.status == 202
    assert answer.json["verdict"] == "deployed"
    deployment = await Deployment.get(id=answer.json["deployment"])
    assert (deployment.source_ref, deployment.trigger) == (SHA, Trigger.PUSH)
    assert world.rung == [deployment.id]


async def test_a_redelivery_changes_nothing(world: World, hook: Hook) -> None:
    first = await hook.send(key="one")
    again = await hook.send(key="one")
    assert (first.status, again.status) == (202, 200)
    assert again.json == {**first.json, "is_new": False}
    at_once = await asyncio.gather(*(hook.send(key="two") for _ in range(8)))
    assert sorted(answer.status for answer in at_once) == [200] * 7 + [202]
    assert len({answer.json["deployment"] for answer in at_once}) == 1
    assert await Deployment.all().count() == 2


async def test_pushes_at_once_are_kept_together(
    world: World, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    keep = inbox._keep

    async def counted(service_id: str, together: Sequence[Any]) -> Any:
        kept.append(len(together))
        return await keep(service_id, together)

    monkeypatch.setattr(inbox._arrivals, "_work", counted)
    answers = await asyncio.gather(*(hook.send() for _ in range(16)))
    assert [answer.status for answer in answers] == [202] * 16
    assert sum(kept) == 16
    assert len(kept) < 16
    rows = await Deployment.all().order_by("number")
    assert [row.number for row in rows] == list(range(1, 17))
    statuses = [row.status for row in rows]
    assert statuses == [*[DeploymentStatus.SUPERSEDED] * 15, DeploymentStatus.QUEUED]
    assert {row.id for row in rows} == {answer.json["deployment"] for answer in answers}
    # Rung for once each time, and at last for the one that waits.
    assert len(world.rung) == len(kept)
    assert rows[-1].id in world.rung
    journal = await Event.filter(kind="deployment.queued")
    assert len({entry.request_id for entry in journal}) == 16
    assert await Event.filter(kind="deployment.superseded").count() == 15


async def test_one_that_cannot_be_kept_does_not_hurt_those_beside_it(
    world: World, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = inbox._judge

    def broken(arrival: Any, *more: Any) -> Any:
        if arrival.key.endswith("bad"):
            raise RuntimeError("on purpose")
        return judge(arrival, *more)

    monkeypatch.setattr(inbox, "_judge", broken)
    keys = ["1", "2", "bad", "4", "5"]
    answers = await asyncio.gather(*(hook.send(key=key) for key in keys))
    assert [answer.status for answer in answers] == [202, 202, 500, 202, 202]
    assert await Deployment.all().count() == 4
    monkeypatch.undo()
    assert (await hook.send(key="bad")).status == 202


VERDICTS: dict[str, tuple[dict[str, Any], str]] = {
    "another branch": (push(ref="refs/heads/feat/ünï"), "branch `feat/ünï` is not tracked"),
    "the case of a branch": (push(ref="refs/heads/Main"), "branch `Main` is not tracked"),
    "a tag": (push(ref="refs/tags/v1"), "is no branch"),
    "a branch that is gone": (push(after=GONE, deleted=True), "was deleted"),
    "gone, and only the zeros say so": (push(after=GONE), "was deleted"),
    "skipped": (push(head_commit={"message": "x [Skip CI]"}), "says [Skip CI]"),
    "another repository": (
        push(repository={"id": 8, "clone_url": "https://git.example/other.git"}),
        "not to this service's repository",
    ),
    "a look-alike host": (
        push(repository={"clone_url": "https://evil.example/git.example/app.git"}),
        "not to this service's repository",
    ),
    "no default branch": (push(repository={"clone_url": URL}), "does not say which one"),
}


@pytest.mark.parametrize("case", VERDICTS)
async def test_what_is_not_deployed_says_why(world: World, hook: Hook, case: str) -> None:
    payload, reason = VERDICTS[case]
    answer = await hook.send(payload)
    assert (answer.status, answer.json["verdict"]) == (202, "ignored")
    assert reason in answer.json["reason"]
    assert not world.rung
    assert await Deployment.all().count() == 0


DEPLOYED: dict[str, dict[str, Any]] = {
    "case and form of the address": push(
        repository={"ssh_url": "git@GIT.example:App.git", "default_branch": "main"}
    ),
    "a new branch without commits": push(before=GONE, commits=[]),
    "forced": push(forced=True, commits=[]),
    "skipped in an older commit": push(
        commits=[{"id": "c" * 40, "message": "[skip ci]", "added": ["x"]}]
    ),
    "sha-256": push(after="c" * 64),
    "no address at all": {"ref": "refs/heads/main", "after": SHA, "repository": {
        "default_branch": "main"}},
    "gitlab": {
        "ref": "refs/heads/main", "after": SHA, "project_id": 3,
        "project": {"id": 3, "git_http_url": URL, "default_branch": "main"},
        "repository": {"name": "app"},
    },
}  # fmt: skip


@pytest.mark.parametrize("case", DEPLOYED)
async def test_what_is_deployed(world: World, hook: Hook, case: str) -> None:
    answer = await hook.send(DEPLOYED[case])
    assert answer.json["verdict"] == "deployed", answer.json


async def test_a_renamed_repository_is_known_by_its_number(world: World, hook: Hook) -> None:
    await hook.send()
    renamed = push(
        repository={"id": 7, "clone_url": "https://git.example/new.git", "default_branch": "main"}
    )
    assert (await hook.send(renamed)).json["verdict"] == "deployed"


async def test_the_ref_of_the_service_counts(world: World, hook: Hook) -> None:
    await Service.all().update(source_ref="next")
    assert (await hook.send()).json["verdict"] == "ignored"
    assert (await hook.send(push(ref="refs/heads/next"))).json["verdict"] == "deployed"


async def test_a_stopped_service_stays_stopped(world: World, hook: Hook) -> None:
    await Service.all().update(desired=Desired.STOPPED)
    answer = await hook.send()
    assert answer.json["reason"] == "the service is stopped; start it to follow pushes"


PATHS = [
    (["src"], ["docs/a.md"], "ignored"),
    (["src"], ["src/a/b.py"], "deployed"),
    (["src"], ["src2/a.py"], "ignored"),
    (["*.py", "!tests"], ["tests/a.py"], "ignored"),
    (["*.py", "!tests"], ["tests/a.py", "deep/b.py"], "deployed"),
    (["!docs"], ["docs/a.md"], "ignored"),
    (["!docs"], ["README"], "deployed"),
]


@pytest.mark.parametrize(("paths", "files", "verdict"), PATHS)
async def test_paths(world: World, paths: list[str], files: list[str], verdict: str) -> None:
    await make_service()
    hook = Hook(world, await made(world, paths=paths))
    commit = {"added": files[:1], "modified": files[1:], "removed": []}
    answer = await hook.send(push(commits=[commit]))
    assert answer.json["verdict"] == verdict
    # What is not all listed is deployed.
    assert (await hook.send(push(commits=[]))).json["verdict"] == "deployed"


async def test_paths_change_and_the_secrets_stay(world: World, hook: Hook) -> None:
    path = "/api/v1/services/web/webhook"
    changed = await world.call("PATCH", path, json={"paths": ["src"]}, who="admin")
    assert (changed.status, changed.json["paths"]) == (200, ["src"])
    assert hook.secret not in changed.raw.decode()
    # The push changes a file of docs, and is signed with the secret from before.
    assert (await hook.send()).json["verdict"] == "ignored"
    for wrong in ({"paths": ["!!x"]}, {"paths": "src"}, {}, {"secret": "x", "paths": []}):
        assert (await world.call("PATCH", path, json=wrong, who="admin")).status == 422
    await world.call("PATCH", path, json={"paths": []}, who="admin")
    assert (await hook.send()).json["verdict"] == "deployed"
    entry = await Event.filter(kind="webhook.changed").order_by("created_at").first()
    assert entry is not None
    assert json.loads(entry.data["after"]) == {"paths": ["src"]}
    await world.call("DELETE", path, who="admin")
    assert (await world.call("PATCH", path, json={"paths": []}, who="admin")).status == 404


async def test_other_events_start_nothing(world: World, hook: Hook) -> None:
    assert (await hook.send({"zen": "x"}, event="ping")).json["reason"] == "the hook works"
    answer = await hook.send({}, event="issues")
    assert answer.json["reason"] == "the event `issues` starts nothing"
    assert (await hook.send(event=None)).json["verdict"] == "deployed"


async def test_a_form_and_the_header_of_gitlab(world: World, hook: Hook) -> None:
    raw = urlencode({"payload": json.dumps(push())}).encode()
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert (await hook.send(raw=raw, **form)).json["verdict"] == "deployed"
    assert (await hook.send(**form)).json["verdict"] == "deployed"
    headers = {
        "X-Gitlab-Event": "Push Hook",
        "X-Gitlab-Token": hook.secret,
        "Content-Type": "application/json",
    }
    answer = await world.call("POST", hook.path, who=None, json=push(), headers=headers)
    assert answer.json["verdict"] == "deployed"
    kept = await Delivery.get(id=answer.json["delivery"])
    assert hook.secret not in json.dumps(kept.headers)


async def test_what_is_not_signed_is_told_and_kept_without_its_body(
    world: World, hook: Hook
) -> None:
    cases = {
        "is not of this body": {"X_Hub_Signature_256": "sha256=" + "0" * 64},
        "X-Gitlab-Token is wrong": {"X_Hub_Signature_256": "", "X_Gitlab_Token": "x"},
    }
    flipped = await hook.send(raw=b"{}", **cases["is not of this body"])
    assert flipped.status == 401
    assert "is not of this body" in flipped.json["detail"]
    plain = await world.call("POST", hook.path, who=None, json=push())
    assert plain.status == 401
    assert "not signed" in plain.json["detail"]
    rows = (await world.get("/api/v1/services/web/deliveries")).json["items"]
    assert [row["verdict"] for row in rows] == ["refused", "refused"]
    assert [bytes(row.body) for row in await Delivery.all()] == [b"", b""]
    refused = await world.post(f"/api/v1/services/web/deliveries/{rows[0]['id']}/replay")
    assert refused.status == 409
    # Who does not know the secret cannot use up the name of a delivery either.
    await hook.send(key="same", **cases["is not of this body"])
    assert (await hook.send(key="same")).json["is_new"]


BROKEN = [b"", b"null", b"[]", b"{", b"\xff", b'{"ref": 1}', b'{"ref": "refs/heads/main"}',
          b'{"ref": "refs/heads/main", "after": "--upload-pack=x"}', b"[" * 100_000,
          b'{"ref": "a\\u0000b", "after": "' + b"a" * 40 + b'"}']  # fmt: skip


@pytest.mark.parametrize("raw", BROKEN, ids=range(len(BROKEN)))
async def test_what_cannot_be_read_is_refused(world: World, hook: Hook, raw: bytes) -> None:
    answer = await hook.send(raw=raw)
    assert answer.status == 400
    (row,) = (await world.get("/api/v1/services/web/deliveries")).json["items"]
    assert (row["verdict"], row["reason"]) == ("refused", answer.json["detail"])


async def test_hooks_that_nobody_made(world: World, hook: Hook) -> None:
    for path in ("/webhooks/none", "/webhooks/a%00b", "/deploy-hooks/none", "/deploy-hooks/%C3%A9"):
        assert (await world.call("POST", path, who=None, json=push())).status == 404


async def test_large_deliveries(world: World, hook: Hook) -> None:
    large = push(padding="x" * (3 * 2**20))
    assert (await hook.send(large)).json["verdict"] == "deployed"
    assert (await hook.send(raw=b"x" * (25 * 2**20 + 1))).status == 413


async def test_replay_is_the_same_commit_by_the_rules_of_now(world: World, hook: Hook) -> None:
    await Service.all().update(source_ref="next")
    first = await hook.send()
    assert first.json["verdict"] == "ignored"
    await Service.all().update(source_ref="main")
    path = f"/api/v1/services/web/deliveries/{first.json['delivery']}"
    again = await world.post(f"{path}/replay")
    assert again.status == 201
    assert (again.json["verdict"], again.json["replay_of"]) == ("deployed", first.json["delivery"])
    deployment = await Deployment.get(id=again.json["deployment_id"])
    assert (deployment.source_ref, deployment.trigger) == (SHA, Trigger.REDELIVERY)
    shown = (await world.get(path)).json
    assert json.loads(shown["body"]) == push()
    assert "X-Hub-Signature-256" not in shown["headers"]


async def test_new_secrets_void_the_former_ones(world: World, hook: Hook) -> None:
    again = await made(world)
    assert again["url"].endswith(hook.path)
    assert (await hook.send()).status == 401
    assert (await world.call("POST", hook.deploy_path, who=None)).status == 404
    shown = (await world.get("/api/v1/services/web/webhook")).json
    assert (shown["secret"], shown["deploy_url"]) == (None, None)
    assert (await Hook(world, again).send()).status == 202
    assert (await world.call("DELETE", "/api/v1/services/web/webhook")).status == 204
    assert (await Hook(world, again).send()).status == 404


async def test_the_url_that_deploys(world: World, hook: Hook) -> None:
    answer = await world.call("POST", f"{hook.deploy_path}?ref=v1", who=None)
    assert (answer.status, answer.json["number"]) == (202, 1)
    assert (await Deployment.get(id=answer.json["deployment"])).source_ref == "v1"
    refused = await world.call("POST", f"{hook.deploy_path}?ref=--upload-pack%3Dx", who=None)
    assert refused.status == 422
    assert (await world.call("GET", hook.deploy_path, who=None)).status == 405


async def test_what_is_remembered_of_a_hook_is_compared_with_what_it_is(
    world: World, hook: Hook
) -> None:
    """Another control plane may have changed the hook that this one remembers."""
    assert (await hook.send()).status == 202
    row, vault = await Webhook.get(), world.platform.vault
    seal = partial(vault.encrypt, place=hooks.place(row.service_id))
    # By another key: the same secret looks different.
    await Webhook.all().update(secret=seal(hook.secret), paths=["src"])
    answer = await hook.send()
    assert (answer.status, answer.json["reason"]) == (202, "nothing changed in src")
    await Webhook.all().update(secret=seal("another"))
    assert (await hook.send()).status == 401
    hook.secret = "another"
    assert (await hook.send()).status == 202
    await Webhook.all().update(secret=seal("a third"))
    hook.secret = "a third"
    assert (await hook.send()).status == 202
    await Webhook.all().update(secret=seal("a fourth"))
    assert (await hook.send(raw=b"{")).status == 401
    reasons = await Delivery.filter(verdict="refused").values_list("reason", flat=True)
    assert set(reasons) == {"the signature in X-Hub-Signature-256 is not of this body"}
    assert len(reasons) == 2
    await Webhook.all().delete()
    before = await Delivery.all().count()
    for secret in ("a third", "a fourth", "wrong"):
        hook.secret = secret
        assert (await hook.send()).status == 404
    assert await Delivery.all().count() == before


async def test_refusals_at_once_are_kept_together(
    world: World, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await hook.send()).status == 202
    kept: list[int] = []
    keep = inbox._keep_refused

    async def counted(service_id: str, together: Sequence[Any]) -> Any:
        kept.append(len(together))
        return await keep(service_id, together)

    monkeypatch.setattr(inbox._refusals, "_work", counted)
    hook.secret = "wrong"
    answers = await asyncio.gather(*(hook.send() for _ in range(8)))
    assert [answer.status for answer in answers] == [401] * 8
    assert sum(kept) == 8
    assert await Delivery.filter(verdict="refused", body=b"").count() == 8


async def test_only_so_many_are_kept(
    world: World, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helvetia.plugins.webhooks.inbox._PRUNED_EVERY", 1)
    monkeypatch.setattr("helvetia.plugins.webhooks.inbox._KEPT", {"webhook": 3, "refused": 2})
    for _ in range(5):
        await hook.send({}, event="ping")
        await hook.send(raw=b"", X_Hub_Signature_256="sha256=")
    rows = (await world.get("/api/v1/services/web/deliveries?limit=4")).json
    more = (await world.get(f"/api/v1/services/web/deliveries?cursor={rows['next']}")).json
    verdicts = [row["verdict"] for row in rows["items"] + more["items"]]
    assert (verdicts.count("ignored"), verdicts.count("refused")) == (3, 2)
