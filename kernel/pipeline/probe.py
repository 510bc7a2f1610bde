"""The platform's own health check, made from outside the instance."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from helvetia.kernel.contracts.health import HealthCheck
from helvetia.kernel.contracts.runtime import Instance, InstanceStatus, Observation, Runtime
from helvetia.kernel.errors import NeverHealthy
from helvetia.kernel.failpoints import failpoint
from helvetia.kernel.providers import Entry, plugin_call

_EARLY_SECONDS = 5.0
_EARLY_PAUSE = 0.1
_ENDED = (InstanceStatus.EXITED, InstanceStatus.GONE, InstanceStatus.CRASH_LOOP)


class Prober:
    """Waits until an instance is healthy, or says why it is not.

    Args:
        runtime: where the instance runs; asked whether it still does.
        instance: what to probe.
        check: how.
        hostname: the Host header, since many apps refuse unknown hosts.
        what: whom a failure is told of.
    """

    def __init__(
        self,
        runtime: Entry[Runtime],
        instance: Instance,
        *,
        check: HealthCheck,
        hostname: str,
        what: str = "the new version",
    ) -> None:
        self._runtime = runtime
        self._instance = instance
        self._check = check
        self._hostname = hostname
        self._what = what
        self._last = "was not probed"
        self._refused = False

    async def wait(self) -> float:
        """Return the seconds until the instance was healthy often enough in a row.

        Raises:
            NeverHealthy: the grace is over or the instance ended, with the last finding.
        """
        began = time.monotonic()
        in_a_row = 0
        timeout = aiohttp.ClientTimeout(total=self._check.timeout_seconds)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as client:
            while True:
                in_a_row = in_a_row + 1 if await self._once(client) else 0
                await failpoint("probe:probed")
                if in_a_row >= self._check.successes:
                    return time.monotonic() - began
                if in_a_row == 0:
                    await self._give_up_if_hopeless(began)
                await asyncio.sleep(self._pause(began, in_a_row))

    def _pause(self, began: float, in_a_row: int) -> float:
        """Return how long to wait; most programs listen soon after their start."""
        interval, waited = self._check.interval_seconds, time.monotonic() - began
        early = min(interval, _EARLY_PAUSE, 0.02 + waited / 4)
        return interval if in_a_row or waited >= _EARLY_SECONDS else early

    async def _once(self, client: aiohttp.ClientSession) -> bool:
        host, port = self._instance.host, self._instance.port
        self._refused = False
        try:
            if self._check.path is None:
                async with asyncio.timeout(self._check.timeout_seconds):
                    _, writer = await asyncio.open_connection(host, port)
                writer.close()
                return await self._is_its_own(port)
            async with client.get(
                f"http://{host}:{port}{self._check.path}",
                headers={"Host": self._hostname, "User-Agent": "helvetia-probe"},
                allow_redirects=False,
            ) as answer:
                self._last = f"GET {self._check.path} answered {answer.status}"
                if not self._check.accepts(answer.status):
                    self._last += f", expected {self._check.expected}"
                    return False
                return await self._is_its_own(port)
        except TimeoutError:
            self._last = f"no answer within {self._check.timeout_seconds:g} s"
        except (aiohttp.ClientConnectorError, ConnectionRefusedError):
            self._refused = True
            self._last = f"nothing listens on port {port}"
        except (aiohttp.ClientError, OSError) as error:
            self._last = f"the connection broke: {type(error).__name__}"
        return False

    async def _is_its_own(self, port: int) -> bool:
        """Make sure that the answer came from the instance and not from a stranger's process."""
        listening = await self._listening()
        if listening is None or port in listening:
            return True
        self._last = f"port {port} is answered by another program"
        return False

    async def _give_up_if_hopeless(self, began: float) -> None:
        seen = await self._observe()
        if seen.status in _ENDED:
            raise NeverHealthy(f"{self._what} {seen.reason or seen.status.value}")
        waited = time.monotonic() - began
        if waited < self._check.grace_seconds:
            return
        # Between the runs of a program that ends nothing listens; that is not what is wrong.
        ends = seen.restarts > 0 or seen.status is InstanceStatus.RESTARTING
        raise NeverHealthy(
            f"{self._what} was not healthy within {self._check.grace_seconds:g} s: "
            + (seen.reason if ends else self._last),
            hint="" if ends else self._hint(await self._listening()),
        )

    def _hint(self, listening: tuple[int, ...] | None) -> str:
        if listening == ():
            return (
                "it listens on no port; it must listen on the port in the variable PORT, "
                "or be given more time"
            )
        if listening is not None and self._instance.port not in listening:
            ports = ", ".join(map(str, listening))
            return f"it listens on port {ports}; it must listen on the port in the variable PORT"
        if listening is not None and self._refused:
            return f"it listens on this port, but not at the address {self._instance.host}"
        if self._check.path:
            return "set the health check's path and expected statuses, or give it more time"
        return ""

    async def _observe(self) -> Observation:
        async with plugin_call(self._runtime.plugin, f"{self._runtime.name}.observe", 30):
            return await self._runtime.provider.observe(self._instance.id)

    async def _listening(self) -> tuple[int, ...] | None:
        async with plugin_call(self._runtime.plugin, f"{self._runtime.name}.listening", 30):
            return await self._runtime.provider.listening(self._instance.id)
