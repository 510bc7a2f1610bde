"""Texts that nobody would think of: refused by name, or read by everybody alike.

What masks secrets is fuzzed in tests/logs/test_redact.py, refs against Git itself in
tests/sources/test_git_hostile.py.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from helvetia.kernel.errors import InvalidInput
from helvetia.plugins.api.domains import normalise
from helvetia.plugins.api.services import check_source_text
from helvetia.plugins.routers.traefik.names import rules
from helvetia.plugins.sources.git.addresses import parse_address

Result = TypeVar("Result")
BASE = "apps.example.org"
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN = re.compile(rf"{_LABEL}(\.{_LABEL})+")

_SIGNS = st.sampled_from("ab1-._`|&()'\"\\/:@*?#%[]{}$,; \t\n\0\x7fxnß\u3002\uff0e\u200b\u202eüİK")
_PIECES = st.sampled_from([
    "www", "example", "com", "xn--", "xn--bcher-kva", "localhost", BASE, "127", "0x7f", "0", "..",
    "`) || Host(`", "\uff11\uff12\uff17", "a" * 63, "a" * 64, "例え", "*",
])  # fmt: skip
HOSTNAMES = st.lists(st.text(_SIGNS, max_size=6) | _PIECES, max_size=6).map(".".join)


def attempt(act: Callable[[], Result]) -> tuple[Result | None, InvalidInput]:
    """Return what came of it, or the refusal."""
    try:
        return act(), InvalidInput("", "")
    except InvalidInput as error:
        return None, error


@settings(max_examples=400, deadline=None)
@given(typed=HOSTNAMES | st.text(max_size=20))
@example(typed="\uff41\uff50\uff50\uff53.example.org")
@example(typed="www.example.com`) || PathPrefix(`/")
@example(typed="*.WWW.example.com.")
@example(typed="*.example.com`) || PathPrefix(`/")
def test_a_hostname_is_refused_or_means_one_name(typed: str) -> None:
    name, refused = attempt(lambda: normalise(typed, domain=BASE))
    if name is None:
        assert refused.field == "hostname"
        return
    parent = name.removeprefix("*.")
    assert _PLAIN.fullmatch(parent)
    assert len(name) <= 253
    assert normalise(name, domain=BASE) == name
    assert name != BASE
    assert not name.endswith(f".{BASE}")
    with pytest.raises(ValueError, match="does not appear to be"):
        ipaddress.ip_address(parent)
    # What writes the route, and what reads addresses, see the same name and nothing more.
    exact, wild = rules(["own.test", name])
    if name == parent:
        assert (exact, wild) == (f"Host(`own.test`) || Host(`{name}`)", "") or name == "own.test"
    else:
        assert exact == "Host(`own.test`)"
        found = re.fullmatch(r"HostRegexp\(`([^`]+)`\)", wild)
        assert found is not None
        assert re.fullmatch(found[1], f"x.{parent}")
        assert not [n for n in (parent, f"x.y.{parent}", f"x{parent}") if re.fullmatch(found[1], n)]
    assert URL(f"http://{parent}/").raw_host == parent
    assert urlsplit(f"http://{parent}/").hostname == parent


_SCHEMES = st.sampled_from(
    ["https", "HTTPS", "http", "ssh", "git", "file", "ext", "javascript", ""]
)
_AFTER = st.sampled_from(["://", ":", "::", ":/", ":///", ""])
_USERS = st.sampled_from(["", "git@", "u:p@", ":p@", "-oProxyCommand=x@", "a@b@", "%40@", "@"])
_HOSTS = st.sampled_from([
    "example.org", "EXAMPLE.org.", "bücher.example", "[::1]", "[::1", "127.0.0.1", "127.1", "-x",
    "0x7f000001", "2130706433", "exa mple", "a..b", "", "xn--", "example.org\\@evil", "a%00b",
    "\uff11\uff12\uff17.1", "[fe80::1%25eth0]",
])  # fmt: skip
_PORTS = st.sampled_from(["", ":22", ":0", ":99999", ":x", ":", ":-1", ":443"])
_PATHS = st.text("ab/.~$%@:?#\\-; \n\0ü", max_size=10)
ADDRESSES = st.tuples(_SCHEMES, _AFTER, _USERS, _HOSTS, _PORTS, st.just("/") | st.just(""), _PATHS)


@settings(max_examples=800, deadline=None)
@given(url=ADDRESSES.map("".join) | st.text(max_size=20))
@example(url="https://example.org\\@evil.example/x")
@example(url="-oProxyCommand=touch:x")
def test_an_address_is_refused_or_leads_to_one_host(url: str) -> None:
    remote, refused = attempt(lambda: parse_address(url))
    if remote is None:
        assert refused.field == "source"
        # A password in it is repeated nowhere.
        assert "u:p" not in str(refused)
        return
    assert not remote.url.startswith("-")
    assert remote.url.isprintable() or remote.protocol in ("file", "ssh")
    assert "\0" not in remote.url
    assert "\n" not in remote.url
    assert parse_address(remote.url) == remote
    if remote.protocol == "file":
        assert remote.url.startswith("/")
    elif "://" in remote.url:
        parts = urlsplit(remote.url)
        assert parts.hostname == remote.host
        assert URL(remote.url).raw_host == remote.host
        assert (parts.port or remote.port) == remote.port
        assert parts.password is None
        assert parts.scheme == "ssh" or parts.username is None
        assert (parts.query, parts.fragment) == ("", "")
    else:
        # `user@host:path`, as SSH reads it.
        place, _, path = remote.url.partition(":")
        user, _, host = place.rpartition("@")
        assert host == remote.host
        assert not path.startswith("-")
        assert not user.startswith("-")


# Of a bracket, Python's own reader takes no address at all.
PARTS = st.text(st.characters(exclude_characters="[]"), max_size=8)


@settings(max_examples=200, deadline=None)
@given(user=PARTS, password=PARTS)
@example(user="@", password="0")
def test_no_address_with_a_password_is_kept(user: str, password: str) -> None:
    """Everybody who sees a service sees its source."""
    source = f"https://{user}:{password}@example.org/x"
    kept = urlsplit(source).password if source.isprintable() else None
    if kept:
        with pytest.raises(InvalidInput) as caught:
            check_source_text(source)
        assert caught.value.field == "source"
