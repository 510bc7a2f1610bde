"""How values look: times, durations, commits, sizes, states."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from markupsafe import Markup, escape

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
# Among them those that turn the direction of writing: strangers write commit messages.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_TICKED = re.compile(r"`([^`\n]+)`")
_INSTANCE = re.compile(r"(r\d+)\.([0-9a-f]{4})")
# Statuses of deployments and services are written large, of instances and plugins small.
_TONES = {
    "good": "ACTIVE LIVE SUCCEEDED active live running verified deployed alive ok sent",
    "busy": "DEPLOYING RUNNING starting draining restarting QUEUED waiting",
    "warn": "ROLLED_BACK pending silent",
    "bad": "FAILED quarantined crash-loop exited gone refused failed",
    "waiting": "PENDING",
}
_TONE_OF = {word: tone for tone, words in _TONES.items() for word in words.split()}
# A status is told by its shape too, not by its colour alone.
_SHAPES = {"good": "check", "busy": "turn", "warn": "alert", "bad": "cross", "waiting": "ring"}
_SHAPE_OF = {
    "STOPPED": "pause",
    "QUEUED": "clock",
    "pending": "clock",
    "waiting": "clock",
    "CANCELLED": "slash",
    "SUPERSEDED": "skip",
    "SKIPPED": "skip",
    "ROLLED_BACK": "undo",
    "ignored": "skip",
    "disabled": "pause",
}


class Timed(Protocol):
    """Something that begins and ends."""

    started_at: datetime | None
    finished_at: datetime | None


def tone(word: str) -> str:
    """Return the class that colours a status."""
    return _TONE_OF.get(word, "idle")


def shape(word: str) -> str:
    """Return the icon of a status."""
    return _SHAPE_OF.get(word) or _SHAPES.get(tone(word), "ring")


def word(status: str) -> str:
    """Return a status as people write it: `ROLLED_BACK` is `Rolled back`."""
    return status.replace("_", " ").replace("-", " ").capitalize()


def clock(time: datetime) -> str:
    """Return the exact time."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def ago(time: datetime, now: datetime | None = None) -> str:
    """Return how long ago something was, roughly."""
    seconds = ((now or datetime.now(UTC)) - time).total_seconds()
    if seconds < 10:
        return "just now"
    for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            count = int(seconds // size)
            if name == "d" and count > 60:
                return f"{time:%-d %b %Y}"
            return f"{count} {name} ago"
    return "just now"


def seconds(value: float) -> str:
    """Return a duration in the unit a person would choose."""
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def so_far(value: float) -> str:
    """Return a duration that still grows, in whole seconds."""
    return f"{max(1, int(value))} s" if value < 60 else seconds(value)


def took(timed: Timed) -> str:
    """Return how long something took, or has taken so far; empty if it has not begun."""
    if timed.started_at is None:
        return ""
    if timed.finished_at is None:
        return so_far((datetime.now(UTC) - timed.started_at).total_seconds())
    return seconds(max(0.0, (timed.finished_at - timed.started_at).total_seconds()))


def short(sha: str) -> str:
    """Return the beginning of a commit's name."""
    return sha[:7]


def first_line(text: str) -> str:
    """Return the subject of a commit message."""
    return next((plain(line).strip() for line in text.splitlines() if line.strip()), "")


def person(author: str) -> str:
    """Return the name in `Name <address>`."""
    name, _, address = author.partition("<")
    return plain(name.strip() or address.rstrip(">"))


def bare(url: str) -> str:
    """Return an address without its scheme."""
    return url.split("://", 1)[-1].rstrip("/")


def origin(source: str) -> str:
    """Return an address of a repository as short as people say it."""
    if source.startswith("upload:"):
        return "upload"
    return bare(source).removesuffix(".git").removeprefix("github.com/")


def digest(value: str) -> str:
    """Return the beginning of a digest."""
    return value.rpartition(":")[2][:12]


_BROWSERS = ("Edg", "OPR", "Firefox", "Chromium", "Chrome", "Safari")
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")


def browser(agent: str) -> str:
    """Return what a browser calls itself in the words of people."""
    name = next((one for one in _BROWSERS if one in agent), "")
    system = next((one for one in _SYSTEMS if one in agent), "")
    shown = {"Edg": "Edge", "OPR": "Opera", "Mac OS": "macOS"}
    told = " on ".join(shown.get(one, one) for one in (name, system) if one)
    return told or plain(agent)[:80]


def size(number: int | None) -> str:
    """Return bytes in a readable unit."""
    if number is None:
        return ""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def plain(text: str) -> str:
    """Return a line of a log without colours and control characters."""
    return _CONTROL.sub("", _ANSI.sub("", text))


def ticked(text: str) -> Markup:
    """Return a sentence of the platform with what stands between backticks as code."""
    return Markup(_TICKED.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def stream(name: str) -> str:
    """Return the class of a log line."""
    return name if name in ("platform", "stderr") else "stdout"


def heading(stage: str) -> str:
    """Return what stands above the lines of a stage or, in a runtime log, of a release."""
    return _INSTANCE.sub(r"\1", stage)


def instance(stage: str) -> str:
    """Return which instance wrote a line of a runtime log; "" if that is not known."""
    found = _INSTANCE.fullmatch(stage)
    return found[2] if found else ""


def time_of_day(time: float) -> str:
    """Return the time of a log line, in UTC."""
    return f"{datetime.fromtimestamp(time, UTC):%H:%M:%S}"


def hook(name: str) -> str:
    """Return a hook without its prefix."""
    return name.removeprefix("helvetia_")


def count(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}"


def until(time: datetime, now: datetime | None = None) -> str:
    """Return how far away something is that is to come."""
    left = (time - (now or datetime.now(UTC))).total_seconds()
    if left <= 0:
        return "over"
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if left >= unit:
            return f"in {int(left // unit)} {name}"
    return "in less than a minute"


FILTERS: dict[str, Callable[..., str]] = {
    function.__name__: function
    for function in (
        ago, bare, browser, clock, count, digest, first_line, heading, hook, instance, origin,
        person, plain, seconds, shape, short, size, stream, ticked, time_of_day, tone, took, until,
        word,
    )
}  # fmt: skip
