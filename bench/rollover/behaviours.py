"""How the services behave that are redeployed, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One kind of app.

    Attributes:
        facts: what `service.py` reads.
        reason: pattern of why its deployment fails; empty if it must go live.
        says_goodbye: it closes its WebSockets with a close frame on SIGTERM. Of any other app
            nobody is there to write one: the end of the stream is all that a client can see.
    """

    name: str
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    says_goodbye: bool = False


WELL = Behaviour(name="well-behaved", says_goodbye=True)
DROPS = Behaviour(name="drops all on SIGTERM", facts={"sigterm": "drop"})
GOOD = (
    WELL,
    Behaviour(name="starts slowly", facts={"start_seconds": 3}, says_goodbye=True),
    Behaviour(name="answers 503 first", facts={"503_seconds": 3}, says_goodbye=True),
    Behaviour(name="ignores SIGTERM", facts={"sigterm": "ignore"}),
    Behaviour(name="closes its listener", facts={"sigterm": "close"}),
    DROPS,
)
BAD = (
    Behaviour(
        name="never healthy",
        facts={"503_seconds": 600},
        reason=r"not healthy within 5 s: GET / answered 503, expected 200-399",
    ),
    Behaviour(name="crashes at once", facts={"crash": True}, reason=r"exited with code 1"),
    Behaviour(
        name="never listens",
        facts={"never_listen": True},
        reason=r"nothing listens on port \d+ \(it listens on no port",
    ),
    Behaviour(
        name="another port",
        facts={"other_port": True},
        reason=r"nothing listens on port \d+ \(it listens on port \d+; it must listen on the port",
    ),
    Behaviour(
        name="another address",
        facts={"host": "127.0.0.2"},
        reason=r"nothing listens on port \d+ "
        r"\(it listens on (this port, but not at the address|no port)",
    ),
)
