"""When the certificates end that visitors are shown."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

from helvetia.plugins.certificates import shown_certificate


async def end_of(url: str, edge: str) -> datetime | None:
    """Return when the certificate of an `https` URL ends, as the proxy at `edge` shows it.

    None where there is none to tell of: no TLS, nobody who answers, or one that the proxy made
    itself because it has no better one.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname is None:
        return None
    try:
        shown = await shown_certificate(parts.hostname, parts.port or 443, edge=edge)
    except OSError:
        return None
    return _end(shown) if shown else None


def _end(der: bytes) -> datetime | None:
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(der)
    if certificate.issuer == certificate.subject:
        return None
    return certificate.not_valid_after_utc
