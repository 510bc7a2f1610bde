"""What every builder promises."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from helvetia.kernel.contracts.artifact import DIRECTORY, OCI_IMAGE
from helvetia.kernel.contracts.base import Detection, LogSink
from helvetia.kernel.contracts.builder import BuildContext, Builder
from helvetia.kernel.contracts.runtime import ResourceLimits
from helvetia.kernel.errors import BuildFailed
from helvetia.programs import kill_owned, run_command

from .base import Conformance, Lines, cancel_midway, read_files, refusal, write_files
from .kernel import TestKernel

Files = Mapping[str, str]
Answer = Callable[[Path, LogSink], Awaitable[int]]

SAMPLES: dict[str, Files] = {
    "a static site": {"index.html": "<!doctype html><title>hello</title>"},
    "a Procfile": {"Procfile": "web: python server.py\n", "server.py": "print('hello')\n"},
    "Markdown": {"index.md": "# Hello\n"},
    "a Dockerfile": {"Dockerfile": "FROM scratch\nCOPY hello /hello\n", "hello": "hello\n"},
}
_HANG = "import subprocess; subprocess.run(['sleep', '30'])"
_KILLED_AFTER_SECONDS = 0.1
_FOLDERS = ("checkout", "output", "cache")


def _owner(place: Path) -> str:
    """Return the mark of the programs of a build, so that they are found when it was killed."""
    return f"build:{place}"


@dataclass(frozen=True)
class _Commands:
    """Runs the commands of a build, or has `answer` stand in for each; a process is told of it."""

    owner: str
    log: LogSink
    answer: Answer | None

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        log: LogSink | None = None,
    ) -> int:
        sink = log or self.log
        if self.answer is not None:
            return await self.answer(cwd, sink)
        return await run_command(argv, cwd=cwd, owner=self.owner, log=sink, environment=environment)


class BuilderConformance(Conformance):
    """The suite for builders.

    Override `project` with files that the builder builds if none of the kit's samples is for
    it, and `broken` with projects whose build must fail, by what is wrong with each.
    """

    contract = Builder
    helvetia_family = "builder"

    @pytest_asyncio.fixture
    async def project(self, provider: Any, tmp_path: Path) -> Files:
        """The files of a project that the builder builds: the sample it likes best."""
        scores: list[int] = []
        for name, files in SAMPLES.items():
            found = await provider.detect(write_files(tmp_path / "samples" / name, files))
            scores.append(found.score)
        if not max(scores):
            pytest.skip(f"it builds none of {', '.join(SAMPLES)}: override the fixture `project`")
        return list(SAMPLES.values())[scores.index(max(scores))]

    @pytest.fixture
    def broken(self) -> Mapping[str, Files]:
        """Projects whose build must fail, by what is wrong with each."""
        return {"nothing in it": {}}

    async def test_attributes(self, provider: Any) -> None:
        """Names its service type, the kinds it makes and the settings it reads."""
        assert isinstance(provider.service_type, str)
        assert provider.service_type.strip()
        assert isinstance(provider.produces, tuple), "a tuple: the preferred kind is the first"
        assert provider.produces
        assert all(help.strip() for help in provider.options.values()), "a line of help for each"

    async def test_detects_its_own(self, ready: Any, project: Files, tmp_path: Path) -> None:
        """Recognises a project of its own, with the reason, and changes nothing in it."""
        folder = write_files(tmp_path / "mine", project)
        before = read_files(folder)
        found = await ready.detect(folder)
        assert 0 < found.score <= 100
        assert found.reason.strip()
        assert read_files(folder) == before, "it changed the checkout"

    async def test_declines_others(self, ready: Any, tmp_path: Path) -> None:
        """Declines an empty folder with score 0 and a reason that people read."""
        found = await ready.detect(write_files(tmp_path / "empty", {}))
        assert found.score == 0
        assert found.reason.strip()

    async def test_detects_odd_files(self, ready: Any, project: Files, tmp_path: Path) -> None:
        """Looks at files that are garbage, folders or dead links without failing."""
        for name in project:
            folder = write_files(tmp_path / f"odd-{name.replace('/', '-')}", project)
            path = folder / name
            for spoil in (
                lambda path=path: path.write_bytes(b"\xff\xfe\0{[:\n"),
                lambda path=path: (path.unlink(), path.symlink_to("nowhere")),
                lambda path=path: (path.unlink(), path.mkdir()),
            ):
                spoil()
                assert isinstance(await ready.detect(folder), Detection)

    async def test_builds(self, ready: Any, project: Files, tmp_path: Path) -> None:
        """Makes an artifact of a kind it declared, in the output folder, with a `web` process."""
        neighbour = write_files(tmp_path / "build" / "neighbour", {"file": "not yours"})
        context = await self._context(ready, tmp_path / "build", project)
        artifact = await ready.build(context)
        assert artifact.kind in ready.produces
        assert "web" in artifact.processes, "without `web` nothing takes the traffic"
        # An image knows by itself what it runs.
        assert artifact.processes["web"] or artifact.kind == OCI_IMAGE, "`web` runs nothing"
        assert all(isinstance(word, str) for argv in artifact.processes.values() for word in argv)
        if artifact.kind == DIRECTORY:
            assert artifact.folder.resolve().is_relative_to(context.output.resolve())
            assert artifact.folder.is_dir()
        if artifact.health_check:
            artifact.health_check.accepts(200)
        assert read_files(neighbour) == {"file": b"not yours"}
        assert {path.name for path in neighbour.parent.iterdir()} == {"neighbour", *_FOLDERS}

    async def test_builds_again(self, ready: Any, project: Files, tmp_path: Path) -> None:
        """Builds the same again, with the cache of before and at once with another service's."""
        places = [tmp_path / name for name in ("one", "two")]
        contexts = [await self._context(ready, place, project) for place in places]
        first = await asyncio.gather(*(ready.build(context) for context in contexts))
        (places[0] / "output").rename(places[0] / "former")
        again = await ready.build(await self._context(ready, places[0], project))
        assert first[0].processes == first[1].processes == again.processes

    async def test_bad_code(self, ready: Any, broken: Mapping[str, Files], tmp_path: Path) -> None:
        """Ends the build of bad code with BuildFailed, saying what is wrong and what to do."""
        for wrong, files in broken.items():
            context = await self._context(ready, tmp_path / wrong.replace("/", "-"), files)
            with pytest.raises(BuildFailed) as failed:
                await ready.build(context)
            assert failed.value.message.strip(), wrong
            assert failed.value.hint.strip(), f"{wrong}: give a hint what to do"

    async def test_failing_command(self, ready: Any, project: Files, tmp_path: Path) -> None:
        """Ends the build with BuildFailed when a program of it fails or is not installed."""

        async def fail(cwd: Path, log: LogSink) -> int:
            asked.append("fail")
            return 1

        async def miss(cwd: Path, log: LogSink) -> int:
            asked.append("miss")
            raise FileNotFoundError(2, "No such file or directory")

        for answer in (fail, miss):
            asked: list[str] = []
            place = tmp_path / answer.__name__
            context = await self._context(ready, place, project, answer=answer)
            refused = await refusal(ready.build(context), BuildFailed)
            assert refused or not asked, f"a program failed ({asked[0]}), and no BuildFailed"

    async def test_cancel(self, ready: Any, project: Files, tmp_path: Path) -> None:
        """Ends soon, cancelled or out of time: no program goes on, and the next build works."""
        begun: list[Path] = []

        async def hang(cwd: Path, log: LogSink) -> int:
            begun.append(cwd)
            argv = [sys.executable, "-c", _HANG]
            return await run_command(argv, cwd=cwd, owner="build:conformance", log=log)

        context = await self._context(ready, tmp_path / "cancelled", project, answer=hang)
        await cancel_midway(ready.build(context))
        whole = await self._context(ready, tmp_path / "cancelled", project)
        assert await ready.build(whole), "it cannot be built afterwards"

    async def test_killed(
        self, ready: Any, kernel: TestKernel, project: Files, tmp_path: Path
    ) -> None:
        """What a build cut off by kill -9 left in its cache does not harm the next one."""
        place = tmp_path / "killed"
        context = await self._context(ready, place, project)
        async with self.killed_platform(ready, kernel, "build", context, until="begun"):
            await asyncio.sleep(_KILLED_AFTER_SECONDS)  # somewhere in the middle
        # So does the worker that takes a deployment over.
        await asyncio.to_thread(kill_owned, _owner(place))
        assert await ready.build(await self._context(ready, place, project))

    async def _context(
        self, builder: Any, place: Path, files: Files, *, answer: Answer | None = None
    ) -> BuildContext:
        """Make the context of a build; `answer` stands in for every command of it."""
        log = Lines()
        checkout, output, cache = (place / name for name in _FOLDERS)
        for folder in (checkout, output):
            if folder.exists():
                folder.rename(place.with_name(f"{place.name}-{folder.name}-{id(log)}"))
            folder.mkdir(parents=True)
        cache.mkdir(exist_ok=True)
        found = await builder.detect(write_files(checkout, files))
        return BuildContext(
            service_id=place.name,
            service_name="hello",
            deployment_id="deployment",
            checkout=checkout,
            output=output,
            cache=cache,
            settings=dict(found.settings or {}),
            environment={},
            limits=ResourceLimits(),
            log=log,
            run=_Commands(_owner(place), log, answer),
            kind=builder.produces[-1],
        )
