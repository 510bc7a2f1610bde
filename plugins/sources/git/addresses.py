"""Repository addresses and refs as text: what is well-formed, before anything is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

import idna

from helvetia import InvalidInput

Protocol = Literal["https", "http", "ssh", "file"]

SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PORTS: dict[str, int] = {"https": 443, "http": 80, "ssh": 22}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*")
_SSH_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SCP = re.compile(r"(?:(?P<user>[^@/:\s]*)@)?(?P<host>[^@/:\s]+):(?P<path>[^\s:][^\s]*)")
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\ud800-\udfff~^:?*\[\\]|\.\.|@\{|//")
_FORMS = "Write https://host/owner/repository.git."


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A well-formed address, spelled anew from its parts.

    `url` is what git gets; for `file` it is an absolute path. `host` has no brackets.
    """

    protocol: Protocol
    url: str
    host: str = ""
    port: int = 0

    @property
    def origin(self) -> str:
        """Scheme, host and port as git writes them when it asks for a password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.protocol] else f":{self.port}"
        return f"{self.protocol}://{host}{port}"


def parse_address(url: str) -> Remote:
    """Take an address apart and put it together again.

    Raises:
        InvalidInput: of the field `source`; the message never repeats the address, which may
            hold a password.
    """
    if not url or len(url) > 2048 or _CONTROL.search(url):
        raise _refused("it is empty, too long or has control characters")
    if url.startswith("-"):
        raise _refused("it begins with a hyphen")
    if url.startswith("/"):
        return Remote(protocol="file", url=url)
    scheme, separator, _ = url.partition("://")
    if separator:
        return _parse_url(scheme.lower(), url)
    if url.startswith((".", "~")):
        raise _refused("a path must be absolute", hint="Write the whole path, from / on.")
    scp = _SCP.fullmatch(url)
    # Without a user or a dot it is more likely the address of another source: `upload:…`.
    if scp is None or not (scp["user"] or "." in scp["host"]):
        raise _refused("it is no address of a Git repository")
    host = _host(scp["host"])
    path = scp["path"]
    if path.startswith("-"):
        raise _refused("its path begins with a hyphen")
    user = _ssh_user(scp["user"])
    return Remote(protocol="ssh", url=f"{user}{host}:{path}", host=host, port=22)


def _parse_url(scheme: str, url: str) -> Remote:
    if scheme == "file":
        path = unquote(url[len("file://") :], errors="strict")
        if not path.startswith("/") or _CONTROL.search(path):
            raise _refused("a file address must be file:/// and an absolute path")
        return Remote(protocol="file", url=path)
    if scheme not in ("https", "http", "ssh"):
        raise _refused("its protocol is not one that Helvetia reads")
    if "\\" in url or " " in url:
        raise _refused("it has a space or a backslash")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _refused("its host or port is malformed") from error
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise _refused("it has a `?` or `#`", hint="Name a branch with the ref, not in the URL.")
    user, at, location = parts.netloc.rpartition("@")
    if at and (scheme != "ssh" or ":" in user):
        raise _refused(
            "it holds a user name or password",
            hint="Remove it from the URL and give the service credentials instead.",
        )
    if location.startswith(":"):
        raise _refused("it has no host")
    host = _host(parts.hostname or "")
    name = f"[{host}]" if ":" in host else host
    default = _PORTS[scheme]
    port = default if port is None else port
    shown = "" if port == default else f":{port}"
    path = quote(parts.path, safe="/%!$&'()*+,;=:@~-._")
    prefix = _ssh_user(user) if scheme == "ssh" else ""
    protocol: Protocol = "https" if scheme == "https" else "http" if scheme == "http" else "ssh"
    return Remote(
        protocol=protocol, url=f"{scheme}://{prefix}{name}{shown}{path}", host=host, port=port
    )


def _host(text: str) -> str:
    if ":" in text:
        try:
            address = IPv6Address(text)
        except ValueError as error:
            raise _refused("its host is malformed") from error
        if address.scope_id is not None:
            raise _refused("its host has a scope")
        return str(address)
    try:
        name = text.removesuffix(".").lower()
        host = name if name.isascii() else idna.encode(name, uts46=True).decode()
    except idna.IDNAError as error:
        raise _refused("its host is malformed") from error
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise _refused("its host is malformed")
    last = host.rpartition(".")[2]
    if last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last):
        # `127.1` and `0x7f000001` are loopback to some resolvers and a name to others.
        try:
            ip_address(host)
        except ValueError as error:
            raise _refused("its host is a malformed IP address") from error
    return host


def _ssh_user(user: str | None) -> str:
    if not user:
        return ""
    if not _SSH_USER.fullmatch(user):
        raise _refused("its user name is malformed")
    return f"{user}@"


def check_ref(ref: str) -> None:
    """Refuse what `git check-ref-format --branch` refuses.

    Raises:
        InvalidInput: of the field `ref`.
    """
    reason = _ref_problem(ref)
    if reason:
        raise InvalidInput(
            "ref", f"it {reason}", hint="Write a branch, a tag or a commit as git shows it."
        )


def _ref_problem(ref: str) -> str:
    if not ref:
        return "is empty"
    if _REF_FORBIDDEN.search(ref):
        return "has a space, a control character or one of `..`, `//`, `@{`, `~ ^ : ? * [ \\`"
    if len(ref.encode()) > 255:
        return "is longer than 255 bytes"
    if ref.startswith(("-", "/")) or ref.endswith(("/", ".")):
        return "begins or ends with a character that git does not allow there"
    if any(part.startswith(".") or part.endswith(".lock") for part in ref.split("/")):
        return "has a part that begins with `.` or ends with `.lock`"
    return ""


def _refused(reason: str, *, hint: str = _FORMS) -> InvalidInput:
    return InvalidInput("source", reason, hint=hint)
