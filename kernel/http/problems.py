"""Every error as a problem body (RFC 9457), or as a small page for a browser."""

from __future__ import annotations

import html
import logging
from http import HTTPStatus

from aiohttp import web
from aiohttp.web_exceptions import HTTPError
from pydantic import ValidationError

from helvetia.kernel.disk import told
from helvetia.kernel.errors import (
    HelvetiaError,
    InvalidInput,
    TooManyRequests,
    Unauthenticated,
)

from .context import REQUEST_ID
from .shapes import FieldProblem, Problem
from .validation import field_problems, is_not_json

_log = logging.getLogger(__name__)
_MESSAGES = {
    404: ("not-found", "there is nothing at this address"),
    405: ("method-not-allowed", "this address does not know that method"),
    413: ("too-large", "the body is too large"),
}


class BadRequest(HelvetiaError):
    """The request cannot be read."""

    code = "bad-request"
    status = 400


class UnsupportedMedia(HelvetiaError):
    """The body has a type or an encoding that is not taken."""

    code = "unsupported-media-type"
    status = 415


class TooSlow(HelvetiaError):
    """The body did not come in time."""

    code = "too-slow"
    status = 408


class NotReady(HelvetiaError):
    """The platform cannot serve yet, or not any more."""

    code = "not-ready"
    status = 503


def to_problem(error: Exception, request_id: str) -> Problem:
    """Describe an error to whoever made the request; what is nobody's business stays out."""
    error = told(error, path=False)
    if isinstance(error, HelvetiaError):
        errors = []
        if isinstance(error, InvalidInput):
            errors = [FieldProblem(field=error.field, message=error.reason)]
        return _problem(error.status, error.code, error.message, hint=error.hint, errors=errors)
    if isinstance(error, ValidationError):
        if is_not_json(error):
            return _problem(400, BadRequest.code, "the body is not valid JSON")
        errors = field_problems(error)
        sentence = "; ".join(f"{one.field} {one.message}" for one in errors)
        return _problem(422, InvalidInput.code, sentence, errors=errors)
    if isinstance(error, HTTPError):
        code, message = _MESSAGES.get(error.status, ("http-error", error.reason.lower()))
        return _problem(error.status, code, message)
    return _problem(
        500,
        "internal",
        "something went wrong on our side",
        hint=f"the log of the platform has more under request {request_id}",
    )


def respond(request: web.Request, error: Exception) -> web.Response:
    """Answer with an error; one that is nobody's news is logged."""
    request_id = request[REQUEST_ID]
    problem = to_problem(error, request_id)
    problem.request_id = request_id
    if problem.status >= 500:
        is_bug = not isinstance(told(error), HelvetiaError)
        _log.log(
            logging.ERROR if is_bug else logging.WARNING,
            "request %s: %s %s: %s",
            request_id,
            request.method,
            request.rel_url.raw_path,
            error,
            exc_info=error if is_bug else None,
        )
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooManyRequests):
        headers |= error.headers
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    if _wants_page(request):
        return web.Response(
            text=_page(problem), status=problem.status, headers=headers, content_type="text/html"
        )
    return web.Response(
        body=problem.model_dump_json().encode(),
        status=problem.status,
        headers=headers,
        content_type="application/problem+json",
    )


def _problem(
    status: int,
    code: str,
    detail: str,
    *,
    hint: str = "",
    errors: list[FieldProblem] | None = None,
) -> Problem:
    title = HTTPStatus(status).phrase
    return Problem(
        title=title, status=status, code=code, detail=detail, hint=hint, errors=errors or []
    )


def _wants_page(request: web.Request) -> bool:
    return "text/html" in request.headers.get("Accept", "") and not request.path.startswith("/api")


def _page(problem: Problem) -> str:
    title, detail, hint = map(html.escape, (problem.title, problem.detail, problem.hint))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title} · Helvetia</title>'
        f'<h1>{title}</h1><p>{detail}</p><p>{hint}</p><p><a href="/">Helvetia</a></p></html>'
    )
