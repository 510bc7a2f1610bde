"""The program that serves a static site: `python -m helvetia.plugins.builders.static.server DIR`.

It sits behind the router on the loopback address; PORT and HOST come from the runtime.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from aiohttp import web

from .media_types import content_type
from .site_files import Found, Redirect, Site

_SITE = web.AppKey("site", Site)
_GRACE_SECONDS = 9.0
_NOT_FOUND = (
    b'<!doctype html><html lang="en"><meta charset="utf-8"><title>Not found</title>'
    b'<meta name="viewport" content="width=device-width"><style>:root{color-scheme:light dark}'
    b"body{font:1.1rem/1.5 system-ui,sans-serif;display:grid;place-content:center;min-height:90vh;"
    b"text-align:center}</style><h1>Not found</h1><p>There is no page at this address.</p></html>"
)


async def _serve(request: web.Request) -> web.StreamResponse:
    if request.method not in ("GET", "HEAD"):
        return web.Response(status=405, text="only GET and HEAD\n", headers={"Allow": "GET, HEAD"})
    site = request.app[_SITE]
    path, accepted = request.rel_url.raw_path, request.headers.get("Accept-Encoding", "")
    found = await asyncio.to_thread(site.find, path, request.rel_url.raw_query_string, accepted)
    if isinstance(found, Redirect):
        headers = {"Location": found.location, "Cache-Control": "no-cache"}
        return web.Response(status=301, headers=headers)
    if found is None and site.spa and site.is_navigation(path, request.headers.get("Accept", "")):
        found = await asyncio.to_thread(site.page, "index.html", accepted)
    if found is not None:
        return await _send(request, found)
    missing = await asyncio.to_thread(site.page, "404.html", "")
    body = await asyncio.to_thread(Path(missing.path).read_bytes) if missing else _NOT_FOUND
    headers = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache"}
    return web.Response(status=404, body=body, headers=headers)


async def _send(request: web.Request, found: Found) -> web.StreamResponse:
    headers = {"Cache-Control": found.cache}
    if found.varies:
        headers["Vary"] = "Accept-Encoding"
    if found.etag and _matches(request, found.etag):
        return web.Response(status=304, headers={**headers, "ETag": f'"{found.etag}"'})
    if found.etag and _refuses(request, found.etag):
        return web.Response(status=412, headers=headers)
    headers["Content-Type"] = content_type(found.name)
    if found.encoding:
        headers["Content-Encoding"] = found.encoding
    response: web.StreamResponse
    if _whole_file(request, found):
        # FileResponse knows neither of these conditions with tags of our own. Sending the whole
        # file is always right: a download that goes on from another release must start anew.
        stream = await asyncio.to_thread(open, found.path, "rb")
        response = web.Response(body=stream, headers=headers)
    else:
        response = web.FileResponse(found.path, headers=headers)
    if found.etag:
        response["etag"] = found.etag
    return response


def _matches(request: web.Request, etag: str) -> bool:
    known = request.if_none_match
    return known is not None and any(tag.value in (etag, "*") for tag in known)


def _refuses(request: web.Request, etag: str) -> bool:
    wanted = request.if_match
    return wanted is not None and not any(
        tag.value in (etag, "*") and not tag.is_weak for tag in wanted
    )


def _whole_file(request: web.Request, found: Found) -> bool:
    condition = request.headers.get("If-Range", "")
    resumes_other = '"' in condition and condition != f'"{found.etag}"'
    return request.method == "GET" and (resumes_other or "If-Match" in request.headers)


async def _finish_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.pop("Server", None)
    if "etag" in response:
        # The same content keeps its tag over releases and instances; its time would not.
        response.etag = response["etag"]
        response.headers.pop("Last-Modified", None)


def make_app(workdir: Path) -> web.Application:
    """Return the application that serves the artifact in `workdir`."""
    app = web.Application(client_max_size=0)
    app[_SITE] = Site(workdir)
    app.router.add_route("*", "/{path:.*}", _serve)
    app.on_response_prepare.append(_finish_headers)
    return app


def main() -> None:
    """Serve until SIGTERM, then finish the requests in flight."""
    host, port = os.environ.get("HOST") or "127.0.0.1", int(os.environ["PORT"])
    app = make_app(Path(sys.argv[1]))
    web.run_app(
        app,
        host=host,
        port=port,
        access_log=None,
        print=None,
        shutdown_timeout=_GRACE_SECONDS,
        keepalive_timeout=75,
    )


if __name__ == "__main__":
    main()
