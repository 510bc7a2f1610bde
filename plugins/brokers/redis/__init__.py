"""Plugin `broker-redis`: doorbells between processes, over Redis by taskiq-redis."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Broker, Kernel, SettingsSection, hookimpl

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """Declare the section `[redis]`."""
    from .settings import RedisSettings

    yield SettingsSection(name="redis", schema=RedisSettings)


@hookimpl
def helvetia_brokers(kernel: Kernel) -> Iterable[Broker]:
    """Offer the broker `redis` where a URL says which Redis."""
    from .settings import redis_url

    if url := redis_url(kernel):
        # Imported when needed: the client of Redis takes a while.
        from .provider import RedisBroker

        yield RedisBroker(url, prefix=f"helvetia:{kernel.installation}")
