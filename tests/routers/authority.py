"""A small ACME authority (RFC 8555): strict where a client could cheat, and no more than needed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID, ObjectIdentifier

_ACME_IDENTIFIER = ObjectIdentifier("1.3.6.1.5.5.7.1.31")


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Authority:
    """It runs while the block does, and asks every hostname at one edge.

    Args:
        folder: where it keeps what its own server shows; `root.pem` there is its own certificate.
        http, https: where the hostnames are reached.
        challenge: the one that it offers.
    """

    def __init__(
        self, folder: Path, *, http: tuple[str, int], https: tuple[str, int], challenge: str
    ) -> None:
        self._folder = folder
        self._http, self._https, self._challenge = http, https, challenge
        self._nonces: set[str] = set()
        self._accounts: dict[str, dict[str, str]] = {}
        self._orders: dict[str, dict[str, Any]] = {}
        self.contacts: list[str] = []
        self.proved: list[str] = []
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of the tests")])
        self.root = self._sign(
            self._draft(name, name, self.key.public_key()).add_extension(
                x509.BasicConstraints(ca=True, path_length=None), critical=True
            )
        )

    async def __aenter__(self) -> Authority:
        app = web.Application()
        app.add_routes(
            [
                web.get("/directory", self._directory),
                web.route("*", "/nonce", self._nonce),
                web.post("/account", self._account),
                web.post("/order", self._new_order),
                web.post("/order/{id}", self._order),
                web.post("/authorization/{id}", self._authorization),
                web.post("/challenge/{id}", self._prove),
                web.post("/finalize/{id}", self._finalize),
                web.post("/certificate/{id}", self._certificate),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context()).start()
        self._url = f"https://127.0.0.1:{self._runner.addresses[0][1]}"
        self.directory = f"{self._url}/directory"
        return self

    def _context(self) -> ssl.SSLContext:
        self._folder.mkdir()
        pem = serialization.Encoding.PEM
        (self._folder / "root.pem").write_bytes(self.root.public_bytes(pem))
        here = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
        key = ec.generate_private_key(ec.SECP256R1())
        draft = self._draft(x509.Name([]), self.root.subject, key.public_key())
        shown = self._sign(draft.add_extension(here, critical=True))
        secret = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self._folder / "server.pem").write_bytes(secret + shown.public_bytes(pem))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "server.pem")
        return context

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    # --- the protocol ----------------------------------------------------------------------

    async def _directory(self, _: web.Request) -> web.Response:
        places = {"newNonce": "nonce", "newAccount": "account", "newOrder": "order"}
        return web.json_response({name: f"{self._url}/{at}" for name, at in places.items()})

    async def _nonce(self, _: web.Request) -> web.Response:
        return self._answer(None)

    async def _account(self, request: web.Request) -> web.Response:
        payload, key, _ = await self._read(request)
        assert payload is not None
        self.contacts += payload.get("contact", [])
        url = f"{self._url}/account/{len(self._accounts)}"
        self._accounts[url] = key
        return self._answer({"status": "valid"}, status=201, Location=url)

    async def _new_order(self, request: web.Request) -> web.Response:
        payload, key, _ = await self._read(request)
        assert payload is not None
        number = secrets.token_hex(4)
        names = [identifier["value"] for identifier in payload["identifiers"]]
        self._orders[number] = {"names": names, "key": key, "valid": set(), "token": {}}
        return self._answer(
            self._order_of(number), status=201, Location=f"{self._url}/order/{number}"
        )

    async def _order(self, request: web.Request) -> web.Response:
        await self._read(request)
        return self._answer(self._order_of(request.match_info["id"]))

    async def _authorization(self, request: web.Request) -> web.Response:
        await self._read(request)
        return self._answer(self._authorization_of(request.match_info["id"]))

    async def _prove(self, request: web.Request) -> web.Response:
        _, key, _ = await self._read(request)
        number, _, at = request.match_info["id"].partition("-")
        order = self._orders[number]
        name = order["names"][int(at)]
        proof = f"{order['token'][name]}.{_thumbprint(key)}"
        if self._challenge == "http-01":
            await self._ask(name, order["token"][name], proof)
        else:
            await asyncio.to_thread(self._shake_hands, name, proof)
        order["valid"].add(name)
        self.proved.append(name)
        return self._answer(self._authorization_of(request.match_info["id"])["challenges"][0])

    async def _finalize(self, request: web.Request) -> web.Response:
        payload, _, _ = await self._read(request)
        assert payload is not None
        order = self._orders[request.match_info["id"]]
        asked = x509.load_der_x509_csr(decoded(payload["csr"]))
        assert asked.is_signature_valid
        wanted = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert set(wanted.get_values_for_type(x509.DNSName)) == set(order["names"])
        assert order["valid"] == set(order["names"])
        empty = x509.Name([])
        order["certificate"] = self._sign(
            self._draft(empty, self.root.subject, asked.public_key()).add_extension(
                wanted, critical=True
            )
        )
        return self._answer(self._order_of(request.match_info["id"]))

    async def _certificate(self, request: web.Request) -> web.Response:
        await self._read(request)
        chain = (self._orders[request.match_info["id"]]["certificate"], self.root)
        text = "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in chain)
        return self._answer(text)

    # --- what it believes ------------------------------------------------------------------

    async def _ask(self, name: str, token: str, proof: str) -> None:
        url = f"http://127.0.0.1:{self._http[1]}/.well-known/acme-challenge/{token}"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers={"Host": name}, allow_redirects=False) as answer,
        ):
            assert (answer.status, await answer.text()) == (200, proof)

    def _shake_hands(self, name: str, proof: str) -> None:
        import socket

        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["acme-tls/1"])
        with (
            socket.create_connection(self._https, timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            assert secure.selected_alpn_protocol() == "acme-tls/1"
            shown = secure.getpeercert(binary_form=True)
        assert shown is not None
        extension = x509.load_der_x509_certificate(shown).extensions.get_extension_for_oid(
            _ACME_IDENTIFIER
        )
        digest = hashlib.sha256(proof.encode()).digest()
        assert extension.value.public_bytes() == b"\x04\x20" + digest

    async def _read(self, request: web.Request) -> tuple[Any, dict[str, str], str]:
        """Return payload and key of a signed request; nonce, URL and signature are verified."""
        body = await request.json()
        head = json.loads(decoded(body["protected"]))
        self._nonces.remove(head["nonce"])
        assert head["url"] == f"{self._url}{request.path}"
        key = head["jwk"] if "jwk" in head else self._accounts[head["kid"]]
        _verify(key, f"{body['protected']}.{body['payload']}".encode(), decoded(body["signature"]))
        return (json.loads(decoded(body["payload"])) if body["payload"] else None), key, head["url"]

    # --- what it says ----------------------------------------------------------------------

    def _answer(self, body: Any, *, status: int = 200, **headers: str) -> web.Response:
        nonce = secrets.token_urlsafe(12)
        self._nonces.add(nonce)
        headers = {"Replay-Nonce": nonce, **headers}
        if isinstance(body, str):
            kind = "application/pem-certificate-chain"
            return web.Response(text=body, content_type=kind, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    def _order_of(self, number: str) -> dict[str, Any]:
        order = self._orders[number]
        ready = order["valid"] == set(order["names"])
        shown = {
            "status": "valid" if "certificate" in order else "ready" if ready else "pending",
            "identifiers": [{"type": "dns", "value": name} for name in order["names"]],
            "authorizations": [
                f"{self._url}/authorization/{number}-{at}" for at in range(len(order["names"]))
            ],
            "finalize": f"{self._url}/finalize/{number}",
        }
        if "certificate" in order:
            shown["certificate"] = f"{self._url}/certificate/{number}"
        return shown

    def _authorization_of(self, which: str) -> dict[str, Any]:
        number, _, at = which.partition("-")
        order = self._orders[number]
        name = order["names"][int(at)]
        status = "valid" if name in order["valid"] else "pending"
        challenge = {
            "type": self._challenge,
            "url": f"{self._url}/challenge/{which}",
            "token": order["token"].setdefault(name, secrets.token_urlsafe(24)),
            "status": status,
        }
        return {
            "status": status,
            "identifier": {"type": "dns", "value": name},
            "challenges": [challenge],
        }

    def _draft(self, subject: x509.Name, issuer: x509.Name, key: Any) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=90))
        )

    def _sign(self, draft: x509.CertificateBuilder) -> x509.Certificate:
        return draft.sign(self.key, hashes.SHA256())


def _thumbprint(key: dict[str, str]) -> str:
    names = ("crv", "kty", "x", "y") if key["kty"] == "EC" else ("e", "kty", "n")
    text = json.dumps({name: key[name] for name in names}, separators=(",", ":"), sort_keys=True)
    return encoded(hashlib.sha256(text.encode()).digest())


def _verify(key: dict[str, str], message: bytes, signature: bytes) -> None:
    def number(name: str) -> int:
        return int.from_bytes(decoded(key[name]))

    if key["kty"] == "EC":
        half = len(signature) // 2
        curve, digest = {
            "P-256": (ec.SECP256R1(), hashes.SHA256()),
            "P-384": (ec.SECP384R1(), hashes.SHA384()),
        }[key["crv"]]
        public = ec.EllipticCurvePublicNumbers(number("x"), number("y"), curve).public_key()
        both = (int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
        public.verify(encode_dss_signature(*both), message, ec.ECDSA(digest))
        return
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    rsa_key = rsa.RSAPublicNumbers(number("e"), number("n")).public_key()
    rsa_key.verify(signature, message, PKCS1v15(), hashes.SHA256())
