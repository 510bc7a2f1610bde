from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_outcome import Run

COMMANDS = [
    "deploy", "plan", "services", "status", "deployments", "releases", "logs", "events", "audit",
    "env", "domains", "stop", "start", "restart", "rollback", "cancel", "delete", "plugins",
    "token", "open", "doctor", "version", "up", "down", "web", "worker", "migrate",
]  # fmt: skip


def test_help_lists_every_command_by_subject(run: Run) -> None:
    outcome = run("--help")
    assert outcome.code == 0
    listed = [line.split()[0] for line in outcome.out.splitlines() if line.startswith("  ")]
    assert not set(COMMANDS) - set(listed)
    for panel in ("Deploy:", "Look:", "Change:", "Platform:"):
        assert f"\n{panel}\n" in outcome.out


def test_no_arguments_show_the_help(run: Run) -> None:
    assert run().out == run("--help").out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(run: Run, command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: helvetia {command}")
    _, summary, *_ = outcome.out.split("\n\n")
    assert summary.endswith(".")
    assert outcome.err == ""


def test_examples_keep_their_lines(run: Run) -> None:
    for command in ("deploy", "env", "logs", "rollback", "domains"):
        text = run(command, "--help").out
        examples = [line for line in text.splitlines() if f"helvetia {command} " in line]
        assert len([line for line in examples if line.startswith("    helvetia")]) >= 2, text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["deplyo"], "No such command 'deplyo'. Did you mean 'deploy'"),
        (["deploy"], "Missing argument 'SOURCE'"),
        (["services", "--colour"], "No such option: --colour"),
        (["rollback", "web", "--to", "0"], "Invalid value for '--to': Input should be greater"),
        (["rollback", "web", "--to", "x"], "Invalid value for '--to'"),
        (["token"], "Missing command"),
        (["deploy", ".", "--env", "DEBUG"], "--env: must be written NAME=VALUE"),
        (["deploy", ".", "--env", "1X=2"], "--env: `1X` cannot be the name of a variable"),
        (["deploy", ".", "--set", "output"], "--set: must be written NAME=VALUE"),
        (["env", "web", "add", "A=1"], "env: `add` must be one of set, unset, scope, diff, export"),
        (["env", "web", "set"], "NAME=VALUE: what to set is missing"),
        (["env", "web", "set", "A"], "set: must be written NAME=VALUE"),
        (["env", "web", "unset"], "NAME: what to unset is missing"),
        (["env", "web", "unset", "A=1"], "unset: `A=1` cannot be the name of a variable"),
        (["env", "web", "--from-file", "x"], "--from-file: goes with `set`"),
        (["env", "web", "set", "--from-file", "/no/file"], "--from-file: /no/file: No such file"),
        (["domains", "web", "set", "x"], "domains: `set` must be `add`, `verify`, `certificate`"),
        (["domains", "web", "add"], "HOSTNAME: what to add is missing"),
        (
            ["logs", "web", "--instance", "7f2a", "--build"],
            "--instance: goes with the log of a service, not of a deployment",
        ),
        (["logs", "web", "--tail", "-1"], "--tail: `-1` is not a number of lines or `all`"),
    ],
)
def test_usage_error_is_one_line_and_exit_code_2(run: Run, arguments: list[str], said: str) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    first, *rest = outcome.err.splitlines()
    assert first.startswith(f"✗ {said}")
    assert len(rest) <= 1


def test_usage_error_as_json(run: Run) -> None:
    outcome = run("rollback", "--json")
    assert outcome.code == 2
    error = json.loads(outcome.out)["error"]
    assert error == {
        "code": "usage",
        "message": "Missing argument 'SERVICE'",
        "hint": "see `helvetia rollback --help`",
    }


def test_no_platform_runs(run: Run, home: Path) -> None:
    outcome = run("services")
    assert outcome.code == 8
    first, hint = outcome.err.splitlines()
    assert first == f"✗ no Helvetia runs with the data folder {home}"
    assert "start it with `helvetia up`" in hint


def test_nobody_answers(run: Run, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    monkeypatch.setenv("HELVETIA_URL", url)
    outcome = run("services", "--json")
    assert outcome.code == 8
    message = f"no Helvetia answers at {url}"
    assert json.loads(outcome.out) == {
        "error": {
            "code": "unreachable",
            "message": message,
            "hint": "start it with `helvetia up`",
        }
    }
    assert outcome.err.splitlines() == [f"✗ {message}", "  start it with `helvetia up`"]


@pytest.mark.parametrize("name", ["..", "."])
def test_a_name_cannot_lead_to_another_address(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HELVETIA_URL", "http://127.0.0.1:1")
    outcome = run("status", name)
    assert (outcome.code, outcome.err) == (2, f"✗ name: `{name}` is no name or id\n")


def test_version(run: Run) -> None:
    from helvetia.version import __version__

    assert run("version").out == run("--version").out == f"helvetia {__version__}\n"
    assert json.loads(run("version", "--json").out)["version"] == __version__


def _process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "helvetia.cli", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_exit_code_of_the_process_and_no_traceback() -> None:
    done = _process("status", "web")
    assert done.returncode == 8
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_debug_shows_where_an_error_came_from() -> None:
    done = _process("status", "web", HELVETIA_DEBUG="1")
    assert done.returncode == 8
    assert "Traceback" in done.stderr
    assert done.stderr.rstrip().splitlines()[-2].startswith("✗ no Helvetia runs")


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [sys.executable, "-m", "helvetia.cli", "plugins", "--json"],
        stdout=writer,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(writer)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == b""


def test_help_of_a_command_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from helvetia.cli import execute\n"
            "assert execute(['deploy', '--help']) == 0\n"
            "loaded = {name.partition('.')[0] for name in sys.modules}\n"
            "assert not loaded & {'aiohttp', 'rich', 'tortoise'}, loaded",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
