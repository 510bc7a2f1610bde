from __future__ import annotations

from pathlib import Path

import pytest
from cli_outcome import Outcome, Run

from helvetia.cli import execute


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, and nothing in the environment that leads elsewhere."""
    folder = tmp_path / "home"
    for name in ("HELVETIA_URL", "HELVETIA_TOKEN", "HELVETIA_DEBUG", "HELVETIA_DISABLED_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HELVETIA_HOME", str(folder))
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process."""

    def act(*arguments: str) -> Outcome:
        code = execute(list(arguments))
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return act
