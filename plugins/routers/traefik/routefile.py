"""The one file that holds a service's route, for Traefik to read and for us."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from helvetia import Backend, Route

from .entrance import NOWHERE, Entrance
from .names import check_id, server_url, service_name

_HEADER = "# helvetia: "


def new_version() -> int:
    """Return a number that no earlier writing of a route had; exact even as a float."""
    return time.time_ns() // 1000


def cover(service_id: str, version: int, entrance: Entrance) -> str:
    """Return what replaces a route for the moment before its file is removed.

    Traefik's showing no route could mean that it has not read the last one yet; after it has
    shown this it can only mean that the route is gone.
    """
    router = {
        "entryPoints": [entrance.https or entrance.http],
        "rule": "Host(`retired.invalid`)",
        "service": NOWHERE,
        "priority": version,
    }
    return json.dumps(
        {"http": {"routers": {entrance.router(check_id("service", service_id)): router}}}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFile:
    """The route as it is written.

    Attributes:
        version: another one for each writing, shown by Traefik as the router's priority. By it
            a switch that was taken back is told from one that Traefik has not read yet.
        former: the release before this one. It keeps a service without servers, because
            Traefik forgets the counters of a service that is in no file.
        found: the instances whose labels declare the backends, one for each of them; empty if
            the backends are led to by their addresses.
        checked: these labels have Traefik check the instances.
    """

    route: Route
    version: int = field(default_factory=new_version)
    former: str | None = None
    found: tuple[str, ...] = ()
    checked: bool = False

    @property
    def service(self) -> str:
        """Traefik's name for the release."""
        return service_name(self.route.service_id, self.route.release_id)

    def routers(self, entrance: Entrance) -> dict[str, dict[str, Any]]:
        """Return the routers by name; see `Entrance.routers`."""
        return entrance.routers(
            self.route.service_id,
            hostnames=self.route.hostnames,
            leads_to=self.service,
            priority=self.version,
        )

    def encode(self, entrance: Entrance) -> str:
        """Return the file's text: our own record as a comment, then what Traefik reads.

        Raises:
            InvalidInput: an id, a hostname or a backend is not one.
        """
        route = self.route
        servers = [{"url": server_url(backend)} for backend in route.backends]
        services: dict[str, Mapping[str, object]] = {}
        if self.former is not None:
            former = service_name(route.service_id, self.former)
            services[former] = {"loadBalancer": {"servers": []}}
        if self.found:
            names = [{"name": name, "weight": 1} for name in self.declared()]
            # One that fails its checks gets no requests while another one is well.
            watch: dict[str, object] = {"healthCheck": {}} if self.checked else {}
            services[self.service] = {"weighted": {"services": names, **watch}}
        else:
            services[self.service] = {
                "loadBalancer": {"servers": servers, "serversTransport": entrance.transport}
            }
        record = {
            "service_id": route.service_id,
            "release_id": route.release_id,
            "hostnames": route.hostnames,
            "backends": [[backend.host, backend.port] for backend in route.backends],
            "generation": route.generation,
            "version": self.version,
            "former": self.former,
            "found": self.found,
            "checked": self.checked,
        }
        document = {"http": {"routers": self.routers(entrance), "services": services}}
        return f"{_HEADER}{json.dumps(record)}\n{json.dumps(document, indent=1)}\n"

    def declared(self) -> dict[str, str]:
        """Return the URLs that labels must declare, by Traefik's names for their services."""
        urls = (server_url(backend) for backend in self.route.backends)
        names = (f"{check_id('instance', name)}@docker" for name in self.found)
        return dict(zip(names, urls, strict=True)) if self.found else {}

    @classmethod
    def decode(cls, text: str) -> RouteFile | None:
        """Return the record of a file; None if it is not one of ours."""
        line = text.partition("\n")[0]
        if not line.startswith(_HEADER):
            return None
        try:
            record = json.loads(line.removeprefix(_HEADER))
            route = Route(
                service_id=record["service_id"],
                release_id=record["release_id"],
                hostnames=tuple(record["hostnames"]),
                backends=tuple(Backend(host=host, port=port) for host, port in record["backends"]),
                generation=record["generation"],
            )
            return cls(
                route=route,
                version=record["version"],
                former=record["former"],
                found=tuple(record.get("found", ())),
                checked=record.get("checked", False),
            )
        except (ValueError, KeyError, TypeError):
            return None
