"""What a registry says when it refuses, in words that help."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from helvetia import HelvetiaError

_AGAIN = (408, 425, 429, 500, 502, 503, 504)
# docker-registry says so also of a link to a layer that another push writes at that moment.
_AGAIN_CODES = ("DIGEST_INVALID",)
_NO_SPACE = (28, 122)  # the numbers that Linux has for a full disk and a used-up quota
_LONGEST = 300

_HINTS = {
    401: "check HELVETIA_REGISTRY_USERNAME and HELVETIA_REGISTRY_PASSWORD",
    403: "give the user of HELVETIA_REGISTRY_USERNAME the right to read, write and delete there",
    404: "does it want the project to be made first? HELVETIA_REGISTRY_PREFIX says where to push",
    405: "allow deletes in the registry (storage.delete.enabled: true) or remove it there",
    413: "a proxy before it limits requests: set HELVETIA_REGISTRY_CHUNK_MB below its limit",
    429: "it limits how often one may ask: try again later",
    507: "free some space in the registry, then deploy again",
}
_WORDS = {
    401: "it does not accept the user name and password",
    403: "that is not allowed to this user",
    404: "it knows no such repository",
    405: "it does not allow that",
    413: "that is larger than it takes",
    429: "it was asked too often",
    507: "it has no space left",
}


class Refused(HelvetiaError):
    """The registry does not do what it was asked to, and would not the next time."""


class Unanswered(Refused):
    """The registry was not reached, or not in a state to answer: it may be worth another try.

    Args:
        pause: seconds it asked to wait.
    """

    def __init__(self, message: str, *, hint: str = "", pause: float = 0) -> None:
        super().__init__(message, hint=hint)
        self.pause = pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a registry answered, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """Return the body as a JSON object; an empty one if it is something else."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def problem(what: str, answer: Answer) -> Refused:
    """Return the error for an answer that nobody wanted.

    Args:
        what: it was asked, as `to keep layer 2 of 5`; may be empty.
    """
    code, said = _said(answer)
    status = 507 if answer.status >= 500 and _is_full(answer, said) else answer.status
    if code in ("DENIED", "UNAUTHORIZED") and status not in (401, 403):
        status = 403
    words = _WORDS.get(status, f"it answered {answer.status}")
    tried = f"the registry refused {what}" if what else "the registry refused"
    message = f"{tried}: {words}{f' ({said})' if said else ''}"
    hint = _HINTS.get(status, "look into the log of the registry")
    if status in _AGAIN or code in _AGAIN_CODES:
        return Unanswered(message, hint=hint, pause=_pause(answer))
    return Refused(message, hint=hint)


def _said(answer: Answer) -> tuple[str, str]:
    errors = answer.document().get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    if not isinstance(first, dict):
        return "", ""
    message = str(first.get("message") or "")[:_LONGEST]
    return str(first.get("code") or ""), "".join(c for c in message if c.isprintable())


def _is_full(answer: Answer, said: str) -> bool:
    if answer.status == 507 or "no space left" in answer.body.decode("utf-8", "replace"):
        return True
    errors = answer.document().get("errors")
    details = [one.get("detail") for one in errors or [] if isinstance(one, dict)]
    return any(isinstance(one, dict) and _number(one) in _NO_SPACE for one in details)


def _number(detail: dict[str, Any]) -> object:
    """Find the number of the system's error where docker-registry has it."""
    enclosed = detail.get("Enclosed")
    return (enclosed if isinstance(enclosed, dict) else detail).get("Err")


def _pause(answer: Answer) -> float:
    text = answer.headers.get("retry-after", "")
    return min(float(text), 60.0) if text.isdecimal() else 0.0
