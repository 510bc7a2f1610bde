"""The load: a process of its own that asks at a fixed rate, whether the answers come or not.

Run: python -m bench.rollover.client PORT HOST RATE KINDS HELD FILE

It asks until its standard input ends, waits for the last answers, and writes what came of each
request to FILE, a JSON line each. Half of the requests use kept connections and half bring their
own. A connection that the proxy is seen to have closed while nobody used it is left, as the
protocol wants it; any other that ends without its whole answer is a failure.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from .wire import Broken, Connection

SIMPLE = ("slow", *("GET", "POST", "GET", "GET") * 10)
"""For a service that can no more than `tests.e2e.apps.server`.

The lengths of both are odd: so each kind is sent over kept and over new connections.
"""

MIXED = (
    "slow GET", *("GET", "GET", "POST", "GET") * 3, "stream", *("GET", "POST", "GET", "GET") * 3,
    "slow POST", *("GET", "GET", "POST", "GET") * 3, "stream", *("GET", "POST", "GET", "GET") * 3,
    "socket",
)  # fmt: skip
_BODY = b"x" * 10_000
_ANSWER_SECONDS = 15.0
_CHUNKS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one request; `problem` is empty if all was well.

    Attributes:
        began: when the request was sent, in seconds since the epoch.
        end: of a held WebSocket, how it ended: `1001` and the like is the code of a close frame,
            `end of stream` and `reset` are what they say, `by us` needs no explanation.
    """

    kind: str
    kept: bool = False
    began: float
    ended: float
    version: str = ""
    problem: str = ""
    end: str = ""


class Client:
    """Asks one host, and remembers."""

    def __init__(self, port: int, host: str, kinds: tuple[str, ...]) -> None:
        self._port = port
        self._host = host
        self._kinds = kinds
        self._idle: list[Connection] = []
        self._ending = asyncio.Event()
        self.answers: list[Answer] = []

    def end(self) -> None:
        """Ask nothing more."""
        self._ending.set()

    async def ask(self, rate: float) -> None:
        """Ask until the end."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as requests:
            for number in range(100_000_000):
                if await self._ends_within(began + number / rate - time.monotonic()):
                    return
                requests.create_task(self._one(number))

    async def hold(self) -> None:
        """Keep a WebSocket open and talk over it; open another whenever it ends."""
        while not self._ending.is_set():
            began, version, problem, end = time.time(), "", "", ""
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    socket = await self._socket()
                try:
                    version, end = await self._talk(socket)
                finally:
                    socket.close()
            except (Broken, OSError, TimeoutError) as error:
                problem = _words(error)
                await self._ends_within(0.05)
            self.answers.append(
                Answer(
                    kind="held", began=began, ended=time.time(), version=version, problem=problem,
                    end=end,
                )
            )  # fmt: skip

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._ending.wait()
        except TimeoutError:
            return self._ending.is_set()
        return True

    async def _one(self, number: int) -> None:
        kind = self._kinds[number % len(self._kinds)]
        kept = number % 2 == 0 and kind != "socket"
        sent = time.time()

        def begin() -> None:
            nonlocal sent
            sent = time.time()

        version = problem = ""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                if kind == "socket":
                    version = await self._chat(begin)
                else:
                    version = await self._exchange(kind, kept, begin)
        except (Broken, OSError, TimeoutError) as error:
            problem = _words(error)
        self.answers.append(
            Answer(
                kind=kind, kept=kept, began=sent, ended=time.time(), version=version,
                problem=problem,
            )
        )  # fmt: skip

    async def _exchange(self, kind: str, kept: bool, begin: Callable[[], None]) -> str:
        connection = await self._connection(kept)
        reply = None
        try:
            headers = {"Host": self._host} | ({} if kept else {"Connection": "close"})
            begin()
            method = "POST" if kind.endswith("POST") else "GET"
            path = {"stream": "/stream", "slow": "/slow"}.get(kind, "/")
            if kind.startswith("slow "):
                path = "/?seconds=2"
            connection.send(method, path, headers, _BODY if method == "POST" else b"")
            reply = await connection.receive()
        finally:
            if kept and reply is not None and reply.keeps:
                self._idle.append(connection)
            else:
                connection.close()
        if reply.status != 200:
            raise Broken(f"status {reply.status}")
        return _version(reply.body.decode(), kind)

    async def _connection(self, kept: bool) -> Connection:
        while kept and self._idle:
            connection = self._idle.pop()
            if not connection.is_closed:
                return connection
            connection.close()
        return await Connection.open(self._port)

    async def _socket(self, begin: Callable[[], None] = lambda: None) -> Connection:
        connection = await Connection.open(self._port)
        begin()
        await connection.upgrade("/ws", self._host)
        return connection

    async def _chat(self, begin: Callable[[], None]) -> str:
        """Open a WebSocket, talk for a moment, and close it as one should."""
        socket = await self._socket(begin)
        try:
            versions = {await _echoed(socket, str(number)) for number in range(3)}
            socket.say_goodbye()
            if (code := await socket.hear()) != 1000:
                raise Broken(f"goodbye was answered with {code}")
        finally:
            socket.close()
        return _only(versions)

    async def _talk(self, socket: Connection) -> tuple[str, str]:
        """Return the version that was heard, and how the WebSocket ended."""
        versions: set[str] = set()
        number = 0
        heard: str | int = ""
        try:
            # Once at least: a talk that began as the load ended must not count as silent.
            while not versions or not await self._ends_within(0.1):
                number += 1
                socket.say(str(number))
                async with asyncio.timeout(_ANSWER_SECONDS):
                    heard = await socket.hear()
                if isinstance(heard, int):
                    socket.say_goodbye()
                    return _only(versions), str(heard)
                versions.add(_word(heard, str(number)))
            socket.say_goodbye()
            async with asyncio.timeout(_ANSWER_SECONDS):
                heard = await socket.hear()
        except (Broken, OSError) as error:
            if not versions:
                raise
            return _only(versions), _words(error)
        return _only(versions), "by us" if heard == 1000 else str(heard)


async def _echoed(socket: Connection, text: str) -> str:
    socket.say(text)
    heard = await socket.hear()
    if isinstance(heard, int):
        raise Broken(f"closed with {heard} in mid-talk")
    return _word(heard, text)


def _word(heard: str, said: str) -> str:
    version, _, rest = heard.partition(" ")
    if rest != said:
        raise Broken(f"{said!r} was echoed as {rest!r}")
    return version


def _only(versions: set[str]) -> str:
    if len(versions) != 1:
        raise Broken(f"{len(versions)} versions in one talk")
    return versions.pop()


def _version(text: str, kind: str) -> str:
    """Return the version of a good answer.

    Raises:
        Broken: something of it is missing or wrong.
    """
    if kind == "stream":
        lines = text.splitlines()
        version = _only({line.partition(" ")[0] for line in lines})
        if lines != [f"{version} {number}" for number in range(_CHUNKS)]:
            raise Broken(f"{len(lines)} of {_CHUNKS} chunks, or in a wrong order")
        return version
    version, _, rest = text.partition(" ")
    if rest != (str(len(_BODY)) if kind.endswith("POST") else ""):
        raise Broken("the body did not arrive" if kind.endswith("POST") else "a strange answer")
    return version


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_ANSWER_SECONDS:g} s"
    return str(error) if isinstance(error, Broken) else repr(error)


async def _input_ends(then: Callable[[], None]) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    await reader.read()
    then()


async def main(port: str, host: str, rate: str, kinds: str, held: str, file: str) -> None:
    client = Client(int(port), host, {"simple": SIMPLE, "mixed": MIXED}[kinds])
    work: list[Awaitable[None]] = [_input_ends(client.end), client.ask(float(rate))]
    await asyncio.gather(*work, *(client.hold() for _ in range(int(held))))
    with open(file, "w") as target:  # noqa: ASYNC230 - nothing else runs any more
        target.writelines(json.dumps(asdict(answer)) + "\n" for answer in client.answers)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
