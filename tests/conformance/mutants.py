"""Providers with one defect each; `CAUGHT_BY` says which promise of the kit must find it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import string
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from helvetia import (
    ActivationFailed,
    Artifact,
    ArtifactReference,
    AuthProvider,
    BuildContext,
    BuildFailed,
    Check,
    Detection,
    Identity,
    Instance,
    InstanceSpec,
    Kernel,
    LogSink,
    Meter,
    Revision,
    Route,
    RuntimeLogPage,
    SourceAddress,
    SourceError,
    Terminal,
    Traffic,
)
from helvetia.plugins.builders.static.build import StaticBuilder
from helvetia.plugins.registry.provider import FolderRegistry
from helvetia.plugins.routers.traefik.router import TraefikRouter
from helvetia.plugins.runtimes.process.runtime import ProcessRuntime
from helvetia.plugins.sources.git import GitSource

CAUGHT_BY: dict[str, str] = {}


def caught_by(test: str) -> Callable[[type], type]:
    def note(mutant: type) -> type:
        CAUGHT_BY[mutant.__name__] = test
        return mutant

    return note


# --- every family ---------------------------------------------------------------------------


@caught_by("test_name")
class BadName(StaticBuilder):
    name = "Static Builder"


@caught_by("test_name")
class TupleOfCapabilities(FolderRegistry):
    capabilities = ("delete",)  # type: ignore[assignment]


@caught_by("test_check")
class CheckThatWrites(GitSource):
    async def check(self) -> Check:
        (self._kernel.home / "checked").touch()
        return await super().check()


@caught_by("test_check")
class CheckWithoutReason(StaticBuilder):
    async def check(self) -> Check:
        return Check(ok=True, reason="")


@caught_by("test_verbs")
class SynchronousVerb(StaticBuilder):
    def detect(self, checkout: Path) -> Detection:  # type: ignore[override]
        return Detection(score=50, reason="always")


# --- builders -------------------------------------------------------------------------------


@caught_by("test_detects_its_own")
class DetectThatWrites(StaticBuilder):
    async def detect(self, checkout: Path) -> Detection:
        (checkout / "note").write_text("seen")
        return await super().detect(checkout)


@caught_by("test_declines_others")
class TakesEverything(StaticBuilder):
    async def detect(self, checkout: Path) -> Detection:
        return Detection(score=100, reason="I can do anything")


@caught_by("test_detects_odd_files")
class TrustingDetect(StaticBuilder):
    async def detect(self, checkout: Path) -> Detection:
        if (checkout / "index.html").exists():
            (checkout / "index.html").read_text("utf-8")
        return await super().detect(checkout)


@caught_by("test_builds")
class ServesTheCheckout(StaticBuilder):
    async def build(self, context: BuildContext) -> Artifact:
        return replace(await super().build(context), location=str(context.checkout))


@caught_by("test_bad_code")
class BuildOfNothing(StaticBuilder):
    async def build(self, context: BuildContext) -> Artifact:
        try:
            return await super().build(context)
        except BuildFailed as error:
            raise ValueError(error.message) from error


@caught_by("test_failing_command")
class IgnoresExitCode(StaticBuilder):
    async def build(self, context: BuildContext) -> Artifact:
        with contextlib.suppress(FileNotFoundError):
            await context.run(["true"], cwd=context.checkout)
        return await super().build(context)


@caught_by("test_cancel")
class LeavesProgram(StaticBuilder):
    async def build(self, context: BuildContext) -> Artifact:
        program = await asyncio.create_subprocess_exec("sleep", "20")
        await context.run(["sleep", "0.1"], cwd=context.checkout)
        program.kill()
        return await super().build(context)


@caught_by("test_cancel")
class PassesOverCancel(StaticBuilder):
    async def build(self, context: BuildContext) -> Artifact:
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await context.run(["sleep", "0.1"], cwd=context.checkout)
        return await super().build(context)


@caught_by("test_killed")
class LeavesItsLock(StaticBuilder):
    async def build(self, context: BuildContext) -> Artifact:
        lock = context.cache / "lock"
        try:
            lock.touch(exist_ok=False)
        except FileExistsError as error:
            raise BuildFailed("another build is on its way") from error
        await asyncio.sleep(0.5)
        lock.unlink()
        return await super().build(context)


# --- sources --------------------------------------------------------------------------------


@caught_by("test_pinned")
class TakesTheTip(GitSource):
    async def checkout(
        self, address: SourceAddress, revision: Revision, folder: Path, log: LogSink
    ) -> None:
        await super().checkout(address, await self.resolve(address), folder, log)


@caught_by("test_exact")
class LeavesMetadata(GitSource):
    async def checkout(
        self, address: SourceAddress, revision: Revision, folder: Path, log: LogSink
    ) -> None:
        await super().checkout(address, revision, folder, log)
        (folder / ".git").write_text("gitdir: elsewhere")


@caught_by("test_hostile")
class UsesAShell(GitSource):
    async def resolve(self, address: SourceAddress) -> Revision:
        command = f"git ls-remote {address.url} {address.ref or 'HEAD'}"
        process = await asyncio.create_subprocess_shell(
            command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        await process.communicate()
        return await super().resolve(address)


@caught_by("test_untrusted")
class TrustsEverybody(GitSource):
    async def resolve(self, address: SourceAddress) -> Revision:
        return await super().resolve(replace(address, trusted=True))


@caught_by("test_secret")
class TellsThePassword(GitSource):
    async def checkout(
        self, address: SourceAddress, revision: Revision, folder: Path, log: LogSink
    ) -> None:
        log.line(f"signing in with {address.credentials}")
        await super().checkout(address, revision, folder, log)


@caught_by("test_cancel")
class GoesOnFetching(GitSource):
    async def checkout(
        self, address: SourceAddress, revision: Revision, folder: Path, log: LogSink
    ) -> None:
        program = await asyncio.create_subprocess_exec("sleep", "20")
        await super().checkout(address, revision, folder, log)
        program.kill()


@caught_by("test_unknown")
class UnknownIsKeyError(GitSource):
    async def resolve(self, address: SourceAddress) -> Revision:
        try:
            return await super().resolve(address)
        except SourceError as error:
            raise KeyError(address.ref) from error


@caught_by("test_killed")
class LeavesItsMark(GitSource):
    async def checkout(
        self, address: SourceAddress, revision: Revision, folder: Path, log: LogSink
    ) -> None:
        mark = self._kernel.home / "busy"
        if mark.exists():
            raise SourceError("another checkout is on its way")
        mark.touch()
        await super().checkout(address, revision, folder, log)
        mark.unlink()


# --- registries -----------------------------------------------------------------------------


@caught_by("test_same_digest")
class RandomDigest(FolderRegistry):
    async def push(self, artifact: Artifact, service_id: str, log: LogSink) -> ArtifactReference:
        (artifact.folder / "stamp").write_text(uuid.uuid4().hex)
        return await super().push(artifact, service_id, log)


@caught_by("test_delete")
class LoudDelete(FolderRegistry):
    async def delete(self, service_id: str, digest: str) -> None:
        if digest not in await self.list(service_id):
            raise KeyError(digest)
        await super().delete(service_id, digest)


class NaiveRegistry(FolderRegistry):
    """Copies file by file to where it is listed."""

    async def push(self, artifact: Artifact, service_id: str, log: LogSink) -> ArtifactReference:
        word = (artifact.folder / "word").read_text()
        target = self._folder / service_id / word
        for number, path in enumerate(sorted(artifact.folder.rglob("*"))):
            if path.is_file():
                kept = target / path.relative_to(artifact.folder)
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, kept, follow_symlinks=False) if not kept.exists() else None
                await asyncio.sleep(0 if number % 5 else 0.001)
        kept_artifact = replace(artifact, location=str(target))
        return ArtifactReference(registry=self.name, digest=word, bytes=1, artifact=kept_artifact)

    async def list(self, service_id: str) -> Sequence[str]:
        folder = self._folder / service_id
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []

    async def exists(self, reference: ArtifactReference) -> bool:
        return reference.artifact.folder.is_dir()

    async def delete(self, service_id: str, digest: str) -> None:
        shutil.rmtree(self._folder / service_id / digest, ignore_errors=True)


@caught_by("test_killed")
class ShowsHalfAPush(NaiveRegistry):
    pass


@caught_by("test_cancel")
class ShowsWhatWasCutOff(NaiveRegistry):
    pass


@caught_by("test_hostile")
class IdsArePaths(NaiveRegistry):
    pass


@caught_by("test_ownership")
class OneFolderForAll(FolderRegistry):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._folder = kernel.home.parent / "artifacts"


@caught_by("test_keeps")
class KeepsAPointer(FolderRegistry):
    async def push(self, artifact: Artifact, service_id: str, log: LogSink) -> ArtifactReference:
        copy = artifact.folder.with_name("copy")
        shutil.copytree(artifact.folder, copy, symlinks=True)
        reference = await super().push(replace(artifact, location=str(copy)), service_id, log)
        return replace(reference, artifact=artifact)


# --- runtimes -------------------------------------------------------------------------------


@caught_by("test_start_twice")
class StartsAnew(ProcessRuntime):
    async def start(self, spec: InstanceSpec) -> Instance:
        if await self.find(spec.id):
            await self.stop(spec.id, 0)
        return await super().start(spec)


@caught_by("test_start_cut_off")
class TriesItFirst(ProcessRuntime):
    async def start(self, spec: InstanceSpec) -> Instance:
        if await self.find(spec.id) is None:
            trial = await super().start(replace(spec, id=f"trial-{uuid.uuid4().hex}"))
            await asyncio.sleep(1)
            await self.stop(trial.id, 0)
            await self.remove(trial.id)
        return await super().start(spec)


@caught_by("test_environment")
class LeaksEnvironment(ProcessRuntime):
    async def start(self, spec: InstanceSpec) -> Instance:
        return await super().start(replace(spec, environment={**os.environ, **spec.environment}))


@caught_by("test_stop")
class KillsAtOnce(ProcessRuntime):
    async def stop(self, instance_id: str, grace_seconds: float) -> None:
        await super().stop(instance_id, 0)


@caught_by("test_stop_stubborn")
class WaitsForever(ProcessRuntime):
    async def stop(self, instance_id: str, grace_seconds: float) -> None:
        await super().stop(instance_id, grace_seconds and 5)


@caught_by("test_adoption")
class RemembersOnlyItself(ProcessRuntime):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._mine: set[str] = set()

    async def start(self, spec: InstanceSpec) -> Instance:
        self._mine.add(spec.id)
        return await super().start(spec)

    async def find(self, instance_id: str) -> Instance | None:
        return await super().find(instance_id) if instance_id in self._mine else None


@caught_by("test_ownership")
class NoLabels(ProcessRuntime):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._installation = "everybody"


@caught_by("test_logs")
class LosesLines(ProcessRuntime):
    async def logs(self, instance_id: str, cursor: str, limit: int) -> RuntimeLogPage:
        page = await super().logs(instance_id, cursor, limit)
        return replace(page, lines=page.lines[1:]) if len(page.lines) == limit else page


@caught_by("test_unknown")
class UnknownIsAnError(ProcessRuntime):
    async def stop(self, instance_id: str, grace_seconds: float) -> None:
        if await self.find(instance_id) is None:
            raise KeyError(instance_id)
        await super().stop(instance_id, grace_seconds)


@caught_by("test_run_cancelled")
class RunGoesOn(ProcessRuntime):
    async def run(self, spec: InstanceSpec, log: LogSink) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "program.py", spec.process,
            cwd=spec.artifact.artifact.folder, env={**os.environ, **spec.environment},
        )  # fmt: skip
        return await process.wait()


@caught_by("test_run_command")
class FillsThemIn(ProcessRuntime):
    async def run(self, spec: InstanceSpec, log: LogSink) -> int:
        words = [string.Template(word).safe_substitute(spec.environment) for word in spec.command]
        return await super().run(replace(spec, command=tuple(words)), log)


@caught_by("test_terminal")
class AnyWindow(ProcessRuntime):
    async def terminal(self, spec: InstanceSpec, columns: int, rows: int) -> Terminal:
        return await super().terminal(spec, 80, 24)


@caught_by("test_terminal_closed")
class StaysOpen(ProcessRuntime):
    async def terminal(self, spec: InstanceSpec, columns: int, rows: int) -> Terminal:
        terminal = await super().terminal(spec, columns, rows)
        self._close, self._open = terminal.close, terminal
        terminal.close = lambda: asyncio.sleep(0)  # type: ignore[method-assign]
        return terminal

    async def close(self) -> None:
        if hasattr(self, "_close"):
            await self._close()


@caught_by("test_meters")
class CountsUpToTheBound(TraefikRouter):
    async def meters(self) -> Mapping[tuple[str, str], Meter]:
        return {
            key: replace(one, seconds={bound: 7 for bound in one.seconds})
            for key, one in (await super().meters()).items()
        }


@caught_by("test_close")
class TakesAllWithIt(ProcessRuntime):
    async def close(self) -> None:
        for instance in await self.list():
            await self.stop(instance.id, 0)


# --- routers --------------------------------------------------------------------------------


@caught_by("test_activate")
class SaysSoTooEarly(TraefikRouter):
    async def activate(self, route: Route) -> None:
        self._later = asyncio.ensure_future(super().activate(route))


@caught_by("test_generation")
class SwitchesBack(TraefikRouter):
    async def activate(self, route: Route) -> None:
        with contextlib.suppress(ActivationFailed):
            await super().activate(route)
            return
        await super().activate(replace(route, generation=route.generation + 100))


@caught_by("test_switch")
class SwitchesWithAGap(TraefikRouter):
    async def activate(self, route: Route) -> None:
        await self.retire(route.service_id, route.generation)
        await super().activate(route)


@caught_by("test_cancel")
class LosesTheRoute(TraefikRouter):
    async def activate(self, route: Route) -> None:
        try:
            await super().activate(route)
        except asyncio.CancelledError:
            await self.retire(route.service_id, route.generation)
            raise


@caught_by("test_hostile")
class DropsBadNames(TraefikRouter):
    async def activate(self, route: Route) -> None:
        good = tuple(name for name in route.hostnames if name.replace(".", "").isalnum())
        await super().activate(replace(route, hostnames=good))


@caught_by("test_wildcards")
class DropsWildcards(TraefikRouter):
    async def activate(self, route: Route) -> None:
        exact = tuple(name for name in route.hostnames if not name.startswith("*."))
        await super().activate(replace(route, hostnames=exact))


@caught_by("test_traffic")
class ForgetsTraffic(TraefikRouter):
    _said = 0

    async def traffic(self, service_id: str, release_id: str) -> Traffic | None:
        seen = await super().traffic(service_id, release_id)
        if seen is None:
            return None
        former, self._said = self._said, seen.requests
        return replace(seen, requests=seen.requests - former)


@caught_by("test_retire")
class RetireOnce(TraefikRouter):
    async def retire(self, service_id: str, generation: int) -> None:
        if service_id not in {route.service_id for route in await self.routes()}:
            raise KeyError(service_id)
        await super().retire(service_id, generation)


@caught_by("test_retired_generation")
class ForgetsRetirement(TraefikRouter):
    async def retire(self, service_id: str, generation: int) -> None:
        await super().retire(service_id, generation)
        self._layout.route_lock(service_id).write_text("")


# --- auth -----------------------------------------------------------------------------------


class Trusting(AuthProvider):
    """Asks for a name and a password and is content with the right one."""

    name = "trusting"
    title = "Trust"

    async def begin(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="<form method=post>", content_type="text/html")

    async def complete(self, request: web.Request) -> Identity | web.StreamResponse:
        form = await request.post()
        if form.get("password") != "open sesame":
            return web.Response(text="no", status=401)
        return Identity(subject="1", name="Ada")


@caught_by("test_next")
class OpenRedirect(Trusting):
    async def begin(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(request.query.get("next") or "/auth/trusting/complete")


@caught_by("test_next")
class Echo(Trusting):
    async def begin(self, request: web.Request) -> web.StreamResponse:
        page = f"<form method=post><input name=next value='{request.query.get('next', '')}'>"
        return web.Response(text=page, content_type="text/html")


@caught_by("test_no_proof")
class BelievesEverybody(Trusting):
    async def complete(self, request: web.Request) -> Identity | web.StreamResponse:
        form = await request.post()
        return Identity(subject=str(form.get("name")), name=str(form.get("name")))


@caught_by("test_no_proof")
class BreaksOnNonsense(Trusting):
    async def complete(self, request: web.Request) -> Identity | web.StreamResponse:
        form: Any = await request.post()
        return web.Response(text=form["password"], status=401)


@caught_by("test_begin")
class BeginsOnce(Trusting):
    _begun = False

    async def begin(self, request: web.Request) -> web.StreamResponse:
        if self._begun:
            raise web.HTTPServiceUnavailable
        self._begun = True
        return await super().begin(request)
