"""Small graphs in lists: how much memory a service has used lately."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from .filters import size
from .visit import Visit

_WIDTH, _HEIGHT = 112, 24
_PATH = "/api/v1/metrics"


async def of_services(visit: Visit, cursor: str | None, limit: int) -> dict[str, Markup]:
    """Return the graph of each service of a page of the list; empty where nobody measures."""
    found = await visit.ask_if_there("GET", _PATH, query={"limit": limit, "cursor": cursor})
    return {one.service: drawn(one.memory_bytes) for one in found.items} if found else {}


def drawn(values: Sequence[int | None]) -> Markup:
    """Draw the memory of the last hour as a line; what was not measured is a hole in it."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return Markup()
    top, step = max(known) or 1, _WIDTH / (len(values) - 1)
    pieces: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            pieces.append([])
            continue
        height = _HEIGHT - 1 - value / top * (_HEIGHT - 4)
        pieces[-1].append(f"{index * step:.1f} {height:.1f}")
    line = "".join("M" + "L".join(piece) for piece in pieces if piece)
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img"'
        ' aria-label="memory in the last hour, now {now}, at most {top}"><path d="{line}"/></svg>'
    ).format(w=_WIDTH, h=_HEIGHT, now=size(known[-1]), top=size(top), line=line)
