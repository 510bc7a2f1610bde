"""Real repositories, and a real `git http-backend` on loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import BaseModel

from helvetia.plugins.sources.git import GitSettings, GitSource
from helvetia.testing import Lines

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada Lovelace",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada Lovelace",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


class SmallKernel:
    """As much kernel as a source needs."""

    installation = "test"
    domain = "localhost"
    edge = ("127.0.0.1", 8080)

    def __init__(self, home: Path) -> None:
        self.home = home
        self.settings: dict[type[BaseModel], BaseModel] = {}

    def section(self, schema):
        return self.settings.get(schema) or schema()

    def folder(self, name: str) -> Path:
        path = self.home / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path


class Repository:
    """A repository with a work tree."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        subprocess.run(
            ["git", "init", "-q", "-b", "main", *options, str(path)], check=True, env=_ENVIRONMENT
        )

    @property
    def url(self) -> str:
        return str(self.path)

    def git(self, *arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env=_ENVIRONMENT,
            check=True,
            text=True,
            input=stdin,
            stdout=subprocess.PIPE,
        )
        return done.stdout.strip()

    def commit(self, message: str = "A commit", **files: str) -> str:
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


@dataclass
class Server:
    """`git http-backend` behind aiohttp, and how it misbehaves."""

    root: Path
    port: int = 0
    scheme: str = "http"
    protocol_2: bool = True
    token: str = ""
    redirect: str = ""
    hang: bool = False
    on_request: Callable[[web.Request], Awaitable[None]] | None = None
    requests: list[str] = field(default_factory=list)
    _release: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, name: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}/{name}"

    def release(self) -> None:
        self._release.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path_qs)
        if self.on_request is not None:
            await self.on_request(request)
        if self.hang:
            await self._release.wait()
        if self.redirect:
            raise web.HTTPFound(self.redirect + request.path_qs)
        if self.token:
            expected = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
            if request.headers.get("Authorization") != f"Basic {expected}":
                raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="git"'})
        environment = {
            **_ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        }
        if self.protocol_2:
            environment["GIT_PROTOCOL"] = request.headers.get("Git-Protocol", "")
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        output, _ = await process.communicate(await request.read())
        head, _, body = output.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, headers=headers, body=body)


@pytest.fixture
def kernel(tmp_path: Path) -> SmallKernel:
    return SmallKernel(tmp_path / "home")


@pytest.fixture
def log() -> Lines:
    return Lines()


@pytest.fixture
def git_source(kernel: SmallKernel) -> GitSource:
    return GitSource(kernel)


@pytest.fixture
def configure(kernel: SmallKernel) -> Callable[..., None]:
    def set_git(**values: object) -> None:
        kernel.settings[GitSettings] = GitSettings.model_validate(values)

    return set_git


@pytest.fixture
def make_repository(tmp_path: Path) -> Callable[..., Repository]:
    def make(name: str = "app", *options: str) -> Repository:
        return Repository(tmp_path / "repositories" / name, *options)

    return make


@pytest.fixture
def repository(make_repository: Callable[..., Repository]) -> Repository:
    """Two commits on `main`, the first of them tagged `v1`, and the branch `dev`."""
    made = make_repository()
    made.commit("First", first="1")
    made.git("tag", "-a", "v1", "-m", "Version 1")
    made.git("branch", "dev")
    made.commit("Second: a subject\n\nand a body", first="2", second="2")
    return made


@pytest.fixture
def make_server(tmp_path: Path) -> Callable[..., Server]:
    """A server that is not served yet."""

    def make(**values: str) -> Server:
        return Server(tmp_path / "repositories", **values)

    return make


@pytest.fixture
def checkout_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    return folder


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(Server(tmp_path / "repositories")) as state:
        yield state


@pytest.fixture
async def tls_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """The same at https://git.test, with a certificate that git is told to accept."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "git.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("git.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "certificate.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    monkeypatch.setenv("GIT_SSL_CAINFO", str(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    async with serving(Server(tmp_path / "repositories", scheme="https"), context) as state:
        yield state


@contextlib.asynccontextmanager
async def serving(state: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", state.handle)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    state.port = runner.addresses[0][1]
    yield state
    state.release()
    await runner.cleanup()
