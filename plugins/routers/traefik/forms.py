"""The form that the settings ask for."""

from __future__ import annotations

from helvetia import HelvetiaError

from .child import TraefikChild
from .container import TraefikContainer
from .discovery import Discovery
from .existing import TraefikExisting
from .managed import Form, Managed
from .wanted import Wanted


def make_form(wanted: Wanted, discovery: Discovery | None) -> Form:
    """Return the form of the settings; a managed one ends what was started in the other.

    Raises:
        HelvetiaError: a container without the section of the engine.
    """

    def managed(name: str) -> Managed | None:
        if name == TraefikChild.name:
            return TraefikChild(wanted, managed)
        if name == TraefikContainer.name and discovery is not None:
            return TraefikContainer(wanted, managed, discovery.engine)
        return None

    if wanted.settings.run == TraefikExisting.name:
        return TraefikExisting(wanted)
    form = managed(wanted.settings.run)
    if form is None:
        raise HelvetiaError(
            "Traefik cannot run as a container: the plugin of the Docker engine is not loaded",
            hint="Enable it, or set HELVETIA_TRAEFIK_RUN=process.",
        )
    return form
