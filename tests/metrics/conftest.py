from __future__ import annotations

import sys
from pathlib import Path

import pytest

from helvetia.kernel.models import Service, Team
from helvetia.kernel.platform import Platform
from tests.migrated import migrated_home as migrated_home
from tests.migrated import migrated_postgres as migrated_postgres
from tests.migrated import platform as platform

# The API's own tests have the world; their folder is no package.
sys.path.append(str(Path(__file__).parents[1] / "http"))


@pytest.fixture
async def service(platform: Platform) -> Service:
    team = await Team.create(name="team")
    return await Service.create(team=team, name="web", source_url="/nowhere")
