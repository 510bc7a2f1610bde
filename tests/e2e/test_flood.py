"""A build that prints without end: bounded, told, and nobody else's concern."""

from __future__ import annotations

import psutil
import pytest

from . import apps
from .harness import Installation, Repository, until
from .looking import deploy, text

pytestmark = pytest.mark.e2e
_LINES = 300_000
# 24 MB, as fast as the pipe takes them; the log keeps 10.
_FLOOD = f"""
const lines = "npm info fetch GET 200 https resolved to something that nobody will read {{}}\\n";
for (let n = 0; n < {_LINES}; n += 1000) require("fs").writeSync(1, lines.repeat(1000));
console.error("the very last line");
"""
_GROWTH_MIB = 64


@pytest.mark.long
def test_a_build_floods_its_log(shared: Installation, repository: Repository) -> None:
    script = {"package.json": '{"scripts": {"build": "node build.js"}}', "build.js": _FLOOD}
    repository.commit("one", {**apps.server("one"), **script})
    assert shared.process is not None
    control_plane = psutil.Process(shared.process.pid)
    before = control_plane.memory_info().rss

    made = deploy(shared, repository, "flood")

    grown = (control_plane.memory_info().rss - before) / 2**20
    assert grown < _GROWTH_MIB, f"the control plane grew by {grown:.0f} MiB"
    assert made["status"] == "LIVE"
    assert until("it answers", lambda: text(shared, "flood")) == "one"
    log = shared.run("logs", "flood", "--build", "-n", "all")
    assert "dropped: the log reached 10 MB" in log.stdout
    assert "the very last line" in log.stdout
    assert len(log.stdout) < 16 * 2**20
