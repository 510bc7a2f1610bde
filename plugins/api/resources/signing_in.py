"""Sign in by a plugin's provider, and out again."""

from __future__ import annotations

import logging

from aiohttp import web

from helvetia.kernel import accounts
from helvetia.kernel.contracts.auth import AuthProvider, Identity
from helvetia.kernel.errors import HelvetiaError, NoProvider, NotFound, PluginError
from helvetia.kernel.http import cookies
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.bodies import read_form
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.origin import local_path
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.providers import Entry, plugin_call

_SECONDS = 30.0
_log = logging.getLogger(__name__)
resource = Resource("auth")


class SignInFailed(HelvetiaError):
    """The provider broke down; why is for the log, not for strangers."""

    code = "sign-in-failed"
    status = 502


@resource.get(
    "/auth/{provider}",
    policy=Policy.PUBLIC,
    summary="Begin to sign in",
    media="text/html",
    errors=[NotFound, SignInFailed],
)
async def begin(call: Call, provider: str) -> web.StreamResponse:
    """Show a form or lead to where the person proves who they are; `next` is where to go then."""
    response = await _ask(call, _entry(call, provider), "begin")
    assert isinstance(response, web.StreamResponse)
    target = local_path(call.request.query.get("next"))
    if not response.prepared:
        cookies.keep_next(call.request, response, target)
    return _answered(response)


@resource.get(
    "/auth/{provider}/complete",
    policy=Policy.PUBLIC,
    summary="Finish to sign in, coming back from another site",
    purpose="authentication",
    media="text/html",
    errors=[NotFound, SignInFailed],
)
async def complete(call: Call, provider: str) -> web.StreamResponse:
    """Check the proof and begin a session."""
    entry = _entry(call, provider)
    result = await _ask(call, entry, "complete")
    if isinstance(result, web.StreamResponse):
        return _answered(result)
    return await _signed_in(call, entry, result)


@resource.post(
    "/auth/{provider}/complete",
    policy=Policy.PUBLIC,
    summary="Finish to sign in with a form",
    purpose="authentication",
    media="text/html",
    errors=[NotFound, SignInFailed],
)
async def complete_form(call: Call, provider: str) -> web.StreamResponse:
    """Check the proof and begin a session."""
    # Read here first: a form that cannot be read is not the provider's fault.
    _ = await read_form(call.request)
    return await complete(call, provider)


@resource.post("/auth/sign-out", policy=Policy.SIGNED_IN, summary="Sign out", status=303, media="")
async def sign_out(call: Call) -> web.Response:
    """End the browser session."""
    response = web.Response(status=303, headers={"Location": "/"})
    if value := cookies.session_value(call.request):
        await accounts.end_session(value)
    cookies.forget_session(call.request, response)
    return response


def _entry(call: Call, provider: str) -> Entry[AuthProvider]:
    try:
        return call.platform.providers.auth.get(provider)
    except NoProvider:
        raise NotFound("there is no such way to sign in") from None


async def _ask(call: Call, entry: Entry[AuthProvider], verb: str) -> Identity | web.StreamResponse:
    """Call the provider; its redirects may be raised, as is usual with aiohttp."""
    provider = entry.provider
    answer: Identity | web.StreamResponse
    try:
        async with plugin_call(entry.plugin, f"{entry.name}.{verb}", _SECONDS):
            try:
                if verb == "begin":
                    answer = await provider.begin(call.request)
                else:
                    answer = await provider.complete(call.request)
            except web.HTTPException as response:
                answer = response
    except PluginError as error:
        _log.exception("signing in")
        raise SignInFailed(
            f"signing in by {provider.title} does not work at the moment",
            hint="the log of the platform says why",
        ) from error
    if isinstance(answer, web.StreamResponse) and not answer.prepared:
        # With `no-referrer` browsers would send `Origin: null` from the form.
        answer.headers["Referrer-Policy"] = "same-origin"
    return answer


def _answered(response: web.StreamResponse) -> web.StreamResponse:
    """Hand a provider's response on; one that aiohttp raises is raised again."""
    if isinstance(response, web.HTTPException):
        raise response
    return response


async def _signed_in(call: Call, entry: Entry[AuthProvider], identity: Identity) -> web.Response:
    request = call.request
    user = await accounts.user_for_identity(entry.name, identity)
    # A new session, never the old one: its value may be known to somebody else.
    if old := cookies.session_value(request):
        await accounts.end_session(old)
    value, _ = await accounts.create_session(user)
    response = web.Response(status=303, headers={"Location": await _target(request)})
    cookies.set_session(request, response, value)
    cookies.forget_next(response)
    return response


async def _target(request: web.Request) -> str:
    """Return where to go: what the form says, or the address, or what was kept at the beginning."""
    form = await read_form(request)
    for said in (form.get("next"), request.query.get("next"), cookies.kept_next(request)):
        if (path := local_path(said)) != "/":
            return path
    return "/"
