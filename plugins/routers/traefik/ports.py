"""Who listens where, asked before Traefik is started."""

from __future__ import annotations

import errno
import socket
from collections.abc import Container

from helvetia import HelvetiaError
from helvetia.kernel.errors import PortTaken

from .config import address

EDGE_HINT = "end that program, or choose another address with HELVETIA_EDGE=host:port"
HTTPS_HINT = "end that program, or choose another address with HELVETIA_TRAEFIK_HTTPS=host:port"


def require_free(host: str, port: int, *, hint: str = EDGE_HINT, ours: Container[int] = ()) -> None:
    """Make sure that an address can be listened on, or that only processes of `ours` do so.

    Raises:
        PortTaken: another program listens there.
        HelvetiaError: the address is not of this machine or may not be used.
    """
    if (problem := _try_listening(host, port)) is None:
        return
    shown = address(host, port)
    if problem.errno == errno.EADDRINUSE:
        holder, name = _holder(port)
        if holder in ours:
            return
        raise PortTaken(f"the address {shown} is in use by {name}", hint=hint)
    reason = problem.strerror or str(problem)
    raise HelvetiaError(f"cannot listen on {shown}: {reason}", hint="see HELVETIA_EDGE")


def is_free(port: int) -> bool:
    """Tell whether a loopback port can be listened on."""
    return _try_listening("127.0.0.1", port) is None


def free_port() -> int:
    """Return a loopback port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _try_listening(host: str, port: int) -> OSError | None:
    try:
        families = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # Of the addresses of `localhost` Go takes the first of IPv4.
        family, kind, protocol, _, target = min(families, key=lambda found: found[0])
        with socket.socket(family, kind, protocol) as probe:
            # Connections of a former Traefik that are still closing are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
            probe.listen(1)
    except OSError as error:
        return error
    return None


def _holder(port: int) -> tuple[int | None, str]:
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if listens and (pid := connection.pid):
                return pid, f"{psutil.Process(pid).name()} (process {pid})"
    except (psutil.Error, OSError):
        pass
    return None, "another program"
