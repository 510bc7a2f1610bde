"""What the supervisor is told and what it tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedSpec:
    """A long-running program.

    Attributes:
        argv: program and arguments, expanded; no shell reads them.
        environment: the complete environment of the program.
        secrets: variables whose values are masked in what is kept of its output.
        owner: mark of all its processes, unique to the folder that supervises it.
        restart: start it again whenever it ends.
        grace_seconds: time between SIGTERM and SIGKILL if `stop` does not say otherwise.
        memory_mb, pids, cpu: limits of the whole process tree, 0 means none.
        log_bytes: how much of its output is kept on disk.
        crash_loop_ends, crash_loop_seconds: so many ends in so short a time are a crash loop.
        pauses: seconds between an end and the next start, the first time and at the longest;
            each is twice the one before, until a run has lasted.
    """

    argv: list[str]
    cwd: Path
    environment: dict[str, str] = field(repr=False)
    secrets: frozenset[str] = frozenset()
    owner: str
    restart: bool = True
    grace_seconds: float = 10.0
    memory_mb: int = 0
    pids: int = 0
    cpu: float = 0
    log_bytes: int = 10 * 2**20
    crash_loop_ends: int = 3
    crash_loop_seconds: float = 60.0
    pauses: tuple[float, float] = (0.5, 30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedState:
    """What is true of a supervised program.

    Attributes:
        status: `running`, `restarting`, `crash-loop`, `exited`, `stopped` or `gone`.
        exit_code: of the last run that ended; negative is minus the signal.
        reason: the status in a person's words.
        since: when the status began, in seconds since the epoch.
        limits: what enforces each limit, by the limit's name.
    """

    status: str
    pid: int | None
    exit_code: int | None
    restarts: int
    out_of_memory: bool
    reason: str
    since: float
    limits: dict[str, str]
