from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from helvetia.kernel.errors import HelvetiaError, SettingsError
from helvetia.kernel.secrets import Vault, open_vault


def test_an_old_key_still_decrypts_and_the_new_one_encrypts() -> None:
    old, new = b"o" * 32, b"n" * 32
    sealed = Vault([old]).encrypt("value", place="p")
    both = Vault([new, old])
    assert both.decrypt(sealed, place="p") == "value"
    with pytest.raises(HelvetiaError, match="key that is not here"):
        Vault([new]).decrypt(sealed, place="p")
    assert Vault([new]).decrypt(both.encrypt("value", place="p"), place="p") == "value"


def test_a_changed_value_is_refused() -> None:
    vault = Vault([b"k" * 32])
    key, _, payload = vault.encrypt("value", place="p").partition(":")
    raw = bytearray(base64.b64decode(payload))
    raw[-1] ^= 1
    with pytest.raises(HelvetiaError, match="changed"):
        vault.decrypt(f"{key}:{base64.b64encode(raw).decode()}", place="p")


def test_the_key_file_is_private_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HELVETIA_SECRET_KEY", raising=False)
    sealed = open_vault(tmp_path).encrypt("value", place="p")
    assert open_vault(tmp_path).decrypt(sealed, place="p") == "value"
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_a_bad_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELVETIA_SECRET_KEY", "c2hvcnQ=")
    with pytest.raises(SettingsError, match="HELVETIA_SECRET_KEY"):
        open_vault(tmp_path)
