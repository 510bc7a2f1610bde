"""What goes over the wire."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from helvetia.plugins.api.inputs import Body

_Word = Annotated[str, StringConstraints(max_length=32768, pattern=r"^[^\x00]*$")]
_MOST_CHARACTERS = 100_000


class Window(Body):
    """The size of a terminal, as a frame of its own when it changes."""

    columns: int = Field(ge=1, le=1000)
    rows: int = Field(ge=1, le=1000)


class Wanted(Body):
    """The first frame: what is to be run."""

    command: list[_Word] = Field([], max_length=512)
    release: int | None = Field(None, ge=1)
    terminal: Window | None = None

    @model_validator(mode="after")
    def _is_something(self) -> Wanted:
        if not self.command and self.terminal is None:
            raise ValueError("without a terminal there must be a command")
        if self.command and not self.command[0]:
            raise ValueError("the command has no name")
        if sum(map(len, self.command)) > _MOST_CHARACTERS:
            raise ValueError(f"the command has more than {_MOST_CHARACTERS:,} characters")
        return self
