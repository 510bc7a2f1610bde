"""The way to a Docker engine: one session for each piece of work, and errors people can read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from datetime import datetime
from typing import Any, TypeVar

import aiohttp
from aiodocker import Docker, DockerError

from helvetia import Check, HelvetiaError

from .settings import SCHEMES

Result = TypeVar("Result")
_DEFAULT = "unix:///var/run/docker.sock"
_OLDEST = "1.41"
_UNREACHABLE = 900  # what aiodocker calls a broken connection
_CHECK_SECONDS = 0.9
_UNCUT_SECONDS = 4.0
_REMOVAL_PAUSE_SECONDS = 0.02
_FRACTION = re.compile(r"(\.\d{1,6})\d*")


class Unreachable(HelvetiaError):
    """The engine does not answer."""

    code = "engine-unreachable"
    status = 503


class Engine:
    """An engine by its address.

    A session is opened for each piece of work: aiodocker leaks a connection for every answer
    that is not read to its end, and here all of them end with the session.

    Args:
        host: the setting; empty takes `DOCKER_HOST`, then the usual socket.
    """

    def __init__(self, host: str) -> None:
        self.host = host or os.environ.get("DOCKER_HOST") or _DEFAULT
        self._version = ""

    @property
    def local(self) -> bool:
        """Whether it runs on this machine, so that its processes may be looked at."""
        return self.host.startswith("unix://")

    @contextlib.asynccontextmanager
    async def session(self, seconds: float | None = 30) -> AsyncIterator[Docker]:
        """Open a session for the body, which may take so long.

        Raises:
            Unreachable: the engine does not answer, or stopped to.
            HelvetiaError: it refused something that nobody dealt with.
        """
        with self.telling():
            async with asyncio.timeout(seconds), await self.open() as docker:
                yield docker

    async def open(self) -> Docker:
        """Return a session that the caller closes; the caller's errors are `telling`'s."""
        if not self._version:
            self._version = f"v{(await self._ping()).get('Api-Version', _OLDEST)}"
        return Docker(url=self.host, api_version=self._version)

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Turn what the body does not deal with into errors for people; see `session`."""
        try:
            yield
        except DockerError as error:
            if error.status != _UNREACHABLE:
                raise HelvetiaError(f"the Docker engine refused: {error.message}") from error
            raise self._unreachable(error) from error
        except (
            aiohttp.ClientError,
            asyncio.IncompleteReadError,
            ConnectionError,
            TimeoutError,
        ) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        self._version = ""  # it may come back as another one
        slow = " in time" if isinstance(error, TimeoutError) else ""
        return Unreachable(
            f"the Docker engine at {self.host} does not answer{slow}",
            hint="Look whether it runs: `systemctl status docker`.",
        )

    @contextlib.asynccontextmanager
    async def get(
        self, docker: Docker, path: str, **parameters: str | int
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request whose answer is read as it comes.

        Raises:
            DockerError: the engine refused.
        """
        url = f"{docker.docker_host}/{docker.api_version}/{path}"
        response = await docker.session.get(url, params=parameters)
        try:
            if response.status >= 400:
                raise DockerError(response.status, (await response.json())["message"])
            yield response
        finally:
            response.close()

    async def _ping(self) -> dict[str, str]:
        async with (
            Docker(url=self.host, api_version=f"v{_OLDEST}") as docker,
            docker.session.get(f"{docker.docker_host}/_ping") as response,
        ):
            return dict(response.headers)

    async def check(self) -> Check:
        """Say within a second whether the engine is usable, and why not."""
        if not self.host.startswith(SCHEMES):
            return Check(ok=False, reason=f"DOCKER_HOST is {self.host}: use unix:/// or tcp://")
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                answer = await self._ping()
        except (aiohttp.ClientError, OSError) as error:
            return Check(ok=False, reason=f"no Docker engine: {self._why(error)}")
        version = answer.get("Api-Version", "")
        if not version:
            return Check(ok=False, reason=f"what answers at {self.host} is no Docker engine")
        if _numbers(version) < _numbers(_OLDEST):
            return Check(
                ok=False,
                reason=f"the Docker engine at {self.host} is too old: it speaks API {version}, "
                f"needed is {_OLDEST} (Docker 20.10)",
            )
        if (system := answer.get("Ostype", "linux")) != "linux":
            return Check(ok=False, reason=f"the engine at {self.host} runs {system} containers")
        name = answer.get("Server", "Docker").split(" ")[0].replace("/", " ")
        return Check(ok=True, reason=f"{name} at {self.host}")

    def _why(self, error: Exception) -> str:
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        if isinstance(cause, FileNotFoundError):
            return f"there is no {self.host}"
        if isinstance(cause, PermissionError):
            return (
                f"the platform's user may not use {self.host}; "
                "it is usually allowed to the group `docker`"
            )
        if isinstance(cause, ConnectionRefusedError):
            return f"nobody listens at {self.host}"
        if isinstance(cause, TimeoutError):
            return f"{self.host} does not answer"
        return f"{self.host}: {cause}"


def seconds(time_of_day: str) -> float:
    """Return a time of the engine's as seconds since the epoch; 0 if it is none."""
    moment = datetime.fromisoformat(_FRACTION.sub(r"\1", time_of_day).replace("Z", "+00:00"))
    return moment.timestamp() if moment.year > 1 else 0.0


async def uncut(work: Coroutine[Any, Any, Result]) -> Result:
    """Finish a request even if it is cancelled meanwhile: the engine would, unheard.

    Raises:
        CancelledError: once it is finished, or the engine hangs.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        deadline = time.monotonic() + _UNCUT_SECONDS
        while not task.done() and (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task], timeout=left)
        if task.done():
            task.exception()
        else:
            task.cancel()
        raise


async def inspect_image(docker: Docker, name: str) -> dict[str, Any] | None:
    """Return what the engine says of an image; None if it does not have it.

    Raises:
        DockerError: the engine refused.
    """
    try:
        found: dict[str, Any] = await docker.images.inspect(name)
    except DockerError as error:
        if error.status != 404:
            raise
        return None
    return found


async def remove_container(docker: Docker, name: str) -> None:
    """End and remove a container with its volumes, and wait until it is gone.

    Raises:
        DockerError: the engine refused.
    """
    while True:
        try:
            await docker.containers.container(name).delete(force=True, v=True)
        except DockerError as error:
            if error.status == 404:
                return
            if error.status != 409:  # it is being removed already
                raise
        await asyncio.sleep(_REMOVAL_PAUSE_SECONDS)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
