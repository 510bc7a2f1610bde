"""How long browsers may keep what a site serves, decided when the site is built."""

from __future__ import annotations

import re
from collections.abc import Sequence

IMMUTABLE = "public, max-age=31536000, immutable"
# A page must never meet the style sheet of another release: everything else is asked for again,
# which costs an answer without a body as long as it is unchanged.
REVALIDATE = "public, max-age=0, must-revalidate"
PAGE = "no-cache"

_KINDS = r"(?:js|mjs|css|map|wasm|json|svg|png|jpe?g|gif|webp|avif|ico|woff2?|ttf|otf|eot|mp4|webm)"
_HEX = rf"[.-](?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{{8,64}}(?:\.(?:chunk|min))?\.{_KINDS}"
# Tools of the Vite family write eight letters of base64; a name people chose would have to mix
# capitals or digits into its last word, and stand in the tool's own folder, to be taken for one.
_BASE64 = (
    r"/(?:assets|_astro|_app/immutable|static|build)/(?:[^/]+/)*[^/]*[.-]"
    r"(?=[\w-]*(?:[0-9]|[a-z][\w-]*[A-Z]|[A-Z][\w-]*[a-z]))(?![0-9]+\.)"
    rf"[A-Za-z0-9_-]{{8,24}}\.{_KINDS}"
)

Rule = tuple[str, str]


def cache_rules(*, built: bool) -> list[Rule]:
    """Return (pattern, Cache-Control) pairs for paths as `/a/b.js`; the first match counts.

    Args:
        built: a tool made the site, so that names with a hash in them are the tool's.
    """
    rules = [(rf"/(?:[^/]+/)*[^/]*{_HEX}", IMMUTABLE), (_BASE64, IMMUTABLE)] if built else []
    return [(r".*\.(?:html?|xhtml)", PAGE), *rules, (r".*", REVALIDATE)]


def cache_control(rules: Sequence[tuple[re.Pattern[str], str]], path: str) -> str:
    """Return the Cache-Control of a path."""
    return next((value for pattern, value in rules if pattern.fullmatch(path)), REVALIDATE)
