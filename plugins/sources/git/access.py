"""How git signs in and where it connects: never on a command line, in a URL or a checkout."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from helvetia import InvalidInput

from .addresses import Remote

SSH_COMMAND = "GIT_SSH_COMMAND"
# Fixed text: what it compares and prints stands in files beside it. Git asks
# "Password for 'https://user@host': "; any other question, such as one for the host of a
# submodule or a redirect, is answered with nothing.
_ASKPASS = """\
#!/bin/sh
here=${0%/*}
while IFS= read -r prompt; do
    [ "$1" = "$prompt" ] && exec cat "$here/password"
done < "$here/prompts"
exit 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Credentials and checked IP addresses of one remote.

    Attributes:
        credentials: `username` and `password`, or for SSH `private_key`.
        known_hosts: accepted host keys; unless `pinned_hosts`, new hosts are added to it.
    """

    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    addresses: tuple[str, ...] = ()
    ssh_key: Path | None = None
    known_hosts: Path | None = None
    pinned_hosts: bool = False


def write_access(scratch: Path, remote: Remote, access: Access) -> tuple[str, dict[str, str]]:
    """Write the files git needs into `scratch`; return configuration and variables for it.

    Raises:
        InvalidInput: a credential has characters that git's dialogue cannot carry.
    """
    if remote.protocol == "ssh":
        return "", {SSH_COMMAND: _ssh_command(scratch, remote, access), **_SSH_VARIANT}
    if remote.protocol == "file":
        return "", {}
    text = ""
    # An address written as numbers is connected to as it is; curl wants names only here.
    if access.addresses and access.addresses != (remote.host,):
        targets = ",".join(f"[{one}]" if ":" in one else one for one in access.addresses)
        text = f'[http]\n\tcurloptResolve = "{remote.host}:{remote.port}:{targets}"\n'
    if "password" not in access.credentials:
        return text, {}
    username = access.credentials.get("username") or "x-access-token"
    password = access.credentials["password"]
    if forbidden_in(username, password):
        raise InvalidInput("credentials", "a user name or password has forbidden characters")
    text += f'[credential "{remote.origin}"]\n\tusername = "{username}"\n'
    host = remote.origin.partition("://")[2]
    scheme = remote.protocol
    # Git spells an unusual user name in one way or the other, depending on its version.
    spellings = dict.fromkeys((username, quote(username, safe="")))
    prompts = [f"Password for '{scheme}://{user}@{host}': \n" for user in spellings]
    _write(scratch / "prompts", "".join(prompts), 0o600)
    _write(scratch / "password", password + "\n", 0o600)
    _write(scratch / "askpass", _ASKPASS, 0o700)
    return text, {"GIT_ASKPASS": str(scratch / "askpass")}


def forbidden_in(username: str, password: str) -> str:
    """Return which of them git's dialogue cannot carry; "" if it can carry both."""
    if not username.isprintable() or set(username) & set('":\\'):
        return "username"
    return "" if password.isprintable() else "password"


_SSH_VARIANT = {"GIT_SSH_VARIANT": "ssh"}


def _ssh_command(scratch: Path, remote: Remote, access: Access) -> str:
    key = access.ssh_key
    if "private_key" in access.credentials:
        key = scratch / "key"
        _write(key, access.credentials["private_key"].rstrip("\n") + "\n", 0o600)
    alias = remote.host if remote.port == 22 else f"[{remote.host}]:{remote.port}"
    options = {
        "BatchMode": "yes",
        # What goes wrong is told to people; that a host is met for the first time is not.
        "LogLevel": "ERROR",
        "ConnectTimeout": "30",
        # Never the keys of the platform's own user: a tenant would read with them.
        "IdentityFile": "none" if key is None else f'"{key}"',
        "IdentityAgent": "none",
        "IdentitiesOnly": "yes",
        "ForwardAgent": "no",
        "GlobalKnownHostsFile": "/dev/null",
        "UserKnownHostsFile": f'"{access.known_hosts}"',
        "StrictHostKeyChecking": "yes" if access.pinned_hosts else "accept-new",
        "HostKeyAlias": alias,
    }
    if access.addresses:
        options["HostName"] = access.addresses[0]
    words = ["ssh", "-F", "none"]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    # Git has a shell split this; every value is ours or has passed `parse_address`.
    return shlex.join(words)


def _write(path: Path, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
