"""Certificates, and a server of tokens as large registries have one."""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .server import PASSWORD, USER


class Certificate:
    """A certificate for 127.0.0.1 that is its own authority, in two PEM files."""

    def __init__(self, folder: Path) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "helvetia test")])
        now = datetime.datetime.now(datetime.UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        self.certificate = (
            x509.CertificateBuilder(name, name, self.key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file, self.key_file = folder / "certificate.pem", folder / "key.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        self.key_file.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )


class TokenServer:
    """Gives tokens to `USER` for what is asked, less what `forbidden` names.

    Attributes:
        asked: the scopes of each request.
        seconds: how long a token is good for, whatever `expires_in` says.
    """

    def __init__(self, certificate: Certificate) -> None:
        self._certificate = certificate
        self.asked: list[list[str]] = []
        self.forbidden: set[str] = set()
        self.seconds = 300
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[TokenServer]:
        app = web.Application()
        app.router.add_get("/token", self._token)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
        try:
            yield self
        finally:
            await runner.cleanup()

    def config(self) -> dict[str, object]:
        """What docker-registry must be told to take these tokens."""
        bundle = str(self._certificate.file)
        return {"realm": self.url, "service": "test", "issuer": "us", "rootcertbundle": bundle}

    async def _token(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if given not in ("", f"Basic {pair}"):
            return web.json_response({"errors": [{"message": "bad password"}]}, status=401)
        scopes = request.query.getall("scope", [])
        self.asked.append(scopes)
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            wanted = [a for a in actions.split(",") if given and a not in self.forbidden]
            access.append({"type": kind, "name": name, "actions": wanted})
        now = int(time.time())
        claims = {
            "iss": "us", "aud": request.query["service"], "sub": USER, "jti": uuid4().hex,
            "iat": now, "nbf": now - 120, "exp": now + self.seconds, "access": access,
        }  # fmt: skip
        der = self._certificate.certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        signed = b".".join(_packed(json.dumps(part).encode()) for part in (header, claims))
        signature = self._certificate.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        token = b".".join((signed, _packed(signature))).decode()
        return web.json_response({"token": token, "expires_in": 300})


def _packed(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
