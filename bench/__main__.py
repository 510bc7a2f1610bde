"""Run the measurements, each in a process of its own.

Run: python -m bench [name ...]

Where a Docker engine can be started, those that need one run as well, and the rollovers a second
time with containers; where none can, it says why not.
"""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from shutil import which

_HERE = Path(__file__).parent
# What of a measurement needs an engine: all of it, or a second run with an option.
_WITH_ENGINE = {"deploy": "", "rollover": "--docker"}


def _no_engine() -> str:
    """Say why no Docker engine can be started here; empty if one can."""
    if os.geteuid() != 0:
        return "only root can start a Docker engine"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in ("dockerd", "iptables", "mmdebstrap") if not which(name, path=path)]
    return f"{', '.join(missing)} not installed" if missing else ""


def _runs(name: str) -> list[list[str]]:
    """Return the options of each run of a measurement; say what is left out."""
    option = _WITH_ENGINE.get(name)
    if option is None:
        return [[]]
    runs: list[list[str]] = [[]] if option else []
    if reason := _no_engine():
        print(f"not measured with Docker: {reason}", flush=True)
        return runs
    return [*runs, [option] if option else []]


def main() -> int:
    known = sorted(found.name for found in pkgutil.iter_modules([str(_HERE)]))
    known = [name for name in known if name[0] != "_" and name != "tables"]
    if unknown := set(sys.argv[1:]) - set(known):
        print(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return 2
    failed = []
    for name in sys.argv[1:] or known:
        print(f"\n== {name}", flush=True)
        for options in _runs(name):
            command = [sys.executable, "-m", f"bench.{name}", *options]
            if subprocess.run(command, cwd=_HERE.parent).returncode:
                failed.append(" ".join([name, *options]))
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
