"""The runtime `process`."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from helvetia import (
    DIRECTORY,
    Check,
    Instance,
    InstanceSpec,
    InstanceStatus,
    Kernel,
    LogSink,
    Observation,
    ReleaseFailed,
    Runtime,
    RuntimeLogPage,
    Stats,
    Terminal,
)
from helvetia.plugins.supervisor import (
    LIMITS,
    Supervised,
    SupervisedSpec,
    file_lock,
    usable_groups,
)

from .copying import GRAVE, copy_artifact, remove_tree
from .measuring import measure
from .oneoff import OneOff
from .ports import HOST, Ports
from .program import command_of, make_program
from .records import Record, instance_folder, only_begun, read_record, write_record
from .settings import ProcessSettings
from .sockets import established, listening_ports

_STATUS = {
    "running": InstanceStatus.RUNNING,
    "restarting": InstanceStatus.RESTARTING,
    "crash-loop": InstanceStatus.CRASH_LOOP,
    "exited": InstanceStatus.EXITED,
    "stopped": InstanceStatus.EXITED,
    "gone": InstanceStatus.GONE,
}
_LIVE = (InstanceStatus.RUNNING, InstanceStatus.RESTARTING, InstanceStatus.CRASH_LOOP)


class ProcessRuntime(Runtime):
    """Runs each instance under a supervisor of its own, in a folder of its own."""

    name = "process"
    accepts = (DIRECTORY,)
    capabilities = frozenset({"one-machine"})

    def __init__(self, kernel: Kernel) -> None:
        settings = kernel.section(ProcessSettings)
        self._installation = kernel.installation
        self._root = kernel.folder("process").absolute()
        self._log_bytes = settings.log_mib * 2**20
        self._ports = Ports(self._root, settings.first_port, settings.last_port)
        self._one_off = OneOff(self._root / ".runs", kernel.installation)

    async def setup(self) -> None:
        """Collect what a platform that was killed left half done."""
        await self._one_off.collect()
        await asyncio.to_thread(self._finish_removals)

    def _finish_removals(self) -> None:
        for folder in self._root.glob(f"{GRAVE}*"):
            shutil.rmtree(folder, ignore_errors=True)

    async def check(self) -> Check:
        """Say what limits processes here, and what does not."""
        if not sys.platform.startswith("linux"):
            return Check(ok=False, reason="plain processes need Linux: there is no /proc elsewhere")
        usable = await asyncio.to_thread(usable_groups)
        ways: dict[str, list[str]] = {}
        for limit in LIMITS:
            way = "not enforced" if limit == "cpu" else "watchdog"
            if base := usable.get(limit):
                way = f"cgroup {base.version}"
            ways.setdefault(way, []).append(limit)
        limits = ", ".join(f"{way} ({', '.join(names)})" for way, names in ways.items())
        return Check(
            ok=True,
            reason=f"plain processes, limits by {limits}; "
            "does not isolate services from each other: run only code you trust",
        )

    async def start(self, spec: InstanceSpec) -> Instance:
        """Start an instance or adopt it."""
        command_of(spec)
        folder = instance_folder(self._root, spec.id)
        async with file_lock(folder / "lock"):
            record = await asyncio.to_thread(read_record, folder, self._installation)
            if record is None:
                record = await self._register(spec, folder)
            else:
                state = await self._supervised(spec.id).state()
                if _STATUS[state.status] in _LIVE:
                    return record.instance
            try:
                await self._launch(spec, folder, record)
            except ReleaseFailed:
                await self._discard(spec.id, folder)
                raise
            return record.instance

    async def _register(self, spec: InstanceSpec, folder: Path) -> Record:
        if not await asyncio.to_thread(only_begun, folder):
            raise ReleaseFailed(
                f"the folder of instance {spec.id} belongs to somebody else",
                hint=f"Look at {folder} and move it away.",
            )
        record = Record(
            id=spec.id,
            installation=self._installation,
            service_id=spec.service_id,
            release_id=spec.release_id,
            port=await self._ports.claim(spec.id),
            labels={**spec.labels, "installation": self._installation},
        )
        await asyncio.to_thread(write_record, folder, record)
        return record

    async def _launch(self, spec: InstanceSpec, folder: Path, record: Record) -> None:
        artifact = spec.artifact.artifact
        work = artifact.folder
        if not artifact.read_only:
            work = folder / "work"
            try:
                await copy_artifact(artifact.folder, work)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise ReleaseFailed(
                    f"the artifact cannot be copied to {folder}: {reason}",
                    hint="Make room on that disk, then deploy again.",
                ) from error
        added = {"PORT": str(record.port), "HOST": HOST}
        home = folder if artifact.read_only else work
        program = await asyncio.to_thread(make_program, spec, work, home=home, added=added)
        state = await self._supervised(spec.id).start(
            SupervisedSpec(
                argv=program.argv,
                cwd=program.cwd,
                environment=program.environment,
                secrets=spec.secrets,
                owner=f"instance:{self._installation}:{spec.id}",
                grace_seconds=spec.stop_grace_seconds,
                memory_mb=spec.limits.memory_mb,
                pids=spec.limits.pids,
                cpu=spec.limits.cpu,
                log_bytes=self._log_bytes,
            )
        )
        if state.status == "exited":
            raise ReleaseFailed(
                f"process `{spec.process}` {state.reason}",
                hint="Look at the first line of the program, it may name an interpreter "
                "that is not on this machine.",
            )

    async def _discard(self, instance_id: str, folder: Path) -> None:
        await self._supervised(instance_id).remove()
        await asyncio.to_thread(remove_tree, folder)
        await self._ports.release(instance_id)

    async def find(self, instance_id: str) -> Instance | None:
        """Return the instance if it is here."""
        record = await self._record(instance_id)
        return None if record is None else record.instance

    async def observe(self, instance_id: str) -> Observation:
        """Say what is true of the instance now."""
        if await self._record(instance_id) is None:
            return Observation(status=InstanceStatus.GONE, reason="there is no such instance")
        state = await self._supervised(instance_id).state()
        return Observation(
            status=_STATUS[state.status],
            reason=state.reason,
            exit_code=state.exit_code,
            restarts=state.restarts,
            out_of_memory=state.out_of_memory,
        )

    async def stop(self, instance_id: str, grace_seconds: float) -> None:
        """End the instance."""
        if await self._record(instance_id) is not None:
            await self._supervised(instance_id).stop(grace_seconds)

    async def remove(self, instance_id: str) -> None:
        """Remove the folder of the instance and give its port back."""
        folder = instance_folder(self._root, instance_id)
        if not folder.is_dir():
            return
        async with file_lock(folder / "lock"):
            if await self._record(instance_id) is None and not only_begun(folder):
                return
            await self._discard(instance_id, folder)

    async def list(self) -> Sequence[Instance]:
        """Return the instances of this installation."""
        return await asyncio.to_thread(self._read_all)

    def _read_all(self) -> Sequence[Instance]:
        folders = sorted(path for path in self._root.iterdir() if path.name[0] != ".")
        records = (read_record(folder, self._installation) for folder in folders)
        return [record.instance for record in records if record is not None]

    async def logs(self, instance_id: str, cursor: str, limit: int) -> RuntimeLogPage:
        """Return lines of the instance."""
        if await self._record(instance_id) is None:
            return RuntimeLogPage(lines=[], cursor=cursor)
        return await self._supervised(instance_id).logs(cursor, limit)

    async def run(self, spec: InstanceSpec, log: LogSink) -> int:
        """Run a process once."""
        return await self._one_off.run(spec, log)

    async def terminal(self, spec: InstanceSpec, columns: int, rows: int) -> Terminal:
        """Run a process at a terminal."""
        return await self._one_off.terminal(spec, columns, rows)

    async def listening(self, instance_id: str) -> tuple[int, ...] | None:
        """Return the ports that the instance's processes listen on."""
        if await self._record(instance_id) is None:
            return ()
        supervised = self._supervised(instance_id)
        return await asyncio.to_thread(lambda: listening_ports(supervised.pids()))

    async def connections(self, instance_id: str) -> int | None:
        """Count established connections to the instance."""
        record = await self._record(instance_id)
        return None if record is None else await asyncio.to_thread(established, record.port)

    async def stats(self, instance_id: str) -> Stats | None:
        """Return the use of resources by the instance's processes."""
        folder = instance_folder(self._root, instance_id)
        return await asyncio.to_thread(self._measured, folder)

    def _measured(self, folder: Path) -> Stats | None:
        if read_record(folder, self._installation) is None:
            return None
        return measure(Supervised(folder / "run"))

    async def _record(self, instance_id: str) -> Record | None:
        folder = instance_folder(self._root, instance_id)
        return await asyncio.to_thread(read_record, folder, self._installation)

    def _supervised(self, instance_id: str) -> Supervised:
        return Supervised(instance_folder(self._root, instance_id) / "run")
