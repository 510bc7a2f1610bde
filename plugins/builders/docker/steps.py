"""What a build says, folded: a line for each step, and its output indented below."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from helvetia import LogSink

_LINE_BYTES = 32 * 1024
_TITLE = 160
_LAST_LINES = 5
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_VERTEX = re.compile(r"#(?P<number>\d+) (?P<rest>.*)")
_NAMED = re.compile(r"\[(?P<place>[^\]]*?\d+/\d+)\] (?P<what>.*)")
# The builder before BuildKit; and buildah, which numbers the stages in front.
_CLASSIC = re.compile(r"(?:\[\d+/\d+\] )?(?:Step|STEP) (?P<place>\d+/\d+) ?: (?P<what>.*)")
# buildah ends no line for a program that has not.
_GLUED_STEP = re.compile(
    r"(?P<text>.+?)(?P<step>(?:\[\d+/\d+\] )?(?:STEP \d+/\d+: |COMMIT ).*"
    r"|Getting image source signatures|--> [0-9a-f]{11})"
)
_TIMED = re.compile(r"\d+\.\d+ ?(?P<text>.*)")
_GLUED = re.compile(r"(?P<text>.*)#(?P<number>\d+) (?P<rest>(?:DONE \d+\.\d+s|ERROR: .*))")
_FAILED = ("The command ", "Error: building at STEP ")
_RECAP = "------"
_EXIT = re.compile(r"(?:exit code: |returned a non-zero code: |exit status )(?P<code>\d+)")
# What the programs say about their own work.
_NOISE = re.compile(
    r"sha256:|transferring |extracting |exporting |writing |naming |resolve |unpacking |reading |"
    r"preparing |pushing |\.\.\.|$"
)
_CLASSIC_NOISE = re.compile(
    r" ---> |Removing intermediate container |Sending build context |Successfully |DEPRECATED: |"
    r"--> |subprocess exited with status |(?:\[\d+/\d+\] )?COMMIT |[0-9a-f]{64}$|"
    r"Getting image source signatures|Copying (?:blob|config) |Writing manifest to |"
    r"Storing signatures|"
    r"\s+Install the buildx component|\s+https://docs.docker.com/go/buildx|\s*$"
)
_WRAPPING = re.compile(
    r"^(?:ERROR: )?(?:failed to solve(?: with frontend \S+)?: |failed to build LLB: "
    r"|failed to create LLB definition: |rpc error: code = \w+ desc = |Error response from daemon: "
    r")*"
)


@dataclass(slots=True)
class Step:
    """One step of a build.

    Attributes:
        title: what people call it: "step 2/3 (RUN make)".
        exit_code: of its program, if that failed.
    """

    place: str
    what: str
    shown: bool = False
    problem: str = ""
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))

    @property
    def title(self) -> str:
        """What people call it."""
        if not self.place:
            return self.what
        return f"step {self.place} ({self.what})"

    @property
    def line(self) -> str:
        """How the log announces it."""
        return f"step {self.place}: {self.what}" if self.place else self.what


class Steps:
    """Reads what a build says as it comes: BuildKit, the builder before it, or buildah."""

    def __init__(self, log: LogSink) -> None:
        self._log = log
        self._rest = {1: b"", 2: b""}
        self._cut = {1: False, 2: False}
        self._vertices: dict[str, Step | None] = {}
        self._waiting: list[Step] = []
        self._written: Step | None = None
        self._recap = False
        self._words = ""
        self.current: Step | None = None
        self.failed: Step | None = None

    def feed(self, stream: int, data: bytes) -> None:
        """Take output in any chunks; `stream` is 1 or 2, as the engine numbers them."""
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        for line in lines:
            self._line(line, whole=not self._cut[stream])
            self._cut[stream] = False
        if len(rest) > _LINE_BYTES:
            self._line(rest, whole=not self._cut[stream])
            rest, self._cut[stream] = b"", True
        self._rest[stream] = rest
        for step in self._waiting:
            self._show(step)
        self._waiting.clear()

    def end(self) -> None:
        """There is no more output."""
        for stream, rest in self._rest.items():
            if rest:
                self.feed(stream, b"\n")

    def running(self) -> str:
        """Say in which step the build is, for sentences that end so: "while running step 2/3"."""
        return f"while running {self.current.title}" if self.current else "before the first step"

    def reason(self) -> str:
        """Say why the build failed."""
        words = _WRAPPING.sub("", self._words)
        if self.failed is None:
            return words or "the builder says nothing about the reason"
        code = _EXIT.search(self.failed.problem)
        if code is None:
            problem = _WRAPPING.sub("", self.failed.problem) or words
            return f"{self.failed.title}: {problem}"
        last = next((line for line in reversed(self.failed.last) if line.strip()), "")
        said = f": {last.strip()}" if last else ""
        return f"{self.failed.title} ended with exit code {code['code']}{said}"

    def _line(self, data: bytes, *, whole: bool) -> None:
        text = _COLOUR.sub("", data.decode("utf-8", "replace")).rstrip("\r")
        if not whole:
            self._detail(self.current, text)
        elif vertex := _VERTEX.match(text):
            self._vertex(vertex["number"], vertex["rest"])
        elif classic := _CLASSIC.match(text):
            self.current = Step(classic["place"], _short(classic["what"]))
            self._waiting.append(self.current)
        elif not self._vertices and (glued := _glued(text)):
            self._detail(self.current, glued["text"])
            self._line(glued["step"].encode(), whole=True)
        elif text == _RECAP:
            self._recap = not self._recap
        elif text.startswith((" ---> Using cache", "--> Using cache")):
            self._detail(self.current, "from the cache", said=False)
        elif not self._recap and not _CLASSIC_NOISE.match(text):
            self._words = text.strip()
            if self.current and text.startswith(_FAILED) and _EXIT.search(text):
                self.failed, self.current.problem = self.current, text
            elif self.failed is None:
                # Of BuildKit these words are about the build as a whole.
                self._detail(self.current, text, said=not self._vertices)

    def _vertex(self, number: str, rest: str) -> None:
        if number not in self._vertices:
            step = _step(rest)
            self._vertices[number] = step
            if step is not None:
                self._waiting.append(step)
                self.current = step
            return
        step = self._vertices[number]
        if rest.startswith("ERROR: "):
            # What is hidden while all goes well is the reason when it fails.
            self.failed = step or Step("", "preparing the build")
            self.failed.problem = rest.removeprefix("ERROR: ")
            if not _EXIT.search(rest):  # otherwise its program has said what there is to say
                self._detail(step, self.failed.problem, said=False)
            return
        if step is None:
            return
        if rest == "CACHED":
            if step in self._waiting:
                self._waiting.remove(step)
            if step.shown:  # what is said of it came in two parts
                self._detail(step, "from the cache", said=False)
            self._show(step, " (from the cache)")
        elif rest.startswith("DONE "):
            self._done(step, rest)
        elif timed := _TIMED.fullmatch(rest):
            self.current = step
            # Old versions do not end a line that the program has not ended.
            glued = _GLUED.fullmatch(timed["text"])
            if glued and glued["number"] == number:
                self._detail(step, glued["text"])
                self._vertex(number, glued["rest"])
            else:
                self._detail(step, timed["text"])
        elif not _NOISE.match(rest) and not rest.startswith(("CANCELED", "[")):
            self._detail(step, rest)

    def _done(self, step: Step, rest: str) -> None:
        if step in self._waiting:
            self._waiting.remove(step)
            self._show(step)
        seconds = float(rest.removeprefix("DONE ").removesuffix("s"))
        if seconds >= 1:
            self._detail(step, f"done in {seconds:g} s", said=False)

    def _show(self, step: Step, more: str = "") -> None:
        if not step.shown:
            step.shown = True
            self._log.line(step.line + more)
            self._written = step

    def _detail(self, step: Step | None, text: str, *, said: bool = True) -> None:
        if step is not None:
            if step in self._waiting:
                self._waiting.remove(step)
            self._show(step)
            if said:
                step.last.append(text)
        if step is not self._written and step is not None:
            self._log.line(f"{step.line} (goes on)")
            self._written = step
        self._log.write(f"  {text}\n".encode())


def _step(rest: str) -> Step | None:
    """Return the step of a line that names it; None if it is of no interest while it goes well."""
    if named := _NAMED.fullmatch(rest):
        return Step(named["place"], _short(named["what"]))
    if rest.startswith("["):
        return None
    return None if _NOISE.match(rest) else Step("", _short(rest))


def _glued(text: str) -> re.Match[str] | None:
    return None if _CLASSIC_NOISE.match(text) else _GLUED_STEP.fullmatch(text)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _TITLE else f"{text[: _TITLE - 1]}…"
