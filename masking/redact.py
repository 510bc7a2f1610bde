"""Mask secrets in a stream of bytes, whatever the chunks it comes in."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable

from .forms import forms

MASK = b"[redacted]"

_WORD = 4
_INDEXED = 2 * _WORD - 1
_START_CHOICES = 64


class Redactor:
    """The compiled secrets of one log; makes a masking stream for each of its streams.

    Searching costs the same for one secret as for a thousand. Any stretch of seven bytes has
    an aligned word of four in it, so it is enough to look up every fourth position of the text
    in a table of the words that the forms have at four consecutive offsets.

    Args:
        secrets: values to mask; short and common ones are left alone (see `forms`).
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = frozenset(secrets)
        found: set[bytes] = set()
        for value in self._secrets:
            found |= forms(value)
        self._forms = sorted(found, key=lambda form: (-len(form), form))
        self._short = [form for form in self._forms if len(form) < _INDEXED]
        self._index: defaultdict[int, list[tuple[int, bytes]]] = defaultdict(list)
        self._words: frozenset[int] = frozenset()
        self._build_index()
        self._beginnings: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._first_lines: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._build_beginnings()
        self._longest = len(self._forms[0]) if self._forms else 0

    def _build_index(self) -> None:
        for form in self._forms:
            if len(form) < _INDEXED:
                continue
            words = [
                int.from_bytes(form[at : at + _WORD], sys.byteorder)
                for at in range(min(len(form) - _WORD + 1, _START_CHOICES + _WORD - 1))
            ]
            # Many secrets begin alike ("https://", "eyJhbGci"); index a part that few share.
            start = min(
                range(len(words) - _WORD + 1),
                key=lambda at: max(
                    len(self._index.get(word, ())) for word in words[at : at + _WORD]
                ),
            )
            for offset in range(start, start + _WORD):
                self._index[words[offset]].append((offset, form))
        self._words = frozenset(self._index)

    def _build_beginnings(self) -> None:
        for form in self._forms:
            for length in range(1, _WORD):
                self._beginnings[form[:length]].append(form)
            self._beginnings[form[:_WORD]].append(form)
            if b"\n" in form:
                self._first_lines[form[: form.index(b"\n") + 1]].append(form)

    def __bool__(self) -> bool:
        """Tell whether there is anything to mask."""
        return bool(self._forms)

    def extended(self, secrets: Iterable[str]) -> Redactor:
        """Return a redactor that masks these values as well."""
        more = self._secrets.union(secrets)
        return self if more == self._secrets else Redactor(more)

    def stream(self) -> RedactedStream:
        """Return a masking stream for the output of one program."""
        return RedactedStream(self)

    def text(self, text: str) -> str:
        """Mask a text that is complete in itself."""
        if not self._forms:
            return text
        stream = self.stream()
        masked = stream.feed(text.encode("utf-8", "replace")) + stream.flush()
        return masked.decode("utf-8", "replace")

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return where forms stand in `data`, in no order; some may overlap."""
        found: list[tuple[int, int]] = []
        for form in self._short:
            at = data.find(form)
            while at >= 0:
                found.append((at, at + len(form)))
                at = data.find(form, at + 1)
        words = memoryview(data)[: len(data) & -_WORD].cast("I")
        if not self._words.isdisjoint(words):
            for position, word in enumerate(words):
                if word not in self._words:
                    continue
                for offset, form in self._index[word]:
                    start = position * _WORD - offset
                    if start >= 0 and data.startswith(form, start):
                        found.append((start, start + len(form)))
        return found

    def open_end(self, data: bytes) -> int:
        """Return where the longest end of `data` starts that could become a form.

        That is `len(data)` for most data, and for a line with its newline unless a secret of
        several lines has that line.
        """
        size = len(data)
        earliest = max(0, size - self._longest + 1)
        starts = [
            at
            for first_line, candidates in self._first_lines.items()
            if (at := _first_open(data, first_line, candidates, earliest)) >= 0
        ]
        if starts:
            return min(starts)
        # A form without a newline cannot have begun before the last one.
        for at in range(max(data.rfind(b"\n") + 1, earliest), size):
            for form in self._beginnings.get(data[at : at + _WORD], ()):
                if size - at < len(form) and form.startswith(data[at:]):
                    return at
        return size

    def cut_off(self, end: bytes) -> int:
        """Return where a form starts of which the last bytes of a stream are half or more."""
        for at in range(len(end) - _WORD + 1):
            for form in self._beginnings.get(end[at : at + _WORD], ()):
                if 2 * (len(end) - at) >= len(form) and form.startswith(end[at:]):
                    return at
        return len(end)


class RedactedStream:
    """Masks one stream; what `feed` and `flush` return does not depend on the chunks.

    Holds back at most one byte less than the longest form, and only what may be its beginning.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = b""
        # So many of the held bytes belong to a mask that was returned already.
        self._masked = 0

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes and return what can be shown by now."""
        if not self._redactor:
            return data
        return self._take(self._held + data, final=False)

    def flush(self) -> bytes:
        """Return what was held back: the stream has ended, or will not go on for long.

        An end that is the greater part of a secret is masked as well.
        """
        return self._take(self._held, final=True)

    def _take(self, data: bytes, *, final: bool) -> bytes:
        spans = self._redactor.spans(data)
        if final:
            cut = len(data)
            if (start := self._redactor.cut_off(data)) < cut:
                spans.append((start, cut))
        else:
            cut = self._redactor.open_end(data)
        if self._masked:
            spans.append((0, self._masked))
        parts: list[bytes] = []
        at = 0
        for start, end in joined(spans):
            goes_on = start == 0 and self._masked > 0
            if start >= cut and not goes_on:
                break
            if not goes_on:
                parts += (data[at:start], MASK)
            at = end
        parts.append(data[at:cut])
        self._held = data[cut:]
        self._masked = max(0, at - cut)
        return b"".join(parts)


def joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort spans and make one of those that overlap."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if result and start < result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def _first_open(data: bytes, first_line: bytes, candidates: list[bytes], earliest: int) -> int:
    at = data.find(first_line, earliest)
    while at >= 0:
        for form in candidates:
            if len(data) - at < len(form) and form.startswith(data[at:]):
                return at
        at = data.find(first_line, at + 1)
    return -1
