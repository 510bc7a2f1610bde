"""Error bodies of the API (RFC 9457) as the errors of `helvetia.kernel.errors`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from helvetia.kernel.errors import (
    DeploymentError,
    ExitCode,
    HelvetiaError,
    InvalidInput,
    NoProvider,
    PluginError,
    Unauthenticated,
    Unreachable,
)

_SIGN_IN = "set HELVETIA_TOKEN to a token made with `helvetia token create`"


def to_error(status: int, problem: Mapping[str, Any]) -> HelvetiaError:
    """Return the error that the control plane reported."""
    code = str(problem.get("code") or f"http-{status}")
    message = str(problem.get("detail") or problem.get("title") or f"HTTP status {status}")
    hint = str(problem.get("hint") or "")
    known = {kind.code: kind for kind in _kinds(HelvetiaError)}
    kind = known.get(code)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        # It starts or stops, or what stands before it does not find it.
        return Unreachable(message, hint=hint or "try again in a moment")
    if kind is InvalidInput:
        return _invalid(message, hint, problem.get("errors") or [])
    if kind is Unauthenticated:
        return Unauthenticated(message, hint=hint or _SIGN_IN)
    if kind is None or kind is PluginError:
        # A code of a later version or of a plugin: it is handed on as it is.
        attributes = {"code": code, "status": status, "exit_code": _exit_code_of(status)}
        kind = type("ReportedError", (HelvetiaError,), attributes)
    return kind(message, hint=hint)


def exit_code(status: str, reason_code: str) -> int:
    """Return the exit code that tells how a deployment ended."""
    if status == "LIVE":
        return ExitCode.OK
    if status == "CANCELLED":
        return ExitCode.CANCELLED
    if status in ("SUPERSEDED", "ROLLED_BACK"):
        return ExitCode.SUPERSEDED
    codes = {kind.code: kind.exit_code for kind in _kinds(DeploymentError)}
    codes |= {
        NoProvider.code: NoProvider.exit_code,
        "cancelled": ExitCode.CANCELLED,
        "superseded": ExitCode.SUPERSEDED,
    }
    return codes.get(reason_code, ExitCode.ERROR)


def _exit_code_of(status: int) -> int:
    return ExitCode.USAGE if status in (400, 404, 422) else ExitCode.ERROR


def _kinds(base: type[HelvetiaError]) -> Iterator[type[HelvetiaError]]:
    for kind in base.__subclasses__():
        # Only the documented ones: a plugin's subclass shares the code of its base.
        if kind.__module__ == HelvetiaError.__module__:
            yield kind
            yield from _kinds(kind)


def _invalid(message: str, hint: str, errors: Sequence[Mapping[str, Any]]) -> InvalidInput:
    named = [(str(one.get("field", "")), str(one.get("message", ""))) for one in errors]
    if not named:
        field, colon, reason = message.partition(": ")
        return InvalidInput(*((field, reason) if colon else ("input", message)), hint=hint)
    (field, reason), *others = named
    more = "".join(f"; {name}: {text}" for name, text in others)
    return InvalidInput(field, reason + more, hint=hint)
