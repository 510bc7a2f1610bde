"""The operator's own certificates: read, and checked before Traefik is given them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from helvetia import HelvetiaError

from .settings import words

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_SUFFIXES = (".pem", ".crt", ".cer", ".key")
_BLOCK = re.compile(r"-----BEGIN (?P<kind>[A-Z0-9 ]+)-----.*?-----END (?P=kind)-----\n?", re.DOTALL)
_SOON = timedelta(days=14)
_HINT = "Correct HELVETIA_TRAEFIK_CERTIFICATES or the files that it names."


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate with its chain, and its key, as PEM texts.

    Attributes:
        path: the file of the certificate.
        names: the hostnames that it is for.
    """

    path: Path
    chain: str
    key: str
    names: frozenset[str]
    begins: datetime
    ends: datetime

    @property
    def trouble(self) -> str:
        """What is wrong with its time, empty if nothing is."""
        now = datetime.now(UTC)
        if now > self.ends:
            return f"the certificate {self.path} expired on {self.ends:%Y-%m-%d}"
        if now < self.begins:
            return f"the certificate {self.path} is not valid before {self.begins:%Y-%m-%d}"
        if now > self.ends - _SOON:
            return f"the certificate {self.path} expires on {self.ends:%Y-%m-%d}"
        return ""


def load(setting: str) -> list[Pair]:
    """Read the certificates that a setting names. A key may be in any of the files.

    Raises:
        HelvetiaError: a file is none, or a certificate has no key that belongs to it, or no
            hostname.
    """
    chains: list[tuple[Path, list[str]]] = []
    keys: list[tuple[Path, str]] = []
    for path in _files(setting):
        blocks = _blocks(path)
        chain = [text for kind, text in blocks if kind.endswith("CERTIFICATE")]
        if chain:
            chains.append((path, chain))
        keys += [(path, text) for kind, text in blocks if kind.endswith("PRIVATE KEY")]
    known = {_public(_read_key(path, text)): text for path, text in keys}
    return [_pair(path, chain, known, [path for path, _ in keys]) for path, chain in chains]


def _files(setting: str) -> list[Path]:
    found: list[Path] = []
    for word in words(setting):
        path = Path(word).expanduser()
        if path.is_dir():
            found += sorted(one for one in path.iterdir() if one.suffix in _SUFFIXES)
        else:
            found.append(path)
    if setting and not found:
        raise HelvetiaError(f"there is no certificate in {setting}", hint=_HINT)
    return list(dict.fromkeys(found))


def _blocks(path: Path) -> list[tuple[str, str]]:
    try:
        text = path.read_text("ascii")
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        reason = error.strerror or str(error)
        raise HelvetiaError(f"{path} cannot be read: {reason}", hint=_HINT) from error
    blocks = [(match["kind"], match[0]) for match in _BLOCK.finditer(text)]
    if not blocks:
        raise HelvetiaError(f"{path} holds neither a certificate nor a key in PEM", hint=_HINT)
    return blocks


def _pair(path: Path, chain: list[str], keys: dict[bytes, str], files: list[Path]) -> Pair:
    from cryptography import x509

    try:
        leaf = x509.load_pem_x509_certificate(chain[0].encode())
        public = _encoded(leaf)
    except ValueError as error:
        raise HelvetiaError(f"{path} holds no certificate: {error}", hint=_HINT) from error
    if public not in keys:
        where = ", ".join(map(str, files))
        why = f"that in {where} belongs to another one" if files else "there is none"
        raise HelvetiaError(f"the certificate {path} has no key: {why}", hint=_HINT)
    names = _names(leaf)
    if not names:
        raise HelvetiaError(f"the certificate {path} is for no hostname", hint=_HINT)
    return Pair(
        path=path,
        chain="".join(chain),
        key=keys[public],
        names=names,
        begins=leaf.not_valid_before_utc,
        ends=leaf.not_valid_after_utc,
    )


def _read_key(path: Path, text: str) -> PrivateKeyTypes:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise HelvetiaError(f"the key in {path} cannot be used: {error}", hint=_HINT) from error


def _public(key: PrivateKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _encoded(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = certificate.public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _names(certificate: x509.Certificate) -> frozenset[str]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(name.lower() for name in found.value.get_values_for_type(x509.DNSName))
