"""Traefik's own word on what is in force."""

from __future__ import annotations

import json
import re
from typing import Any

import aiohttp

from helvetia import Traffic

from .config import COVER_SERVICE, Identity, RouteFile
from .names import rule, server_url, service_name

_ANSWER_SECONDS = 2.0
_REQUESTS = re.compile(r"traefik_service_requests_total\{([^}]*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_GATEWAY_ERRORS = frozenset({"502", "503", "504"})


class NoAnswer(Exception):
    """Traefik's API cannot be asked now."""


class TraefikApi:
    """The API and the metrics of our Traefik, which may come back under another identity."""

    def __init__(self) -> None:
        self.identity: Identity | None = None
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ready(self) -> bool:
        """Tell whether our Traefik answers and has read the shared configuration."""
        try:
            return (await self._get("/api/version"))[0] == 200
        except NoAnswer:
            return False

    async def doubt(self, file: RouteFile) -> str:
        """Say what of a route Traefik does not show as in force; empty if all of it is."""
        route = file.route
        name = service_name(route.service_id, route.release_id)
        try:
            return await self._doubt_router(
                route.service_id, service=name, rule=rule(route.hostnames), version=file.version
            ) or await self._doubt_service(name, {server_url(item) for item in route.backends})
        except NoAnswer as error:
            return str(error)

    async def doubt_covered(self, service_id: str, version: int) -> str:
        """Say why a route may not be covered yet; empty if it is."""
        try:
            return await self._doubt_router(service_id, service=COVER_SERVICE, version=version)
        except NoAnswer as error:
            return str(error)

    async def _doubt_router(
        self, service_id: str, *, service: str, version: int, rule: str | None = None
    ) -> str:
        shown = await self._item("routers", service_id)
        if shown is None:
            return "the router is not there"
        if shown.get("status") != "enabled":
            return _errors(shown) or f"the router is {shown.get('status')}"
        if (leads_to := shown.get("service")) != service:
            return f"the router leads to {leads_to}"
        if rule is not None and shown.get("rule") != rule:
            return "the router has other hostnames"
        if shown.get("priority") != version:
            return "the router is the one of an earlier switch"
        return ""

    async def _doubt_service(self, name: str, wanted: set[str]) -> str:
        shown = await self._item("services", name)
        if shown is None:
            return "the service is not there"
        if shown.get("status") != "enabled":
            return _errors(shown) or f"the service is {shown.get('status')}"
        status = shown.get("serverStatus") or {}
        if set(status) != wanted:
            return "the service has other backends"
        down = sorted(url for url in wanted if status[url] != "UP")
        return f"{down[0]} is {status[down[0]]}" if down else ""

    async def doubt_gone(self, service_id: str) -> str:
        """Say why a service may still be routed; empty if Traefik has no router for it."""
        try:
            shown = await self._item("routers", service_id)
        except NoAnswer as error:
            return str(error)
        return "" if shown is None else "the router is still there"

    async def traffic(self, name: str) -> Traffic:
        """Return the counters of a Traefik service.

        Raises:
            NoAnswer: it does not say.
        """
        status, body = await self._get("/metrics")
        if status != 200:
            raise NoAnswer(f"its metrics answer {status}")
        requests = failed = 0
        for labels, value in _REQUESTS.findall(body):
            found = dict(_LABEL.findall(labels))
            if found.get("service") == f"{name}@file":
                requests += int(float(value))
                if found.get("code") in _GATEWAY_ERRORS:
                    failed += int(float(value))
        return Traffic(requests=requests, failed=failed)

    async def _item(self, kind: str, name: str) -> dict[str, Any] | None:
        status, body = await self._get(f"/api/http/{kind}/{name}@file")
        # Without its shared configuration Traefik answers 404 to everything.
        if status == 404 and "not found: " in body:
            return None
        if status != 200:
            raise NoAnswer(f"its API answers {status}")
        try:
            item: dict[str, Any] = json.loads(body)
        except ValueError as error:
            raise NoAnswer("its API answers nonsense") from error
        return item

    async def _get(self, path: str) -> tuple[int, str]:
        if self.identity is None:
            raise NoAnswer("it was never started")
        if self._session is None:
            limit = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
            self._session = aiohttp.ClientSession(timeout=limit)
        url = f"http://127.0.0.1:{self.identity.api_port}/{self.identity.token}{path}"
        try:
            async with self._session.get(url) as response:
                return response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(f"its API does not answer: {type(error).__name__}") from error


def _errors(shown: dict[str, Any]) -> str:
    return "; ".join(str(error) for error in shown.get("error") or [])
