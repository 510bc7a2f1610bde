"""When the certificates end that visitors are shown."""

from __future__ import annotations

import asyncio
import ssl
from datetime import datetime
from urllib.parse import urlsplit

_SECONDS = 5.0
_ANY = ("0.0.0.0", "::", "")


async def end_of(url: str, edge: str) -> datetime | None:
    """Return when the certificate of an `https` URL ends, as the proxy at `edge` shows it.

    None where there is none to tell of: no TLS, nobody who answers, or one that the proxy made
    itself because it has no better one.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname is None:
        return None
    context = ssl.create_default_context()
    # Looked at is only when it ends; whether it is trusted is between visitor and proxy.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    where = "127.0.0.1" if edge in _ANY else edge
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(
                where, parts.port or 443, ssl=context, server_hostname=parts.hostname
            )
    except (OSError, TimeoutError):
        return None
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
    return _end(shown) if shown else None


def _end(der: bytes) -> datetime | None:
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(der)
    if certificate.issuer == certificate.subject:
        return None
    return certificate.not_valid_after_utc
