"""Providers say whether they are usable: each is asked once for all who want to know."""

from __future__ import annotations

import asyncio

from aiohttp import web

from helvetia import AuthProvider, Check, Identity
from helvetia.kernel.providers import Entry, Family


class Slow(AuthProvider):
    """Counts how often it is asked, and answers when it is let."""

    name = "slow"
    title = "Slow"

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def check(self) -> Check:
        self.asked += 1
        await self.may_answer.wait()
        return Check(ok=True, reason="here")

    async def begin(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    async def complete(self, request: web.Request) -> Identity | web.StreamResponse:
        raise NotImplementedError


async def test_many_who_ask_at_once_are_one_question() -> None:
    family: Family[AuthProvider] = Family("auth")
    provider = Slow()
    entry: Entry[AuthProvider] = Entry(provider, "tests")
    assert family.add(entry) == ""
    asking = [asyncio.create_task(family.check(entry)) for _ in range(20)]
    while not provider.asked:
        await asyncio.sleep(0)
    # Whoever gives up does not take the answer from the others.
    asking[0].cancel()
    provider.may_answer.set()
    answers = await asyncio.gather(*asking[1:])
    assert {answer.reason for answer in answers} == {"here"}
    assert provider.asked <= 2
    asked = provider.asked
    assert (await family.check(entry)).ok
    assert provider.asked == asked
