"""Every example of GitHub's webhooks that its own package has goes through the endpoint."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from http_support import World, make_service
from pydantic import SecretStr
from webhook_support import Hook, made

from helvetia.kernel import events
from helvetia.kernel.models import Delivery
from helvetia.plugins.github.settings import GitHubSettings
from helvetia.plugins.previews.listening import PreviewListener
from helvetia.plugins.webhooks import inbox

_PACKAGE = "@octokit/webhooks-examples@7.6.1"
_REPOSITORY = "https://github.com/Codertocat/Hello-World.git"


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, dict[str, Any]]]:
    folder: Path = tmp_path_factory.mktemp("examples")
    packing = ["npm", "pack", "--silent", _PACKAGE]
    name = subprocess.run(packing, cwd=folder, check=True, capture_output=True, text=True).stdout
    with tarfile.open(folder / name.strip()) as tar:
        file = tar.extractfile("package/api.github.com/index.json")
        assert file is not None
        listed = json.load(file)
    return [(event["name"], example) for event in listed for example in event["examples"]]


async def test_every_payload_of_github_gets_its_verdict(
    world: World, examples: list[tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # They are more than an inbox keeps.
    monkeypatch.setitem(inbox._KEPT, inbox.SOURCE, len(examples))
    await make_service(source_url=_REPOSITORY, source_ref="main")
    hook = Hook(world, await made(world))
    pushes: dict[str, str] = {}
    for number, (event, payload) in enumerate(examples):
        answer = await hook.send(payload, event=event, key=str(number))
        assert answer.status == 202, (event, answer.raw)
        if event == "push":
            pushes[f"{payload['ref']} {payload['repository']['full_name']}"] = answer.json["reason"]
        elif event == "pull_request":
            assert answer.json["verdict"] == "received"
        else:
            wanted = "the hook works" if event == "ping" else f"the event `{event}` starts nothing"
            assert (answer.json["verdict"], answer.json["reason"]) == ("ignored", wanted)
    assert len(examples) > 300
    while await events.deliver(world.platform.providers):
        pass
    (listener,) = [
        one for _, one in world.platform.providers.listeners if isinstance(one, PreviewListener)
    ]
    await listener.doing.settled()
    pulls = await Delivery.filter(event="pull_request").values_list("verdict", "reason")
    assert len(pulls) > 20
    assert {verdict for verdict, _ in pulls} == {"ignored"}
    assert all("pull request" in reason for _, reason in pulls), pulls
    assert pushes.pop("refs/tags/simple-tag Codertocat/Hello-World").endswith("is no branch; "
        "only branches are followed")  # fmt: skip
    assert pushes, "the examples have pushes of branches"
    assert all("is not tracked" in one or "not to this" in one for one in pushes.values()), pushes


async def test_every_payload_of_github_may_come_to_the_app(
    world: World, examples: list[tuple[str, dict[str, Any]]]
) -> None:
    secret = "secret of the app"
    world.platform.section(GitHubSettings).webhook_secret = SecretStr(secret)
    for number, (event, payload) in enumerate(examples):
        body = json.dumps(payload).encode()
        signed = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(number),
            "X-Hub-Signature-256": f"sha256={signed}",
        }
        answer = await world.call("POST", "/hooks/github", who=None, data=body, headers=headers)
        assert answer.status == 200, (event, answer.raw)
        assert answer.json["reason"]
        assert answer.json["deployments"] == []
