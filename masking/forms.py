"""The forms in which a secret value can appear in a program's output."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit

MIN_LENGTH = 4
"""Values and encoded pieces shorter than this are not masked: they are everywhere."""

_MIN_LINE = 8
_BASE64_WIDTHS = (64, 76)

_COMMON = """
true false null none undefined yes enabled disabled auto default example
production prod development develop devel staging stage test testing tests local preview
debug info notice warn warning error fatal critical trace verbose silent
localhost localhost.localdomain 127.0.0.1 0.0.0.0 host.docker.internal
http https http/1.1 postgres postgresql mysql mariadb mongo mongodb redis sqlite sqlite3
rabbitmq amqp smtp memory file disk
root admin user guest node nodejs python python3 ruby java main master
utf-8 utf8 en_us.utf-8 en_us.utf8 c.utf-8 c.utf8 posix etc/utc europe/berlin
json text html plain console stdout stderr
/app /data /home /root /tmp/ /var /usr /usr/bin /var/lib /opt/ /srv/ /etc/
"""

COMMON_VALUES = frozenset(_COMMON.split())
"""Values (in lower case) that are never masked: masking them would hide the log, not a secret."""

_COMMON_SHAPES = re.compile(
    r"""
      [+-]?\d{1,5}(\.\d{1,5})?\s?([a-z%]{1,2})?      # numbers, ports, 30s, 512mb, 1.5
    | \d{1,3}\.\d{1,3}(\.\d{1,3})?                   # versions such as 3.11.4
    | (https?://)?(localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])(:\d{1,5})?/?
    """,
    re.VERBOSE | re.IGNORECASE,
)


def worth_masking(value: str) -> bool:
    """Tell whether a value is masked at all: not too short and not on the common list."""
    value = value.strip()
    return (
        len(value) >= MIN_LENGTH
        and value.lower() not in COMMON_VALUES
        and _COMMON_SHAPES.fullmatch(value) is None
    )


def forms(value: str) -> set[bytes]:
    """Return every form of a secret value that has to be masked; empty if it is common."""
    # White space around a value is no part of the secret, and a form that begins with a newline
    # would make every line wait for the next.
    value = value.strip()
    if not worth_masking(value):
        return set()
    found = {*_text_forms(value), *_binary_forms(value.encode("utf-8", "replace"))}
    # Keys are often kept in one line with "\n" spelled out, and printed with real newlines.
    lines = [line.strip() for line in value.replace("\\n", "\n").splitlines()]
    if len(lines) > 1:
        found |= {end.join(lines).encode("utf-8", "replace") for end in ("\n", "\r\n")}
        for line in lines:
            # "-----BEGIN PRIVATE KEY-----" is public; hiding it only confuses.
            if len(line) >= _MIN_LINE and not line.startswith("-----") and worth_masking(line):
                found.update(_text_forms(line))
    password = _url_password(value)
    if password and worth_masking(password):
        found.update(_text_forms(password))
    return {form for form in found if len(form) >= MIN_LENGTH}


def _text_forms(value: str) -> Iterator[bytes]:
    """Yield the value as text of all kinds: plain, JSON, URL, shell."""
    texts = {value}
    for ensure_ascii in (True, False):
        escaped = json.dumps(value, ensure_ascii=ensure_ascii)[1:-1]
        # PHP escapes slashes, Go escapes what is special in HTML.
        go = escaped.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
        texts |= {escaped, escaped.replace("/", "\\/"), go}
    # Python's three ways, then encodeURIComponent and encodeURI.
    for safe in ("", "/", "!~*'()", ";,/?:@&=+$!~*'()#"):
        texts |= _both_cases(quote(value, safe=safe, errors="replace"))
    texts |= _both_cases(quote_plus(value, errors="replace"))
    if "'" in value:
        texts |= {shlex.quote(value)[1:-1], value.replace("'", "'\\''")}
    texts.add(re.sub(r"([^\w@%+=:,./\n-])", r"\\\1", value))
    texts.add(re.sub(r'([$`"\\])', r"\\\1", value))
    for text in texts:
        yield text.encode("utf-8", "replace")


def _both_cases(quoted: str) -> set[str]:
    return {quoted, re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)}


def _binary_forms(raw: bytes) -> Iterator[bytes]:
    """Yield the value in hex and base64, the latter also as a part of something longer."""
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(raw).rstrip(b"=")
        yield whole
        for width in _BASE64_WIDTHS:
            if len(whole) > width:
                pieces = (whole[at : at + width] for at in range(0, len(whole), width))
                yield from (piece for piece in pieces if len(piece) >= _MIN_LINE)
        for before in range(3):
            # Only the characters made of nothing but the secret's own bits.
            first = -(-before * 8 // 6)
            last = (before + len(raw)) * 8 // 6
            yield encode(b"\0" * before + raw)[first:last]


def _url_password(value: str) -> str | None:
    """Return the password of a connection URL: drivers like to print it by itself."""
    if "://" not in value:
        return None
    try:
        password = urlsplit(value).password
    except ValueError:
        return None
    return unquote(password) if password else None
