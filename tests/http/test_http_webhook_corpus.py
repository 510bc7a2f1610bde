"""Every example of GitHub's webhooks that its own package has goes through the endpoint."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from http_support import World, make_service
from webhook_support import Hook, made

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
        events = json.load(file)
    return [(event["name"], example) for event in events for example in event["examples"]]


async def test_every_payload_of_github_gets_its_verdict(
    world: World, examples: list[tuple[str, dict[str, Any]]]
) -> None:
    await make_service(source_url=_REPOSITORY, source_ref="main")
    hook = Hook(world, await made(world))
    pushes: dict[str, str] = {}
    for number, (event, payload) in enumerate(examples):
        answer = await hook.send(payload, event=event, key=str(number))
        assert answer.status == 202, (event, answer.raw)
        if event == "push":
            pushes[f"{payload['ref']} {payload['repository']['full_name']}"] = answer.json["reason"]
        else:
            wanted = "the hook works" if event == "ping" else f"the event `{event}` starts nothing"
            assert (answer.json["verdict"], answer.json["reason"]) == ("ignored", wanted)
    assert len(examples) > 300
    assert pushes.pop("refs/tags/simple-tag Codertocat/Hello-World").endswith("is no branch; "
        "only branches are followed")  # fmt: skip
    assert pushes, "the examples have pushes of branches"
    assert all("is not tracked" in one or "not to this" in one for one in pushes.values()), pushes
