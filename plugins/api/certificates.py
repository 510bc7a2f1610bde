"""The certificate of a hostname, as browsers are shown it: by asking the edge for that name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from yarl import URL

from helvetia.plugins.certificates import shown_certificate

from .domains import is_wildcard
from .schemas import Certificate

if TYPE_CHECKING:
    from cryptography import x509

_SOON = timedelta(days=14)
_NONE_YET = (
    "no authority has given one yet: does the name lead here? The log of the router says more"
)
_NONE_FOR_ALL = (
    "none is asked for: authorities give one for a wildcard only to who changes its DNS; an "
    "operator may add one by hand"
)


def none(reason: str) -> Certificate:
    """Say that there is none, and why."""
    return Certificate(state="none", reason=reason)


async def look(hostname: str, url: str, *, edge: str) -> Certificate:
    """Return what is shown for a hostname.

    Args:
        hostname: in ASCII form.
        url: the address that people type, which tells whether there is HTTPS, and its port.
        edge: the address of this machine on which people come in.
    """
    where = URL(url)
    if where.scheme != "https":
        return none("services are reached over plain HTTP here")
    try:
        shown = await shown_certificate(hostname, where.port or 443, edge=edge)
    except OSError:
        return none("the edge does not answer over HTTPS")
    return _read(shown, hostname) if shown else none("the edge shows no certificate")


def _read(shown: bytes, hostname: str) -> Certificate:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    certificate = x509.load_der_x509_certificate(shown)
    issuer = next(
        (
            str(one.value)
            for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
            for one in certificate.issuer.get_attributes_for_oid(kind)
        ),
        "",
    )
    found = Certificate(state="valid", issuer=issuer, expires_at=certificate.not_valid_after_utc)
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    trouble: dict[str, str] = {}
    if not _is_for(certificate, hostname):
        trouble = {"state": "other-name", "reason": "it is for another name"}
        if certificate.issuer == certificate.subject:
            trouble = {"state": "own", "reason": _NONE_YET}
            if is_wildcard(hostname):
                trouble["reason"] = _NONE_FOR_ALL
    elif left < timedelta(0):
        trouble = {"state": "expired", "reason": "it was not renewed"}
    elif left < _SOON:
        trouble = {"state": "expiring", "reason": "it ends soon and was not renewed yet"}
    return Certificate.model_validate({**found.model_dump(), **trouble})


def _is_for(certificate: x509.Certificate, hostname: str) -> bool:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    wildcard = f"*.{hostname.partition('.')[2]}"
    return bool({hostname, wildcard} & set(names.value.get_values_for_type(x509.DNSName)))
