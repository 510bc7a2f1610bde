"""A platform in a process of its own: it calls one verb of a provider and waits to be killed."""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import sys
from typing import Any

from .kernel import make


async def _main() -> None:
    told = pickle.loads(base64.b64decode(sys.stdin.buffer.readline()))  # noqa: S301 - the suite
    factory, kernel, verb, arguments = told
    try:
        provider: Any = make(factory, kernel)
        await provider.setup()
        print(json.dumps("begun"), flush=True)
        await getattr(provider, verb)(*arguments)
        said = "done"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps(said), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
