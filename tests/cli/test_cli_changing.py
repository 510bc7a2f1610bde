from __future__ import annotations

from pathlib import Path

import pytest

from helvetia.cli.changing import change_of
from helvetia.cli.configuring import Wanted, changed_settings
from helvetia.kernel.errors import InvalidInput
from helvetia.plugins.api.inputs import ServiceSettings


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("set", ["A=1", "B=x=y"], None, None), ({"A": "1", "B": "x=y"}, [], {})),
        (("set", ["A="], None, "run"), ({"A": ""}, [], {"A": ["run"]})),
        (("scope", ["A", "A", "B"], None, "build, preview"),
         ({}, [], {"A": ["build", "preview"], "B": ["build", "preview"]})),
        (("unset", ["A", "B", "A"], None, None), ({}, ["A", "B"], {})),
    ],
)  # fmt: skip
def test_what_is_to_be_changed(
    words: tuple[str, list[str], None, str | None],
    expected: tuple[dict[str, str], list[str], dict[str, list[str]]],
) -> None:
    change = change_of(*words)
    assert change is not None
    assert (change.set, change.unset, change.scopes) == expected


@pytest.mark.parametrize("verb", [None, "diff", "export"])
def test_what_only_looks(verb: str | None) -> None:
    assert change_of(verb, [], None, None) is None


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("sett", ["A=1"], None, None), "env"),
        (("set", [], None, None), "NAME=VALUE"),
        (("set", ["A"], None, None), "set"),
        (("set", ["1A=2"], None, None), "set"),
        (("set", ["A=1"], None, "production"), "--for"),
        (("unset", [], None, None), "NAME"),
        (("unset", ["A=1"], None, None), "unset"),
        (("unset", ["A"], None, "run"), "--for"),
        (("scope", ["A"], None, None), "--for"),
        (("scope", [], None, "run"), "NAME"),
        (("diff", ["A"], None, None), "env"),
        (("export", [], ".env", None), "--from-file"),
    ],
)
def test_words_that_make_no_sense(
    words: tuple[str, list[str], str | None, str | None], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        change_of(*words)
    assert caught.value.field.split()[0] == field


def test_a_file_and_words_together_and_the_words_win(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# a comment\nexport A='from the file'\nB=\"two\\nlines\"\n")
    change = change_of("set", ["A=typed"], str(file), "run")
    assert change is not None
    assert change.set == {"A": "typed", "B": "two\nlines"}
    assert set(change.scopes) == {"A", "B"}


def test_options_of_builder_and_source_are_changed_one_by_one() -> None:
    before = ServiceSettings(builder={"output": "dist"}, source={"lfs": "true", "x": "1"})
    wanted = Wanted(builder={"spa": "true"}, source={"lfs": "", "submodules": "true"})
    after = changed_settings(before, wanted)
    assert after.builder == {"output": "dist", "spa": "true"}
    assert after.source == {"x": "1", "submodules": "true"}
    with pytest.raises(InvalidInput, match="--source-option") as caught:
        changed_settings(before, Wanted(source={"no name": "1"}))
    assert "no name" in caught.value.field
