"""Say what the tests need beside Python packages, and install it where that is possible."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys

NEEDS = {
    "chromium": ("chromium", lambda: shutil.which("chromium")),
    "git": ("git", lambda: shutil.which("git")),
    "git-lfs": ("git-lfs", lambda: shutil.which("git-lfs")),
    "ssh": ("openssh-client", lambda: shutil.which("ssh")),
    "sshd": ("openssh-server", lambda: _tool("sshd")),
    "npm": ("npm", lambda: shutil.which("npm")),
    "dockerd": ("docker.io", lambda: _tool("dockerd")),
    "iptables": ("iptables", lambda: _tool("iptables")),
    "mmdebstrap": ("mmdebstrap", lambda: shutil.which("mmdebstrap")),
    "docker-registry": ("docker-registry", lambda: shutil.which("docker-registry")),
    "redis-server": ("redis-server", lambda: _tool("redis-server")),
    "busybox": ("busybox-static", lambda: os.path.exists("/bin/busybox")),
    "PostgreSQL": ("postgresql", lambda: glob.glob("/usr/lib/postgresql/*/bin/initdb")),
}


def _tool(name: str) -> str | None:
    """Find a program of the administrator's, whose folders are not on everybody's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def main() -> int:
    missing = {name: package for name, (package, found) in NEEDS.items() if not found()}
    if not missing:
        return 0
    command = ["apt-get", "install", "-y", "-q", *missing.values()]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"The tests need {', '.join(missing)}: sudo {' '.join(command)}", file=sys.stderr)
        return 1
    subprocess.run(["apt-get", "update", "-q"], check=True)
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
