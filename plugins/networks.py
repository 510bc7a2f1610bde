"""Which addresses are of the public network: what platforms ask on behalf of people."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.connector import AddrInfoType

# Addresses that a translator on the way turns into any IPv4 address.
_TRANSLATED = tuple(
    IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)

# For protocols between machines of one network; Python before 3.11.10 takes some of it for public.
_ASSIGNED = IPv4Network("192.0.0.0/24")


def is_public(text: str) -> bool:
    """Say whether an IP address is one of the public network, however it is written."""
    address: IPv4Address | IPv6Address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(str(address.ipv4_mapped))
        if address.is_site_local or any(address in network for network in _TRANSLATED):
            return False
    elif address in _ASSIGNED:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class NotPublic(OSError):
    """The host is not on the public network; nothing was sent to it."""

    def __init__(self) -> None:
        super().__init__("the host is not on the public network")


def guarded_connector(*, allow_private: bool = False) -> aiohttp.TCPConnector:
    """Return what connects an `aiohttp.ClientSession` to public addresses only.

    Looked at is the address that each connection is made to, in the moment in which it is made:
    however the URL spells it, whatever a name server says the second time, wherever a redirect
    leads. What is refused ends as `aiohttp.ClientConnectorError` whose `os_error` is `NotPublic`.

    Args:
        allow_private: what an operator has set; connects to any address.
    """
    from aiohttp import TCPConnector

    return TCPConnector(socket_factory=None if allow_private else _public_socket)


def _public_socket(target: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, address = target
    # Of a scope, as `fe80::1%eth0`, are link-local addresses only.
    if not is_public(str(address[0]).partition("%")[0]):
        raise NotPublic
    return socket.socket(family, kind, protocol)
