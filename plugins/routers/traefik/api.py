"""Traefik's own word on what is in force."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import aiohttp

from helvetia import Meter, Traffic

from .entrance import NOWHERE, Entrance
from .meters import read_meters
from .names import server_url
from .routefile import RouteFile

_ANSWER_SECONDS = 2.0
_REQUESTS = re.compile(r"traefik_router_requests_total\{([^}]*)\} (\S+)")
_SERVER_UP = re.compile(r"traefik_service_server_up\{([^}]*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_GATEWAY_ERRORS = frozenset({"502", "503", "504"})


class NoAnswer(Exception):
    """Traefik's API cannot be asked now."""


class TraefikApi:
    """The API and the metrics of our Traefik, which may come back under another address.

    Attributes:
        url: before the paths; empty until it is known.
    """

    def __init__(self) -> None:
        self.url = ""
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

    async def shows(self, kind: str, name: str) -> bool:
        """Tell whether Traefik has something of the file provider's in force."""
        try:
            shown = await self._item(kind, f"{name}@file")
        except NoAnswer:
            return False
        return shown is not None and shown.get("status") == "enabled"

    async def overview(self) -> dict[str, Any]:
        """Return what Traefik says of itself.

        Raises:
            NoAnswer: it says nothing.
        """
        return await self._document("/api/overview")

    async def has_entry_point(self, name: str) -> bool:
        """Tell whether there is an entry point.

        Raises:
            NoAnswer: it does not say.
        """
        status, _ = await self._get(f"/api/entrypoints/{name}")
        return status == 200

    async def doubt(self, file: RouteFile, entrance: Entrance) -> str:
        """Say what of a route Traefik does not show as in force; empty if all of it is."""
        try:
            for name, router in file.routers(entrance).items():
                if doubt := await self._doubt_router(name, router):
                    return doubt
            if not file.found:
                wanted = {server_url(item) for item in file.route.backends}
                return await self._doubt_service(f"{file.service}@file", wanted)
            shown = await self._item("services", f"{file.service}@file")
            children = (shown or {}).get("weighted", {}).get("services", [])
            declared = file.declared()
            if {child["name"] for child in children} != set(declared):
                return "the service has other backends"
            return await self._doubt_declared(declared)
        except NoAnswer as error:
            return str(error)

    async def doubt_found(self, file: RouteFile) -> str:
        """Say which container of a route Traefik has not found, or found well, by its labels."""
        try:
            if doubt := await self._doubt_declared(file.declared()):
                return doubt
            return await self._doubt_checks(file) if file.checked else ""
        except NoAnswer as error:
            return str(error)

    async def doubt_covered(self, router: str, version: int) -> str:
        """Say why a route may not be covered yet; empty if it is."""
        try:
            return await self._doubt_router(router, {"service": NOWHERE, "priority": version})
        except NoAnswer as error:
            return str(error)

    async def _doubt_router(self, name: str, wanted: dict[str, Any]) -> str:
        shown = await self._item("routers", f"{name}@file")
        if shown is None:
            return "the router is not there"
        if shown.get("status") != "enabled":
            return _errors(shown) or f"the router is {shown.get('status')}"
        if (leads_to := shown.get("service")) != wanted["service"]:
            return f"the router leads to {leads_to}"
        if "rule" in wanted and shown.get("rule") != wanted["rule"]:
            return "the router has other hostnames"
        if shown.get("priority") != wanted["priority"]:
            return "the router is the one of an earlier switch"
        return ""

    async def _doubt_declared(self, declared: dict[str, str]) -> str:
        for name, url in declared.items():
            if doubt := await self._doubt_service(name, {url}):
                return f"container {name.removesuffix('@docker')}: {doubt}"
        return ""

    async def _doubt_checks(self, file: RouteFile) -> str:
        status, body = await self._get("/metrics")
        if status != 200:
            return ""
        up = {}
        for labels, value in _SERVER_UP.findall(body):
            found = dict(_LABEL.findall(labels))
            up[found.get("service"), found.get("url")] = float(value)
        for name, url in file.declared().items():
            if (seen := up.get((name, url))) != 1:
                what = "has not checked" if seen is None else "finds no health at"
                return f"Traefik {what} container {name.removesuffix('@docker')}"
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

    async def doubt_gone(self, router: str) -> str:
        """Say why a service may still be routed; empty if Traefik has no such router."""
        try:
            shown = await self._item("routers", f"{router}@file")
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

    async def meters(self) -> dict[tuple[str, str], Meter]:
        """Return the counters of all services by service and release.

        Raises:
            NoAnswer: it does not say.
        """
        status, body = await self._get("/metrics")
        if status != 200:
            raise NoAnswer(f"its metrics answer {status}")
        return await asyncio.to_thread(read_meters, body)

    async def _item(self, kind: str, name: str) -> dict[str, Any] | None:
        return await self._document(f"/api/http/{kind}/{name}", missing={}) or None

    async def _document(
        self, path: str, *, missing: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        status, body = await self._get(path)
        # Without its shared configuration Traefik answers 404 to everything.
        if missing is not None and status == 404 and "not found: " in body:
            return missing
        if status != 200:
            raise NoAnswer(f"its API answers {status}")
        try:
            item: dict[str, Any] = json.loads(body)
        except ValueError as error:
            raise NoAnswer("its API answers nonsense") from error
        return item

    async def _get(self, path: str) -> tuple[int, str]:
        if not self.url:
            raise NoAnswer("it was never started")
        if self._session is None:
            limit = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
            self._session = aiohttp.ClientSession(timeout=limit)
        try:
            async with self._session.get(f"{self.url}{path}") as response:
                return response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(f"its API does not answer: {type(error).__name__}") from error


def _errors(shown: dict[str, Any]) -> str:
    return "; ".join(str(error) for error in shown.get("error") or [])
