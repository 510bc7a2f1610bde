"""Commands of people, over a real socket to the runtime `process`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from helvetia.kernel.models import Event, Membership, Service
from helvetia.masking import MASK
from helvetia.testing.base import repeated

from .conftest import SECRET, Place

WINDOW = {"columns": 90, "rows": 25}


def with_settings(**values: str) -> pytest.MarkDecorator:
    settings = {f"HELVETIA_SHELL_{name}": value for name, value in values.items()}
    return pytest.mark.parametrize("place", [settings], indirect=True)


async def told(kind: str) -> dict[str, Any]:
    return (await Event.filter(kind=kind).order_by("-created_at").first()).data  # type: ignore[union-attr]


async def test_a_command_tells_its_output_and_exit_code(place: Place) -> None:
    code = "cat hello.txt; echo oh >&2; echo $HELVETIA_SERVICE; exit 3"
    end, shell = await place.ran("sh", "-c", code)
    assert end == {"exit_code": 3, "reason": ""}
    assert shell.shown == {1: b"hello\nweb\n", 2: b"oh\n"}
    assert "exited with code 3" in shell.notes[0]
    assert place.left == []
    opened, closed = await told("shell.opened"), await told("shell.closed")
    assert opened == {"command": f"sh -c {code}", "release": "3"}
    assert float(closed.pop("seconds")) > 0
    assert closed == {**opened, "exit_code": "3"}


async def test_secrets_are_masked_in_output_and_journal(place: Place) -> None:
    end, shell = await place.ran("sh", "-c", f"printf %s $WORD; echo; echo {SECRET} >&2")
    assert end["exit_code"] == 0
    assert shell.shown == {1: MASK + b"\n", 2: MASK + b"\n"}
    assert SECRET not in json.dumps(await told("shell.closed"))


async def test_a_person_at_a_terminal(place: Place) -> None:
    async with place.open({"terminal": WINDOW}) as shell:
        assert await shell.frame() == {"started": {"release": 3}}
        await shell.socket.send_bytes(b"stty -echo; stty size; echo $TERM; cat hello.txt\n")
        await shell.until("25 90")
        await shell.until("hello\r\n")
        assert b"xterm-256color" in shell.shown[1]
        await shell.socket.send_str(json.dumps({"columns": 60, "rows": 20}))
        await shell.socket.send_str("this is no size")
        await shell.socket.send_bytes(b"stty size\n")
        await shell.until("20 60")
        await shell.socket.send_bytes(b"sleep 600\n")
        # As a person does, until it helps: a Ctrl-C between two programs is for nobody, and
        # bash may take the next key with it.
        async with repeated(lambda: shell.socket.send_bytes(b"\x03\necho still here\n")):
            await shell.until("still here\r\n")
        await shell.socket.send_bytes(b"exit 7\n")
        assert await shell.end() == {"exit_code": 7, "reason": ""}
    assert place.left == []
    assert (await told("shell.opened"))["command"] == "a shell"


@pytest.mark.parametrize("terminal", [None, WINDOW])
async def test_who_closes_the_connection_ends_the_command(
    place: Place, terminal: dict[str, int] | None
) -> None:
    wanted = {"command": ["sh", "-c", "echo begun; sleep 600"], "terminal": terminal}
    async with place.open(wanted) as shell:
        await shell.frame()
        await shell.until("begun")
        assert place.left
    async with asyncio.timeout(20):
        while place.left or not await Event.exists(kind="shell.closed"):
            await asyncio.sleep(0.02)
    assert (await told("shell.closed"))["reason"] == "the connection was closed"


async def test_who_loses_the_right_loses_the_shell(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helvetia.plugins.api.sockets.READMIT_SECONDS", 0.1)
    async with place.open({"terminal": WINDOW}) as shell:
        await shell.frame()
        await Membership.filter(user__name="admin").delete()
        while (message := await shell.socket.receive(timeout=20)).type is not (
            aiohttp.WSMsgType.CLOSE
        ):
            assert message.type is aiohttp.WSMsgType.BINARY
        assert shell.socket.close_code == 1008
    async with asyncio.timeout(20):
        while place.left:
            await asyncio.sleep(0.02)


@with_settings(LONGEST_SECONDS="1")
async def test_no_command_runs_for_ever(place: Place) -> None:
    end, _ = await place.ran("sh", "-c", "echo a; sleep 60")
    assert end["exit_code"] is None
    assert end["reason"].startswith("no command may run for longer than")
    assert place.left == []


@with_settings(IDLE_SECONDS="1")
async def test_an_idle_terminal_is_closed(place: Place) -> None:
    async with place.open({"terminal": WINDOW}) as shell:
        end = await shell.end()
    assert end["exit_code"] is None
    assert end["reason"].startswith("nothing was typed or shown for")
    assert place.left == []


@pytest.mark.parametrize(
    ("wanted", "code", "words"),
    [
        ("nonsense", "invalid-input", "command"),
        ({"command": []}, "invalid-input", "without a terminal there must be a command"),
        ({"command": [""]}, "invalid-input", "the command has no name"),
        ({"command": ["a\0b"]}, "invalid-input", "command.0"),
        ({"command": ["x"], "shell": True}, "invalid-input", "shell"),
        ({"terminal": {"columns": 0, "rows": 1}}, "invalid-input", "terminal.columns"),
        ({"command": ["ls"], "release": 9}, "not-found", "service web has no release 9"),
        ({"command": ["no-such"]}, "release-failed", "there is no program `no-such`"),
    ],
)
async def test_what_cannot_be_run_is_told(
    place: Place, wanted: object, code: str, words: str
) -> None:
    async with place.open(wanted) as shell:
        end = await shell.end()
    assert end["error"]["code"] == code
    assert words in end["error"]["message"]
    assert place.left == []


async def test_a_service_that_never_ran_has_no_shell(place: Place) -> None:
    await Service.filter(id=place.service.id).update(live_release_id=None)
    end, _ = await place.ran("ls")
    assert end["error"]["message"] == "service web has no live release"


@with_settings(ROLE="member")
async def test_the_role_is_the_operators_choice(place: Place) -> None:
    answer = await place.world.get("/api/v1/services/web/shell", who="viewer")
    assert answer.status == 403
    async with place.open({"command": ["true"]}, who="member") as shell:
        assert (await shell.end())["exit_code"] == 0


@with_settings(AT_ONCE="1")
async def test_no_more_at_once_than_the_operator_allows(place: Place) -> None:
    async with place.open({"terminal": WINDOW}) as shell:
        await shell.frame()
        answer = await place.world.get("/api/v1/services/web/shell", who="admin")
        assert (answer.status, answer.json["code"]) == (409, "conflict")


async def test_a_slow_reader_is_told_what_is_left_out() -> None:
    from helvetia.masking import Redactor
    from helvetia.plugins.shell.output import Output

    output = Output(Redactor([]))
    for _ in range(9):
        output.write(b"x" * 2**20)
    output.end()
    found = [(number, len(data)) async for number, data in output.pieces()]
    assert found[:4] == [(1, 2**20)] * 4
    assert len(found) == 5
    assert found[4][0] == 0
