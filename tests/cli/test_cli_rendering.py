from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from helvetia.cli.output import Output
from helvetia.cli.rendering import (
    age,
    clean,
    columns,
    duration,
    receipt,
    size,
    stage_line,
)
from helvetia.plugins.api.schemas import Receipt, Stage

BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.24, "0.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3725, "1 h 2 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (5, "5 s ago"), (61, "1 min ago"), (7300, "2 h ago"), (90000, "1 day ago")],
)
def test_age(seconds: float, text: str) -> None:
    assert age(BEGAN, BEGAN + timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (3_400_000, "3.4 MB"), (2e9, "2.0 GB")],
)
def test_size(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {
                "requests": 1204,
                "failed": 0,
                "probe_seconds": 0.81,
                "activation_seconds": 0.1,
                "drain_seconds": 1,
            },
            "1,204 requests during the switch, 0 failed; probe 0.8 s, switch 0.1 s, drain 1.0 s",
        ),
        ({"requests": 1, "failed": 1}, "1 request during the switch, 1 failed"),
        ({"probe_seconds": 0.5}, "probe 0.5 s"),
        ({}, ""),
    ],
)
def test_receipt(values: dict[str, Any], text: str) -> None:
    assert receipt(Receipt(**values)) == text


def _stage(status: Any, **values: Any) -> Stage:
    given = {"name": "build", "provider": "procfile", "reason": ""}
    times = {"started_at": BEGAN, "finished_at": BEGAN + timedelta(seconds=3.14)}
    return Stage(status=status, **(given | times | values))


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        (_stage("SUCCEEDED"), ("✓ build     3.1 s  procfile", "green")),
        (_stage("SUCCEEDED", name="activate"), ("✓ activate  3.1 s  procfile", "green")),
        (_stage("FAILED"), ("✗ build     3.1 s  procfile", "red")),
        (_stage("CANCELLED"), ("■ build     3.1 s  procfile  cancelled", "yellow")),
        (_stage("SKIPPED", reason="no change"), ("- build    skipped  no change", "dim")),
        (_stage("RUNNING"), None),
        (_stage("PENDING"), None),
    ],
)
def test_stage_line(stage: Stage, line: tuple[str, str] | None) -> None:
    assert stage_line(stage) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07a", "a"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("a\rb\x08\x9bc\x7f", "abc"),
        ("\x1b(Bx\x1bcy", "xy"),
        ("tab\tand é ✓", "tab\tand é ✓"),
        ("\x1bP never closed", ""),
    ],
)
def test_clean_takes_out_what_steers_a_terminal(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_columns_stand_in_line_also_with_wide_and_combining_characters() -> None:
    table = columns(["a", "b", "c"], [["x", "", "1"], ["日本", "e\u0301", "2"]])
    lines = ["".join(cell if isinstance(cell, str) else cell[0] for cell in row) for row in table]
    assert lines == ["A     B  C", "x     -  1", "日本  e\u0301  2"]


def test_output_for_people_is_plain_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.table(["name", "status"], [["web", ("ACTIVE", "green")], ["x" * 200, "[red]a[/]\x1b[2J"]])
    out.facts([("name", ("web", "bold")), ("reason", ""), ("url", "http://web.localhost")])
    out.done("stopped")
    out.build_line("\x1b[32mok\x1b[0m")
    with out.working("waiting") as working:
        working("still")
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "NAME" + " " * 198 + "STATUS",
        "web" + " " * 199 + "ACTIVE",
        "x" * 200 + "  [red]a[/]",
        "name  web",
        "url   http://web.localhost",
    ]
    assert captured.err.splitlines() == ["✓ stopped", "    ok"]
