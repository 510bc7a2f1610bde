"""A browser as far as signing in needs one: it keeps cookies, follows redirects and fills forms."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin

import aiohttp
from http_support import Answer, World
from yarl import URL

LINKS = re.compile(r'class="button" href="([^"]+)"')


@dataclass
class Browser:
    world: World
    session: aiohttp.ClientSession = field(init=False)
    at: str = ""

    async def __aenter__(self) -> Self:
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.session.close()

    async def ask(self, method: str, address: str, **options: Any) -> Answer:
        """One request; the browser stays on the address, and follows nothing."""
        self.at = urljoin(self.at or self.world.url, address)
        async with self.session.request(
            method, URL(self.at, encoded=True), allow_redirects=False, **options
        ) as response:
            return await Answer.read(response)

    async def go(self, address: str) -> Answer:
        """Open an address and follow where it leads."""
        answer = await self.ask("GET", address)
        while 300 <= answer.status < 400:
            answer = await self.ask("GET", answer.headers["Location"])
        return answer

    async def way_there(self, *, next: str = "") -> str:
        """Begin to sign in by GitHub; return where the page leads."""
        page = await self.go(f"{self.world.url}/auth/github" + (f"?next={next}" if next else ""))
        return link(page)

    async def way_back(self, *, next: str = "") -> str:
        """Agree at GitHub; return the address to which it sends the browser back."""
        answer = await self.ask("GET", await self.way_there(next=next))
        assert answer.status == 302, answer.raw
        return str(answer.headers["Location"])

    async def sign_in(self, *, next: str = "") -> Answer:
        """The whole way; return the answer of the platform to the return."""
        return await self.ask("GET", await self.way_back(next=next))

    async def me(self) -> Any:
        return (await self.ask("GET", f"{self.world.url}/api/v1/me")).json

    async def post(self, path: str, **form: str) -> Answer:
        """Send a form of one of our pages."""
        token = (await self.me()).get("csrf_token", "")
        headers = {"Origin": self.world.url, "Sec-Fetch-Site": "same-origin"}
        data = {"csrf_token": token, **form}
        return await self.ask("POST", f"{self.world.url}{path}", data=data, headers=headers)

    def cookies(self) -> dict[str, str]:
        return {one.key: one.value for one in self.session.cookie_jar}


def link(page: Answer) -> str:
    found = LINKS.search(page.raw.decode())
    assert found is not None, page.raw
    return html.unescape(found[1])
