from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from helvetia.kernel.errors import SettingsError
from helvetia.kernel.hookspecs import SettingsSection
from helvetia.kernel.settings import Settings


class Extra(BaseModel):
    size: int = 3


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "helvetia.toml").write_text('[helvetia]\nworkers = 4\ndomain = "apps.test"\n')
    settings = Settings(tmp_path, {"HELVETIA_WORKERS": "7"})
    assert settings.kernel.workers == 7
    assert settings.kernel.domain == "apps.test"
    assert settings.http == ("127.0.0.1", 8700)
    assert settings.database_url.startswith("sqlite://")


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"HELVETIA_HTTP": "8700"}, "HELVETIA_HTTP: `8700` must be host:port"),
        ({"HELVETIA_HTTP": "127.0.0.1:99999"}, "host:port"),
        ({"HELVETIA_EDGE": "example.com:80"}, "must be an IP address"),
        ({"HELVETIA_DOMAIN": "a b"}, "HELVETIA_DOMAIN"),
        ({"HELVETIA_WORKERS": "many"}, "HELVETIA_WORKERS"),
        ({"HELVETIA_WORKERS": "0"}, "HELVETIA_WORKERS"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, environment: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(tmp_path, environment)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[helvetia]\nworker = 1\n", "no setting `worker`"),
        ("helvetia = 1\n", "must be a table"),
        ("[helvetia", "helvetia.toml"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "helvetia.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        Settings(tmp_path, {})
    assert says in caught.value.message


def test_a_plugin_has_its_own_section(tmp_path: Path) -> None:
    settings = Settings(tmp_path, {"HELVETIA_EXTRA_SIZE": "5"})
    with pytest.raises(KeyError):
        settings.section(Extra)
    settings.add_section(SettingsSection(name="extra", schema=Extra))
    assert settings.section(Extra).size == 5
