"""The guard: every request counts for its client's address, some of them also by their kind."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from aiohttp import web

from helvetia import Guard, Kernel, TooManyRequests, client_address
from helvetia.plugins.brokers.redis.settings import redis_url

from .settings import LimitsSettings, read_rate

if TYPE_CHECKING:
    from limits import RateLimitItem

    from .counting import Counters

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NEVER = frozenset({"health"})
_FROM_HERE_TOO = frozenset({"authentication"})
_IPV6_NETWORK = 64


class RateLimits(Guard):
    """Counts requests by address; health checks never count.

    The headers follow draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` says the quota
    `q` in `w` seconds, `RateLimit` what remains (`r`) and when (`t` seconds) it is whole again.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._settings = kernel.section(LimitsSettings)
        self._local = self._settings.local
        if redis_url(kernel):
            _ = self._counters  # what is wrong with it is told at the start

    @cached_property
    def _counters(self) -> Counters:
        # Imported when needed: what counts takes a while, and who comes from here is not counted.
        from .counting import Counters

        prefix = f"helvetia:{self._kernel.installation}:limits"
        return Counters(redis_url(self._kernel), prefix=prefix)

    @cached_property
    def _rates(self) -> Mapping[str, RateLimitItem | None]:
        settings = self._settings
        return {
            "requests": read_rate(settings.requests),
            "authentication": read_rate(settings.authentication),
            "websocket": read_rate(settings.websockets),
            "deploy": read_rate(settings.deploys),
            "webhook": read_rate(settings.webhooks),
        }

    async def admit(self, request: web.Request, purpose: str) -> Mapping[str, str]:
        """Count the request, and turn it away when its address has asked too often."""
        if purpose in _NEVER:
            return {}
        address = _parsed(client_address(request))
        is_local = address is not None and address.is_loopback
        if is_local and not self._local and purpose not in _FROM_HERE_TOO:
            return {}
        who = _network(address)
        headers: Mapping[str, str] = {}
        for name, rate in self._limits(purpose):
            headers = await self._count(name, rate, who)
        return headers

    def _limits(self, purpose: str) -> list[tuple[str, RateLimitItem]]:
        """Return the limits that hold, the most special one last."""
        # A repository's host delivers for all its users: it must not use up the limit of people.
        names = (purpose,) if purpose == "webhook" else ("requests", purpose)
        rates = ((name, self._rates.get(name)) for name in names)
        return [(name, rate) for name, rate in rates if rate is not None]

    async def _count(self, name: str, rate: RateLimitItem, who: str) -> Mapping[str, str]:
        count = await self._counters.hit(rate, name, who)
        seconds = max(0, math.ceil(count.whole_at - time.time()))
        headers = {
            "RateLimit-Policy": f'"{name}";q={rate.amount};w={rate.get_expiry()}',
            "RateLimit": f'"{name}";r={count.remaining};t={seconds}',
        }
        if count.is_over:
            raise TooManyRequests(
                f"too many requests of this kind ({name}) from your address: {rate} are allowed",
                retry_after=max(1, seconds),
                headers=headers,
            )
        return headers


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(address: Address | None) -> str:
    """Return what counts as one client: an IPv6 host has a whole network to choose from."""
    if address is None:
        return "unknown"
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))
