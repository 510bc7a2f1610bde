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


def _on_terminal(code: str = CODE, *, typed: str = "", **environment: str) -> str:
    leader, follower = pty.openpty()
    os.write(leader, typed.encode())
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [sys.executable, "-c", code],
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


ASK = """
from helvetia.kernel.errors import InvalidInput
from helvetia.cli.running import ask_for_name
try:
    ask_for_name("Delete the team crew?", "crew")
    print("yes")
except InvalidInput as error:
    print(error.field, error.reason)
"""


@pytest.mark.parametrize(
    ("typed", "last"),
    [
        ("crew\n", "yes"),
        (" crew \n", "yes"),
        ("y\n", "name that is not it; nothing was deleted"),
        ("\n", "name that is not it; nothing was deleted"),
    ],
)
def test_what_is_deleted_is_named_by_whoever_deletes_it(typed: str, last: str) -> None:
    shown = _on_terminal(ASK, typed=typed)
    assert shown.endswith(f"Delete the team crew? Type its name: {last}\n")


def test_nobody_is_asked_without_a_terminal() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.stdout == "--yes is needed where nobody can be asked\n"
