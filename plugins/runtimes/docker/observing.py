"""What the state of a container means."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from aiodocker import Docker

from helvetia import InstanceStatus, Observation

from .engine import Engine, seconds
from .labels import ADDRESS
from .networks import is_connected

_LOOP_ENDS = 3
_LOOP_SECONDS = 150.0  # two of the engine's longest pauses, and some
_LASTED_SECONDS = 10.0  # after such a run the engine's pauses begin anew
_LATE_SECONDS = 0.3
_LONG_PAUSE = 5.0  # many ends in a row lead to it


class _End(NamedTuple):
    """How a run ended; the code is None where the engine has forgotten it."""

    code: int | None
    out_of_memory: bool


def exit_code(status: int) -> int:
    """Return minus the signal that ended a process, or its exit code."""
    number = status - 128
    return -number if number in set(signal.Signals) else status


async def observe(engine: Engine, docker: Docker, container: dict[str, Any]) -> Observation:
    """Say what is true of a container, except for what it listens on."""
    state, restarts = container["State"], container["RestartCount"]
    began, ended = seconds(state["StartedAt"]), seconds(state["FinishedAt"])
    if not began:
        why = state["Error"] or "was never started"
        return Observation(status=InstanceStatus.EXITED, reason=why)
    if not state["Running"]:
        end = await _present_end(engine, docker, container)
        why = state["Error"] or _words(container, end)
        return _observation(InstanceStatus.EXITED, why, end, restarts)
    if not is_connected(container, container["Config"]["Labels"][ADDRESS]):
        return Observation(status=InstanceStatus.EXITED, reason="was cut off from its network")
    if not restarts:
        why = "paused by somebody" if state["Paused"] else "running"
        return Observation(status=InstanceStatus.RUNNING, reason=why)
    ends = await _last_ends(engine, docker, container["Id"])
    if state["Restarting"]:
        end = await _present_end(engine, docker, container)
        lasted, pause = ended - began, time.time() - ended
        why = f"{_words(container, end)} after {max(lasted, 0):.1f} s"
        status, rest = InstanceStatus.RESTARTING, "; starts again by itself"
    else:
        # Its state no longer says how the run before ended.
        end = ends[-1] if ends else _End(None, False)
        lasted, pause = time.time() - began, began - ended
        why = f"started again after: {_words(container, end)}"
        status, rest = InstanceStatus.RUNNING, ""
    if lasted < _LASTED_SECONDS and (len(ends) >= _LOOP_ENDS or pause > _LONG_PAUSE):
        status, why = InstanceStatus.CRASH_LOOP, f"{why}; started again {restarts} times"
    return _observation(status, why + rest, end, restarts)


async def last_run(engine: Engine, docker: Docker, container: dict[str, Any]) -> tuple[int, str]:
    """Return exit code and words for a container that has just ended."""
    end = await _present_end(engine, docker, container, wait=_LATE_SECONDS)
    return end.code or 0, _words(container, end)


async def _present_end(
    engine: Engine, docker: Docker, container: dict[str, Any], *, wait: float = 0
) -> _End:
    """Return how the run ended that the state of the container tells of."""
    state = container["State"]
    code, out_of_memory = exit_code(state["ExitCode"]), bool(state["OOMKilled"])
    if code == -signal.SIGKILL and not out_of_memory:
        # On a busy machine the engine hears of the end before it hears of the memory.
        since, until = seconds(state["StartedAt"]), time.time() + wait
        told = _events(engine, docker, container["Id"], since, until)
        out_of_memory = "oom" in [event["Action"] async for event in told]
    return _End(code, out_of_memory)


def _observation(status: InstanceStatus, reason: str, end: _End, restarts: int) -> Observation:
    return Observation(
        status=status,
        reason=reason,
        exit_code=end.code,
        restarts=restarts,
        out_of_memory=end.out_of_memory,
    )


def _words(container: dict[str, Any], end: _End) -> str:
    if end.out_of_memory:
        return f"memory limit {container['HostConfig']['Memory'] // 2**20} MB reached"
    if end.code is None:
        return "it ended"
    if end.code < 0:
        return f"killed by {signal.Signals(-end.code).name}"
    return f"exited with code {end.code}"


async def _last_ends(engine: Engine, docker: Docker, container_id: str) -> list[_End]:
    """Return the ends of the last minutes, as far as the engine remembers them."""
    now = time.time()
    ends: list[_End] = []
    out_of_memory = False
    async for event in _events(engine, docker, container_id, now - _LOOP_SECONDS, now):
        if event["Action"] == "oom":
            out_of_memory = True
            continue
        code = exit_code(int(event["Actor"]["Attributes"]["exitCode"]))
        ends.append(_End(code, out_of_memory))
        out_of_memory = False
    return ends


async def _events(
    engine: Engine, docker: Docker, container_id: str, since: float, until: float
) -> AsyncIterator[dict[str, Any]]:
    """Yield what happened to a container between two moments, waiting for the second."""
    kinds = {"container": [container_id], "event": ["die", "oom"]}
    async with engine.get(
        docker,
        "events",
        since=f"{since:.6f}",
        until=f"{until:.6f}",
        filters=json.dumps(kinds),
    ) as answer:
        async for line in answer.content:
            yield json.loads(line)
