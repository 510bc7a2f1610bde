"""Every form of a secret, made by the tools that programs use, not by the code under test.

It runs inside the tested programs as well: standard library only.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from urllib.parse import quote, quote_plus


def texts(secret: str) -> list[str]:
    """Return the forms as text."""
    raw = secret.encode()
    go = json.dumps(secret, ensure_ascii=False)[1:-1].replace("&", "\\u0026")
    found = [
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(secret)[1:-1].replace("/", "\\/"),
        go.replace("<", "\\u003c").replace(">", "\\u003e"),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        re.sub("%..", lambda match: match[0].lower(), quote(secret, safe="")),
        raw.hex(),
        raw.hex().upper(),
        shlex.quote(secret)[1:-1] if "'" in secret else secret,
    ]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        found += [encode(raw).decode().rstrip("="), encode(b"user:" + raw).decode()]
        found += [encode(before + raw + b"@host").decode() for before in (b"", b"u", b"us")]
    return list(dict.fromkeys(found))
