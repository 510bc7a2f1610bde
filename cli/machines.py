"""Workers on several machines, and what can be on one only."""

from __future__ import annotations

import socket
from typing import Any

from helvetia.kernel.errors import HelvetiaError
from helvetia.kernel.models import Worker
from helvetia.kernel.platform import Platform
from helvetia.kernel.presence import is_alive
from helvetia.kernel.providers import Entry

ONE_MACHINE = "one-machine"
"""The capability of providers whose instances or artifacts no other machine sees."""


async def refuse_second_machine(platform: Platform) -> None:
    """Refuse to work on a machine from which the others' services are not seen.

    Raises:
        HelvetiaError: workers of another machine are there, and a provider is for one only.
    """
    here = socket.gethostname()[:255]
    others = sorted({one.host for one in await Worker.all() if is_alive(one)} - {here})
    providers = platform.providers
    entries: list[Entry[Any]] = [*providers.runtimes.all(), *providers.registries.all()]
    bound = [entry for entry in entries if ONE_MACHINE in entry.provider.capabilities]
    if others and bound:
        names = ",".join(sorted(entry.plugin for entry in bound))
        raise HelvetiaError(
            f"workers are on {', '.join(others)}, this is {here}, and what "
            f"{' and '.join(sorted(entry.name for entry in bound))} run or keep is on one "
            "machine only",
            hint=f"set HELVETIA_DISABLED_PLUGINS={names} in every process, or start this worker "
            f"on {others[0]}; see docs/production.md, `Several machines`",
        )
