"""Lists in pages: the cursor says behind which item to go on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import Field

from helvetia.kernel.errors import InvalidInput
from helvetia.plugins.api.inputs import Body
from helvetia.plugins.api.schemas import Page

Item = TypeVar("Item")
Row = TypeVar("Row")


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


def page_of_all(
    query: PageQuery, items: Sequence[Item], *, key: Callable[[Item], str]
) -> Page[Item]:
    """Make a page of a whole short list, in the order of its keys."""
    after = query.after
    rest = sorted((item for item in items if key(item) > after), key=key)
    return page(query, rest[: query.wanted], key=key, show=lambda item: item)


def encode_cursor(key: object) -> str:
    """Write a key down as a cursor."""
    return base64.urlsafe_b64encode(str(key).encode()).decode()
