"""However much there is, a page asks the database the same number of questions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tortoise.backends.sqlite.client import SqliteClient

from helvetia.kernel.models import Release, Service

from .conftest import Client, Site
from .world import Person, add_deployment, add_service

_MOST = 14
_PAGES = (
    "/",
    "/services/service-0",
    "/services/service-0/deployments",
    "/services/service-0/releases",
    "/services/service-0/environment",
    "/services/service-0/metrics",
    "/services/service-0/settings",
    "/services/service-0/shell",
    "/admin/audit",
)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Note the questions that are asked meanwhile."""
    asked: list[str] = []
    with monkeypatch.context() as patch:
        for name in ("execute_query", "execute_query_dict"):
            patch.setattr(SqliteClient, name, _noting(getattr(SqliteClient, name), asked))
        yield asked


def _noting(ask: Any, asked: list[str]) -> Any:
    async def noted(self: Any, query: str, values: Any = None) -> Any:
        asked.append(query)
        return await ask(self, query, values)

    return noted


async def test_no_page_asks_for_each_row(
    site: Site, browser: Client, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _grow(1, 1)
    few = {path: await _count(browser, path, monkeypatch) for path in _PAGES}
    await _grow(12, 6)
    many = {path: await _count(browser, path, monkeypatch) for path in _PAGES}
    assert many == few
    assert max(many.values()) <= _MOST, many


async def _grow(services: int, deployments: int) -> None:
    known = await Service.all().count()
    first = await Service.get_or_none(name="service-0")
    for number in range(known, known + services):
        made = await add_service(f"service-{number}")
        await add_deployment(made)
        first = first or made
    assert first is not None
    for _ in range(deployments):
        await first.refresh_from_db()
        await add_deployment(first)
    assert await Release.filter(service_id=first.id).count() > deployments - 1


async def _count(browser: Client, path: str, monkeypatch: pytest.MonkeyPatch) -> int:
    await browser.get(path)  # nothing is counted that is done once
    with counted(monkeypatch) as asked:
        answer = await browser.get(path)
        text = await answer.text()
    assert answer.status == 200, text
    assert re.search(r"service-0|audit", text)
    return len(asked)
