from __future__ import annotations

import pytest

from helvetia import InvalidInput
from helvetia.cli.dotenv import parse_dotenv
from helvetia.cli.naming import is_url, pairs, repository_name, service_name, variables


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("app", "app"),
        ("My App", "my-app"),
        ("Fête_du.Lac", "fete-du-lac"),
        ("--x--", "x"),
        ("2048", "app-2048"),
        ("a" * 62 + "-b", "a" * 62),
        ("x" * 100, "x" * 63),
    ],
)
def test_service_name_is_made_of_a_folder_name(text: str, name: str) -> None:
    assert service_name(text) == name


@pytest.mark.parametrize("text", ["", "...", "日本"])
def test_no_service_name_can_be_made(text: str) -> None:
    with pytest.raises(InvalidInput, match="--name"):
        service_name(text)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://git.example.com/me/site.git", "site"),
        ("https://git.example.com/me/site/", "site"),
        ("git@git.example.com:me/my.site.git", "my.site"),
        ("git@git.example.com:site", "site"),
        ("ssh://git@git.example.com:2222/~/x%20y.git?a=b", "x y"),
    ],
)
def test_repository_name(url: str, name: str) -> None:
    assert is_url(url)
    assert repository_name(url) == name


@pytest.mark.parametrize("text", ["app", "./app", "/srv/app", "C:app", "a b://c", "", "x@y/z:w"])
def test_is_no_url(text: str) -> None:
    assert not is_url(text)


def test_pairs_split_at_the_first_equals_sign() -> None:
    assert pairs(["A=b=c", "D="], option="--set") == {"A": "b=c", "D": ""}


@pytest.mark.parametrize("text", ["hunter2", "=hunter2"])
def test_pairs_do_not_repeat_what_may_be_secret(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        pairs([text], option="--env")
    assert "hunter2" not in caught.value.message


def test_variable_names_are_checked() -> None:
    with pytest.raises(InvalidInput, match="`1A` cannot be the name"):
        variables(["1A=x"], option="--env")


def test_dotenv() -> None:
    text = """\ufeff# a comment

    A=1
    export B = two words   # and a comment
    C="line\\nline \\"q\\" $A #no"  # yes
    D='raw \\n $A'
    E=
    F=a#b
    """
    assert parse_dotenv(text, name=".env") == {
        "A": "1",
        "B": "two words",
        "C": 'line\nline "q" $A #no',
        "D": "raw \\n $A",
        "E": "",
        "F": "a#b",
    }


@pytest.mark.parametrize("line", ["hunter2", 'A="hunter2', "A='hunter2", "1A=hunter2", "=hunter2"])
def test_dotenv_names_the_line_and_hides_the_value(line: str) -> None:
    with pytest.raises(InvalidInput, match=r"\.env line 2") as caught:
        parse_dotenv(f"OK=1\n{line}\n", name=".env")
    assert "hunter2" not in str(caught.value)
