"""The WebSocket over which a command runs."""

from __future__ import annotations

from aiohttp import web

from helvetia import Call, Policy, Resource
from helvetia.kernel.errors import Conflict
from helvetia.kernel.http.problems import BadRequest
from helvetia.kernel.models import Service
from helvetia.plugins.api.sockets import serve_socket

from .session import MAX_INCOMING, Session
from .settings import ShellSettings


def make_resource(settings: ShellSettings) -> Resource:
    """Make the endpoint for those who may use it."""
    resource = Resource("shell")
    sessions: set[Session] = set()

    @resource.get(
        "/api/v1/services/{service}/shell",
        policy=Policy(settings.role),
        summary="Run a command in the environment of a release",
        status=101,
        websocket=True,
        media="",
        errors=[BadRequest, Conflict],
    )
    async def open(call: Call, service: Service) -> web.WebSocketResponse:
        """Run a command in a copy of a release, with its variables, limits and volumes.

        The first frame is JSON text: `{"command": ["python", "manage.py", "migrate"],
        "release": null, "terminal": {"columns": 80, "rows": 24}}`. Without a terminal nothing
        can be typed; at one, no command means a shell. Then `{"started": {"release": 3}}` comes,
        and the output in binary frames: a byte 1 (standard output, and all of a terminal) or 2
        (standard error) before it. What is typed goes in binary frames as it is; a frame
        `{"columns": 90, "rows": 30}` tells that the window has changed. `{"note": "…"}` is what
        the platform says. The last frame is `{"exit_code": 0, "reason": ""}`, where no code means
        that the platform ended the command, or `{"error": {"code": …, "message": …, "hint": …}}`.
        Who closes the connection ends the command.
        """
        if len(sessions) >= settings.at_once:
            raise Conflict(
                f"{settings.at_once} commands are running already",
                hint="wait until one has ended, or set HELVETIA_SHELL_AT_ONCE",
            )
        session = Session(call, service, settings)
        sessions.add(session)
        try:
            return await serve_socket(call, session, max_incoming=MAX_INCOMING)
        finally:
            sessions.discard(session)

    return resource
