"""Which backends are containers that Traefik finds by their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiodocker import DockerError

from helvetia import Backend, HelvetiaError, Kernel, Route
from helvetia.plugins.runtimes.docker.engine import Engine
from helvetia.plugins.runtimes.docker.labels import (
    ADDRESS,
    INSTALLATION,
    INSTANCE,
    KIND,
    PORT,
    filters,
)
from helvetia.plugins.runtimes.docker.settings import DockerSettings

from .labels import ENABLE, health_label

if TYPE_CHECKING:
    from .routefile import RouteFile

_KIND = "instance"
_ANSWER_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Found:
    """The instances behind the backends of a route, one for each; none if not all are known.

    Attributes:
        checked: Traefik checks them all.
    """

    instances: tuple[str, ...] = ()
    checked: bool = False


class Discovery:
    """Asks the engine that runs the instances; Traefik asks the same one."""

    def __init__(self, engine: Engine, installation: str) -> None:
        self.engine = engine
        self._installation = installation

    @classmethod
    def of(cls, kernel: Kernel) -> Discovery | None:
        """Return it for the engine of section `docker`; None if there is no such section."""
        try:
            host = kernel.section(DockerSettings).host
        except KeyError:
            return None
        return cls(Engine(host), kernel.installation)

    @property
    def provider(self) -> dict[str, Any]:
        """What Traefik's static configuration says of the engine.

        Labels of an image are labels of its containers: those of strangers must route nobody.
        """
        return {
            "endpoint": self.engine.host.replace("http://", "tcp://", 1),
            "exposedByDefault": False,
            "constraints": f"Label(`{INSTALLATION}`, `{self._installation}`)"
            f" && Label(`{KIND}`, `{_KIND}`)",
            "defaultRule": "Host(`undeclared.invalid`)",
        }

    async def usable(self) -> bool:
        """Tell whether there is an engine that Traefik can ask as well."""
        if not self.engine.host.startswith(("unix://", "tcp://", "http://")):
            return False
        return (await self.engine.check()).ok

    async def find(self, route: Route, known: RouteFile | None) -> Found:
        """Return the instances of a route's backends.

        Where the engine does not answer it counts what is known of the same backends.
        """
        wanted = filters(installation=self._installation, kind=_KIND, service=route.service_id)
        try:
            async with self.engine.session(_ANSWER_SECONDS) as docker:
                containers = await docker.containers.list(all=True, filters=wanted)
                labels = [container["Labels"] for container in containers]
        except (HelvetiaError, DockerError, TimeoutError):
            if known and known.route.backends == route.backends:
                return Found(known.found, known.checked)
            return Found()
        ours = {
            (one.get(ADDRESS), one.get(PORT)): one for one in labels if one.get(ENABLE) == "true"
        }
        found = [ours.get(_place(backend)) for backend in route.backends]
        known_all = [one for one in found if one is not None]
        if len(known_all) < len(found):
            return Found()
        names = tuple(one[INSTANCE] for one in known_all)
        checked = all(
            health_label(name, "path") in one for name, one in zip(names, known_all, strict=True)
        )
        return Found(names, checked)


def _place(backend: Backend) -> tuple[str, str]:
    return backend.host, str(backend.port)
