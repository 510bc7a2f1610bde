"""Deploy keys: made here, or read from what somebody gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helvetia import InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization import SSHPrivateKeyTypes

_FIELD = "private_key"
_LEAST_RSA_BITS = 2048


def make_key(comment: str) -> tuple[str, str]:
    """Make a key; return its private and its public half as OpenSSH writes them."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return _written(Ed25519PrivateKey.generate(), comment)


def read_key(text: str, comment: str) -> tuple[str, str]:
    """Read a private key in OpenSSH's or the PEM format; return both halves, written anew.

    Raises:
        InvalidInput: it is none, has a passphrase, or is of a kind that hosts refuse.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
        load_ssh_private_key,
    )

    data = text.strip().encode() + b"\n"
    load = load_ssh_private_key if b"BEGIN OPENSSH" in data else load_pem_private_key
    try:
        key = load(data, password=None)
    except TypeError:
        reason = "has a passphrase"
        raise InvalidInput(_FIELD, reason, hint="give a key of its own to the service") from None
    except (ValueError, UnsupportedAlgorithm):
        reason = "is no private key in OpenSSH's or the PEM format"
        raise InvalidInput(_FIELD, reason) from None
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < _LEAST_RSA_BITS:
            raise InvalidInput(_FIELD, f"has less than {_LEAST_RSA_BITS} bits")
        return _written(key, comment)
    if isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
        return _written(key, comment)
    raise InvalidInput(_FIELD, "must be an Ed25519, ECDSA or RSA key")


def _written(key: SSHPrivateKeyTypes, comment: str) -> tuple[str, str]:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} {comment}"
