"""Guards stand before the choke point: they may turn a request away before anybody is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web


class Guard(ABC):
    """Decides whether a request is served at all: a limit, a block list, a maintenance hour.

    Required: `admit`. A guard that breaks or takes longer than a second lets requests through.
    """

    @abstractmethod
    async def admit(self, request: web.Request, purpose: str) -> Mapping[str, str]:
        """Let a request through, and return headers for its answer.

        Args:
            purpose: `authentication`, `websocket`, `deploy`, `webhook`, `health`, `page`, or
                `request` for the rest; plugins may give endpoints purposes of their own.

        Raises:
            TooManyRequests: it has to wait.
            HelvetiaError: it is refused for another reason.
        """
