"""Lists in pages: the cursor says behind which item to go on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from pydantic import Field

from helvetia.kernel.errors import InvalidInput
from helvetia.plugins.api.inputs import Body
from helvetia.plugins.api.schemas import Page

if TYPE_CHECKING:
    from tortoise.queryset import QuerySet

    from helvetia.kernel.models.base import Record
    from helvetia.sessions.models import Session

Item = TypeVar("Item")
Row = TypeVar("Row")
Kept = TypeVar("Kept", bound="Record | Session")


class PageQuery(Body):
    """Which page of a list."""

    limit: int = Field(50, ge=1, le=100, description="most items of the page")
    cursor: str | None = Field(
        None, max_length=400, description="`next` of the page before; none is the beginning"
    )

    @property
    def after(self) -> str:
        """The key behind which the page begins; "" is the beginning."""
        if self.cursor is None:
            return ""
        try:
            text = base64.urlsafe_b64decode(self.cursor.encode()).decode()
        except (binascii.Error, ValueError):
            text = ""
        if not text or not text.isprintable():
            raise InvalidInput("cursor", "is not one that a page gave")
        return text

    @property
    def number(self) -> int | None:
        """The same for lists that are ordered by a number; None is the beginning."""
        if not (text := self.after):
            return None
        if not text.isdecimal() or len(text) > 9:
            raise InvalidInput("cursor", "is not one that a page gave")
        return int(text)

    @property
    def wanted(self) -> int:
        """How many rows to load: one more than shown tells whether there are more."""
        return self.limit + 1


def page(
    query: PageQuery,
    rows: Sequence[Row],
    *,
    key: Callable[[Row], object],
    show: Callable[[Row], Item],
) -> Page[Item]:
    """Make a page of rows that were loaded from behind the cursor on."""
    shown = rows[: query.limit]
    more = len(rows) > len(shown)
    following = encode_cursor(key(shown[-1])) if more else None
    return Page(items=[show(row) for row in shown], next=following)


async def page_of_newest(
    query: PageQuery, rows: QuerySet[Kept], *, show: Callable[[Kept], Item]
) -> Page[Item]:
    """Load and make a page of what was made when, the newest first."""
    found = await newest_first(query, rows)
    return page(query, found, key=lambda row: place(row.created_at, row.id), show=show)


def newest_first(query: PageQuery, rows: QuerySet[Kept]) -> QuerySet[Kept]:
    """Return the rows of a page of what was made when; their keys are of `place`."""
    rows = rows.order_by("-created_at", "-id").limit(query.wanted)
    if after := query.after:
        # The command line knows these shapes too, and needs no database.
        from tortoise.expressions import Q

        time, last_id = _position(after)
        rows = rows.filter(Q(created_at__lt=time) | Q(created_at=time, id__lt=last_id))
    return rows


def page_of_all(
    query: PageQuery, items: Sequence[Item], *, key: Callable[[Item], str]
) -> Page[Item]:
    """Make a page of a whole short list, in the order of its keys."""
    after = query.after
    rest = sorted((item for item in items if key(item) > after), key=key)
    return page(query, rest[: query.wanted], key=key, show=lambda item: item)


def place(time: datetime, id: str) -> str:
    """Return the key of what was made when."""
    return f"{time.astimezone(UTC).isoformat()} {id}"


def _position(key: str) -> tuple[datetime, str]:
    time, _, last_id = key.partition(" ")
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        raise InvalidInput("cursor", "is not one that a page gave") from None
    if parsed.tzinfo is None or not last_id.isalnum():
        raise InvalidInput("cursor", "is not one that a page gave")
    return parsed.astimezone(UTC), last_id


def encode_cursor(key: object) -> str:
    """Write a key down as a cursor."""
    return base64.urlsafe_b64encode(str(key).encode()).decode()
