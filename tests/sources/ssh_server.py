"""A real sshd on loopback, whose one account has git's own shell, as Git hosts have it."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from helvetia.testing.kernel import free_port
from tests.e2e.harness import until

# A command beside git's own: `git-shell` takes what was asked for apart, and runs it.
_AUTHENTICATE = """\
#!{python}
import json, pathlib, sys
home = pathlib.Path(__file__).parents[1]
with (home / "asked").open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
answer = home / "answer"
if not answer.exists():
    sys.exit("no large files here")
sys.stdout.write(answer.read_text())
"""


@dataclass
class SSHServer:
    """Runs below a folder; it lets in the keys of `allow`."""

    folder: Path
    port: int = field(default_factory=free_port)
    protocol_2: bool = True
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        commands = self.home / "git-shell-commands"
        commands.mkdir(parents=True)
        script = commands / "git-lfs-authenticate"
        script.write_text(_AUTHENTICATE.format(python=sys.executable))
        script.chmod(0o755)
        (self.folder / "authorized").touch()
        self.renew_host_key()

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def url(self, path: Path | str) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{path}"

    def renew_host_key(self) -> None:
        """Be another host from the next start on."""
        key = self.folder / "host_key"
        key.unlink(missing_ok=True)
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
        subprocess.run(make, check=True, stdin=subprocess.DEVNULL)

    def host_key(self) -> str:
        """Return the line by which it is known."""
        kind, key, _ = (self.folder / "host_key.pub").read_text().split(maxsplit=2)
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    def allow(self, public_key: str) -> None:
        shell = f'env HOME={self.home} git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"'
        (self.folder / "authorized").write_text(f'restrict,command="{shell}" {public_key}\n')

    def answer(self, text: str) -> None:
        """Have `git-lfs-authenticate` say this from now on."""
        (self.home / "answer").write_text(text)

    def asked(self) -> list[list[str]]:
        """Return the arguments of each `git-lfs-authenticate`."""
        file = self.home / "asked"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def start(self) -> None:
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert program, "openssh-server is not installed"
        if os.geteuid() == 0:
            # Where it goes before somebody has signed in; usually made when the machine starts.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        configuration = self.folder / "sshd_config"
        configuration.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\n"
            f"HostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.folder}/authorized\n"
            "AuthenticationMethods publickey\nPermitRootLogin forced-commands-only\n"
            "StrictModes no\nUsePAM no\nPidFile none\n"
            + ("AcceptEnv GIT_PROTOCOL\n" if self.protocol_2 else "")
        )
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-D", "-e", "-f", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until("sshd answers", self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            return connection.recv(4) == b"SSH-"

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None
