"""A platform with people, a service and a control plane on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import aiohttp
import jwt
from aiohttp import web

from helvetia import AuthProvider, Identity
from helvetia.kernel import accounts
from helvetia.kernel.http.app import make_app, make_runner
from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Membership,
    Release,
    Role,
    Service,
    Session,
    Team,
    Token,
    Trigger,
    User,
    utcnow,
)
from helvetia.kernel.platform import Platform
from helvetia.kernel.plugins import GROUP, PluginManager
from helvetia.kernel.providers import Entry
from helvetia.kernel.secrets import digest
from helvetia.kernel.settings import Settings
from tests.known import entry_points

ROLES = {"viewer": Role.VIEWER, "member": Role.MEMBER, "admin": Role.ADMIN, "owner": Role.OWNER}


class FormAuth(AuthProvider):
    """Believes everybody: the subject is what the form or the address says."""

    name = "form"
    title = "Form"

    async def begin(self, request: web.Request) -> web.StreamResponse:
        if "broken" in request.query:
            raise RuntimeError("secret detail of the provider")
        return web.Response(text="<form method=post>", content_type="text/html")

    async def complete(self, request: web.Request) -> Identity | web.StreamResponse:
        values = {**request.query, **(await request.post() if request.method == "POST" else {})}
        if "subject" not in values:
            return web.Response(text="again", status=401, content_type="text/html")
        subject = str(values["subject"])
        return Identity(
            subject=subject,
            name=subject,
            may_register="invited" in values,
            may_found="stranger" not in values,
            is_renewed="renewed" in values,
        )


@dataclass
class World:
    platform: Platform
    url: str
    session: aiohttp.ClientSession
    rung: list[str]
    runner: web.AppRunner

    async def call(
        self, method: str, path: str, *, who: str | None = "owner", **options: Any
    ) -> Answer:
        headers = dict(options.pop("headers", {}))
        if who is not None:
            headers["Authorization"] = f"Bearer {TOKENS[who]}"
        async with self.session.request(
            method, self.url + path, headers=headers, allow_redirects=False, **options
        ) as response:
            return await Answer.read(response)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: object = None, **options: Any) -> Answer:
        return await self.call("POST", path, json=body, **options)


@dataclass
class Answer:
    path: str
    status: int
    headers: Any
    raw: bytes
    json: Any

    @classmethod
    async def read(cls, response: aiohttp.ClientResponse) -> Answer:
        raw = await response.read()
        is_json = raw and response.content_type in ("application/json", "application/problem+json")
        return cls(
            path=response.url.raw_path,
            status=response.status,
            headers=response.headers,
            raw=raw,
            json=json.loads(raw) if is_json else None,
        )

    def fields(self) -> set[str]:
        return {one["field"] for one in self.json["errors"]}


@contextlib.asynccontextmanager
async def open_platform(home: Path, **environment: str) -> AsyncIterator[Platform]:
    platform = Platform(Settings(home, environment))
    await platform.open()
    try:
        yield platform
    finally:
        await platform.close()


@contextlib.asynccontextmanager
async def serve(platform: Platform) -> AsyncIterator[World]:
    rung: list[str] = []

    async def ring(deployment_id: str) -> None:
        rung.append(deployment_id)

    points = [*entry_points(group=GROUP), EntryPoint("pages", "http_pages_plugin", GROUP)]
    platform.plugins = PluginManager(found=points)
    platform.providers.auth.add(Entry(FormAuth(), "tests"))
    runner = make_runner(make_app(platform, ring))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    # Cookies by hand: the tests look at every one of them.
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        world = World(platform, f"http://{host}:{port}", session, rung, runner)
        try:
            yield world
        finally:
            await runner.cleanup()


PEOPLE = (*ROLES, "stranger", "operator")
TOKENS = {name: f"hv_{name}" for name in PEOPLE}


async def populate() -> None:
    """A team with everybody in every role, an operator of no team, and a stranger with a team."""
    await accounts.ensure_operator_team()
    team = await Team.create(name="ours")
    theirs = await Team.create(name="theirs")
    for name in PEOPLE:
        user = await User.create(name=name, is_operator=name == "operator")
        await Token.create(user_id=user.id, name="test", digest=digest(TOKENS[name]))
        if name in ROLES:
            await Membership.create(user_id=user.id, team_id=team.id, role=ROLES[name])
        elif name == "stranger":
            await Membership.create(user_id=user.id, team_id=theirs.id, role=Role.OWNER)


def make_home(home: Path, *more: Callable[[], Awaitable[object]]) -> Path:
    """Make a data folder with all tables, by the real migrations, and people; then do more."""

    async def make() -> None:
        async with open_platform(home):
            await populate()
            for step in more:
                await step()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(make())).result()
    return home


async def user(name: str) -> User:
    return await User.get(name=name)


async def make_service(name: str = "web", **more: Any) -> Service:
    team = await Team.get(name="ours")
    return await Service.create(
        **{"team_id": team.id, "name": name, "source_url": "https://git.example/app.git", **more}
    )


async def make_deployment(service: Service, number: int, **more: Any) -> Deployment:
    values = {
        "service_id": service.id,
        "number": number,
        "trigger": Trigger.MANUAL,
        "source_url": service.source_url,
        **more,
    }
    await Service.filter(id=service.id).update(deployment_count=number)
    return await Deployment.create(**values)


async def make_release(service: Service, number: int, *, live: bool = True) -> Release:
    deployment = await make_deployment(
        service, number, status=DeploymentStatus.LIVE, finished_at=utcnow()
    )
    release = await Release.create(
        service_id=service.id,
        number=number,
        deployment_id=deployment.id,
        sha="a" * 40,
        message=f"change {number}",
        artifact={"digest": f"sha256:{number}"},
        configuration={},
        environment_version=0,
        providers={},
    )
    await Deployment.filter(id=deployment.id).update(release_id=release.id)
    if live:
        await Service.filter(id=service.id).update(live_release_id=release.id)
    return release


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name.replace("__", "."))
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def noise(size: int) -> bytes:
    """Bytes that begin as an archive does."""
    return b"\x1f\x8b" + os.urandom(size - 2)


ACCESS, REFRESH = "helvetia_session", "helvetia_refresh"


def given_cookies(answer: Answer) -> dict[str, str]:
    """The cookies that an answer gives; "" for those that it takes."""
    pairs = (
        one.partition(";")[0].partition("=") for one in answer.headers.getall("Set-Cookie", [])
    )
    return {name: value.strip('"') for name, _, value in pairs}


async def session_of(access: str) -> Session:
    claims = jwt.decode(access, options={"verify_signature": False})
    return await Session.get(id=claims["sub"])


async def sign_in(world: World, subject: str = "anna", **more: str) -> tuple[str, Session]:
    """Sign in by the form; return the cookie header, without refresh token, and the session."""
    headers = {"Origin": world.url}
    form = {"subject": subject, **more}
    answer = await world.call("POST", "/auth/form/complete", who=None, data=form, headers=headers)
    assert answer.status == 303, answer.raw
    jar = given_cookies(answer)
    return f"{ACCESS}={jar[ACCESS]}", await session_of(jar[ACCESS])
