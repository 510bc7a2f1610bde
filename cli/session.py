"""What every command that talks to the control plane has at hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .address import Address, find_address
from .api import Api
from .client import Client
from .output import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The output, and the control plane to ask."""

    out: Output
    api: Api
    address: Address


@asynccontextmanager
async def open_session(*, as_json: bool) -> AsyncIterator[Session]:
    """Find the control plane and lend a session with it."""
    address = find_address()
    async with Client(address, renew=find_address) as client:
        yield Session(out=Output(as_json=as_json), api=Api(client), address=address)
