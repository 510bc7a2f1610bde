"""How a command that failed tells it: one clear line, what to do, and an exit code."""

from __future__ import annotations

import os
import traceback

from helvetia.kernel.errors import ExitCode, HelvetiaError


class UsageFailure(HelvetiaError):
    """The command line was not understood."""

    code = "usage"
    exit_code = ExitCode.USAGE


class Bug(HelvetiaError):
    """Something happened that nobody thought of."""

    code = "bug"


def tell(error: Exception, *, as_json: bool) -> int:
    """Print an error and return the exit code; `HELVETIA_DEBUG=1` shows where it came from."""
    from .output import Output

    if os.environ.get("HELVETIA_DEBUG") == "1":
        traceback.print_exception(error)
    known = as_helvetia_error(error)
    Output(as_json=as_json).error(known)
    return known.exit_code


def as_helvetia_error(error: Exception) -> HelvetiaError:
    """Return what is told of any error."""
    from helvetia.kernel.disk import told

    error = told(error)
    if isinstance(error, HelvetiaError):
        return error
    # What typer raises for a wrong command line is in its private modules.
    format_message = getattr(error, "format_message", None)
    if callable(format_message):
        path = getattr(getattr(error, "ctx", None), "command_path", "helvetia")
        message = " ".join(str(format_message()).split()).rstrip(".")
        return UsageFailure(message, hint=f"see `{path} --help`")
    return Bug(
        f"unexpected {type(error).__name__}: {error}",
        hint="this is a bug; HELVETIA_DEBUG=1 shows where it happened",
    )
