"""A platform, somebody who receives over HTTP, and a mail server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from helvetia.kernel.models import Service, Team
from helvetia.kernel.models.base import new_id
from helvetia.kernel.platform import Platform
from helvetia.plugins.notifications.models import Channel
from helvetia.plugins.notifications.sending import place
from helvetia.plugins.notifications.shapes import ALL
from tests.migrated import migrated_home as migrated_home
from tests.migrated import migrated_postgres as migrated_postgres
from tests.migrated import platform as platform

# The API's own tests have the world; their folder is no package.
sys.path.append(str(Path(__file__).parents[1] / "http"))

SECRET = "a secret of sixteen"


@dataclass
class Receiver:
    """An HTTP server that keeps what it gets, and answers as a test says."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((await request.read(), dict(request.headers)))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    app = web.Application()
    app.router.add_post("/hook", one.take)
    async with TestServer(app) as server:
        one.url = f"http://127.0.0.1:{server.port}/hook"
        yield one


@dataclass
class MailServer:
    """As much of a mail server as a client needs."""

    port: int = 0
    refuses: bool = False
    mails: list[EmailMessage] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        while line := await reader.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"RCPT" and self.refuses:
                writer.write(b"550 nobody here\r\n")
            elif word == b"DATA":
                writer.write(b"354 go on\r\n")
                data = b""
                while (part := await reader.readline()) != b".\r\n":
                    data += part
                made = message_from_bytes(data, policy=policy.default)
                assert isinstance(made, EmailMessage)
                self.mails.append(made)
                writer.write(b"250 taken\r\n")
            elif word == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 fine\r\n")
        writer.close()


@pytest.fixture
async def mail_server() -> AsyncIterator[MailServer]:
    one = MailServer()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    yield one
    server.close()


@pytest.fixture
async def service(platform: Platform) -> Service:
    team = await Team.create(name="team")
    return await Service.create(team=team, name="web", source_url="/nowhere")


async def make_channel(
    platform: Platform, team_id: str, target: str, *, kind: str = "webhook", **more: Any
) -> Channel:
    channel = Channel(id=new_id(), team_id=team_id, name=kind, kind=kind, topics=ALL)
    channel.target = platform.seal(target, place=place(channel, "target"))
    channel.secret = platform.seal(SECRET, place=place(channel, "secret"))
    for name, value in more.items():
        setattr(channel, name, value)
    await channel.save(force_create=True)
    return channel
