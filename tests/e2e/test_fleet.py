"""The short form of `python -m bench.fleet`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.fleet import measure

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.postgres]


@pytest.mark.timeout(180)  # 25 s where nothing else runs
def test_all_that_is_asked_of_a_fleet_ends_in_order(tmp_path: Path) -> None:
    found = measure(tmp_path, workers=2, services=8, times=3)
    assert found.wrong == []
    assert len({row.worker for row in found.rows}) == 2
