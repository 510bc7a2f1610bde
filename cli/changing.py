"""From the words of `helvetia env` to what is to be changed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from helvetia.kernel.errors import InvalidInput

from .dotenv import parse_dotenv
from .naming import check_variable, variables

if TYPE_CHECKING:
    from helvetia.plugins.api.inputs import EnvironmentChange

_VERBS = ("set", "unset", "scope", "diff", "export")


def change_of(
    verb: str | None, values: list[str], from_file: str | None, scopes: str | None
) -> EnvironmentChange | None:
    """Return what to change; None if it is only to be looked at.

    Raises:
        InvalidInput: the words do not make sense together.
    """
    if verb is not None and verb not in _VERBS:
        raise InvalidInput("env", f"`{verb}` must be one of {', '.join(_VERBS)}")
    if from_file is not None and verb != "set":
        raise InvalidInput("--from-file", "goes with `set`: helvetia env SERVICE set --from-file")
    if scopes is not None and verb not in ("set", "scope"):
        raise InvalidInput("--for", "goes with `set` and `scope`")
    if verb not in ("set", "unset", "scope"):
        if values:
            raise InvalidInput("env", f"`{verb}` takes no names")
        return None
    from helvetia.plugins.api.inputs import EnvironmentChange

    from .api import validated

    added: dict[str, str] = {}
    if from_file is not None:
        added |= parse_dotenv(read_text(from_file, option="--from-file"), name=from_file)
    if verb == "set":
        added |= variables(values, option="set")
    names = list(dict.fromkeys(added if verb == "set" else values))
    if not names:
        example = "NAME=VALUE" if verb == "set" else "NAME"
        raise InvalidInput(example, f"what to {verb} is missing")
    for name in names:
        check_variable(name, option=verb)
    if verb == "unset":
        return EnvironmentChange(unset=names)
    if verb == "scope" and scopes is None:
        raise InvalidInput("--for", "is missing: build, run, preview, or several with commas")
    given = None if scopes is None else [one.strip() for one in scopes.split(",") if one.strip()]
    change = {"set": added, "scopes": {} if given is None else dict.fromkeys(names, given)}
    return validated(EnvironmentChange, change, names={"scopes": "--for"})


def read_text(file: str, *, option: str) -> str:
    """Return the text of a file, or of standard input if it is called `-`.

    Raises:
        InvalidInput: it cannot be read.
    """
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidInput(option, f"{file}: {reason}") from error
