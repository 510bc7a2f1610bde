"""A real Docker engine for tests: private, complete, and gone when the tests are over.

Several engines may run on one machine at once. Each has a slot, and from its number a bridge, a
/16 and packet filter chains of its own. The slot is held by a lock that dockerd inherits, so it
is free again when dockerd has ended, however the tests ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

_SLOTS = range(64)
_FIRST_NETWORK = 160  # slot 0 has 10.160.0.0/16
_PREFIX = "hvt-"
_START_SECONDS = 40
_STOP_SECONDS = 30
_CAP_SYS_RESOURCE = 24
_TOOLS = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

# Docker flushes its chains when it starts, also those of another engine on this machine.
_IPTABLES = """#!/bin/sh
# Give the chains of this engine names of its own, and leave the policies of the machine alone.
for word do
  shift
  case "$word" in
    DOCKER*) word="{prefix}$word" ;;
    -P) exit 0 ;;
  esac
  set -- "$@" "$word"
done
exec {program} "$@"
"""

# A privileged container asks for every capability; this machine may not have one of them.
_RUNC = '''"""Start runc without asking for CAP_SYS_RESOURCE."""
import json, os, sys

def strip(file, *path):
    with open(file) as read:
        config = json.load(read)
    process = config
    for key in path:
        process = process[key]
    for names in (process.get("capabilities") or {}).values():
        if "CAP_SYS_RESOURCE" in names:
            names.remove("CAP_SYS_RESOURCE")
    with open(file, "w") as write:
        json.dump(config, write)

words = sys.argv[1:]
if "create" in words or "run" in words:
    bundle = words[words.index("--bundle") + 1] if "--bundle" in words else "."
    strip(os.path.join(bundle, "config.json"), "process")
elif "exec" in words and "--process" in words:
    strip(words[words.index("--process") + 1])
os.execvp("runc", ["runc", *words])
'''


class DockerEngine:
    """One dockerd with everything it needs; made by `docker_engine` and stopped by it.

    Attributes:
        socket: the unix socket it listens on.
        url: the same as the setting `docker.host` and `DOCKER_HOST` want it.
        subnet: the /16 in which all addresses of its containers lie.
        gateway: the address at which containers reach servers of this machine.
        settings: the section `docker` with which plugins use it.
    """

    def __init__(self) -> None:
        self._slot, self._claim = _claim_slot()
        self.subnet = f"10.{_FIRST_NETWORK + self._slot}.0.0/16"
        self._net = self.subnet.removesuffix(".0.0/16")
        self.gateway = f"{self._net}.0.1"
        self._name = f"hvt{self._slot}"
        self._prefix = f"h{self._slot}-"  # a chain's name has 28 characters at most
        with os.fdopen(os.dup(self._claim), "r+") as note:
            if former := note.read():  # tests that were killed left it
                _remove_folder(Path(former))
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))  # short: for sockets
            note.seek(0)
            note.write(str(self.folder))
            note.truncate()
        self.socket = self.folder / "docker.sock"
        self.url = f"unix://{self.socket}"
        self.settings = {"host": self.url, "subnets": f"{self._net}.64.0/18"}
        self._dockerd: subprocess.Popen[bytes] | None = None

    # --- life -------------------------------------------------------------------------------

    def start(self, *options: str) -> None:
        """Start dockerd, with more options if there are any, and wait until it answers."""
        self._sweep()
        _run("ip", "link", "add", "name", self._name, "type", "bridge")
        _run("ip", "address", "add", f"{self.gateway}/18", "dev", self._name)
        _run("ip", "link", "set", self._name, "up")
        tools = self.folder / "tools"
        tools.mkdir(exist_ok=True)
        (self.folder / "daemon.json").write_text("{}")
        for name in ("iptables", "ip6tables"):
            program = shutil.which(name, path=_TOOLS) or "false"
            _script(tools / name, _IPTABLES.format(prefix=self._prefix, program=program))
        with (self.folder / "dockerd.log").open("ab") as log:
            self._dockerd = subprocess.Popen(
                [
                    # Tests that are killed must not leave an engine behind.
                    "setpriv", "--pdeathsig", "TERM", "--", "dockerd",
                    "--host", self.url,
                    "--config-file", str(self.folder / "daemon.json"),
                    "--data-root", str(self.folder / "data"),
                    "--exec-root", str(self.folder / "exec"),
                    "--pidfile", str(self.folder / "dockerd.pid"),
                    "--bridge", self._name,
                    "--fixed-cidr", f"{self._net}.0.0/18",
                    "--default-address-pool", f"base={self._net}.128.0/17,size=24",
                    "--storage-driver", "overlay2",
                    "--log-level", "warn",
                    *self._runtime(tools),
                    *options,
                ],
                env={**_environment(self.folder), "PATH": f"{tools}:{_TOOLS}"},
                pass_fds=[self._claim],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not self.answers():
            if self._dockerd.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"dockerd did not start:\n{self.log()[-8000:]}")
            time.sleep(0.02)

    def _runtime(self, tools: Path) -> Sequence[str]:
        status = Path("/proc/self/status").read_text()
        (bounds,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapBnd"))
        if int(bounds, 16) >> _CAP_SYS_RESOURCE & 1:
            return ()
        (tools / "runc.py").write_text(_RUNC)
        runc = tools / "runc-without"
        _script(runc, f'#!/bin/sh\nexec {sys.executable} -I -S {tools / "runc.py"} "$@"\n')
        return ("--add-runtime", f"without={runc}", "--default-runtime", "without")

    def answers(self) -> bool:
        """Say whether the engine takes requests."""
        try:
            return self._cli("version", check=False, seconds=20).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def stop(self) -> None:
        """End dockerd as an operator does, and with it all containers, until the next `start`."""
        if self._dockerd is None:
            return
        self._dockerd.terminate()
        try:
            self._dockerd.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._dockerd = None

    def kill(self) -> None:
        """End dockerd and its containerd with SIGKILL, as a crash would; containers go on."""
        if self._dockerd is not None:
            self._dockerd.kill()
            self._dockerd.wait()
            self._dockerd = None
        containerd = self.folder / "exec/containerd/containerd.pid"
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(containerd.read_text()), signal.SIGKILL)
        for file in (containerd, self.folder / "dockerd.pid"):
            file.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop, and remove all traces from the machine."""
        if self._dockerd is None and any((self.folder / "exec").glob("containerd/daemon/*/moby/*")):
            self.start()  # a crash was played: only an engine can end what it left
        if self.answers() and (running := self("ps", "-q").split()):
            self._cli("kill", *running, check=False)  # nobody waits for their grace
        self.stop()
        self._sweep()
        _remove_folder(self.folder)
        os.close(self._claim)

    def log(self) -> str:
        """Return what dockerd said."""
        return (self.folder / "dockerd.log").read_text(errors="replace")

    def _sweep(self) -> None:
        """Remove bridges, rules and chains of this slot, also those of an engine before."""
        found = json.loads(_run("ip", "-json", "-4", "address", "show"))
        bridges = [
            link["ifname"]
            for link in found
            if any(address["local"].startswith(f"{self._net}.") for address in link["addr_info"])
        ]
        for bridge in bridges:
            _run("ip", "link", "delete", bridge)
        mine = (
            f" {self._prefix}DOCKER",
            f" {self._net}.",
            *(f" {b} " for b in [*bridges, self._name]),
        )
        for table in ("filter", "nat"):
            rules = _run("iptables", "-w", "-t", table, "-S").splitlines()
            own = [rule for rule in rules if any(mark in f"{rule} " for mark in mine)]
            # Rules first: a chain can go when nothing leads to it.
            for rule in own:
                if rule.startswith("-A "):
                    _run("iptables", "-w", "-t", table, "-D", *rule.split()[1:])
            for rule in own:
                if rule.startswith("-N "):
                    _run("iptables", "-w", "-t", table, "-X", rule.split()[1])

    # --- use --------------------------------------------------------------------------------

    def __call__(self, *words: str, stdin: bytes | None = None) -> str:
        """Run the `docker` command against this engine and return its output, stripped."""
        return self._cli(*words, stdin=stdin).stdout.decode().strip()

    def _cli(
        self,
        *words: str,
        stdin: bytes | None = None,
        check: bool = True,
        seconds: float | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            ["docker", "--host", self.url, *words],
            env={**_environment(self.folder), "PATH": f"{os.environ['PATH']}:{_TOOLS}"},
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=seconds,
        )
        if check and done.returncode:
            pytest.fail(f"docker {' '.join(words)}: {done.stderr.decode(errors='replace')}")
        return done

    def import_image(
        self, name: str, files: Mapping[str, str | bytes | Path], *changes: str
    ) -> str:
        """Make an image of one layer and return its id (`sha256:...`).

        Args:
            name: the tag; "" gives it none.
            files: path in the image to content, executable if it begins with `#!`; or to a file
                or folder of this machine, which is copied with what it leads to.
            changes: Dockerfile instructions such as `CMD ["/bin/app"]`, `EXPOSE 80`, `LABEL a=b`.
        """
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", dereference=True) as archive:
            for path, content in files.items():
                if isinstance(content, Path):
                    archive.add(content, path.lstrip("/"), filter=_useful)
                    continue
                data = content.encode() if isinstance(content, str) else content
                member = tarfile.TarInfo(path.lstrip("/"))
                member.size, member.mode = len(data), 0o755 if data[:2] == b"#!" else 0o644
                archive.addfile(member, io.BytesIO(data))
        options = [word for change in changes for word in ("--change", change)]
        named = [name] if name else []
        return self("import", *options, "-", *named, stdin=packed.getvalue())

    def busybox(self, name: str = "", *changes: str, **files: str | bytes | Path) -> str:
        """Make an image with a shell and busybox's other programs, and return its id.

        Without changes it serves `/www` on port 8080: `hello` at `/`.
        """
        tree: dict[str, str | bytes | Path] = {
            f"bin/{name}": f'#!/bin/busybox sh\nexec /bin/busybox {name} "$@"\n'
            for name in ("env", "httpd", "ls", "sleep")
        }
        tree |= {name: Path("/bin/busybox") for name in ("bin/busybox", "bin/sh")}
        tree |= {"www/index.html": "hello\n", "tmp/.keep": "", **files}
        default = ('CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]', "EXPOSE 8080")
        return self.import_image(name, tree, "ENV PATH=/bin", *(changes or default))

    @functools.cached_property
    def python(self) -> str:
        """The id of an image with this machine's Python as `python3` and its standard library."""
        return self.import_image("", python_tree(), "ENV PATH=/bin", "ENV PYTHONHOME=/usr")

    def save(self, image: str, archive: Path) -> Path:
        """Write an image to a file as `docker save` does, which is what builders hand on."""
        self("save", "--output", str(archive), image)
        return archive


def python_tree() -> dict[str, str | bytes | Path]:
    """Return what an image needs to run this Python, about 40 MB."""
    version = f"python{sysconfig.get_python_version()}"
    library = Path(sysconfig.get_path("stdlib"))
    program = Path(sys.executable).resolve()
    tree: dict[str, str | bytes | Path] = {
        "bin/python3": program,
        "tmp/.keep": "",
        f"usr/lib/{version}": library,
    }
    for module in (program, *library.glob("lib-dynload/*.so")):
        said = subprocess.run(["ldd", module], capture_output=True, text=True).stdout
        for line in said.splitlines():
            name, _, found = line.strip().partition(" => ")
            path = (found or name).split(" (")[0]
            if path.startswith("/"):
                # The loader looks in /lib by itself, and is looked for where it lies here.
                tree[path if not found else f"lib/{name}"] = Path(path)
    return tree


_USELESS = {
    "__pycache__", "config", "distutils", "ensurepip", "idlelib", "lib2to3", "site-packages",
    "dist-packages", "test", "tests", "tkinter", "turtledemo",
}  # fmt: skip


def _useful(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = member.name.rpartition("/")[2]
    return None if name in _USELESS or name.startswith("config-") else member


def _claim_slot() -> tuple[int, int]:
    """Return a slot that is free and the descriptor that holds it."""
    folder = Path(tempfile.gettempdir()) / "helvetia-test-engines"
    folder.mkdir(exist_ok=True)
    routes = _run("ip", "-4", "route", "show", "table", "all")
    for slot in _SLOTS:
        claim = os.open(folder / str(slot), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(claim)
            continue
        net = f"10.{_FIRST_NETWORK + slot}."
        theirs = [
            line for line in routes.splitlines() if net in line and "dev hvt" not in line
            and "dev br-" not in line
        ]  # fmt: skip
        if not theirs:
            return slot, claim
        os.close(claim)
    pytest.fail(f"all {len(_SLOTS)} networks for test engines are taken")


def _remove_folder(folder: Path) -> None:
    assert folder.name.startswith(_PREFIX)
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        point = line.split()[1]
        if point.startswith(f"{folder}/"):
            _run("umount", "--lazy", point)
    shutil.rmtree(folder, ignore_errors=True)


def _environment(folder: Path) -> dict[str, str]:
    """No settings of the person who runs the tests, but their proxy."""
    passed = {name: value for name, value in os.environ.items() if "proxy" in name.lower()}
    return {**passed, "HOME": str(folder), "DOCKER_CONFIG": str(folder), "DOCKER_BUILDKIT": "0"}


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _run(*argv: str) -> str:
    path = f"{os.environ['PATH']}:{_TOOLS}"
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


@contextlib.contextmanager
def running_engine(*options: str) -> Iterator[DockerEngine]:
    """Run an engine of one's own, for tests that stop, restart or fill it."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a Docker engine")
    engine = DockerEngine()
    try:
        engine.start(*options)
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    """The engine that all tests of a process share; label what you make and remove it."""
    with running_engine() as engine:
        yield engine


def main() -> None:
    """Run an engine until Enter is pressed: `python -m tests.docker_engine`."""
    with running_engine() as engine:
        print(f"export DOCKER_HOST={engine.url}")
        print("images:", engine.busybox(), engine.python)
        sys.stdin.read(1)


if __name__ == "__main__":
    main()
