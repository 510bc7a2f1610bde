"""What Traefik of this installation is to be: from settings to the files that it reads."""

from __future__ import annotations

import json
import secrets
from typing import Any

from helvetia import HelvetiaError

from . import config
from .certificate import make_certificate
from .entrance import SECURE, Entrance
from .files import Layout, read
from .ports import free_port, is_free, require_free
from .settings import TraefikSettings
from .tls import Pair, load

_API_HINT = "end that program, or set HELVETIA_TRAEFIK_API_PORT=0"


class Wanted:
    """The files, as they must be.

    Attributes:
        docker: the provider that finds containers; None if Traefik finds none.
        trouble: why the certificates in use are not those of the settings; empty if they are.
    """

    def __init__(
        self,
        *,
        layout: Layout,
        settings: TraefikSettings,
        edge: tuple[str, int],
        installation: str,
    ) -> None:
        self.layout = layout
        self.settings = settings
        self.edge = edge
        self.installation = installation
        self.docker: dict[str, Any] | None = None
        self.trouble = ""
        self._pairs: list[Pair] = []

    @property
    def entrance(self) -> Entrance:
        """How people come in."""
        settings = self.settings
        own = frozenset(name for pair in self._pairs for name in pair.names)
        if settings.run == "existing":
            return Entrance(
                http=settings.entry_point,
                https=settings.https_entry_point if settings.https else "",
                redirect=settings.redirect,
                resolver=settings.resolver,
                # Whoever runs that Traefik has chosen how it proves names.
                for_wildcards=True,
                own=own,
                mark=f"helvetia-{self.installation}",
                shares_traefik=True,
            )
        return Entrance(
            https=SECURE if settings.https else "",
            redirect=settings.redirect,
            resolver=config.RESOLVER if settings.acme_email else "",
            own=own,
        )

    def load_certificates(self) -> None:
        """Read the operator's certificates.

        Raises:
            HelvetiaError: one of them is of no use; those read before stay in use.
        """
        self._pairs = load(self.settings.certificates)
        self.trouble = ""

    def renew_certificates(self) -> None:
        """Read them again; those in use stay in use if one of them is of no use."""
        if self.settings.certificates:
            try:
                self.load_certificates()
            except HelvetiaError as problem:
                self.trouble = problem.message

    def record(self) -> dict[str, Any]:
        """Return what was noted of the Traefik that was started last; empty if nothing."""
        try:
            record = json.loads(read(self.layout.identity) or "")
        except ValueError:
            return {}
        return record if isinstance(record, dict) else {}

    def identity(self) -> config.Identity | None:
        """Return where the API of the Traefik is that was started last."""
        record = self.record()
        try:
            return config.Identity(api_port=record["api_port"], token=record["token"])
        except KeyError:
            return None

    def usable_identity(self) -> config.Identity:
        """Return where the API of the next one can be.

        Raises:
            PortTaken: somebody has the port of the setting.
        """
        known = self.identity()
        token = known.token if known else secrets.token_hex(16)
        if port := self.settings.api_port:
            require_free("127.0.0.1", port, hint=_API_HINT)
        elif known and is_free(known.api_port):
            port = known.api_port
        else:
            port = free_port()
        return config.Identity(api_port=port, token=token)

    def static(self, identity: config.Identity) -> str:
        """Return the static configuration."""
        return config.static(
            edge=self.edge,
            identity=identity,
            settings=self.settings,
            folder=self.layout.folder,
            dynamic=self.layout.dynamic,
            docker=self.docker,
        )

    def write(self, identity: config.Identity, *, form: str, started: str) -> None:
        """Write everything for a start."""
        layout = self.layout
        if not layout.certificate.exists():
            layout.write(layout.certificate, make_certificate())
        layout.acme.mkdir(mode=0o700, exist_ok=True)
        record = {
            "api_port": identity.api_port,
            "token": identity.token,
            "form": form,
            "docker": (self.docker or {}).get("endpoint", ""),
        }
        layout.write(layout.identity, json.dumps(record))
        self.write_shared(identity)
        layout.write(layout.static, self.static(identity))
        layout.write(layout.started, started)

    def write_shared(self, identity: config.Identity | None) -> None:
        """Write the shared part if it is another one, as after a renewal of a certificate."""
        text = config.shared(
            settings=self.settings,
            entrance=self.entrance,
            pairs=self._pairs,
            identity=identity,
            certificate=self.layout.certificate if identity else None,
        )
        if read(self.layout.shared) != text:
            self.layout.write(self.layout.shared, text)

    def worries(self, domain: str) -> list[str]:
        """Say what of HTTPS does not work as somebody may expect."""
        settings, entrance = self.settings, self.entrance
        told = [self.trouble, *(pair.trouble for pair in self._pairs)]
        asks = settings.acme_email or settings.certificates
        if asks and not settings.https:
            told.append("HELVETIA_TRAEFIK_HTTPS is not set: there is no HTTPS")
        if entrance.https and not entrance.resolver and not entrance.covers(f"any.{domain}"):
            told.append(f"no certificate is for *.{domain}: browsers will warn")
        if settings.run != "existing" and entrance.resolver and settings.https_address:
            by_http = settings.acme_challenge == "http-01"
            port, usual = (self.edge[1], 80) if by_http else (settings.https_address[1], 443)
            if port != usual:
                told.append(f"{settings.acme_challenge} comes to port {usual}, lead it to {port}")
        return [text for text in told if text]
