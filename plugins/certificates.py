"""Which certificate the edge shows to browsers, whoever signed it."""

from __future__ import annotations

import asyncio
import ssl

_SECONDS = 5.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


async def shown_certificate(hostname: str, port: int, *, edge: str) -> bytes | None:
    """Return the certificate for a hostname in DER form; None if none is shown.

    Args:
        hostname: in ASCII form; for a wildcard one of its names is asked for.
        port: on which people come in.
        edge: the address of this machine on which they do.

    Raises:
        OSError: nobody answers there in time, or not with TLS.
    """
    # It is looked at and not trusted: nothing is sent over the connection.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(_SECONDS):
        _, writer = await asyncio.open_connection(
            _EVERYWHERE.get(edge, edge),
            port,
            ssl=context,
            server_hostname=hostname.replace("*", "any", 1),
        )
    try:
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return tls.getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
