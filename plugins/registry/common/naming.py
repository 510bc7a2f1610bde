"""Names of images: what may stand in one, checked before anything is done."""

from __future__ import annotations

import re

from helvetia import InvalidInput

# What every registry and engine takes as a part of a repository's name.
_PART = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_LONGEST = 64
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def checked_service(service_id: str) -> str:
    """Return the id if it can be part of a repository's name.

    Raises:
        InvalidInput: it cannot.
    """
    if len(service_id) > _LONGEST or not _PART.fullmatch(service_id):
        raise InvalidInput("service", f"{service_id!r} is not an id")
    return service_id


def checked_digest(digest: str) -> str:
    """Return the digest if it is one.

    Raises:
        InvalidInput: it is something else.
    """
    if not _DIGEST.fullmatch(digest):
        raise InvalidInput("digest", f"{digest!r} is not a digest")
    return digest


def is_repository(name: str) -> bool:
    """Tell whether a name, as `apps/web`, is a repository's."""
    return len(name) <= 3 * _LONGEST and all(_PART.fullmatch(part) for part in name.split("/"))
