"""What a container is created with, and what the engine says when it cannot be started."""

from __future__ import annotations

import math
import re
from typing import Any

from helvetia import InstanceSpec, ReleaseFailed
from helvetia.plugins.runtimes.common.placeholders import fill

from .images import Image
from .settings import DockerSettings

_MIB = 2**20
_LOG_FILES = 4
_NO_PROGRAM = re.compile(r'exec: "(?P<name>[^"]*)": (?P<why>.*)')


def configuration(
    spec: InstanceSpec,
    image: Image,
    settings: DockerSettings,
    *,
    network: str,
    mounts: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return what one-off processes and instances have in common.

    Raises:
        ReleaseFailed: the artifact has no such process.
    """
    memory = spec.limits.memory_mb * _MIB
    environment = {
        # What a person set is theirs to the letter.
        name: value if name in spec.secrets else value.replace("{workdir}", image.workdir)
        for name, value in spec.environment.items()
    }
    return {
        "Image": image.id,
        "Cmd": _command(spec, image, {**image.environment, **environment}),
        # One empty word is what the engine takes for none; nothing would be the image's own.
        **({"Entrypoint": [""]} if spec.command else {}),
        "Env": [f"{name}={value}" for name, value in environment.items()],
        # It is the tenant's as well, and the platform probes from outside.
        "Healthcheck": {"Test": ["NONE"]},
        "StopTimeout": math.ceil(spec.stop_grace_seconds),
        "HostConfig": {
            "NetworkMode": network,
            "Mounts": mounts,
            "NanoCpus": int(spec.limits.cpu * 10**9),
            "Memory": memory,
            "MemorySwap": memory,
            "PidsLimit": spec.limits.pids or -1,
            "CapDrop": ["ALL"],
            "CapAdd": [name for name in map(str.strip, settings.capabilities.split(",")) if name],
            "SecurityOpt": ["no-new-privileges"],
            "Privileged": False,
            "IpcMode": "private",
            "LogConfig": {
                "Type": "json-file",
                "Config": {
                    "max-size": f"{settings.log_mib * 1024 // _LOG_FILES}k",
                    "max-file": str(_LOG_FILES),
                },
            },
        },
    }


def _command(spec: InstanceSpec, image: Image, environment: dict[str, str]) -> list[str] | None:
    """Return the command that replaces that of the image; None if the image's own is wanted."""
    if spec.command:
        return list(spec.command)
    processes = spec.artifact.artifact.processes
    if spec.process not in processes:
        known = ", ".join(f"`{name}`" for name in processes) or "none"
        raise ReleaseFailed(
            f"the release has no process `{spec.process}`", hint=f"It has: {known}."
        )
    command = [
        fill(part, environment, workdir=image.workdir, python="python3")
        for part in processes[spec.process]
    ]
    return command or None


def not_started(spec: InstanceSpec, message: str) -> ReleaseFailed:
    """Turn what the engine said into words about the release."""
    process = "the command" if spec.command else f"process `{spec.process}`"
    if found := _NO_PROGRAM.search(message):
        why = found["why"].removesuffix(": unknown")
        missing = "not found" in why or "no such file" in why
        what = f"there is no program `{found['name']}`" if missing else f"`{found['name']}`: {why}"
        return ReleaseFailed(
            f"{process}: {what}",
            hint="Correct the command of the process or add the program to the image. "
            "A script also needs the interpreter that its first line names.",
        )
    if "No command specified" in message:
        return ReleaseFailed(
            "the image names no command to run", hint="Add CMD or ENTRYPOINT to the Dockerfile."
        )
    why = message.rpartition("caused: ")[2].removesuffix(": unknown")
    return ReleaseFailed(f"{process} cannot be started: {why}")
