"""What may become part of Traefik's configuration: everything else is refused, not escaped."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from helvetia import Backend, InvalidInput

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# The rule by which browsers read a host as an IPv4 address in one of its spellings.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_LONGEST = 253
WILDCARD = "*."


def check_id(field: str, value: str) -> str:
    """Return an id that is safe as a file name and as a part of Traefik's names.

    Raises:
        InvalidInput: it is not.
    """
    if not _ID.fullmatch(value):
        raise InvalidInput(field, f"{value!r} is not an id")
    return value


def is_hostname(value: str) -> bool:
    """Tell whether a value is a DNS name in lower-case ASCII form and no IP address."""
    return (
        len(value) <= _LONGEST
        and _HOSTNAME.fullmatch(value) is not None
        and _ENDS_IN_NUMBER.fullmatch(value) is None
    )


def is_wildcard(value: str) -> bool:
    """Tell whether a value is meant to stand for all names below another one."""
    return value.startswith(WILDCARD)


def rules(hostnames: Iterable[str]) -> tuple[str, str]:
    """Return the Traefik rule for hostnames, and the one for their wildcards, "" if there are none.

    Raises:
        InvalidInput: one of them is not a hostname, or there are wildcards alone.
    """
    unique = list(dict.fromkeys(hostnames))
    for hostname in unique:
        if not _may_be_routed(hostname):
            raise InvalidInput(
                "domains",
                f"{hostname!r} is not a hostname",
                hint="use a DNS name in lower case such as `www.example.com` or `*.example.com`: "
                "no port, no address",
            )
    exact = [f"Host(`{name}`)" for name in unique if not is_wildcard(name)]
    if not exact:
        raise InvalidInput("domains", "a route needs at least one hostname that is no wildcard")
    # Of what was checked only the dot means something in a regular expression.
    parents = [
        name.removeprefix(WILDCARD).replace(".", r"\.") for name in unique if is_wildcard(name)
    ]
    return (
        " || ".join(exact),
        " || ".join(rf"HostRegexp(`^[^.]+\.{parent}$`)" for parent in parents),
    )


def _may_be_routed(hostname: str) -> bool:
    parent = hostname.removeprefix(WILDCARD)
    # Nobody has all names below a top level.
    is_narrow = parent == hostname or "." in parent
    return is_narrow and len(hostname) <= _LONGEST and is_hostname(parent)


def server_url(backend: Backend) -> str:
    """Return the URL under which Traefik reaches a backend.

    Raises:
        InvalidInput: its host is neither an IP address nor a hostname, or its port is none.
    """
    if not 0 < backend.port < 65536:
        raise InvalidInput("backends", f"{backend.port} is not a port")
    return f"http://{url_host(backend.host)}:{backend.port}"


def url_host(host: str) -> str:
    """Return a host as it is written in a URL.

    Raises:
        InvalidInput: it is neither an IP address nor a hostname.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if not is_hostname(host):
            raise InvalidInput("backends", f"{host!r} is not a host") from None
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.scope_id:
        raise InvalidInput("backends", f"{host!r} names an interface")
    return f"[{address}]"


def service_name(service_id: str, release_id: str) -> str:
    """Return Traefik's name for a release; the dot is in no id, so no two releases share one."""
    return f"{check_id('service', service_id)}.{check_id('release', release_id)}"
