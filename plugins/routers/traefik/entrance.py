"""By which entry points of Traefik people come in, and what each of our routers says of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .names import is_wildcard, rules

EDGE = "edge"
SECURE = "secure"
INTERNAL = "internal"
NOWHERE = "noop@internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """The way in.

    Attributes:
        http: entry point for plain HTTP.
        https: the one for HTTPS; empty if there is none.
        redirect: whether plain HTTP is led to HTTPS.
        resolver: what gets certificates for hostnames; empty if nothing does.
        for_wildcards: whether that may be asked for those of wildcards, for which authorities
            want to see a record in the DNS.
        own: names that the operator's own certificates are for, `*.` for one label.
        mark: begins the names of what all our routers share.
        shares_traefik: Traefik is not ours alone, so that each router must name our filter.
    """

    http: str = EDGE
    https: str = ""
    redirect: bool = True
    resolver: str = ""
    for_wildcards: bool = False
    own: frozenset[str] = field(default_factory=frozenset)
    mark: str = "_helvetia"
    shares_traefik: bool = False

    @property
    def transport(self) -> str:
        """How backends are connected to."""
        return self.mark

    @property
    def filter(self) -> str:
        """The middleware that every request passes."""
        return f"{self.mark}-edge"

    @property
    def redirector(self) -> str:
        """The middleware that leads to HTTPS."""
        return f"{self.mark}-secure"

    def router(self, service_id: str) -> str:
        """Return the name of the router of a service that decides."""
        return f"{self.mark}-{service_id}" if self.shares_traefik else service_id

    def covers(self, hostname: str) -> bool:
        """Tell whether a certificate of the operator's own is for a hostname."""
        parent = hostname.partition(".")[2]
        return hostname in self.own or (bool(parent) and f"*.{parent}" in self.own)

    def routers(
        self, service_id: str, *, hostnames: Iterable[str], leads_to: str, priority: int
    ) -> dict[str, dict[str, Any]]:
        """Return the routers of a service by name.

        Raises:
            InvalidInput: a hostname is none.
        """
        names, name = tuple(hostnames), self.router(service_id)
        exact, wild = rules(names)
        found = self._pair(name, exact, names, leads_to=leads_to, priority=priority)
        if wild:
            # Whoever has a name itself comes first, however long ago: below zero is below all.
            found |= self._pair(f"{name}.any", wild, names, leads_to=leads_to, priority=-priority)
        return found

    def _pair(
        self, name: str, rule: str, hostnames: Sequence[str], *, leads_to: str, priority: int
    ) -> dict[str, dict[str, Any]]:
        filtered = [f"{self.filter}@file"] if self.shares_traefik else []
        common = {"rule": rule, "priority": priority}
        plain = {**common, "entryPoints": [self.http], "service": leads_to}
        if filtered:
            plain["middlewares"] = filtered
        if not self.https:
            return {name: plain}
        secure = {**common, "entryPoints": [self.https], "service": leads_to}
        if filtered:
            secure["middlewares"] = filtered
        wanted = [one for one in hostnames if is_wildcard(one) == (priority < 0)]
        secure["tls"] = self._tls(wanted)
        if self.redirect:
            plain |= {"service": NOWHERE, "middlewares": [f"{self.redirector}@file"]}
        return {name: secure, f"{name}.http": plain}

    def _tls(self, hostnames: Iterable[str]) -> dict[str, Any]:
        # One certificate each: a domain that does not lead here must not spoil the others.
        asked = [
            name
            for name in hostnames
            if not self.covers(name)
            and _is_public(name)
            and (self.for_wildcards or not is_wildcard(name))
        ]
        if not self.resolver or not asked:
            return {}
        return {"certResolver": self.resolver, "domains": [{"main": name} for name in asked]}


def _is_public(hostname: str) -> bool:
    return "." in hostname and not hostname.endswith(".localhost")
