from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from helvetia.kernel.database import Database
from helvetia.kernel.models import Service, Team

MakeService = Callable[..., Awaitable[Service]]


@pytest.fixture
def make_service(database: Database) -> MakeService:
    async def make(name: str = "web", **values: object) -> Service:
        team, _ = await Team.get_or_create(name="default")
        return await Service.create(team=team, name=name, source_url="/nowhere", **values)

    return make
