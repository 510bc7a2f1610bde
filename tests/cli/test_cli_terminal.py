"""What only a terminal shows, with a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

CODE = """
from helvetia.cli.output import Output
out = Output()
out.line(("ACTIVE", "green"), " plain")
out.log_line("\\x1b[32mok\\x1b[0m \\x1b[2Jcleared")
out.note(("bold", "bold"))
"""


def _on_terminal(**environment: str) -> str:
    leader, follower = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [sys.executable, "-c", CODE],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**variables, "TERM": "xterm", **environment},
    ) as process:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 65536):
                shown += chunk
        except OSError:
            # How Linux says that the other side is closed.
            pass
        assert process.wait(timeout=30) == 0
    os.close(leader)
    return shown.decode().replace("\r\n", "\n")


def test_colours_on_a_terminal() -> None:
    status, log, note = _on_terminal().splitlines()
    assert status == "\x1b[32mACTIVE\x1b[0m plain"
    # The colours of a log stay; what clears the screen does not.
    assert log == "\x1b[32mok\x1b[0m cleared"
    assert note == "\x1b[1mbold\x1b[0m"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours_where_they_are_not_wanted(environment: dict[str, str]) -> None:
    assert _on_terminal(**environment) == "ACTIVE plain\nok cleared\nbold\n"
