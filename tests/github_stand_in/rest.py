"""The REST API, smart HTTP by `git http-backend`, and webhooks that are really sent.

It is as strict as GitHub says it is: without its headers nothing is answered, a body that is not
as documented is 422, and what a token may not see is 404.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .deliveries import Deliveries, is_too_old, shown
from .oauth import OAuthServer

API = "/api/v3"
STATES = {"error", "failure", "pending", "success"}
DEPLOYMENT_STATES = STATES | {"inactive", "in_progress", "queued"}
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


class Repo:
    """A repository: bare, with a work tree beside it to commit in."""

    def __init__(self, root: Path, id: int, name: str, *, private: bool) -> None:
        self.id, self.name, self.private = id, name, private
        self.folder = root / f"{id}.git"
        self.tree = root / f"{id}"
        self.access: dict[str, str] = {}  # login -> read, write, admin
        self.installation = 0
        self.hooks: dict[int, dict[str, Any]] = {}
        self.statuses: dict[str, list[dict[str, Any]]] = {}
        self.deployments: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, dict[str, Any]] = {}
        self.pulls: dict[int, dict[str, Any]] = {}
        self.deliveries: dict[int, Deliveries] = {}
        self._git("init", "-q", "--bare", "-b", "main", str(self.folder), cwd=root)
        self._git("clone", "-q", str(self.folder), str(self.tree), cwd=root)
        self._git("checkout", "-q", "-B", "main")

    def _git(self, *arguments: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *arguments],
            cwd=cwd or self.tree, env=_ENVIRONMENT, check=True, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return done.stdout.strip()

    git = _git

    def commit(self, branch: str = "main", message: str = "A commit", **files: str) -> str:
        """Commit files (`__` in a name is a dot) and push them; return the commit."""
        self._git("checkout", "-q", "-B", branch)
        for name, text in files.items():
            path = self.tree / name.replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git("add", "-A", "-f")
        self._git("commit", "-q", "--allow-empty", "-m", message)
        self._git("push", "-q", "-f", "origin", branch)
        return self._git("rev-parse", "HEAD")

    def shown(self, github: StandIn, login: str) -> dict[str, Any]:
        right = self.access.get(login, "admin" if login == "[app]" else "")
        owner = self.name.split("/")[0]
        return {
            "id": self.id,
            "name": self.name.split("/")[1],
            "full_name": self.name,
            "owner": {"login": owner, "id": 1},
            "private": self.private,
            "default_branch": "main",
            "pushed_at": "2026-11-01T00:00:00Z",
            "clone_url": f"{github.url}/{self.name}.git",
            "html_url": f"{github.url}/{self.name}",
            "permissions": {
                "admin": right == "admin",
                "push": right in ("admin", "write"),
                "pull": bool(right) or not self.private,
            },
        }


@dataclass
class Identity:
    login: str
    id: int = 0
    installation: int = 0
    repositories: frozenset[int] | None = None
    permissions: dict[str, str] = field(default_factory=dict)
    until: float = float("inf")
    is_app: bool = False


@dataclass
class StandIn:
    root: Path
    port: int = 0
    app_id: str = "77"
    token_seconds: float = 3600
    down: bool = False
    fault: Callable[[web.Request], web.Response | None] | None = None
    repos: list[Repo] = field(default_factory=list)
    tokens: dict[str, Identity] = field(default_factory=dict)
    installations: dict[int, dict[str, Any]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    log: list[tuple[str, str, int]] = field(default_factory=list)
    seen: list[web.Request] = field(default_factory=list)
    sent: list[tuple[str, int, str]] = field(default_factory=list)
    git_requests: list[tuple[str, str]] = field(default_factory=list)
    page_size: int = 0
    hold: Callable[[], Awaitable[None]] | None = None
    is_cut_off: bool = False
    """Whether nothing that it sends arrives."""
    app_deliveries: Deliveries = field(default_factory=Deliveries)
    redelivering: set[asyncio.Task[Any]] = field(default_factory=set)
    _ids: int = 100
    _key: rsa.RSAPrivateKey | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    # --- the world ---------------------------------------------------------------------------

    def user(self, login: str) -> str:
        """Make a user; return their token."""
        token = f"gho_{login}{secrets.token_hex(16)}"
        self.tokens[token] = Identity(login, self.next_id())
        return token

    def repo(self, name: str, *, private: bool = True, **access: str) -> Repo:
        made = Repo(self.root, self.next_id(), name, private=private)
        made.access |= access
        self.repos.append(made)
        return made

    def rename(self, repo: Repo, name: str) -> None:
        self.moved[repo.name.lower()] = f"/repositories/{repo.id}"
        repo.name = name

    def install(self, account: str, *repos: Repo, users: tuple[str, ...] = ()) -> int:
        id = self.next_id()
        self.installations[id] = {"account": account, "users": users, "suspended": False}
        for repo in repos:
            repo.installation = id
        return id

    def private_key(self) -> bytes:
        self._key = self._key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def find(self, name: str) -> Repo | None:
        return next((one for one in self.repos if one.name.lower() == name.lower()), None)

    async def send(self, repo: Repo, event: str, payload: dict[str, Any]) -> list[dict[str, Any]]:
        """Send an event to the hooks of a repository as GitHub does; return the answers."""
        return [
            await self.deliver(
                hook["config"], event, payload, log=repo.deliveries.setdefault(id, Deliveries())
            )
            for id, hook in repo.hooks.items()
            if event in hook["events"] and hook["active"]
        ]

    async def deliver(
        self,
        config: dict[str, Any],
        event: str,
        payload: dict[str, Any],
        *,
        log: Deliveries | None = None,
        guid: str = "",
    ) -> dict[str, Any]:
        """Send an event to the App, or to the hook whose log is given; again under its guid."""
        made = guid or secrets.token_hex(16)
        told = {"status": 502}
        if not self.is_cut_off:
            told = await self._send(config, event, payload, made)
        (log or self.app_deliveries).add(
            self.next_id(), guid=made, event=event, payload=payload, status=told["status"],
            config=config, redelivery=bool(guid),
        )  # fmt: skip
        return told

    async def settled(self) -> None:
        """Wait until everything was delivered again that somebody has asked for."""
        while self.redelivering:
            await asyncio.gather(*self.redelivering)

    async def _send(
        self, config: dict[str, Any], event: str, payload: dict[str, Any], guid: str
    ) -> dict[str, Any]:
        body = json.dumps(payload).encode()
        signature = hmac.new(config["secret"].encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/stand-in",
            "X-GitHub-Delivery": guid,
            "X-GitHub-Event": event,
            "X-Hub-Signature-256": f"sha256={signature}",
        }
        async with (
            aiohttp.ClientSession() as client,
            client.post(config["url"], data=body, headers=headers) as answer,
        ):
            raw = await answer.read()
            self.sent.append((event, answer.status, raw.decode()))
            return {"status": answer.status, **(json.loads(raw) if raw else {})}

    def push(self, repo: Repo, branch: str, sha: str, **more: Any) -> dict[str, Any]:
        """Return the payload of a push."""
        return {
            "ref": f"refs/heads/{branch}",
            "before": "0" * 40,
            "after": sha,
            "repository": repo.shown(self, "[app]"),
            "head_commit": {"id": sha, "message": "change"},
            "commits": [],
            **more,
        }

    def pull(
        self, repo: Repo, number: int, action: str, sha: str, *, author: str = "ada", **more: Any
    ) -> dict[str, Any]:
        """Return the payload of a pull request; `head` overrides where it comes from."""
        home = repo.shown(self, "[app]")
        head = {"ref": f"feature-{number}", "sha": sha, "repo": home, **more.pop("head", {})}
        sender = more.pop("sender", {"login": author})
        repo.pulls[number] = {
            "number": number,
            "state": "closed" if action == "closed" else "open",
            "draft": False,
            "title": f"Change {number}",
            "user": {"login": author, "id": 5},
            "head": head,
            "base": {"ref": "main", "sha": "0" * 40, "repo": home},
            "html_url": f"{self.url}/{repo.name}/pull/{number}",
            **more,
        }
        return {
            "action": action,
            "number": number,
            "pull_request": repo.pulls[number],
            "repository": home,
            "sender": sender,
        }

    # --- HTTP --------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.hold is not None:
            await self.hold()
        if self.down:
            return web.Response(status=503, text="<html>unicorn</html>")
        if self.fault is not None and (answer := self.fault(request)) is not None:
            self.log.append((request.method, request.path_qs, answer.status))
            return answer
        if not request.path.startswith(API + "/"):
            return await self._git_http(request)
        response = await self._api(request)
        self.log.append((request.method, request.path_qs.removeprefix(API), response.status))
        return response

    async def _api(self, request: web.Request) -> web.Response:
        headers = request.headers
        if not headers.get("User-Agent"):
            return _problem(403, "Request forbidden by administrative rules (no User-Agent).")
        if headers.get("Accept") != "application/vnd.github+json":
            return _problem(415, "Unsupported 'Accept' header")
        if headers.get("X-GitHub-Api-Version") != "2022-11-28":
            return _problem(400, "Unsupported API version")
        who = self._who(headers.get("Authorization", ""))
        if who is None:
            return _problem(401, "Bad credentials")
        body = await request.read()
        if body and headers.get("Content-Type", "").partition(";")[0] != "application/json":
            return _problem(415, "Unsupported Content-Type")
        path = request.path.removeprefix(API).strip("/").split("/")
        try:
            result = await self._route(request, path, who, json.loads(body) if body else {})
        except _Problem as problem:
            return _problem(problem.status, problem.message)
        if isinstance(result, web.Response):
            return result
        status, data = result
        raw = json.dumps(data).encode() if data is not None else b""
        answer = web.Response(status=status, body=raw, content_type="application/json")
        answer.headers["X-RateLimit-Remaining"] = "4999"
        if request.method == "GET":
            answer.headers["ETag"] = f'W/"{hashlib.sha256(raw).hexdigest()}"'
            if headers.get("If-None-Match") == answer.headers["ETag"]:
                return web.Response(status=304, headers={"ETag": answer.headers["ETag"]})
        return answer

    def _who(self, authorization: str) -> Identity | None:
        kind, _, token = authorization.partition(" ")
        if not authorization:
            return Identity("")
        if kind.lower() not in ("bearer", "token"):
            return None
        if token.count(".") == 2 and not token.startswith("ghs_"):
            assert self._key is not None
            try:
                key, needed = self._key.public_key(), {"require": ["exp", "iat", "iss"]}
                claims = jwt.decode(token, key, algorithms=["RS256"], options=needed)
            except jwt.PyJWTError:
                return None
            if claims["iss"] != self.app_id or claims["exp"] - time.time() > 600:
                return None
            return Identity("[app]", is_app=True)
        found = self.tokens.get(token)
        return found if found and found.until > time.time() else None

    def may(self, who: Identity, repo: Repo, right: str) -> bool:
        if who.installation:
            inside = repo.installation == who.installation
            return inside and (who.repositories is None or repo.id in who.repositories)
        rank = {"": 0, "read": 1, "write": 2, "admin": 3}
        has = repo.access.get(who.login, "" if repo.private else "read")
        return rank[has] >= rank[right]

    async def _route(
        self, request: web.Request, path: list[str], who: Identity, body: dict[str, Any]
    ) -> Any:
        match request.method, path:
            case "POST", ["app", "installations", id, "access_tokens"] if who.is_app:
                return self._mint(int(id), body)
            case method, ["app", "hook", "deliveries", *rest] if who.is_app:
                return self._deliveries(request, self.app_deliveries, method, rest)
            case _ if who.is_app and path[0] != "repos":
                raise _Problem(403, "A JSON web token is only for the App itself")
            case "GET", ["user"] if who.login:
                return 200, {"login": who.login, "id": who.id}
            case "GET", ["user", "repos"] if who.login:
                found = [one for one in self.repos if one.access.get(who.login)]
                return self._page(request, [one.shown(self, who.login) for one in found])
            case "GET", ["user", "installations"] if who.login:
                mine = {
                    id: one for id, one in self.installations.items() if who.login in one["users"]
                }
                items = [
                    {"id": id, "account": {"login": one["account"]}} for id, one in mine.items()
                ]
                return self._page(request, items, key="installations")
            case "GET", ["user", "installations", id, "repositories"]:
                if who.login not in self.installations.get(int(id), {}).get("users", ()):
                    raise _Problem(404, "Not Found")
                found = [
                    one
                    for one in self.repos
                    if one.installation == int(id) and self.may(who, one, "read")
                ]
                return self._page(
                    request, [one.shown(self, who.login) for one in found], key="repositories"
                )
            case "GET", ["repositories", id]:
                repo = next((one for one in self.repos if str(one.id) == id), None)
                return 200, self._visible(repo, who).shown(self, who.login)
            case _, ["repos", owner, name, *rest]:
                full = f"{owner}/{name}"
                if (there := self.moved.get(full.lower())) and not self.find(full):
                    location = "/".join([f"{self.url}{API}{there}", *rest])
                    status = 301 if request.method == "GET" else 307
                    return web.Response(status=status, headers={"Location": location})
                return await self._repository(request, self.find(full), rest, who, body)
            case _, ["repositories", id, *rest]:
                repo = next((one for one in self.repos if str(one.id) == id), None)
                return await self._repository(request, repo, rest, who, body)
        raise _Problem(404, "Not Found")

    def _visible(self, repo: Repo | None, who: Identity, right: str = "read") -> Repo:
        if repo is None or not (who.is_app or self.may(who, repo, "read")):
            raise _Problem(404, "Not Found")
        if not (who.is_app or self.may(who, repo, right)):
            raise _Problem(404 if right == "admin" else 403, "Resource not accessible")
        return repo

    async def _repository(
        self, request: web.Request, repo: Repo | None, rest: list[str], who: Identity, body: Any
    ) -> Any:
        repo = self._visible(repo, who)
        match request.method, rest:
            case "GET", []:
                return 200, repo.shown(self, who.login)
            case "GET", ["installation"] if who.is_app:
                if not repo.installation:
                    raise _Problem(404, "Not Found")
                state = self.installations[repo.installation]
                return 200, {
                    "id": repo.installation,
                    "suspended_at": "x" if state["suspended"] else None,
                }
            case _ if who.is_app:
                raise _Problem(403, "Not for the App itself")
            case "GET", ["branches"]:
                names = repo.git("ls-remote", "--heads", str(repo.folder)).splitlines()
                items = [
                    {"name": line.split("refs/heads/")[1], "commit": {"sha": line.split()[0]}}
                    for line in names
                ]
                return self._page(request, items)
            case "GET", ["collaborators", login, "permission"]:
                return 200, {
                    "permission": repo.access.get(login, "read" if not repo.private else "none")
                }
            case "GET", ["hooks"]:
                self._visible(repo, who, "admin")
                return self._page(request, [_hook(one) for one in repo.hooks.values()])
            case "POST", ["hooks"]:
                self._visible(repo, who, "admin")
                return 201, _hook(self._make_hook(repo, body))
            case method, ["hooks", id, "deliveries", *deeper] if int(id) in repo.hooks:
                self._visible(repo, who, "admin")
                log = repo.deliveries.setdefault(int(id), Deliveries())
                return self._deliveries(request, log, method, deeper)
            case "GET", ["git", "ref", "heads", *branch]:
                line = repo.git("ls-remote", str(repo.folder), f"refs/heads/{'/'.join(branch)}")
                if not line:
                    raise _Problem(404, "Not Found")
                sha, ref = line.split()
                return 200, {"ref": ref, "object": {"type": "commit", "sha": sha}}
            case "GET", ["git", "commits", sha]:
                return 200, {"sha": sha, "message": repo.git("log", "-1", "--format=%B", sha)}
            case "GET", ["pulls", number]:
                if int(number) not in repo.pulls:
                    raise _Problem(404, "Not Found")
                return 200, repo.pulls[int(number)]
            case method, ["hooks", id]:
                self._visible(repo, who, "admin")
                return self._one_hook(repo, method, int(id), body)
            case "POST", ["statuses", sha]:
                self._visible(repo, who, "write")
                _need(body.get("state") in STATES, "state")
                _need(len(body.get("description", "")) <= 140, "description")
                repo.statuses.setdefault(sha, []).append(body)
                return 201, {"id": self.next_id(), **body}
            case "GET", ["deployments"]:
                wanted = request.query
                found = [
                    one for one in repo.deployments.values()
                    if wanted.get("sha", one["sha"]) == one["sha"]
                    and wanted.get("environment", one["environment"]) == one["environment"]
                ]  # fmt: skip
                return self._page(request, found[::-1])
            case "POST", ["deployments"]:
                self._visible(repo, who, "write")
                _need(bool(body.get("ref")), "ref")
                _need(body.get("auto_merge") is False, "auto_merge")
                if body.get("required_contexts") != []:
                    raise _Problem(409, "Conflict: Commit status checks failed")
                id = self.next_id()
                repo.deployments[id] = {**body, "id": id, "sha": body["ref"], "statuses": []}
                return 201, repo.deployments[id]
            case "POST", ["deployments", id, "statuses"]:
                self._visible(repo, who, "write")
                _need(body.get("state") in DEPLOYMENT_STATES, "state")
                _need(len(body.get("description", "")) <= 140, "description")
                repo.deployments[int(id)]["statuses"].append(body)
                return 201, {"id": self.next_id(), **body}
            case "GET", ["issues", number, "comments"]:
                found = [one for one in repo.comments.values() if one["issue"] == int(number)]
                return self._page(request, found)
            case "POST", ["issues", number, "comments"]:
                _need(bool(body.get("body")), "body")
                id = self.next_id()
                repo.comments[id] = {
                    "id": id,
                    "issue": int(number),
                    "body": body["body"],
                    "user": {"login": who.login or "[bot]"},
                }
                return 201, repo.comments[id]
            case "PATCH", ["issues", "comments", id]:
                if int(id) not in repo.comments:
                    raise _Problem(404, "Not Found")
                repo.comments[int(id)]["body"] = body["body"]
                return 200, repo.comments[int(id)]
        raise _Problem(404, "Not Found")

    def _mint(self, id: int, body: dict[str, Any]) -> Any:
        found = self.installations.get(id)
        if found is None:
            raise _Problem(404, "Not Found")
        if found["suspended"]:
            raise _Problem(403, "This installation has been suspended")
        only = body.get("repository_ids")
        # As long as GitHub's newest ones, and of the same alphabet.
        token = f"ghs_{self.app_id}_{secrets.token_urlsafe(120)}.{secrets.token_urlsafe(120)}"
        self.tokens[token] = Identity(
            "", installation=id, repositories=frozenset(only) if only else None,
            permissions=body.get("permissions", {}), until=time.time() + self.token_seconds,
        )  # fmt: skip
        until = datetime.now(UTC) + timedelta(seconds=self.token_seconds)
        return 201, {"token": token, "expires_at": until.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def _make_hook(self, repo: Repo, body: dict[str, Any]) -> dict[str, Any]:
        _need(body.get("name") == "web" and isinstance(body.get("events"), list), "events")
        config = body["config"]
        _need(config.get("content_type") in ("json", "form"), "content_type")
        if any(one["config"]["url"] == config["url"] for one in repo.hooks.values()):
            raise _Problem(422, "Validation Failed: Hook already exists on this repository")
        id = self.next_id()
        repo.hooks[id] = {"id": id, "active": True, **body}
        return repo.hooks[id]

    def _one_hook(self, repo: Repo, method: str, id: int, body: dict[str, Any]) -> Any:
        if id not in repo.hooks:
            raise _Problem(404, "Not Found")
        hook = repo.hooks[id]
        if method == "DELETE":
            del repo.hooks[id]
            return 204, None
        if method == "PATCH":
            hook |= {name: value for name, value in body.items() if name != "config"}
            hook["config"] = body.get("config", hook["config"])
        return 200, _hook(hook)

    def _deliveries(
        self, request: web.Request, log: Deliveries, method: str, rest: list[str]
    ) -> Any:
        if method == "GET" and not rest:
            return log.page(request)
        one = log.get(int(rest[0])) if rest and rest[0].isdecimal() else None
        if one is None:
            raise _Problem(404, "Not Found")
        if method == "GET" and len(rest) == 1:
            return 200, shown(one)
        if method != "POST" or rest[1:] != ["attempts"]:
            raise _Problem(404, "Not Found")
        if is_too_old(one):
            raise _Problem(422, "Validation Failed: it was sent too long ago")
        # Answered at once, and sent some time later.
        sending = asyncio.create_task(
            self.deliver(one["config"], one["event"], one["request"]["payload"],
                         log=log, guid=one["guid"])
        )  # fmt: skip
        self.redelivering.add(sending)
        sending.add_done_callback(self.redelivering.discard)
        return 202, {}

    def _page(self, request: web.Request, items: list[Any], key: str = "") -> web.Response:
        size = self.page_size or min(int(request.query.get("per_page", 30)), 100)
        page = int(request.query.get("page", 1))
        part = items[(page - 1) * size : page * size]
        data: Any = {"total_count": len(items), key: part} if key else part
        raw = json.dumps(data).encode()
        headers = {"ETag": f'W/"{hashlib.sha256(raw).hexdigest()}"'}
        if page * size < len(items):
            # As GitHub does: by another path than the one that was asked for.
            there = request.url.update_query(page=page + 1)
            headers["Link"] = f'<{there}>; rel="next", <{there}>; rel="last"'
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        return web.Response(body=raw, headers=headers, content_type="application/json")

    # --- Git ---------------------------------------------------------------------------------

    async def _git_http(self, request: web.Request) -> web.StreamResponse:
        self.git_requests.append((request.path, request.headers.get("Authorization", "")))
        owner, _, rest = request.path.strip("/").partition("/")
        name, _, tail = rest.partition("/")
        full = f"{owner}/{name.removesuffix('.git')}"
        if self.moved.get(full.lower()) and not self.find(full):
            id = self.moved[full.lower()].rpartition("/")[2]
            there = next(one for one in self.repos if str(one.id) == id)
            raise web.HTTPMovedPermanently(
                f"{self.url}/{there.name}.git/{tail}?{request.query_string}"
            )
        repo = self.find(full)
        who = self._basic(request.headers.get("Authorization", ""))
        if repo is None or who is None or not self.may(who, repo, "read"):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="GitHub"'})
        return await http_backend(request, self.root, f"/{repo.id}.git/{tail}")

    def _basic(self, authorization: str) -> Identity | None:
        if not authorization:
            return Identity("")
        kind, _, coded = authorization.partition(" ")
        if kind != "Basic":
            return None
        user, _, token = base64.b64decode(coded).decode().partition(":")
        found = self.tokens.get(token) if user == "x-access-token" else None
        return found if found and found.until > time.time() else None


async def http_backend(request: web.Request, root: Path, path: str) -> web.Response:
    """Let git answer a request of smart HTTP."""
    environment = {
        **_ENVIRONMENT,
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": request.method,
        "PATH_INFO": path,
        "QUERY_STRING": request.query_string,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }
    process = await asyncio.create_subprocess_exec(
        "git", "http-backend", env=environment, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    output, _ = await process.communicate(await request.read())
    head, _, body = output.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    status = int(headers.pop("Status", "200").split()[0])
    return web.Response(status=status, headers=headers, body=body)


class _Problem(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise _Problem(422, f"Validation Failed: {what}")


def _problem(status: int, message: str) -> web.Response:
    return web.json_response({"message": message, "documentation_url": "x"}, status=status)


def _hook(hook: dict[str, Any]) -> dict[str, Any]:
    """A hook as GitHub shows it: its secret is stars."""
    return {**hook, "config": {**hook["config"], "secret": "********"}}


@contextlib.asynccontextmanager
async def running(root: Path, oauth: OAuthServer | None = None) -> AsyncIterator[StandIn]:
    """Run it on a free port of loopback, with people who sign in by it if that is wanted."""
    await asyncio.to_thread(root.mkdir, parents=True, exist_ok=True)
    github = StandIn(root)
    application = web.Application(client_max_size=64 * 2**20)
    if oauth is not None:
        oauth.add_to(application)
        oauth.made_token = lambda token, person: github.tokens.update(
            {token: Identity(person.login, person.id)}
        )
    application.router.add_route("*", "/{path:.*}", github.handle)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    github.port = runner.addresses[0][1]
    try:
        yield github
    finally:
        await runner.cleanup()
