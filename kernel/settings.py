"""Typed settings: environment first, then helvetia.toml in the data folder, then defaults."""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator

from .errors import SettingsError
from .hookspecs import SettingsSection

Schema = TypeVar("Schema", bound=BaseModel)


def default_home() -> Path:
    """Return `HELVETIA_HOME`, or a folder under the user's data folder."""
    if home := os.environ.get("HELVETIA_HOME"):
        return Path(home).expanduser().absolute()
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "helvetia"


class KernelSettings(BaseModel):
    """Settings of the kernel: section `[helvetia]`, variables `HELVETIA_<NAME>`."""

    http: str = Field("127.0.0.1:8700", description="address of the control plane")
    edge: str = Field("127.0.0.1:8780", description="address on which services are reached")
    domain: str = Field("localhost", description="base domain; service `web` is `web.<domain>`")
    database_url: str = Field("", description="sqlite:/// or postgres:// URL; also DATABASE_URL")
    workers: int = Field(2, ge=1, le=64, description="deployments at once in one process")
    worker_labels: str = Field(
        "", description="comma-separated, as `build,region=eu`; services may demand them"
    )
    type_labels: str = Field(
        "", description="labels that types of services demand of a worker, as `docker=build`"
    )
    lease_seconds: float = Field(15, ge=2, description="after that a silent worker is dead")
    stage_timeout_seconds: float = Field(900, gt=0, description="limit of one stage")
    provider_timeout_seconds: float = Field(30, gt=0, description="limit of one short plugin call")
    drain_seconds: float = Field(30, ge=0, description="longest wait for requests in flight")
    keep_releases: int = Field(5, ge=1, description="artifacts kept per service for rollback")
    artifacts_mb: int = Field(
        0, ge=0, description="space for the artifacts of all services; 0 is no bound"
    )
    deployment_log_mb: int = Field(10, ge=1, description="largest log of one deployment")
    service_log_mb: int = Field(20, ge=1, description="runtime log kept per service")
    disabled_plugins: str = Field("", description="comma-separated entry-point names")
    safe_mode: bool = Field(False, description="load stock plugins only")
    strict_plugins: bool = Field(False, description="a broken plugin ends the start (for CI)")
    trusted_proxies: str = Field(
        "",
        description=(
            "comma-separated networks of proxies before the control plane whose X-Forwarded"
            " headers are believed; those of this machine always are"
        ),
    )
    allow_local_sources: bool = Field(
        True, description="operators may deploy from paths of this machine"
    )

    @field_validator("http", "edge")
    @classmethod
    def _is_address(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        _networks(value)
        return value

    @property
    def proxy_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks of the trusted proxies."""
        return _networks(self.trusted_proxies)

    @field_validator("worker_labels")
    @classmethod
    def _are_labels(cls, value: str) -> str:
        for label in split_labels(value):
            if not re.fullmatch(LABEL, label):
                raise ValueError(f"`{label}` must be a word, or `name=word`, in lower case")
        return value

    @field_validator("type_labels")
    @classmethod
    def _are_types_with_labels(cls, value: str) -> str:
        for pair in split_labels(value):
            if not re.fullmatch(LABEL, pair.partition("=")[2]):
                raise ValueError(f"`{pair}` must be a type and a label, as `docker=build`")
        return value

    def labels_for(self, service_type: str) -> frozenset[str]:
        """Return the labels that every service of a type demands."""
        pairs = (pair.partition("=") for pair in split_labels(self.type_labels))
        return frozenset(label for name, _, label in pairs if name == service_type)

    @field_validator("domain")
    @classmethod
    def _is_domain(cls, value: str) -> str:
        labels = value.lower().strip(".").split(".")
        if not all(
            label and label.replace("-", "").isalnum() and label.isascii() for label in labels
        ):
            raise ValueError("must be a DNS name such as `localhost` or `apps.example.com`")
        return ".".join(labels)


LABEL = r"^[a-z0-9][a-z0-9._-]{0,62}(=[a-z0-9][a-z0-9._-]{0,62})?$"
"""What a label of a worker looks like."""


def split_labels(text: str) -> list[str]:
    """Split labels at the commas."""
    return [label for part in text.split(",") if (label := part.strip())]


@lru_cache(maxsize=16)
def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(part) for part in split_labels(text))


def split_address(value: str) -> tuple[str, int]:
    """Split `host:port`.

    Raises:
        ValueError: it is something else.
    """
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"`{value}` must be host:port, such as 127.0.0.1:8700")
    host = host.removeprefix("[").removesuffix("]")
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f"`{host}` must be an IP address") from None
    return host, int(port)


class Settings:
    """All settings of one process.

    Args:
        home: the data folder.
        environment: where `HELVETIA_*` is looked up.
    """

    def __init__(self, home: Path, environment: Mapping[str, str] | None = None) -> None:
        self.home = home
        self._environment = os.environ if environment is None else environment
        self._file = home / "helvetia.toml"
        self._table = self._read_file()
        self._sections: dict[type[BaseModel], BaseModel] = {}
        self.kernel = self._validate("helvetia", KernelSettings, prefix="HELVETIA_")
        self.http = split_address(self.kernel.http)
        self.edge = split_address(self.kernel.edge)

    @property
    def database_url(self) -> str:
        """The database: by setting, by `DATABASE_URL`, or a file in the data folder."""
        return (
            self.kernel.database_url
            or self._environment.get("DATABASE_URL", "")
            or f"sqlite://{self.home / 'helvetia.db'}"
        )

    def add_section(self, section: SettingsSection) -> None:
        """Validate the section of a plugin.

        Raises:
            SettingsError: a value is wrong or a name unknown; the message names it.
        """
        prefix = f"HELVETIA_{section.name.upper()}_"
        self._sections[section.schema] = self._validate(section.name, section.schema, prefix=prefix)

    def section(self, schema: type[Schema]) -> Schema:
        """Return the values of a section.

        Raises:
            KeyError: no plugin registered it.
        """
        values = self._sections[schema]
        assert isinstance(values, schema)
        return values

    @property
    def secrets(self) -> set[str]:
        """What no log may show: secret values of sections; of URLs those with a password."""
        values = [value for section in self._sections.values() for _, value in section]
        found = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
        return {one for one in (*found, self.database_url) if "://" not in one or "@" in one}

    def _read_file(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self._file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{self._file}: {error}") from error

    def _validate(self, name: str, schema: type[Schema], *, prefix: str) -> Schema:
        table = self._table.get(name, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{self._file}: [{name}] must be a table")
        if unknown := sorted(set(table) - set(schema.model_fields)):
            raise SettingsError(
                f"{self._file}: [{name}] has no setting `{unknown[0]}`",
                hint=f"it has: {', '.join(sorted(schema.model_fields))}",
            )
        values = dict(table)
        for field in schema.model_fields:
            if (text := self._environment.get(prefix + field.upper())) not in (None, ""):
                values[field] = text
        try:
            return schema.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            field = str(first["loc"][0]) if first["loc"] else name
            variable = prefix + field.upper()
            where = variable if variable in self._environment else f"{self._file} [{name}] {field}"
            reason = str(first["msg"]).removeprefix("Value error, ")
            raise SettingsError(f"{where}: {reason}") from error
