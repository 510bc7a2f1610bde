"""GitHub's REST API, with what GitHub asks of programs that use it.

Answers are kept with their ETag, by whose token they were given for, and asked for again for
free. Limits are waited for if the wait is short, else told. What may be repeated is repeated
when GitHub fails; links and redirects are followed on the API's own origin only.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin

from helvetia.version import __version__

from .addresses import is_on
from .errors import GitHubDown, GitHubError, GitHubLimited, GitHubRefused

if TYPE_CHECKING:
    import aiohttp

Authorize = Callable[[bool], Awaitable[str]]
"""Gives the value of the header `Authorization`, "" for none; True: the former one is void."""

_HEADERS = {
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
    "User-Agent": f"Helvetia/{__version__}",
}
_SECONDS = 20.0
_TRIES = 3
_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE = 5.0
_SECONDARY_SECONDS = 60.0
_WRITE_SECONDS = 1.0
_REDIRECTS = (301, 302, 307, 308)
_MOST_REDIRECTS = 3
_MOST_BYTES = 32 * 2**20
_MOST_PAGES = 100
_KEPT_ANSWERS = 512
_KEPT_BYTES = 2**20
_NEXT = re.compile(r'<([^<>]+)>;[^,]*\brel="next"')
_SSO = re.compile(r"url=(https?://\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What GitHub said; `was_kept`: it is what it said before, and still says."""

    status: int
    data: Any
    headers: Mapping[str, str]
    was_kept: bool = False

    @property
    def next_page(self) -> str | None:
        """The address of the next page, as GitHub says it."""
        match = _NEXT.search(self.headers.get("Link", ""))
        return match[1] if match else None


_kept: OrderedDict[tuple[str, str, str], Answer] = OrderedDict()
_write_at: dict[tuple[str, str], float] = {}


class GitHubClient:
    """Speaks as one identity.

    Args:
        base: the API's URL.
        identity: whose token it is, as `user:1`; answers are kept by it.
        authorize: gives the token.
        patience: longest wait for a limit to pass, in seconds.
    """

    def __init__(
        self, base: str, identity: str, authorize: Authorize, *, patience: float = 5.0
    ) -> None:
        self.base = base
        self.identity = identity
        self._authorize = authorize
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open connections."""
        import aiohttp

        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_SECONDS, connect=_SECONDS / 2),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close them."""
        assert self._session is not None
        await self._session.close()

    async def get(self, path: str, **query: str | int) -> Any:
        """Read something."""
        return (await self.ask("GET", path, query=query)).data

    async def pages(
        self, path: str, *, key: str = "", **query: str | int
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Read a list page by page, following the links that GitHub gives.

        Args:
            path: of the list.
            key: where an answer has its items, if it is an object.
            query: what of it.
        """
        wanted: str | None = path
        parameters: Mapping[str, str | int] = {"per_page": 100, **query}
        for _ in range(_MOST_PAGES):
            answer = await self.ask("GET", wanted, query=parameters)
            items = answer.data.get(key) if key and isinstance(answer.data, dict) else answer.data
            if not isinstance(items, list):
                raise GitHubError(f"GitHub gave no list for {path}")
            yield items
            wanted, parameters = answer.next_page, {}
            if wanted is None:
                return
            if not is_on(wanted, self.base):
                raise GitHubError("the next page that GitHub names is not on its API")

    async def ask(
        self,
        method: str,
        path: str | None,
        *,
        query: Mapping[str, str | int] | None = None,
        body: object = None,
    ) -> Answer:
        """Ask for something; `path` may also be a whole URL of the API.

        Raises:
            GitHubDown: it does not answer, however often it is asked.
            GitHubLimited: it has been asked too often.
            GitHubRefused: it says no.
        """
        url = path if path and path.startswith("http") else f"{self.base}{path}"
        if method != "GET":
            await self._take_turn()
        renewed = False
        for attempt in range(1, _TRIES + 1):
            is_last = attempt == _TRIES
            try:
                answer = await self._once(method, url, query or {}, body, renew=renewed)
            except GitHubDown as error:
                # What makes something is not made twice.
                if is_last or (method == "POST" and error.answered != -1):
                    raise
            except GitHubLimited as error:
                if is_last or (error.retry_after or 0) > self._patience:
                    raise
                await asyncio.sleep(error.retry_after or 0)
                continue
            else:
                if answer.status != 401 or renewed or not self.identity:
                    return _checked(answer, method, url)
                renewed = True
                continue
            pause = min(_PAUSE_SECONDS * 2 ** (attempt - 1), _LONGEST_PAUSE)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
        raise GitHubRefused(
            "GitHub does not take the token any more", hint="connect GitHub again", answered=401
        )

    async def _once(
        self,
        method: str,
        url: str,
        query: Mapping[str, str | int],
        body: object,
        *,
        renew: bool,
    ) -> Answer:
        headers = dict(_HEADERS)
        if token := await self._authorize(renew):
            headers["Authorization"] = token
        for _ in range(_MOST_REDIRECTS + 1):
            answer = await self._exchange(method, url, query, body, headers)
            if answer.status not in _REDIRECTS:
                return answer
            url, query = urljoin(url, answer.headers.get("Location", "")), {}
            if not is_on(url, self.base):
                raise GitHubError("GitHub leads to an address that is not on its API")
        raise GitHubError("GitHub leads from one address to the next")

    async def _exchange(
        self,
        method: str,
        url: str,
        query: Mapping[str, str | int],
        body: object,
        headers: Mapping[str, str],
    ) -> Answer:
        import aiohttp
        from yarl import URL

        assert self._session is not None
        target = URL(url, encoded=True)
        if query:
            target = target.update_query({name: str(value) for name, value in query.items()})
        key = (self.base, self.identity, str(target))
        kept = _kept.get(key) if method == "GET" else None
        more = {"If-None-Match": kept.headers["ETag"]} if kept else {}
        try:
            async with self._session.request(
                method, target, json=body, headers={**headers, **more}, allow_redirects=False
            ) as response:
                raw = await _read(response)
        except aiohttp.ClientConnectorError as error:
            raise _down(target.host, answered=-1) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _down(target.host) from error
        if response.status == 304 and kept:
            _kept.move_to_end(key)
            return kept
        _refuse_limit(response.status, response.headers, raw)
        if response.status >= 500:
            raise _down(target.host, answered=response.status)
        data = _parsed(raw)
        answer = Answer(status=response.status, data=data, headers=response.headers.copy())
        if method == "GET" and response.status == 200 and "ETag" in response.headers:
            _keep(key, answer, len(raw))
        return answer

    async def _take_turn(self) -> None:
        """Leave a second between two requests that change something, as GitHub wants it."""
        key = (self.base, self.identity)
        now = time.monotonic()
        turn = max(now, _write_at.get(key, 0.0))
        _write_at[key] = turn + _WRITE_SECONDS
        await asyncio.sleep(turn - now)


def token_header(token: str) -> str:
    """Return the header for a token."""
    return f"Bearer {token}"


def _keep(key: tuple[str, str, str], answer: Answer, size: int) -> None:
    if size > _KEPT_BYTES:
        return
    _kept[key] = Answer(status=200, data=answer.data, headers=answer.headers, was_kept=True)
    while len(_kept) > _KEPT_ANSWERS:
        _kept.popitem(last=False)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        body += chunk
        if len(body) > _MOST_BYTES:
            raise GitHubError("GitHub's answer is too large")
    return bytes(body)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


def _down(host: str | None, *, answered: int = 0) -> GitHubDown:
    what = f"answers {answered}" if answered > 0 else "does not answer"
    return GitHubDown(
        f"GitHub ({host}) {what}", hint="try again later", answered=answered, retry_after=30.0
    )


def _refuse_limit(status: int, headers: Mapping[str, str], raw: bytes) -> None:
    """Tell a limit from a refusal: both are 403.

    Raises:
        GitHubLimited: it is one.
    """
    if status not in (403, 429):
        return
    wait: float | None = None
    if "Retry-After" in headers:
        wait = _number(headers["Retry-After"], _SECONDARY_SECONDS)
    elif headers.get("X-RateLimit-Remaining") == "0":
        wait = max(0.0, _number(headers.get("X-RateLimit-Reset", ""), 0) - time.time()) + 1
    elif status == 429 or b"secondary rate limit" in raw.lower():
        wait = _SECONDARY_SECONDS
    if wait is not None:
        raise GitHubLimited(
            "GitHub has been asked too often",
            hint=f"it takes requests again in {wait:.0f} s",
            answered=status,
            retry_after=wait,
        )


def _number(text: str, otherwise: float) -> float:
    try:
        return min(max(float(text), 0.0), 1e11)
    except ValueError:
        return otherwise


def _checked(answer: Answer, method: str, url: str) -> Answer:
    if answer.status < 400:
        return answer
    said = answer.data.get("message", "") if isinstance(answer.data, dict) else ""
    said = str(said)[:200] or f"status {answer.status}"
    hint = {
        401: "connect GitHub again",
        403: "the token has not the right to do this",
        404: "it is not there, or the token may not see it",
    }.get(answer.status, "")
    if sso := _SSO.search(answer.headers.get("X-GitHub-SSO", "")):
        hint = f"the organisation wants a single sign-on: {sso[1]}"
    path = url.partition("://")[2].partition("/")[2].partition("?")[0]
    raise GitHubRefused(
        f"GitHub refused {method} /{path}: {said}", hint=hint, answered=answer.status
    )
