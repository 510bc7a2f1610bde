"""Start, watch and end a supervised program."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helvetia import RuntimeLogPage
from helvetia.kernel.errors import HelvetiaError
from helvetia.kernel.locks import file_lock, try_lock
from helvetia.programs import OWNER_VARIABLE

from .groups import prepare
from .model import SupervisedSpec, SupervisedState
from .pages import read_page
from .processes import leftovers, shim_alive, signal_shim, sweep
from .shim_tree import descendants, family

_SHIM = Path(__file__).parent / "shim.py"
_FINAL = ("exited", "stopped")
_START_SECONDS = 15.0
_STOP_MARGIN_SECONDS = 2.0
_POLL_SECONDS = 0.02


class Supervised:
    """The program that is supervised in a folder; any process may hold one of these."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    async def start(self, spec: SupervisedSpec) -> SupervisedState:
        """Start the program, or adopt the one that is supervised here already.

        A program that cannot be started at all is `exited` with exit code 127 and the reason.

        Raises:
            HelvetiaError: the supervisor itself could not be started.
        """
        async with file_lock(self._folder / "lock"):
            stored = await self._stored()
            if shim_alive(stored):
                if not stored["stopping"] and stored["status"] not in _FINAL:
                    return _state(stored)
                await self._until(lambda: not shim_alive(stored), _START_SECONDS)
            if stored and stored["status"] not in _FINAL:
                await asyncio.to_thread(sweep, stored)
            await self._spawn(spec)
            stored = await self._stored()
            return _state(stored)

    async def _spawn(self, spec: SupervisedSpec) -> None:
        limits = {"memory": spec.memory_mb, "pids": spec.pids, "cpu": spec.cpu}
        mechanism, groups = await asyncio.to_thread(prepare, self._folder, limits)
        message = {
            "argv": spec.argv,
            "cwd": str(spec.cwd),
            "environment": {**spec.environment, OWNER_VARIABLE: spec.owner},
            "secrets": sorted(spec.secrets),
            "owner": spec.owner,
            "restart": spec.restart,
            "grace_seconds": spec.grace_seconds,
            "crash_loop_ends": spec.crash_loop_ends,
            "crash_loop_seconds": spec.crash_loop_seconds,
            "pauses": spec.pauses,
            "limits": limits,
            "mechanism": mechanism,
            "groups": groups,
            "log_bytes": spec.log_bytes,
        }
        former = (await self._stored()).get("shim_pid")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(_SHIM), str(self._folder),
            cwd="/",
            env={"LANG": "C.UTF-8"},  # nothing of the platform's own, which may be secret
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_START_SECONDS):
                # Its output ends when the program has been started, or could not be.
                await process.communicate(json.dumps(message).encode())
                # One from a start that was cut off may have been faster, and not be as far yet.
                await self._until(lambda: self._is_decided(former), _START_SECONDS)
        except TimeoutError:
            pass
        stored = await self._stored()
        if stored.get("shim_pid") in (None, former):
            raise HelvetiaError(
                f"the supervisor for {self._folder.name} could not be started",
                hint=f"Look whether {self._folder} can be written and is not full.",
            )

    def _is_decided(self, former: object) -> bool:
        """Tell whether a new shim has said what it does, or there is none that will."""
        if self._read().get("shim_pid") not in (None, former):
            return True
        if (free := try_lock(self._folder / "shim.lock")) is None:
            return False
        os.close(free)
        return True

    async def state(self) -> SupervisedState:
        """Say what is true of the program now."""
        stored = await self._stored()
        if stored and (stored["status"] in _FINAL or shim_alive(stored)):
            return _state(stored)
        # The shim may have written its last words between the two looks.
        stored = await self._stored()
        if not stored:
            return _state({"status": "gone", "reason": "there is no such program"})
        if stored["status"] in _FINAL:
            return _state(stored)
        reason = f"its supervisor was killed; before that: {stored['reason']}"
        return _state({**stored, "status": "gone", "reason": reason, "pid": None})

    async def stop(self, grace_seconds: float) -> None:
        """End the program and everything it started.

        SIGTERM, SIGKILL after the grace; if the supervisor itself does not end two seconds
        later, it and everything that bears the owner's mark is killed from here.
        """
        stored = await self._stored()
        if not stored:
            return
        if shim_alive(stored):
            await asyncio.to_thread((self._folder / "grace").write_text, str(grace_seconds))
            signal_shim(stored, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await self._until(
                    lambda: not shim_alive(stored), grace_seconds + _STOP_MARGIN_SECONDS
                )
            if signal_shim(stored, signal.SIGKILL):
                await asyncio.to_thread(sweep, stored)
        stored = await self._stored()
        if stored and stored["status"] not in _FINAL:
            await asyncio.to_thread(sweep, stored)
            reason = "stopped; its supervisor had been killed"
            stored.update(status="stopped", reason=reason, pid=None, since=time.time())
            await asyncio.to_thread(self._write, stored)

    async def remove(self) -> None:
        """Remove the folder; what still runs is ended first."""
        if not self._folder.is_dir():
            return
        async with file_lock(self._folder / "lock"):
            await self.stop(0)
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def logs(self, cursor: str, limit: int) -> RuntimeLogPage:
        """Return up to `limit` lines behind the cursor; "" is the beginning."""
        return await asyncio.to_thread(read_page, self._folder, cursor, limit)

    def pids(self) -> list[int]:
        """Return the live processes of the tree, without the supervisor. Reads /proc."""
        stored = self._read()
        if shim_alive(stored):
            return descendants(stored["shim_pid"])
        return leftovers(stored) if stored and stored["status"] not in _FINAL else []

    def family(self) -> tuple[list[int], int]:
        """Return the same, cheaply, and how often the program was started again.

        A process that is just being born may be missing.
        """
        stored = self._read()
        if shim_alive(stored):
            return family(stored["shim_pid"]), stored["restarts"]
        return self.pids(), stored.get("restarts", 0)

    # --- files ------------------------------------------------------------------------------

    def _read(self) -> dict[str, Any]:
        try:
            stored: dict[str, Any] = json.loads((self._folder / "state.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return stored

    async def _stored(self) -> dict[str, Any]:
        return await asyncio.to_thread(self._read)

    def _write(self, stored: dict[str, Any]) -> None:
        temporary = self._folder / "state.tmp"
        temporary.write_text(json.dumps(stored))
        temporary.replace(self._folder / "state.json")

    @staticmethod
    async def _until(condition: Callable[[], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(_POLL_SECONDS)


def _state(stored: dict[str, Any]) -> SupervisedState:
    return SupervisedState(
        status=stored["status"],
        pid=stored.get("pid"),
        exit_code=stored.get("exit_code"),
        restarts=stored.get("restarts", 0),
        out_of_memory=stored.get("out_of_memory", False),
        reason=stored["reason"],
        since=stored.get("since", 0.0),
        limits=dict(stored.get("limits", {})),
    )
