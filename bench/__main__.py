"""Run the measurements, each in a process of its own.

Run: python -m bench [name ...]
"""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent


def main() -> int:
    known = sorted(found.name for found in pkgutil.iter_modules([str(_HERE)]))
    known = [name for name in known if name[0] != "_" and name != "tables"]
    if unknown := set(sys.argv[1:]) - set(known):
        print(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return 2
    failed = []
    for name in sys.argv[1:] or known:
        print(f"\n== {name}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"bench.{name}"], cwd=_HERE.parent)
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
