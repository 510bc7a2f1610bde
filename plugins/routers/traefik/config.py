"""What Traefik reads at its start, and the dynamic part that all services share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .entrance import EDGE, INTERNAL, SECURE, Entrance
from .meters import BUCKETS
from .settings import TraefikSettings, words
from .tls import Pair

RESOLVER = "acme"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Where Traefik's API is. The token proves that it is ours and keeps neighbours out, who
    share the loopback interface with it.
    """

    api_port: int
    token: str

    @property
    def url(self) -> str:
        """What the paths of its API begin with."""
        return f"http://127.0.0.1:{self.api_port}/{self.token}"


def address(host: str, port: int) -> str:
    """Return host and port as one word."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def static(
    *,
    edge: tuple[str, int],
    identity: Identity,
    settings: TraefikSettings,
    folder: Path,
    dynamic: Path,
    docker: dict[str, Any] | None = None,
) -> str:
    """Return the static configuration. JSON is YAML, so that nothing needs escaping."""
    points = {EDGE: _entry_point(edge, settings, filter_name=Entrance().filter)}
    if settings.https_address:
        points[SECURE] = _entry_point(
            settings.https_address, settings, filter_name=Entrance().filter
        )
    document: dict[str, Any] = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {
            **points,
            INTERNAL: {
                "address": address("127.0.0.1", identity.api_port),
                # A router that names no entry point is nobody's but a stranger's.
                "asDefault": True,
                "http": {"aliasHeadersStrategy": "delete"},
            },
        },
        "providers": {
            "providersThrottleDuration": "0s",
            "file": {"directory": str(dynamic), "watch": True},
            **({"docker": docker} if docker else {}),
        },
        "api": {"dashboard": False, "basePath": f"/{identity.token}"},
        "metrics": {
            "prometheus": {
                "manualRouting": True,
                "addEntryPointsLabels": False,
                "addRoutersLabels": True,
                "buckets": list(BUCKETS),
            }
        },
        "log": {"level": "WARN", "noColor": True},
    }
    if settings.acme_email and settings.https:
        document["certificatesResolvers"] = {RESOLVER: {"acme": _acme(settings, folder)}}
    return json.dumps(document, indent=1)


def _entry_point(
    where: tuple[str, int], settings: TraefikSettings, *, filter_name: str
) -> dict[str, Any]:
    return {
        "address": address(*where),
        "forwardedHeaders": {"trustedIPs": words(settings.trusted_proxies)},
        "transport": {
            "respondingTimeouts": {"readTimeout": f"{settings.request_seconds}s"},
            "lifeCycle": {"graceTimeOut": "5s"},
        },
        "http": {
            "middlewares": [f"{filter_name}@file"],
            # Routes go by host alone: the rest of the URL is the app's own business.
            "sanitizePath": False,
            "encodeQuerySemicolons": True,
            # X_Forwarded_For reads like X-Forwarded-For in WSGI and CGI apps.
            "aliasHeadersStrategy": "delete",
        },
    }


def _acme(settings: TraefikSettings, folder: Path) -> dict[str, Any]:
    by_http = settings.acme_challenge == "http-01"
    return {
        "email": settings.acme_email,
        "caServer": settings.acme_server,
        "storage": settings.acme_storage or str(folder / "acme" / "acme.json"),
        "keyType": "EC256",
        **({"httpChallenge": {"entryPoint": EDGE}} if by_http else {"tlsChallenge": {}}),
        **({"caCertificates": [settings.acme_ca]} if settings.acme_ca else {}),
    }


def shared(
    *,
    settings: TraefikSettings,
    entrance: Entrance,
    pairs: list[Pair],
    identity: Identity | None = None,
    certificate: Path | None = None,
) -> str:
    """Return the dynamic configuration that all services share.

    Args:
        identity: of our own Traefik.
        certificate: what our own Traefik shows whom it has no better one for.
    """
    middlewares: dict[str, Any] = {
        # Traefik replaces X-Forwarded-* of strangers but lets this one through.
        entrance.filter: {"headers": {"customRequestHeaders": {"Forwarded": ""}}}
    }
    if settings.https_address:
        port = str(settings.https_address[1])
        redirect = {"scheme": "https", "permanent": True}
        # Port 443 is not to be seen in the address.
        middlewares[entrance.redirector] = {
            "redirectScheme": redirect if port == "443" else {**redirect, "port": port}
        }
    transport = {"forwardingTimeouts": {"idleConnTimeout": f"{settings.idle_connection_seconds}s"}}
    document: dict[str, Any] = {
        "http": {
            "middlewares": middlewares,
            "serversTransports": {entrance.transport: transport},
        },
        "tls": {"certificates": [{"certFile": one.chain, "keyFile": one.key} for one in pairs]},
    }
    if identity is not None:
        document["http"]["routers"] = {
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
        }
    if certificate is not None:
        # Without a certificate Traefik makes a new RSA key at each change of a route: 64 ms
        # instead of 4 ms until a switch is in force.
        shown = {"certFile": str(certificate), "keyFile": str(certificate)}
        document["tls"]["stores"] = {"default": {"defaultCertificate": shown}}
    return json.dumps(document, indent=1)
