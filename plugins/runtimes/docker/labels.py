"""The labels by which everything of an installation in an engine is known."""

from __future__ import annotations

import re
from collections.abc import Mapping

from helvetia import InvalidInput, ReleaseFailed

INSTALLATION = "helvetia.installation"
KIND = "helvetia.kind"
SERVICE = "helvetia.service"
INSTANCE = "helvetia.instance"
RELEASE = "helvetia.release"
ADDRESS = "helvetia.address"
PORT = "helvetia.port"
VOLUME = "helvetia.volume"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_REFUSED = ("traefik.",)
_OVERRIDDEN = ("helvetia.", "com.docker.")


def object_name(installation: str, what: str) -> str:
    """Return the name of a container or network.

    Raises:
        InvalidInput: `what` cannot be part of one.
    """
    if not _ID.fullmatch(what):
        raise InvalidInput("instance", f"{what!r} is no id of an instance")
    return f"helvetia-{installation}-{what}"


def filters(**labels: str) -> dict[str, list[str]]:
    """Return the filter of a list request for `kind=...`, `service=...` and so on."""
    return {"label": [f"helvetia.{name}={value}" for name, value in labels.items()]}


def container_labels(image: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Return the labels for a container so that those of its image say nothing to anybody.

    Labels of an image are the tenant's input, yet a container has them as well.

    Raises:
        ReleaseFailed: the image tries to configure a proxy.
    """
    if refused := sorted(name for name in image if name.lower().startswith(_REFUSED)):
        raise ReleaseFailed(
            f"the image has the label `{refused[0]}`: routes are made by the platform alone",
            hint="Remove the label from the Dockerfile and from its base image.",
        )
    # A label of an image cannot be taken away, only emptied.
    emptied = {name: "" for name in image if name.lower().startswith(_OVERRIDDEN)}
    return {**emptied, **ours}
