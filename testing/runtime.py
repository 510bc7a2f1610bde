"""What every runtime promises."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from helvetia.kernel.contracts.artifact import DIRECTORY, Artifact, ArtifactReference
from helvetia.kernel.contracts.runtime import (
    Instance,
    InstanceSpec,
    InstanceStatus,
    Observation,
    ResourceLimits,
    Runtime,
    RuntimeLog,
    RuntimeLogPage,
)
from helvetia.kernel.errors import ReleaseFailed

from . import program
from .base import (
    after,
    cut_off,
    eventually,
    write_files,
)
from .kernel import TestKernel
from .oneoff import Lifeline, OneOffConformance

ROLES = ("web", "stubborn", "chatty", "crash", "fail", "hang", "scribble")
_SECRET = "HELVETIA_SECRET_OF_THE_PLATFORM"  # noqa: S105 - a name
_LIVE = (InstanceStatus.RUNNING, InstanceStatus.RESTARTING, InstanceStatus.CRASH_LOOP)
_PAGE = 70
_START_SECONDS = 10


class RuntimeConformance(OneOffConformance):
    """The suite for runtimes.

    Override `artifact` if the runtime takes no folders: it needs one process for each of
    `ROLES` that runs `program.py` with the role as its argument, and `nothing`, which names a
    program that does not exist.
    """

    contract = Runtime
    helvetia_family = "runtime"
    lifeline_host = "127.0.0.1"

    @pytest.fixture
    def artifact(self, provider: Any, tmp_path: Path) -> Artifact:
        """The sample program as an artifact that the runtime runs."""
        if DIRECTORY not in provider.accepts:
            pytest.skip("it takes no folders: override the fixture `artifact`")
        code = Path(program.__file__).read_text("utf-8")
        folder = write_files(tmp_path / "artifact", {"program.py": code})
        processes = {role: ["{python}", "program.py", role] for role in ROLES}
        processes["nothing"] = ["no-such-program-anywhere"]
        return Artifact(kind=DIRECTORY, location=str(folder), processes=processes)

    @pytest_asyncio.fixture
    async def lifeline(self) -> AsyncIterator[Lifeline]:
        """The server that the sample program holds a connection to."""
        lifeline = Lifeline()
        server = await asyncio.start_server(lifeline.take, self.lifeline_host, 0)
        lifeline.port = server.sockets[0].getsockname()[1]
        with lifeline.stack:
            yield lifeline
        server.close()

    @pytest.fixture
    def spec(self, artifact: Artifact, lifeline: Lifeline) -> InstanceSpec:
        """An instance of the sample program."""
        reference = ArtifactReference(registry="kit", digest="d", bytes=1, artifact=artifact)
        return InstanceSpec(
            id="conformance-1",
            service_id="service",
            service_name="hello",
            release_id="release",
            artifact=reference,
            environment={"LIFELINE": f"{self.lifeline_host}:{lifeline.port}", "WORD": "a b=$c"},
            limits=ResourceLimits(),
            stop_grace_seconds=5,
            labels={"owner": "conformance"},
        )

    async def clean(self, provider: Any) -> None:
        """End and remove every instance."""
        for instance in await provider.list():
            await provider.stop(instance.id, 0)
            await provider.remove(instance.id)

    # --- start, find, stop ------------------------------------------------------------------

    async def test_start(self, ready: Any, spec: InstanceSpec, lifeline: Lifeline) -> None:
        """Starts an instance that is reached at its address, and lists, finds and observes it."""
        instance = await ready.start(spec)
        assert (instance.id, instance.service_id) == (spec.id, spec.service_id)
        assert instance.release_id == spec.release_id
        await self._answer(instance)
        assert await ready.find(spec.id) == instance
        assert list(await ready.list()) == [instance]
        seen = await ready.observe(spec.id)
        assert seen.status is InstanceStatus.RUNNING
        assert seen.reason.strip()
        ports = await ready.listening(spec.id)
        assert ports is None or ports

    async def test_start_silent(self, ready: Any, spec: InstanceSpec) -> None:
        """Returns as soon as the process exists, even if it never listens."""
        async with asyncio.timeout(_START_SECONDS):
            await ready.start(replace(spec, process="hang"))
        assert (await ready.observe(spec.id)).status is InstanceStatus.RUNNING
        assert not await ready.listening(spec.id)

    async def test_environment(
        self, ready: Any, spec: InstanceSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Hands the instance its environment as it is, and nothing of the platform's secrets."""
        monkeypatch.setenv(_SECRET, "secret")
        found = (await self._answer(await ready.start(spec)))["environment"]
        assert found["WORD"] == "a b=$c"
        assert _SECRET not in found

    async def test_start_twice(self, ready: Any, spec: InstanceSpec, lifeline: Lifeline) -> None:
        """Starting the same id again, even at the same moment, adopts the first."""
        first, *others = await asyncio.gather(*(ready.start(spec) for _ in range(3)))
        before = await self._answer(first)
        assert [*others, await ready.start(spec)] == [first] * 3
        assert (await self._answer(first))["boot"] == before["boot"]
        assert list(await ready.list()) == [first]
        assert lifeline.alive == 1

    async def test_start_cut_off(self, ready: Any, spec: InstanceSpec, lifeline: Lifeline) -> None:
        """Cancelled or out of time in a start, the next makes one instance that can be ended."""
        for begun in (*map(after, (1, 4, 12)), lambda: lifeline.alive):
            await cut_off(ready.start(spec), begun)
            instance = await ready.start(spec)
            await self._answer(instance)
            assert list(await ready.list()) == [instance]
            await lifeline.until(1, 2)
            await ready.stop(spec.id, 5)
            await lifeline.until(0, 2)
            await ready.remove(spec.id)

    async def test_side_by_side(self, ready: Any, spec: InstanceSpec) -> None:
        """Runs two instances of a release side by side, each at an address of its own."""
        both = [await ready.start(replace(spec, id=f"conformance-{n}")) for n in (1, 2)]
        answers = [await self._answer(instance) for instance in both]
        assert answers[0]["boot"] != answers[1]["boot"]
        await ready.stop(both[0].id, 5)
        assert (await self._answer(both[1]))["boot"] == answers[1]["boot"]

    async def test_stop(self, ready: Any, spec: InstanceSpec, lifeline: Lifeline) -> None:
        """Stops the whole tree with SIGTERM and time to end; stopping it again is quiet."""
        await self._answer(await ready.start(spec))
        await ready.stop(spec.id, 5)
        await lifeline.until(0, 1)
        seen = await ready.observe(spec.id)
        assert seen.status is InstanceStatus.EXITED
        assert seen.reason.strip()
        assert "ended by itself" in await self._log(ready, spec.id), "it had no time to end itself"
        await ready.stop(spec.id, 5)
        assert await ready.find(spec.id) is not None, "until it is removed it can be found"

    async def test_stop_stubborn(self, ready: Any, spec: InstanceSpec, lifeline: Lifeline) -> None:
        """Kills after the grace what ignores SIGTERM."""
        await self._answer(await ready.start(replace(spec, process="stubborn")))
        began = time.monotonic()
        await ready.stop(spec.id, 0.5)
        assert 0.4 < time.monotonic() - began < 5
        await lifeline.until(0, 1)

    async def test_start_again(self, ready: Any, spec: InstanceSpec) -> None:
        """Starts a stopped instance again, anew."""
        before = await self._answer(await ready.start(spec))
        await ready.stop(spec.id, 5)
        assert (await self._answer(await ready.start(spec)))["boot"] != before["boot"]

    async def test_remove(self, ready: Any, spec: InstanceSpec) -> None:
        """Removes what is left of an instance, quietly if it is gone; nobody knows it then."""
        await ready.start(spec)
        await ready.stop(spec.id, 5)
        for _ in range(2):
            await ready.remove(spec.id)
        assert await ready.find(spec.id) is None
        assert list(await ready.list()) == []

    async def test_unknown(self, ready: Any) -> None:
        """Takes an unknown id calmly: GONE, None, no lines, nothing to stop or remove."""
        seen = await ready.observe("never-seen")
        assert seen.status is InstanceStatus.GONE
        assert seen.reason.strip()
        assert await ready.find("never-seen") is None
        assert not await ready.listening("never-seen")
        assert (await ready.logs("never-seen", "", 10)).lines == []
        await ready.stop("never-seen", 1)
        await ready.remove("never-seen")

    # --- what goes wrong --------------------------------------------------------------------

    async def test_cannot_start(self, ready: Any, spec: InstanceSpec) -> None:
        """Says with ReleaseFailed that a program or process does not exist, and leaves nothing."""
        for process in ("nothing", "not-a-process"):
            with pytest.raises(ReleaseFailed) as failed:
                await ready.start(replace(spec, process=process))
            assert failed.value.message.strip()
        assert list(await ready.list()) == []

    async def test_crash(self, ready: Any, spec: InstanceSpec) -> None:
        """Restarts by itself what crashes, and says how often, why and with which exit code."""
        await ready.start(replace(spec, process="crash"))
        seen = await self._observe(ready, spec.id, lambda now: now.restarts > 0)
        assert seen.status in _LIVE
        assert seen.exit_code == 7
        assert seen.reason.strip()

    # --- the platform comes and goes --------------------------------------------------------

    async def test_adoption(
        self, ready: Any, kernel: TestKernel, spec: InstanceSpec, lifeline: Lifeline
    ) -> None:
        """Instances outlive a platform killed with -9; the next one finds, observes, stops them."""
        async with self.killed_platform(ready, kernel, "start", spec):
            await lifeline.until(1)
        second = self.another(ready, kernel)
        await second.setup()
        instance = await second.find(spec.id)
        assert instance is not None
        assert list(await second.list()) == [instance]
        assert (await second.observe(spec.id)).status is InstanceStatus.RUNNING
        before = await self._answer(instance)
        assert await second.start(spec) == instance, "the same id was not adopted"
        assert (await self._answer(instance))["boot"] == before["boot"]
        await second.stop(spec.id, 5)
        await lifeline.until(0, 1)
        await second.close()

    async def test_close(self, ready: Any, spec: InstanceSpec, lifeline: Lifeline) -> None:
        """Leaves instances running when the platform is closed."""
        await self._answer(await ready.start(spec))
        await ready.close()
        assert lifeline.alive == 1
        await ready.setup()
        assert (await ready.observe(spec.id)).status is InstanceStatus.RUNNING

    async def test_ownership(
        self, ready: Any, kernel: TestKernel, spec: InstanceSpec, lifeline: Lifeline
    ) -> None:
        """Neither shows nor touches what another installation runs."""
        await self._answer(await ready.start(spec))
        stranger = TestKernel(kernel.home, self.settings, edge=kernel.edge)
        theirs = self.another(ready, stranger)
        await theirs.setup()
        assert list(await theirs.list()) == []
        assert await theirs.find(spec.id) is None
        assert (await theirs.observe(spec.id)).status is InstanceStatus.GONE
        await theirs.stop(spec.id, 0)
        await theirs.remove(spec.id)
        await theirs.close()
        assert lifeline.alive == 1
        assert (await ready.observe(spec.id)).status is InstanceStatus.RUNNING

    # --- logs and numbers -------------------------------------------------------------------

    async def test_logs(self, ready: Any, spec: InstanceSpec) -> None:
        """Hands over every line once and in order, while it is written, from any cursor."""
        await ready.start(replace(spec, process="chatty"))
        pages: list[tuple[str, RuntimeLogPage]] = []
        lines: list[RuntimeLog] = []

        async def read() -> int:
            cursor = pages[-1][1].cursor if pages else ""
            async with asyncio.timeout(2):
                page = await ready.logs(spec.id, cursor, _PAGE)
            assert len(page.lines) <= _PAGE
            assert page.dropped == 0
            pages.append((cursor, page))
            lines.extend(page.lines)
            for stream, first in (("stdout", 0), ("stderr", 1)):
                texts = [line.text for line in lines if line.stream == stream]
                assert texts == [f"line {first + 2 * number}" for number in range(len(texts))]
            return len(lines)

        await eventually(read, lambda count: count == program.LINES)
        assert all(abs(line.time - time.time()) < 300 for line in lines), "seconds of the epoch"
        for cursor, page in pages[:: len(pages) // 5]:
            again = await ready.logs(spec.id, cursor, _PAGE)
            assert again.lines[: len(page.lines)] == page.lines
        assert await read() == program.LINES, "there is nothing behind the last line"

    async def test_numbers(self, ready: Any, spec: InstanceSpec) -> None:
        """Counts processes, memory and connections, or says None; never makes up a number."""
        instance = await ready.start(spec)
        await self._answer(instance)
        _, writer = await asyncio.open_connection(instance.host, instance.port)
        count, stats = await ready.connections(spec.id), await ready.stats(spec.id)
        writer.close()
        assert count is None or count >= 1
        assert stats is None or (stats.processes >= 2 and stats.memory_bytes > 1_000_000)

    # --- helpers ----------------------------------------------------------------------------

    async def _answer(self, instance: Instance) -> dict[str, Any]:
        """Return what the sample program answers once it listens."""
        url = f"http://{instance.host}:{instance.port}/"

        async def ask() -> dict[str, Any] | None:
            try:
                async with aiohttp.ClientSession() as client, client.get(url) as response:
                    return dict(json.loads(await response.text()))
            except (aiohttp.ClientError, OSError):
                return None

        return await eventually(ask, bool) or {}

    async def _log(self, runtime: Any, instance_id: str) -> str:
        page = await runtime.logs(instance_id, "", 10 * program.LINES)
        return "\n".join(line.text for line in page.lines)

    async def _observe(self, runtime: Any, instance_id: str, accept: Any) -> Observation:
        return await eventually(lambda: runtime.observe(instance_id), accept)
