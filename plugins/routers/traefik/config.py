"""What Traefik reads: its static configuration, the shared part, and one file per service."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from helvetia import Backend, Route

from .names import check_id, rule, server_url, service_name
from .settings import TraefikSettings

EDGE = "edge"
INTERNAL = "internal"
COVER_SERVICE = "noop@internal"
_TRANSPORT = "_helvetia"
_FILTER = "_edge"
_HEADER = "# helvetia: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Where Traefik's API is. The token proves that it is ours and keeps neighbours out, who
    share the loopback interface with it.
    """

    api_port: int
    token: str


def address(host: str, port: int) -> str:
    """Return host and port as one word."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def static(
    *, edge: tuple[str, int], identity: Identity, settings: TraefikSettings, dynamic: Path
) -> str:
    """Return the static configuration. JSON is YAML, so that nothing needs escaping."""
    trusted = [network for network in settings.trusted_proxies.split(",") if network]
    document = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {
            EDGE: {
                "address": address(*edge),
                "forwardedHeaders": {"trustedIPs": trusted},
                "transport": {
                    "respondingTimeouts": {"readTimeout": f"{settings.request_seconds}s"},
                    "lifeCycle": {"graceTimeOut": "5s"},
                },
                "http": {
                    "middlewares": [f"{_FILTER}@file"],
                    # Routes go by host alone: the rest of the URL is the app's own business.
                    "sanitizePath": False,
                    "encodeQuerySemicolons": True,
                    # X_Forwarded_For reads like X-Forwarded-For in WSGI and CGI apps.
                    "aliasHeadersStrategy": "delete",
                },
            },
            INTERNAL: {
                "address": address("127.0.0.1", identity.api_port),
                "http": {"aliasHeadersStrategy": "delete"},
            },
        },
        "providers": {
            "providersThrottleDuration": "0s",
            "file": {"directory": str(dynamic), "watch": True},
        },
        "api": {"dashboard": False, "basePath": f"/{identity.token}"},
        "metrics": {"prometheus": {"manualRouting": True, "addEntryPointsLabels": False}},
        "log": {"level": "WARN", "noColor": True},
    }
    return json.dumps(document, indent=1)


def shared(*, identity: Identity, settings: TraefikSettings, certificate: Path) -> str:
    """Return the dynamic configuration that all services share."""
    document = {
        "http": {
            "routers": {
                "_api": {
                    "entryPoints": [INTERNAL],
                    "rule": f"PathPrefix(`/{identity.token}/api`)",
                    "service": "api@internal",
                },
                "_metrics": {
                    "entryPoints": [INTERNAL],
                    "rule": f"Path(`/{identity.token}/metrics`)",
                    "service": "prometheus@internal",
                },
            },
            "middlewares": {
                # Traefik replaces X-Forwarded-* of strangers but lets this one through.
                _FILTER: {"headers": {"customRequestHeaders": {"Forwarded": ""}}}
            },
            "serversTransports": {
                _TRANSPORT: {
                    "forwardingTimeouts": {
                        "idleConnTimeout": f"{settings.idle_connection_seconds}s"
                    }
                }
            },
        },
        # Nothing here speaks TLS. Without a certificate Traefik makes a new RSA key at each
        # change of a route: 64 ms instead of 4 ms until a switch is in force.
        "tls": {
            "stores": {
                "default": {
                    "defaultCertificate": {
                        "certFile": str(certificate),
                        "keyFile": str(certificate),
                    }
                }
            }
        },
    }
    return json.dumps(document, indent=1)


def new_version() -> int:
    """Return a number that no earlier writing of a route had; exact even as a float."""
    return time.time_ns() // 1000


def cover(service_id: str, version: int) -> str:
    """Return what replaces a route for the moment before its file is removed.

    Traefik's showing no route could mean that it has not read the last one yet; after it has
    shown this it can only mean that the route is gone.
    """
    router = {
        "entryPoints": [EDGE],
        "rule": "Host(`retired.invalid`)",
        "service": COVER_SERVICE,
        "priority": version,
    }
    return json.dumps({"http": {"routers": {check_id("service", service_id): router}}})


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFile:
    """The one file that holds a service's route.

    Attributes:
        version: another one for each writing, shown by Traefik as the router's priority. By it
            a switch that was taken back is told from one that Traefik has not read yet.
        former: the release before this one. It keeps a service without servers, because
            Traefik forgets the counters of a service that is in no file.
    """

    route: Route
    version: int = field(default_factory=new_version)
    former: str | None = None

    def encode(self) -> str:
        """Return the file's text: our own record as a comment, then what Traefik reads.

        Raises:
            InvalidInput: an id, a hostname or a backend is not one.
        """
        route = self.route
        name = service_name(route.service_id, route.release_id)
        servers = [{"url": server_url(backend)} for backend in route.backends]
        services: dict[str, Mapping[str, object]] = {}
        if self.former is not None:
            former = service_name(route.service_id, self.former)
            services[former] = {"loadBalancer": {"servers": []}}
        services[name] = {"loadBalancer": {"servers": servers, "serversTransport": _TRANSPORT}}
        router = {
            "entryPoints": [EDGE],
            "rule": rule(route.hostnames),
            "service": name,
            "priority": self.version,
        }
        record = {
            "service_id": route.service_id,
            "release_id": route.release_id,
            "hostnames": route.hostnames,
            "backends": [[backend.host, backend.port] for backend in route.backends],
            "generation": route.generation,
            "version": self.version,
            "former": self.former,
        }
        document = {"http": {"routers": {route.service_id: router}, "services": services}}
        return f"{_HEADER}{json.dumps(record)}\n{json.dumps(document, indent=1)}\n"

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
            return cls(route=route, version=record["version"], former=record["former"])
        except (ValueError, KeyError, TypeError):
            return None
