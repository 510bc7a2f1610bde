"""A platform that deploys, its control plane, and the stand-in it is connected to."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from helvetia.kernel import events, secrets
from helvetia.kernel.http.app import make_app, make_runner
from helvetia.kernel.models import Deployment, Membership, Role, Service, Team, Token, User, utcnow
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings
from helvetia.plugins.auth.github import grants
from helvetia.plugins.github.listening import GitHubListener
from helvetia.plugins.github.models import Task
from tests.kernel.deploying import World as Deploying
from tests.kernel.deploying import open_world

from .rest import Repo, StandIn, running

APP_SECRET = "secret of the app"


@dataclass
class World:
    deploying: Deploying
    github: StandIn
    url: str
    session: aiohttp.ClientSession
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def platform(self) -> Platform:
        return self.deploying.platform

    @property
    def listener(self) -> GitHubListener:
        found = [one for _, one in self.platform.providers.listeners if one.name == "github"]
        assert isinstance(found[0], GitHubListener)
        return found[0]

    async def person(self, name: str, role: Role = Role.OWNER) -> User:
        """A member of the team, who has connected GitHub."""
        made = await User.create(name=name)
        team, _ = await Team.get_or_create(name="ours")
        await Membership.create(user_id=made.id, team_id=team.id, role=role)
        self.tokens[name] = f"hv_{name}"
        await Token.create(user_id=made.id, name="test", digest=secrets.digest(f"hv_{name}"))
        token = self.github.user(name)
        await grants.keep(
            self.platform, made.id, subject=name, login=name, token=token, scopes=["repo"]
        )
        return made

    async def call(
        self, method: str, path: str, body: object = None, *, who: str = "ada"
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        async with self.session.request(
            method, self.url + path, json=body, headers=headers
        ) as answer:
            raw = await answer.read()
            return answer.status, json.loads(raw) if raw else None

    async def create(self, name: str, repo: Repo, **more: Any) -> Service:
        body = {"name": name, "source": f"{self.github.url}/{repo.name}", "ref": "main", **more}
        settings = {"health": {"interval_seconds": 0.05}, "drain_seconds": 0}
        status, answer = await self.call("POST", "/api/v1/services", {**body, "settings": settings})
        assert status == 201, answer
        return await Service.get(name=name)

    async def settle(self) -> None:
        """Tell the listeners, and wait until everything that is due at GitHub was tried."""
        while await events.deliver(self.platform.providers):
            pass
        await self.listener.doing.settled()

    async def again(self) -> None:
        """A minute later: what failed is due again."""
        await Task.filter(due_at__not_isnull=True).update(due_at=utcnow(), claimed_until=None)
        await events.tidy(self.platform.providers)
        await self.settle()

    async def run(self) -> Deployment:
        """Run the newest deployment to its end."""
        newest = await Deployment.all().order_by("-created_at").first()
        assert newest is not None
        await self.deploying.runner(newest.id)
        return await Deployment.get(id=newest.id)

    async def answer(self, name: str) -> str | None:
        """Ask a service through the proxy."""
        host, port = self.platform.edge
        async with self.session.get(
            f"http://{host}:{port}/", headers={"Host": f"{name}.localhost"}
        ) as answer:
            return await answer.text() if answer.status == 200 else None


@contextlib.asynccontextmanager
async def open_github_world(folder: Path, **environment: str) -> AsyncIterator[World]:
    await asyncio.to_thread(shutil.copytree, migrated_home(), folder / "home")
    async with running(folder / "github") as github:
        key = folder / "app.pem"
        key.write_bytes(github.private_key())
        values = {"HELVETIA_GITHUB_URL": github.url}
        if environment.pop("as_app", ""):
            values |= {
                "HELVETIA_GITHUB_APP_ID": github.app_id,
                "HELVETIA_GITHUB_PRIVATE_KEY_FILE": str(key),
                "HELVETIA_GITHUB_WEBHOOK_SECRET": APP_SECRET,
            }
        light = environment.pop("light", "")
        opened = _open_light if light else open_world
        async with opened(folder, **values, **environment) as deploying:

            async def ring(deployment_id: str) -> None:
                """Nobody hears it: the tests run deployments themselves."""

            runner = make_runner(make_app(deploying.platform, ring))
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            async with aiohttp.ClientSession() as session:
                world = World(deploying, github, f"http://{host}:{port}", session)
                try:
                    yield world
                finally:
                    await world.listener.doing.settled()
                    await runner.cleanup()


@contextlib.asynccontextmanager
async def _open_light(folder: Path, **environment: str) -> AsyncIterator[Deploying]:
    """A platform that deploys nothing: without Traefik and what else takes time to start."""
    platform = Platform(Settings(folder / "home", environment))
    await platform.open()
    try:
        yield Deploying(platform, folder)
    finally:
        await platform.close()


@functools.cache
def migrated_home() -> Path:
    """A data folder with all tables, made once: to make them takes seconds."""
    home = Path(tempfile.mkdtemp(prefix="helvetia-github-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)

    async def make() -> None:
        platform = Platform(Settings(home, {}))
        await platform.open()
        await platform.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(make())).result()
    return home
