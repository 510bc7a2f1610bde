"""How a deployment is told, line by line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web
from control_plane import deployment, frame, record, serving

from helvetia.cli.output import Output
from helvetia.cli.session import Session
from helvetia.cli.waiting import watch
from helvetia.plugins.api.schemas import Deployment

QUEUED = deployment("QUEUED", sha="", message="")
PATH = "/deployments/0123456789abcdef"
SERVICE = {
    "id": "fedcba9876543210",
    "name": "web",
    "type": "auto",
    "source": "/srv/app",
    "ref": None,
    "status": "ACTIVE",
    "status_reason": "",
    "url": "http://web.localhost:8780",
    "domains": ["web.localhost"],
    "sha": "a1b2c3d4e5",
    "message": "Fix the title",
    "deployment_id": None,
    "settings": {},
    "created_at": "2026-01-01T12:00:00Z",
}


async def _watch(
    states: list[dict[str, Any]],
    log: list[dict[str, Any]],
    *,
    as_json: bool = False,
    release: int | None = None,
) -> int:
    """Serve the states one after the other, and the log at once, ahead of the states."""
    left = iter(states)
    current = states[0]

    async def state(request: web.Request) -> web.Response:
        nonlocal current
        current = next(left, current)
        return web.json_response(current)

    async def page(request: web.Request) -> web.Response:
        after = int(request.query.get("after", "0"))
        records = [one for one in log if one["seq"] > after]
        return web.json_response({"records": records, "last": len(log), "ended": True})

    async def service(request: web.Request) -> web.Response:
        return web.json_response(SERVICE | {"release": release, "instances": []})

    async def socket(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        await response.send_json(frame(*log))
        await response.send_json({"ended": True, "status": "-"})
        return response

    routes = [
        web.get(PATH, state),
        web.get(f"{PATH}/logs", page),
        web.get(f"{PATH}/logs/follow", socket),
        web.get("/services/web", service),
    ]
    async with serving(routes) as lent:
        session = Session(out=Output(as_json=as_json), api=lent.api, address=lent.address)
        made = Deployment.model_validate(QUEUED)
        return await watch(session, made, headline="deployment 3 of ./app")


LOG = [
    record(1, "Fetching", "fetch"),
    record(2, "\x1b[33mwarning\x1b[0m: old\x07", "build"),
    record(3, "done", "build"),
    record(4, "✓ live", "end"),
]
DONE = [("fetch", "git", "SUCCEEDED"), ("build", "procfile", "SUCCEEDED")]
LIVE = deployment(
    "LIVE",
    *DONE,
    release=3,
    receipt={"probe_seconds": 0.8, "activation_seconds": 0.1, "requests": 1204, "failed": 0},
)


async def test_a_deployment_that_goes_live(capsys: pytest.CaptureFixture[str]) -> None:
    begun = [("fetch", "git", "RUNNING"), ("build", "procfile", "PENDING")]
    states = [QUEUED, deployment("RUNNING", *begun), LIVE]
    assert await _watch(states, LOG) == 0
    told = capsys.readouterr()
    assert told.out == "http://web.localhost:8780  (release 3)\n"
    assert told.err.splitlines() == [
        "▸ web  deployment 3 of ./app",
        "  a1b2c3d Fix the title",
        "    Fetching",
        "✓ fetch     2.0 s  git",
        "    warning: old",
        "    done",
        "✓ build     2.0 s  procfile",
        "Live: release 3 in 6.0 s",
        "  1,204 requests during the switch, 0 failed; probe 0.8 s, switch 0.1 s",
    ]


async def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert await _watch([LIVE], LOG, as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "LIVE"
    assert document["receipt"]["requests"] == 1204
    assert document["created_at"] == "2026-01-01T12:00:00Z"


async def test_a_build_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    failed = deployment(
        "FAILED",
        ("fetch", "git", "SUCCEEDED"),
        ("build", "procfile", "FAILED"),
        ("push", "folder", "SKIPPED"),
        reason="pip ended with exit code 1",
        reason_code="build-failed",
        failed_stage="build",
        failed_provider="procfile",
    )
    assert await _watch([failed], [record(1, "no such package")]) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[-4:] == [
        "✓ fetch     2.0 s  git",
        "    no such package",
        "✗ build     2.0 s  procfile",
        "✗ Failed in build (procfile): pip ended with exit code 1",
    ]


@pytest.mark.parametrize("release", [None, 2])
async def test_what_answers_after_a_failure_is_told(
    capsys: pytest.CaptureFixture[str], release: int | None
) -> None:
    failed = deployment(
        "FAILED",
        ("probe", "kernel", "FAILED"),
        reason="it ended with exit code 3",
        reason_code="never-healthy",
        failed_stage="probe",
        failed_provider="kernel",
    )
    end = record(1, "✗ it ended with exit code 3", "end")
    assert await _watch([failed], [end], release=release) == 4
    told = capsys.readouterr().err.splitlines()
    assert told[told.index("✗ probe     2.0 s  kernel") :] == [
        "✗ probe     2.0 s  kernel",
        "✗ Failed in probe (kernel): it ended with exit code 3",
        *(["  release 2 goes on answering"] if release else []),
    ]


@pytest.mark.parametrize(
    ("status", "reason", "line", "code"),
    [
        ("CANCELLED", "cancelled", "■ Cancelled", 6),
        ("CANCELLED", "by me", "■ Cancelled: by me", 6),
        ("SUPERSEDED", "by deployment 4", "■ Superseded: by deployment 4", 7),
    ],
)
async def test_other_ends(
    capsys: pytest.CaptureFixture[str], status: str, reason: str, line: str, code: int
) -> None:
    assert await _watch([deployment(status, reason=reason)], []) == code
    assert capsys.readouterr().err.splitlines()[-1] == line
